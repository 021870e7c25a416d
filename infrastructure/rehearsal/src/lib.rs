//! What a rehearsal needs instead of the outside world: a sample application that really keeps data, a simulator of the
//! platforms that really runs it, and stand-ins of the platforms' command line programs. And the rehearsal itself:
//! scenarios that drive the product from outside, as a team would, and the test environment that they run in.

pub mod backend;
pub mod data;
pub mod http;
mod page;
pub mod platform;
mod practise;
pub mod process;
pub mod proof;
pub mod rehearse;
pub mod scenarios;
mod ssh_key;
pub mod standins;
pub mod test_env;
