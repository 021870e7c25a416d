//! Backups in S3 and in a remote of rclone: the real rclone against a server that checks signatures, regions, digests
//! and locks (`VersityGW`).
//!
//! `cargo test -p dev --test conformance s3:: -- --ignored`, with `rclone` and `versitygw` on PATH.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use mongodb::bson::{Binary, doc, spec::BinarySubtype};
use rehearsal::test_env::backup::{DATABASE, Mongo, Outcome, Repo, age, files_below};
use rehearsal::test_env::process::{Owned, program, wait_until};

use super::storages::{Files, keeps_backups};

const KEY: &str = "AKIAREHEARSAL";
const SECRET: &str = "secret+of/the=rehearsal";
const REGION: &str = "eu-test-1";
/// More than one part of an upload.
const LARGE_BYTES: usize = 12 << 20;

/// The server, with its data in a folder of the test.
struct Gateway {
    _process: Owned,
    port: u16,
}

impl Gateway {
    fn start(folder: &Path) -> Self {
        let parts = ["data", "versions", "meta"].map(|part| folder.join(part));
        for part in &parts {
            std::fs::create_dir_all(part).unwrap();
        }
        let [data, versions, meta] = parts;
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut command = Command::new(program(&["versitygw"]));
        command
            .args([
                "--port",
                &format!("127.0.0.1:{port}"),
                "--quiet",
                "--region",
                REGION,
                "posix",
            ])
            // Without them it needs a file system with extended attributes.
            .arg("--sidecar")
            .arg(meta)
            .arg("--versioning-dir")
            .arg(versions)
            .arg(data)
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("ROOT_ACCESS_KEY_ID", KEY)
            .env("ROOT_SECRET_ACCESS_KEY", SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = Owned::start(&mut command);
        wait_until("the server listens", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self {
            _process: process,
            port,
        }
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// An `rclone.conf` with this server as the remote `store`.
    fn remote(&self) -> String {
        format!(
            "[store]\ntype = s3\nprovider = Other\nendpoint = {}\nregion = {REGION}\naccess_key_id = {KEY}\nsecret_access_key = {SECRET}\n",
            self.endpoint()
        )
    }

    fn places(&self, more: &str) -> String {
        places(&format!(
            "kind = \"s3\"\nbucket = \"backups\"\nprefix = \"prod/db\"\nendpoint = \"{}\"\nregion = \"{REGION}\"\n{more}",
            self.endpoint()
        ))
    }
}

fn places(second: &str) -> String {
    format!(
        "unencrypted = \"let-others-read-them\"\n[[backup.places]]\nkind = \"directory\"\npath = \"backups\"\nrequired = true\n[[backup.places]]\nrequired = true\n{second}"
    )
}

/// The files of one bucket, by an rclone with a configuration of its own.
struct Bucket(&'static str);

impl Bucket {
    fn rclone(repo: &Repo, args: &[&str]) -> Outcome {
        let mut command = Command::new(program(&["rclone"]));
        command
            .args(args)
            .arg("--config")
            .arg(repo.root().join("theirs.conf"));
        repo.surround(&mut command);
        let outcome = Outcome::of(&mut command);
        outcome.ok();
        outcome
    }

    fn make(&self, repo: &Repo, options: &[&str]) {
        let bucket = format!("store:{}", self.0);
        Self::rclone(repo, &[&["mkdir", &bucket], options].concat());
    }

    /// Every version of every file.
    fn versions(&self, repo: &Repo) -> usize {
        let bucket = format!("store:{}", self.0);
        let listed = Self::rclone(
            repo,
            &["lsf", "--recursive", "--files-only", "--s3-versions", &bucket],
        );
        listed.stdout.lines().count()
    }
}

impl Files for Bucket {
    fn names(&self, repo: &Repo) -> Vec<String> {
        let bucket = format!("store:{}", self.0);
        let listed = Self::rclone(repo, &["lsf", "--recursive", "--files-only", &bucket]);
        listed.stdout.lines().map(str::to_owned).collect()
    }

    fn download(&self, repo: &Repo, name: &str, to: &Path) {
        let from = format!("store:{}/{name}", self.0);
        Self::rclone(repo, &["copyto", &from, to.to_str().unwrap()]);
    }

    fn replace(&self, repo: &Repo, file: &Path, name: &str) {
        let to = format!("store:{}/{name}", self.0);
        Self::rclone(repo, &["copyto", "--ignore-times", file.to_str().unwrap(), &to]);
    }
}

fn with_keys(server: &Mongo, gateway: &Gateway) -> Repo {
    let mut repo = Repo::new(&server.uri());
    repo.set("AWS_ACCESS_KEY_ID", KEY);
    repo.set("AWS_SECRET_ACCESS_KEY", SECRET);
    std::fs::write(repo.root().join("theirs.conf"), gateway.remote()).unwrap();
    repo
}

#[test]
#[ignore = "needs rclone and VersityGW: part of the conformance suite"]
fn s3_keeps_backups_and_gives_them_back() {
    let server = Mongo::with_one_document();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path());
    let mut repo = with_keys(&server, &gateway);
    let failed = |repo: &Repo, told: &str| {
        // The backup exists, but a required storage has no copy. The key is never said.
        repo.xtask(&["-v", "backup"])
            .code(1)
            .says("a required storage has no copy")
            .says("the backup itself is good")
            .says(told)
            .never_says(SECRET);
    };
    let places = gateway.places("path_style = true");
    repo.configure(&places);
    failed(&repo, "there is no bucket backups");
    Bucket("backups").make(&repo, &[]);
    repo.set("AWS_SECRET_ACCESS_KEY", "another-key-of-somebody");
    failed(
        &repo,
        "correct the variables that `access_key` and `secret_key` name",
    );
    repo.set("AWS_SECRET_ACCESS_KEY", SECRET);
    repo.configure(&places.replace(REGION, "us-east-1"));
    failed(&repo, "the bucket backups is in another region");
    repo.configure(&gateway.places("object_lock = { mode = \"governance\", days = 1 }"));
    failed(&repo, "the bucket backups has no object lock");
    repo.configure(&places.replace(&gateway.endpoint(), "http://127.0.0.1:1"));
    failed(&repo, "check `endpoint`");
    assert_eq!(
        Bucket("backups").names(&repo),
        Vec::<String>::new(),
        "nothing half is there"
    );
    std::fs::remove_dir_all(repo.backups()).unwrap();

    // More than one part; the same table as for the others.
    for _ in 0..2 {
        let bytes: Vec<u8> = (0..LARGE_BYTES).map(|_| rand::random()).collect();
        let binary = Binary {
            subtype: BinarySubtype::Generic,
            bytes,
        };
        server.insert(DATABASE, "pictures", doc! { "bytes": binary });
    }
    repo.configure(&places);
    keeps_backups(&repo, &Bucket("backups"), "s3", &places);
}

#[test]
#[ignore = "needs rclone and VersityGW: part of the conformance suite"]
fn a_remote_of_rclone_keeps_backups_and_gives_them_back() {
    let server = Mongo::with_one_document();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path());
    let mut repo = with_keys(&server, &gateway);

    let remote =
        places("kind = \"rclone\"\nremote = \"outer\"\npath = \"prod/db\"\nconfig = \"RCLONE_CONF\"");
    repo.configure(&remote);
    repo.set("RCLONE_CONF", &gateway.remote());
    repo.xtask(&["backup"]).code(1).says("no remote `outer`");
    repo.set(
        "RCLONE_CONF",
        &format!(
            "{}\n[outer]\ntype = alias\nremote = store:theirs\n",
            gateway.remote()
        ),
    );
    keeps_backups(&repo, &Bucket("theirs"), "rclone", &remote);
    assert!(
        files_below(&repo.tmp()).is_empty(),
        "no configuration with a password is on the disk"
    );
}

#[test]
#[ignore = "needs rclone and VersityGW: part of the conformance suite"]
fn what_is_locked_outlives_a_deletion() {
    let server = Mongo::with_one_document();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path());
    let repo = with_keys(&server, &gateway);
    // Nobody's key deletes what is locked: a deletion hides it, and its versions stay.
    let locked = gateway
        .places("object_lock = { mode = \"compliance\", days = 1 }")
        .replace("\"backups\"\nprefix", "\"locked\"\nprefix");
    Bucket("locked").make(&repo, &["--s3-bucket-object-lock-enabled"]);
    repo.configure(&locked);
    keeps_backups(&repo, &Bucket("locked"), "s3", &locked);
    let all = Bucket("locked").versions(&repo);
    assert!(
        all >= 6,
        "two backups, and what was in the place of the first: {all}"
    );
}

#[test]
#[ignore = "needs rclone and VersityGW: part of the conformance suite"]
fn a_storage_that_refuses_deletions_keeps_no_other_from_being_cleared() {
    let server = Mongo::with_one_document();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path());
    let mut repo = with_keys(&server, &gateway);
    Bucket("backups").make(&repo, &[]);
    let remote = "[[backup.places]]\nkind = \"rclone\"\nremote = \"store\"\npath = \"backups\"\nconfig = \"RCLONE_CONF\"\n";
    let directory = "[[backup.places]]\nkind = \"directory\"\npath = \"backups\"\n";
    repo.configure(&format!(
        "retention_days = 1\nunencrypted = \"let-others-read-them\"\n{remote}{directory}"
    ));
    repo.set("RCLONE_CONF", &gateway.remote());
    repo.add_remote();
    repo.backup();
    let aged = repo.root().join("aged");
    let aged = aged.to_str().unwrap();
    Bucket::rclone(&repo, &["copy", "store:backups", aged]);
    age(Path::new(aged));
    Bucket::rclone(&repo, &["copy", "--ignore-times", aged, "store:backups"]);
    age(&repo.backups());
    repo.backup();
    repo.wrap(
        "rclone",
        "[ \"$1\" = deletefile ] && { echo 'api error AccessDenied: Access Denied' >&2; exit 1; }\nexec \"$REAL\" \"$@\"",
    );
    repo.xtask(&["--yes", "backup", "prune"])
        .code(1)
        .says("deleted 1 old backups, and 1 could not be deleted")
        .says("the credentials may not do this")
        .says("for `backup prune` deleting too");
    assert_eq!(
        files_below(&repo.backups()).len(),
        2,
        "the folder has the newest only"
    );
    assert_eq!(Bucket("backups").names(&repo).len(), 4);
}
