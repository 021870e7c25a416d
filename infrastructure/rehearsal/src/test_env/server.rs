//! A MongoDB server that belongs to a test environment.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use mongodb::bson::doc;
use mongodb::sync::Client;
use serde_json::Value;
use xtask::database::Live;
use xtask::secret::Secret;

use super::process::{Owned, program, wait_until};

/// So many names fall into each of the 16 tables of the local server.
const TABLES: usize = 200;

/// A MongoDB server whose data lies in a folder of the test; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    pub process: Owned,
    data: PathBuf,
    pub port: u16,
    more: &'static [&'static str],
}

impl Server {
    /// Starts on any free port.
    pub fn start(data: &Path) -> Self {
        Self::start_at(data, 0, &[])
    }

    /// The same with more options.
    pub fn start_with(data: &Path, more: &'static [&'static str]) -> Self {
        Self::start_at(data, 0, more)
    }

    /// One that is killed keeps what it acknowledged, as `mongod` does with its journal and write concern `majority`: the
    /// local server must be told to. And it comes back only where no table was being made when it was killed: it makes
    /// them once, so they are made here, and the server ended in peace.
    pub fn start_durable(data: &Path) -> Self {
        if !program(&["mongod", "secantusd-rs"]).ends_with("secantusd-rs") {
            return Self::start(data);
        }
        let mut server = Self::start(data);
        let warm = Live::connect(&Secret::new(server.uri()), "warm").unwrap();
        for number in 0..TABLES {
            let create = doc! { "create": format!("c{number}") };
            warm.database().run_command(create).run().unwrap();
        }
        server.restart_with(&["--sync-on-commit"]);
        server
    }

    /// The same, but it ends also when we are killed: it is started by `rehearsal leash`.
    pub fn start_leashed(rehearsal: &Path, program: &Path, data: &Path, log: &Path) -> Result<Self> {
        let mut command = Command::new(rehearsal);
        command.args(["leash", "--"]).arg(program);
        Self::serve(command, program, data, log, 0, &[])
    }

    fn start_at(data: &Path, port: u16, more: &'static [&'static str]) -> Self {
        let program = program(&["mongod", "secantusd-rs"]);
        let log = data.with_extension("err");
        Self::serve(Command::new(&program), &program, data, &log, port, more)
            .unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// `command` is `program`, or what starts it. Port 0 is any free one.
    fn serve(
        mut command: Command,
        program: &Path,
        data: &Path,
        log: &Path,
        port: u16,
        more: &'static [&'static str],
    ) -> Result<Self> {
        std::fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
        let leashed = command.get_program() != program;
        let simulated = program.ends_with("secantusd-rs");
        // A real mongod has no free port of its own choosing.
        let port = if simulated || port > 0 { port } else { free_port()? };
        command.args(["--port", &port.to_string()]).args(more);
        if simulated {
            command.args(["--host", "127.0.0.1", "--storage-path"]).arg(data);
        } else {
            command.args(["--bind_ip", "127.0.0.1", "--dbpath"]).arg(data);
        }
        let (process, port) = Owned::serve(command.env_clear(), log, leashed, port_in)?;
        Ok(Self {
            process,
            data: data.to_owned(),
            port,
            more,
        })
    }

    pub fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/", self.port)
    }

    /// SIGKILL, as a crash of the machine would be, and a start on the same data and port.
    pub fn crash_and_restart(&mut self) {
        self.process.kill();
        *self = Self::start_at(&self.data.clone(), self.port, self.more);
    }

    /// Ends in good order, and starts with other options on the same data and port.
    pub fn restart_with(&mut self, more: &'static [&'static str]) {
        self.process.signal(rustix::process::Signal::TERM);
        wait_until("the server ends", || {
            self.process.child.try_wait().is_ok_and(|status| status.is_some())
        });
        *self = Self::start_at(&self.data.clone(), self.port, more);
    }

    /// Leads the server's process group.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn client(&self) -> Client {
        Client::with_uri_str(self.uri()).unwrap()
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    pub fn restart(&mut self) {
        *self = Self::start_at(&self.data.clone(), self.port, self.more);
    }
}

/// The line that says where the server listens: `secantusd-rs` in words, `mongod` as JSON.
fn port_in(line: &str) -> Option<u16> {
    if let Some((_, port)) = line.split_once(" listening on 127.0.0.1:") {
        return port.trim().parse().ok();
    }
    let event: Value = serde_json::from_str(line).ok()?;
    let port = (event["msg"] == "Waiting for connections").then(|| event["attr"]["port"].as_u64())?;
    port.and_then(|port| u16::try_from(port).ok())
}

fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr().context("no free port")?.port())
}

#[cfg(test)]
mod tests {
    use super::port_in;

    #[test]
    fn both_servers_say_where_they_listen() {
        let cases = [
            ("secantusd-rs listening on 127.0.0.1:4711", Some(4711)),
            (
                r#"{"s":"I","msg":"Waiting for connections","attr":{"port":4712,"ssl":"off"}}"#,
                Some(4712),
            ),
            (
                r#"{"s":"I","msg":"Listening on","attr":{"address":"127.0.0.1"}}"#,
                None,
            ),
            ("starting", None),
        ];
        for (line, port) in cases {
            assert_eq!(port_in(line), port, "{line}");
        }
    }
}
