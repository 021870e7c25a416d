//! Backups in Azure Blob Storage: the real `az` against Azurite.
//!
//! `cargo test -p dev --test conformance azure:: -- --ignored`, with `az` and `azurite-blob` on PATH.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rehearsal::test_env::backup::{Mongo, Outcome, Repo};
use rehearsal::test_env::process::{Owned, program};

use super::storages::{Files, keeps_backups};

/// The one account that Azurite has; its key is in Azurite's documentation.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const VARIABLE: &str = "AZURE_STORAGE_CONNECTION_STRING";
/// It says when it listens.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// Azurite's blob service, with its data in a folder of the test.
struct Azurite {
    _process: Owned,
    port: u16,
}

impl Azurite {
    fn start(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let mut command = Command::new(program(&["azurite-blob"]));
        command
            .args(["--blobHost", "127.0.0.1", "--blobPort", "0"])
            // az may speak a newer version of the protocol than Azurite knows by name.
            .args(["--skipApiVersionCheck", "--disableTelemetry", "--location"])
            .arg(folder)
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = Owned::start(&mut command);
        let lines = BufReader::new(process.child.stdout.take().unwrap()).lines();
        let (told, port) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, port)) = line.split_once("listens on http://127.0.0.1:") {
                    told.send(port.trim().parse::<u16>().unwrap()).ok();
                }
            }
        });
        let port = port.recv_timeout(START_DEADLINE).expect("Azurite did not start");
        Self {
            _process: process,
            port,
        }
    }

    fn connection(&self, key: &str) -> String {
        format!(
            "DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};BlobEndpoint=http://127.0.0.1:{}/{ACCOUNT};",
            self.port
        )
    }
}

const PLACES: &str = r#"
unencrypted = "let-others-read-them"
[[backup.places]]
kind = "directory"
path = "backups"
required = true
[[backup.places]]
kind = "azure"
container = "backups"
prefix = "prod/db"
required = true
"#;

fn az(repo: &Repo, args: &[&str]) -> Outcome {
    let mut command = Command::new(program(&["az"]));
    command.args(["storage"]).args(args);
    repo.surround(&mut command);
    let outcome = Outcome::of(&mut command);
    outcome.ok();
    outcome
}

/// The files of the container.
struct Container;

impl Files for Container {
    fn names(&self, repo: &Repo) -> Vec<String> {
        let args = ["blob", "list", "--container-name", "backups", "--output", "json"];
        let listed = az(repo, &args).json();
        let names = listed.as_array().unwrap().iter();
        names
            .map(|blob| blob["name"].as_str().unwrap().to_owned())
            .collect()
    }

    fn download(&self, repo: &Repo, name: &str, to: &Path) {
        let file = to.to_str().unwrap();
        let args = ["blob", "download", "--container-name", "backups"];
        az(repo, &[&args[..], &["--name", name, "--file", file]].concat());
    }

    fn replace(&self, repo: &Repo, file: &Path, name: &str) {
        let file = file.to_str().unwrap();
        let args = [
            "blob",
            "upload",
            "--container-name",
            "backups",
            "--overwrite",
            "true",
        ];
        az(repo, &[&args[..], &["--name", name, "--file", file]].concat());
    }
}

#[test]
#[ignore = "needs az and Azurite: part of the conformance suite"]
fn azure_keeps_backups_and_gives_them_back() {
    let server = Mongo::with_one_document();
    let mut repo = Repo::new(&server.uri());
    repo.configure(PLACES);
    let azurite = Azurite::start(&repo.root().join("azurite"));
    repo.set("AZURE_CONFIG_DIR", repo.root().join("az").to_str().unwrap());
    repo.set(VARIABLE, &azurite.connection(KEY));

    // No container yet, then a wrong key: the backup exists, but a required storage has none. The key is never said.
    repo.xtask(&["backup"])
        .code(1)
        .says("a required storage has no copy")
        .says("the backup itself is good")
        .never_says(KEY);
    az(&repo, &["container", "create", "--name", "backups"]);
    let wrong = "d3JvbmcgYnV0IHdlbGwtZm9ybWVkIGtleQ==";
    repo.set(VARIABLE, &azurite.connection(wrong));
    repo.xtask(&["-v", "backup"])
        .code(1)
        .says("a required storage has no copy")
        .never_says(wrong);
    repo.set(VARIABLE, &azurite.connection(KEY));
    assert_eq!(
        Container.names(&repo),
        Vec::<String>::new(),
        "nothing half is there"
    );
    std::fs::remove_dir_all(repo.backups()).unwrap();

    keeps_backups(&repo, &Container, "azure", PLACES);
}
