//! A disk that is full, at several points: no backup, and nothing left of one.

use std::process::Command;

use mongodb::bson::doc;

use super::data::fill_with_noise;
use rehearsal::test_env::backup::{Mongo, Outcome, Repo};

/// Says that this machine does not let us mount.
const CANNOT_MOUNT: i32 = 77;

/// Noise, and so many collections that the metadata need more room than is left over by chance.
fn server() -> Mongo {
    let server = Mongo::start();
    fill_with_noise(&server.database(), 6);
    for number in 0..40 {
        let name = format!("a collection with a rather long name {number}");
        let create = doc! { "create": name };
        server.database().run_command(create).run().unwrap();
    }
    server
}

/// A limit on the size of files works on every machine; the error is another one than that of a full disk.
#[test]
fn a_limit_on_file_sizes_leaves_nothing() {
    let server = server();
    let repo = Repo::new(&server.uri());
    for limit_kib in [1, 1000, 4000, 5800] {
        let script = format!(
            "trap '' XFSZ; ulimit -f {limit_kib}; exec '{}' backup",
            env!("CARGO_BIN_EXE_xtask")
        );
        let mut command = Command::new("bash");
        command.args(["-c", &script]);
        repo.surround(&mut command);
        Outcome::of(&mut command)
            .code(1)
            .says("cannot write the backup")
            .says("File too large")
            .says("no backup was made")
            .says("next: make room");
        repo.assert_nothing_left();
    }
    repo.xtask(&["backup"]).ok();
}

#[test]
fn a_full_disk_leaves_nothing() {
    let server = server();
    let mut repo = Repo::new(&server.uri());
    // Too small from the start: found before anything is dumped.
    repo.wrap("mongodump", "echo mongodump runs >&2; exit 1");
    let Some(outcome) = on_small_disk(&repo, "8m") else {
        return;
    };
    outcome
        .code(1)
        .says("free, and a backup of")
        .says("next: make room")
        .never_says("mongodump runs")
        .never_says("left: ");

    repo.path.clear();
    let stored = repo.backup()["metadata"]["size"].as_u64().unwrap();
    std::fs::remove_dir_all(repo.backups()).unwrap();
    // All of the file fits, and at most two pages of the metadata, which need more.
    let without_metadata = stored.div_ceil(4096) * 4 + 8;
    for (keep_kib, what) in [
        (0, "cannot write the backup"),
        (1000, "cannot write the backup"),
        (without_metadata, "cannot write "),
    ] {
        // Somebody else fills the disk while the dump begins.
        let script = format!(
            "free=$(df --output=avail -k backups | tail -1)
             dd if=/dev/zero of=backups/filler bs=1k count=$((free - {keep_kib})) status=none
             exec \"$REAL\" \"$@\""
        );
        repo.wrap("mongodump", &script);
        println!("{keep_kib} KiB are free");
        on_small_disk(&repo, "64m")
            .unwrap()
            .code(1)
            .says(what)
            .says("No space left on device")
            .says("no backup was made")
            .says("next: make room")
            .never_says("left: ");
    }
}

/// A backup into a folder on a disk of this size, which no other process sees, and what is left there afterwards.
/// `None` where the machine lets nobody mount: there the limit on file sizes is all that is tested.
fn on_small_disk(repo: &Repo, size: &str) -> Option<Outcome> {
    let script = format!(
        "mount -t tmpfs -o size={size} none backups || exit {CANNOT_MOUNT}
         '{}' backup
         code=$?
         find backups -type f -not -name filler -printf 'left: %p\\n'
         exit $code",
        env!("CARGO_BIN_EXE_xtask")
    );
    std::fs::create_dir_all(repo.backups()).unwrap();
    let mut command = Command::new("unshare");
    let user: &[&str] = if rustix::process::geteuid().is_root() {
        &[]
    } else {
        &["--map-root-user"]
    };
    command.arg("--mount").args(user).args(["bash", "-c", &script]);
    repo.surround(&mut command);
    let outcome = Outcome::of(&mut command);
    if outcome.code == Some(CANNOT_MOUNT) || outcome.stderr.contains("unshare failed") {
        eprintln!(
            "NOT TESTED: this machine lets nobody mount a small disk: {}",
            outcome.stderr
        );
        return None;
    }
    Some(outcome)
}
