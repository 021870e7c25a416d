//! The simulator, the stand-ins and the sample application themselves.

mod env;

mod adoption;
mod faults;
mod flow;
mod github;
mod processes;
mod railway;
mod sample;
mod tls;
mod vercel;
