//! `xtask health` against servers that are whole, broken, old, slow or hostile.

mod application;
mod broken;
mod credentials;
mod database;
mod release;
mod run;
mod server;
mod tls;
mod watch;
