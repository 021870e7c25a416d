//! A backend in the place of one that cannot be started on this machine: it answers every request that all is well.

use std::sync::Arc;

use anyhow::Result;
use serde_json::json;

use crate::http::{Request, Response, server};
use crate::process;

/// Runs until it is told to end; prints where it listens.
pub fn run() -> Result<()> {
    let stop = process::watch_for_stop()?;
    let address = server::serve_tcp(Arc::new(|_: &Request| {
        Response::json(200, &json!({"status": "ok"}))
    }))?;
    println!("listening on {address}");
    // A failed sender means that no watcher is left: end as well.
    let _ = stop.recv();
    Ok(())
}
