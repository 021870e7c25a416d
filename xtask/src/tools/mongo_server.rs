//! A MongoDB server of our own for a while: empty, on a free port, gone with all its data at the end.

use std::io::{BufRead as _, BufReader, PipeReader};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use xshell::cmd;

use crate::context::Context;
use crate::exec::Exec;
use crate::secret::Secret;
use crate::tools::toolchain::resolve;

/// Longer than any drill is expected to take.
const DEADLINE: Duration = Duration::from_hours(6);
/// Lines that the server may print before it says that it is ready.
const START_LINES: usize = 10_000;

/// Runs `body` with the connection string of an empty server. The server ends when `body` does.
pub fn with_scratch<T>(ctx: &Context, body: impl FnOnce(&Secret) -> Result<T>) -> Result<T> {
    let server = resolve(&ctx.root, &["mongodb-server".to_owned()])?
        .pop()
        .context("tools.toml has no mongodb-server")?;
    let data = tempfile::Builder::new()
        .prefix("scratch-")
        .tempdir_in(ctx.state_dir("tmp")?)
        .context("cannot make a folder for the scratch server")?;
    let (sh, program, folder) = (ctx.shell()?, &server.path, data.path());
    let (exec, port) = if program.ends_with("mongod") {
        // It has no free port of its own choosing; and nothing may expire while it is compared.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let number = port.to_string();
        let command = cmd!(
            sh,
            "{program} --bind_ip 127.0.0.1 --port {number} --dbpath {folder} --setParameter ttlMonitorEnabled=false"
        );
        (Exec::new(command), Some(port))
    } else {
        let command = cmd!(sh, "{program} --host 127.0.0.1 --port 0 --storage-path {folder}");
        (Exec::new(command), None)
    };
    let mut outcome = None;
    let (_, finished) = exec.deadline(DEADLINE).stream_out(|stdout| -> Result<()> {
        let port = ready(stdout, port)?;
        outcome = Some(body(&Secret::new(format!("mongodb://127.0.0.1:{port}/"))));
        bail!("the scratch server is no longer needed")
    })?;
    outcome.unwrap_or_else(|| Err(finished.error()).context("the scratch server did not start"))
}

/// Waits until the server says that it listens, and keeps its output flowing from then on.
fn ready(stdout: PipeReader, known: Option<u16>) -> Result<u16> {
    let mut lines = BufReader::new(stdout).lines();
    let found = lines
        .by_ref()
        .take(START_LINES)
        .map_while(Result::ok)
        .find_map(|line| match known {
            Some(port) => line.contains("Waiting for connections").then_some(port),
            None => line.split_once("listening on 127.0.0.1:")?.1.trim().parse().ok(),
        });
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    found.ok_or_else(|| anyhow!("it never reported that it listens"))
}
