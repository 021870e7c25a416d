//! A real database server for one test.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::REHEARSAL;

/// A database server of its own.
pub struct Server {
    child: Child,
    pub uri: String,
    folder: TempDir,
}

/// The server's program: `REHEARSAL_MONGOD`, or the first on PATH.
fn server_program() -> PathBuf {
    if let Some(path) = std::env::var_os("REHEARSAL_MONGOD") {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|folder| [folder.join("secantusd-rs"), folder.join("mongod")])
        .find(|program| program.is_file());
    found.expect("no secantusd-rs or mongod on PATH and REHEARSAL_MONGOD is not set: run the tests by `cargo xtask ci`")
}

impl Server {
    pub fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let program = server_program();
        let name = program.file_name().unwrap().to_string_lossy().into_owned();
        let mut command = Command::new(REHEARSAL);
        command.args(["leash", "--grace-ms", "500", "--"]).arg(&program);
        let port = if name.starts_with("secantus") {
            command.args([
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--cache-size",
                "128M",
                "--storage-path",
            ]);
            command.arg(folder.path());
            None
        } else {
            let port = std::net::TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            command
                .args(["--bind_ip", "127.0.0.1", "--port", &port.to_string(), "--dbpath"])
                .arg(folder.path());
            Some(port)
        };
        let log = std::fs::File::create(folder.path().join("server.log")).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains("listening on") || line.contains("Waiting for connections"))
            .expect("the database server ended");
        std::thread::spawn(move || lines.for_each(drop));
        let address = match port {
            Some(port) => format!("127.0.0.1:{port}"),
            None => line.rsplit(' ').next().unwrap().to_owned(),
        };
        Self {
            child,
            uri: format!("mongodb://{address}/?directConnection=true"),
            folder,
        }
    }

    pub fn seed(&self, database: &str, documents: u32) {
        let output = Command::new(REHEARSAL)
            .args([
                "seed",
                "--uri-env",
                "URI",
                "--database",
                database,
                "--seed",
                "7",
                "--documents",
            ])
            .arg(documents.to_string())
            .env_clear()
            .env("URI", &self.uri)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    pub fn stop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
