//! A MongoDB server that belongs to a test.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mongodb::bson::doc;
use mongodb::sync::Client;
use xtask::database::Live;
use xtask::secret::Secret;

use super::{Owned, program, wait_until};

/// So many names fall into each of the 16 tables of the local server.
const TABLES: usize = 200;
/// A server that has not started by then never will.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// A MongoDB server whose data lies in a folder of the test.
pub struct Server {
    process: Owned,
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

    fn start_at(data: &Path, port: u16, more: &'static [&'static str]) -> Self {
        let server = program(&["mongod", "secantusd-rs"]);
        std::fs::create_dir_all(data).unwrap();
        let ours = server.ends_with("secantusd-rs");
        // A real mongod has no free port of its own choosing.
        let port = if ours || port > 0 { port } else { free_port() };
        let mut command = Command::new(&server);
        command.args(["--port", &port.to_string()]).args(more);
        if ours {
            command.args(["--host", "127.0.0.1", "--storage-path"]).arg(data);
        } else {
            command.args(["--bind_ip", "127.0.0.1", "--dbpath"]).arg(data);
        }
        let log = std::fs::File::create(data.with_extension("err")).unwrap();
        command
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut process = Owned::start(&mut command);
        let stdout = process.0.stdout.take().unwrap();
        let (told, port_told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some((_, port)) = line.split_once("listening on 127.0.0.1:") {
                    told.send(port.trim().parse::<u16>().unwrap()).ok();
                } else if line.contains("Waiting for connections") {
                    told.send(port).ok();
                }
            }
        });
        let port = port_told
            .recv_timeout(START_DEADLINE)
            .expect("the server did not start");
        Self {
            process,
            data: data.to_owned(),
            port,
            more,
        }
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
            self.process.0.try_wait().is_ok_and(|status| status.is_some())
        });
        *self = Self::start_at(&self.data.clone(), self.port, more);
    }

    /// Leads the server's process group.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
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

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
