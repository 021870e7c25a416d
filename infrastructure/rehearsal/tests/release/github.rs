//! Gate, setup, doctor and notify against the simulated GitHub, Slack and mail server, through the stand-in `gh`.

mod gate;
mod notify;
mod people;
mod settings;
