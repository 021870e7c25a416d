//! `ssh` as the tunnels of `railway` run it: one port of this machine that leads to one of the other side, which is this machine too.
//!
//! It has neither keys nor a connection of its own. It ends by signals, and writes its number where a test finds it; and where a test has
//! written what breaks it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;

use super::{finish, variable};

/// The process of the tunnel, below the home.
pub const PID_FILE: &str = ".ssh/standin.pid";
/// What is led on breaks it, where all words of this file are in it: below the home. It breaks once.
pub const BREAKS_AT: &str = ".ssh/standin-breaks-at";
const CHUNK_BYTES: usize = 64 * 1024;
const RELAY: &str = "@ssh.railway.com";

#[derive(Debug, Parser)]
#[command(name = "ssh")]
struct Arguments {
    /// No command: the connection is there for its tunnels
    #[arg(short = 'N')]
    no_command: bool,
    #[arg(short = 'L', value_name = "FROM:PORT:TO:PORT")]
    forward: String,
    #[arg(short = 'o', value_name = "OPTION=VALUE")]
    options: Vec<String>,
    #[arg(short = 'i')]
    identity: Option<PathBuf>,
    destination: String,
}

/// Leads connections on until it is killed.
pub fn main() -> ExitCode {
    finish(run(&Arguments::parse()), "ssh (stand-in): ")
}

fn run(arguments: &Arguments) -> Result<u8> {
    ensure!(arguments.no_command, "only tunnels are supported");
    ensure!(
        arguments.destination.ends_with(RELAY),
        "Could not resolve hostname {}",
        arguments.destination
    );
    ensure!(
        arguments
            .options
            .iter()
            .any(|option| option == "ExitOnForwardFailure=yes"),
        "without ExitOnForwardFailure it would go on without a tunnel"
    );
    if let Some(key) = &arguments.identity {
        ensure!(
            key.with_extension("pub").is_file(),
            "Identity file {} not accessible",
            key.display()
        );
    }
    let parts: Vec<&str> = arguments.forward.split(':').collect();
    let [from, begin, to, end] = parts[..] else {
        bail!("bad local forwarding specification {}", arguments.forward);
    };
    let loopback = Ipv4Addr::LOCALHOST.to_string();
    ensure!(from == loopback && to == loopback, "only {loopback} is led to");
    let (begin, end): (u16, u16) = (begin.parse()?, end.parse()?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, begin))
        .with_context(|| format!("bind [{loopback}]:{begin}: Address already in use"))?;
    let home = PathBuf::from(variable("HOME").context("HOME is not set")?);
    std::fs::write(home.join(PID_FILE), std::process::id().to_string())?;
    for client in listener.incoming().flatten() {
        // Where nothing listens there, the connection is closed and the tunnel stays.
        if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, end)) {
            let breaks_at = home.join(BREAKS_AT);
            lead(&client, &server, breaks_at.clone())?;
            lead(&server, &client, breaks_at)?;
        }
    }
    Ok(0)
}

/// Copies one direction until it ends, and ends it on the other side.
fn lead(from: &TcpStream, to: &TcpStream, breaks_at: PathBuf) -> Result<()> {
    let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
    std::thread::spawn(move || {
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(read @ 1..) = from.read(&mut chunk) {
            break_at(&chunk[..read], &breaks_at);
            if to.write_all(&chunk[..read]).is_err() {
                break;
            }
        }
        to.shutdown(Shutdown::Write).ok();
    });
    Ok(())
}

fn break_at(chunk: &[u8], file: &Path) {
    let Ok(words) = std::fs::read_to_string(file) else {
        return;
    };
    let has = |word: &str| chunk.windows(word.len()).any(|part| part == word.as_bytes());
    if words.split_whitespace().all(has) {
        std::fs::remove_file(file).ok();
        std::process::exit(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_defined() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }
}
