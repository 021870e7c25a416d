//! Signals to the program itself, at several points: no backup under its final name, no plain data on the disk.

use std::path::{Path, PathBuf};
use std::process::Command;

use mongodb::bson::doc;
use rustix::process::{Pid, Signal, kill_process_group};

use super::data::fill_with_noise;
use rehearsal::test_env::backup::{Mongo, Outcome, Repo, files_below, start};
use rehearsal::test_env::process::{Owned, program, wait_until};
use rehearsal::test_env::restore::DATABASE;

/// What must stand nowhere on the disk.
const PLAIN: &str = "a text of one of the customers";
const PASSWORD: &str = "pa55-of-the-database";
/// How often a moment may be missed that only the program's own speed decides about.
const TRIES: usize = 50;

/// What mongodump does: it says by a file that it is there, and waits for its end.
const POINTS: [(&str, &str); 3] = [
    ("before its first byte", "touch reached; exec sleep 600"),
    (
        "in the middle",
        "\"$REAL\" \"$@\" | head -c 2000000; touch reached; exec sleep 600",
    ),
    (
        "after its last byte",
        "\"$REAL\" \"$@\"; exec >&-; touch reached; exec sleep 600",
    ),
];

fn server() -> Mongo {
    let server = Mongo::start();
    fill_with_noise(&server.database(), 12);
    server.insert(DATABASE, "customers", doc! { "text": PLAIN });
    server
}

/// A repository whose backups are encrypted. The server asks for no password, but the tools are given one.
fn repo(server: &Mongo) -> Repo {
    let uri = format!("mongodb://127.0.0.1:{}/?appName={PASSWORD}", server.port);
    let repo = Repo::new(&uri);
    let key = Command::new(program(&["age-keygen"])).output().unwrap();
    let key = String::from_utf8(key.stdout).unwrap();
    let public = key.lines().find_map(|line| line.strip_prefix("# public key: "));
    repo.configure(&format!("recipients = [\"{}\"]", public.unwrap()));
    repo
}

/// A backup that has come to the point where mongodump's stand-in waits; and the process group of that.
fn at_point(repo: &mut Repo, script: &str) -> (Owned, PathBuf) {
    let (reached, pid) = (repo.root().join("reached"), repo.root().join("pid"));
    std::fs::remove_file(&reached).ok();
    repo.wrap("mongodump", &format!("echo $$ > pid\n{script}"));
    let child = start(&mut repo.command(&["backup"]));
    wait_until("mongodump is there", || reached.exists());
    let pid = std::fs::read_to_string(pid).unwrap();
    (child, Path::new("/proc").join(pid.trim()))
}

/// A backup, stopped at the moment that `reached` tells of the files in the folder of backups.
fn stopped_at(repo: &Repo, reached: impl Fn(&[String], u32) -> bool) -> Owned {
    let files = || -> Vec<String> {
        let name = |path: PathBuf| path.strip_prefix(repo.backups()).unwrap().display().to_string();
        files_below(&repo.backups()).into_iter().map(name).collect()
    };
    for _ in 0..TRIES {
        let mut child = start(&mut repo.command(&["backup"]));
        let pid = child.child.id();
        wait_until("the moment comes", || {
            reached(&files(), pid) || child.child.try_wait().is_ok_and(|status| status.is_some())
        });
        child.signal(Signal::STOP);
        let stat = format!("/proc/{pid}/stat");
        wait_until("it stands still", || {
            let stat = std::fs::read_to_string(&stat).unwrap_or_default();
            stat.contains(") T ") || stat.contains(") Z ")
        });
        if reached(&files(), pid) {
            return child;
        }
        // Too late: it was faster. Again, from the beginning.
        drop(child);
        std::fs::remove_dir_all(repo.backups()).ok();
    }
    panic!("the moment was missed {TRIES} times");
}

/// The file has its name, but the backup has not: the program reads it back.
fn is_being_read_back(files: &[String], _: u32) -> bool {
    let partial = |file: &String| file.starts_with(".partial-") && file.contains("/mongodb-backup-");
    files.iter().any(partial) && files.iter().all(|file| file.starts_with(".partial-"))
}

/// mongodump runs, and waits for its reader once that stands still.
fn is_being_written(files: &[String], pid: u32) -> bool {
    let begun = |file: &String| file.contains("/.mongodb-backup-") && file.ends_with(".partial");
    files.iter().any(begun) && !children_of(pid).is_empty()
}

#[track_caller]
fn assert_nothing_plain(repo: &Repo) {
    for path in files_below(repo.root()) {
        let bytes = std::fs::read(&path).unwrap();
        for text in [PLAIN, PASSWORD] {
            let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!found, "{text:?} stands in {}", path.display());
        }
    }
}

#[test]
fn sigterm_ends_everything_and_leaves_nothing() {
    let server = server();
    let mut repo = repo(&server);
    for (point, script) in POINTS {
        println!("SIGTERM {point}");
        let (child, dump) = at_point(&mut repo, script);
        child.signal(Signal::TERM);
        Outcome::wait(child)
            .code(1)
            .says("interrupted")
            .says("no backup was made")
            .says("next: ");
        repo.assert_nothing_left();
        wait_until("mongodump is gone", || !dump.exists());
    }
    repo.path.clear();
    for reached in [is_being_written as fn(&[String], u32) -> bool, is_being_read_back] {
        let child = stopped_at(&repo, reached);
        child.signal(Signal::TERM);
        child.signal(Signal::CONT);
        Outcome::wait(child)
            .code(1)
            .says("interrupted")
            .says("no backup was made")
            .says("next: ");
        repo.assert_nothing_left();
    }
}

#[test]
fn sigkill_leaves_no_backup_and_nothing_plain_and_the_next_run_clears_up() {
    let server = server();
    let mut repo = repo(&server);
    let assert_no_backup = |repo: &Repo| {
        let kept = files_below(&repo.backups()).into_iter().filter(|path| {
            let below = path.strip_prefix(repo.backups()).unwrap();
            !below.starts_with(".") && !below.display().to_string().starts_with(".partial-")
        });
        assert_eq!(kept.collect::<Vec<_>>(), Vec::<PathBuf>::new());
        assert_nothing_plain(repo);
        repo.xtask(&["backup", "list"]).ok().never_says("local");
    };
    for (point, script) in POINTS {
        println!("SIGKILL {point}");
        let (mut child, dump) = at_point(&mut repo, script);
        child.kill();
        assert_no_backup(&repo);
        // Our stand-in would wait on; how the real one ends is seen below.
        let pid = dump.file_name().unwrap().to_str().unwrap().parse().unwrap();
        kill_process_group(Pid::from_raw(pid).unwrap(), Signal::KILL).ok();
    }
    repo.path.clear();
    let mut child = stopped_at(&repo, is_being_written);
    let dumps = children_of(child.child.id());
    child.kill();
    assert_no_backup(&repo);
    wait_until("mongodump is gone without its reader", || {
        dumps.iter().all(|dump| !dump.exists())
    });
    let mut child = stopped_at(&repo, is_being_read_back);
    child.kill();
    assert_no_backup(&repo);

    repo.xtask(&["backup"])
        .ok()
        .says("which a broken off backup left");
    assert_eq!(files_below(&repo.backups()).len(), 2, "the file and its metadata");
    assert_nothing_plain(&repo);
}

/// Entries in `/proc` of the living processes that this one started.
fn children_of(parent: u32) -> Vec<PathBuf> {
    let processes = Path::new("/proc").read_dir().unwrap();
    let is_child = |path: &PathBuf| {
        let stat = std::fs::read_to_string(path.join("stat")).unwrap_or_default();
        // `pid (name) state parent …`
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let mut fields = fields.split_whitespace();
        fields.next() != Some("Z") && fields.next() == Some(parent.to_string().as_str())
    };
    let paths = processes.map(|entry| entry.unwrap().path());
    paths.filter(is_child).collect()
}
