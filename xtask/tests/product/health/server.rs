//! Servers that do as a test says, byte by byte, and a repository whose health is looked at.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, Socket, Type};

/// Known to the scrubber as a secret; a test that finds it anywhere fails.
pub const PASSWORD: &str = "correct-horse-battery";

/// A request as it came, and how many came before it.
pub struct Seen {
    pub head: String,
    pub body: String,
    pub nth: usize,
}

impl Seen {
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

type Behaviour = dyn Fn(&Seen, &mut TcpStream) -> std::io::Result<()> + Send + Sync;

/// Answers each request as told, then closes the connection. It ends with the test's process.
pub fn serve(
    behaviour: impl Fn(&Seen, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let behaviour: Arc<Behaviour> = Arc::new(behaviour);
    let count = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (behaviour, count) = (Arc::clone(&behaviour), Arc::clone(&count));
            std::thread::spawn(move || answer(stream, behaviour.as_ref(), &count));
        }
    });
    address
}

fn answer(mut stream: TcpStream, behaviour: &Behaviour, count: &AtomicUsize) -> Option<()> {
    let mut bytes = Vec::new();
    let mut step = [0; 4096];
    let (end, wanted) = loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .and_then(|length| length.parse::<usize>().ok());
            break (end, length.unwrap_or(0));
        }
        // The start of a TLS handshake is no request: the behaviour decides about it all the same.
        if bytes.first() == Some(&0x16) {
            break (bytes.len(), 0);
        }
        match stream.read(&mut step).ok()? {
            0 => return None,
            count => bytes.extend_from_slice(&step[..count]),
        }
    };
    let start = (end + 4).min(bytes.len());
    while bytes.len() < start + wanted {
        match stream.read(&mut step).ok()? {
            0 => return None,
            count => bytes.extend_from_slice(&step[..count]),
        }
    }
    let seen = Seen {
        head: String::from_utf8_lossy(&bytes[..end]).into_owned(),
        body: String::from_utf8_lossy(&bytes[start..]).into_owned(),
        nth: count.fetch_add(1, Ordering::SeqCst),
    };
    // A client that goes away ends the answer: that is not the server's fault.
    behaviour(&seen, &mut stream).ok()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// A whole answer.
pub fn reply(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

pub fn json(body: &str) -> Vec<u8> {
    reply(200, "content-type: application/json\r\n", body)
}

pub fn html(body: &str) -> Vec<u8> {
    reply(200, "content-type: text/html; charset=utf-8\r\n", body)
}

/// The same answer to everything.
pub fn always(bytes: Vec<u8>) -> SocketAddr {
    serve(move |_, stream| stream.write_all(&bytes))
}

/// Sends pieces without end, one each `pause`.
pub fn endlessly(start: &[u8], piece: &[u8], pause: Duration) -> SocketAddr {
    let (start, piece) = (start.to_vec(), piece.to_vec());
    serve(move |_, stream| {
        stream.write_all(&start)?;
        loop {
            stream.write_all(&piece)?;
            std::thread::sleep(pause);
        }
    })
}

/// An address at which nothing listens.
pub fn nobody() -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    // Bound for the rest of the run, and never listening: a port that was given back is soon another test's.
    std::mem::forget(socket);
    address
}

/// A repository with its configuration.
pub struct Repository {
    dir: tempfile::TempDir,
}

impl Repository {
    pub fn new(backend: &str, frontend: &str, health: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("infrastructure");
        std::fs::create_dir(&folder).unwrap();
        let pipeline = PIPELINE.replace("BACKEND", backend).replace("FRONTEND", frontend);
        std::fs::write(folder.join("pipeline.toml"), pipeline).unwrap();
        std::fs::write(folder.join("health.toml"), health).unwrap();
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `xtask health` in a cleared environment that has the test user's credentials.
    pub fn health(&self, args: &[&str]) -> Command {
        let mut command = self.xtask("health");
        command.args(args);
        command
    }

    /// Another command in the same environment.
    pub fn xtask(&self, subcommand: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .arg(subcommand)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("HEALTH_PASSWORD", PASSWORD)
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    pub fn json(&self, args: &[&str]) -> (i32, Value) {
        let output = self.health(args).args(["--format", "json"]).output().unwrap();
        let report = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", told(&output)));
        (output.status.code().unwrap(), report)
    }
}

pub fn told(output: &Output) -> String {
    format!(
        "{} {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The check of a report.
pub fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["name"] == name)
        .unwrap_or_else(|| panic!("no check {name} in {report:#}"))
}

const PIPELINE: &str = r#"
schema = "pipeline/1"
default_environment = "test"
[environments.test]
tag_prefix = "test"
[environments.test.railway]
project = "p"
environment = "e"
service = "s"
token = "RAILWAY"
source = "backend"
url = "BACKEND"
[environments.test.vercel]
org = "team_x"
project = "prj_x"
token = "VERCEL"
source = "frontend"
domain = "www.example.com"
url = "FRONTEND"
[environments.test.mongodb]
uri = "MONGODB"
database = "shop"
"#;
