//! `kill -9` at every line of the journal of a deploy and of a rollback. Whatever was done by then, `--resume` ends in
//! the one release and `--undo` in the other, and code, data and records agree.

use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::commands::rehearse::Served;

use crate::scene::{NEW, Scene, Seen};

/// The kill is either in the middle of writing the line, or when it is written.
const HOW: [&str; 2] = ["torn", "after"];

/// Compiles what kills.
fn kill_at(folder: &Path) -> PathBuf {
    let library = folder.join("kill_at.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/operation/kill_at.c");
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()
        .expect("a C compiler");
    assert!(made.success());
    library
}

/// A scene with what kills in it.
struct Crashing {
    scene: Scene,
    library: PathBuf,
    new: Seen,
}

impl Crashing {
    /// The lines of the journals of one deploy and one rollback that nothing disturbs; the old release is live again.
    fn new() -> (Self, usize, usize) {
        let scene = Scene::new();
        scene.world.commit_release("v3").unwrap();
        scene.ok(&["deploy"]);
        let (new, deploy) = (scene.seen(), scene.last_operation());
        assert_eq!((&new.served, new.recorded.as_str()), (&Served::both(NEW), NEW));
        assert_ne!(new.data, scene.old_data, "the new release migrates the data");
        scene.ok(&["rollback", &scene.old_tag, "--reason", "reference"]);
        assert_eq!(scene.seen(), scene.old());
        let rollback = scene.last_operation();
        let lines = |operation: &serde_json::Value| {
            let journal = scene.journal(operation["id"].as_str().unwrap());
            std::fs::read_to_string(journal).unwrap().lines().count()
        };
        let counts = (lines(&deploy), lines(&rollback));
        let library = kill_at(&scene.world.folder);
        (Self { scene, library, new }, counts.0, counts.1)
    }

    /// Runs an operation that is killed, and gives its id.
    fn killed(&self, args: &[&str], line: usize, how: &str) -> String {
        let env = [
            ("LD_PRELOAD", self.library.to_str().unwrap().to_owned()),
            ("KILL_AT_LINE", line.to_string()),
            ("KILL_HOW", how.to_owned()),
        ];
        let killed = self.scene.run(args, &env);
        assert_eq!(killed.code, None, "{args:?}, line {line}: {}", killed.error());
        let operation = self.scene.last_operation();
        assert!(operation["ended"].is_null(), "{operation:#}");
        operation["id"].as_str().unwrap().to_owned()
    }

    fn killed_deploy(&self, line: usize, how: &str) -> String {
        self.scene.world.commit_release("v3").unwrap();
        self.killed(&["deploy"], line, how)
    }

    fn killed_rollback(&self, line: usize, how: &str) -> String {
        self.killed(
            &["rollback", &self.scene.old_tag, "--reason", "crash test"],
            line,
            how,
        )
    }

    /// Drops what a restore keeps beside the live collections: there are many of them in these tests.
    fn forget(&self, operation: &str) {
        self.scene.ok(&["restore", "--forget", operation]);
    }
}

#[test]
fn killed_at_every_line_and_resumed() {
    let (crashing, deploy_lines, rollback_lines) = Crashing::new();
    let scene = &crashing.scene;
    for line in 1..=deploy_lines.max(rollback_lines) {
        let how = HOW[line % 2];
        let told = format!("deploy, line {line}, {how}");
        if line <= deploy_lines {
            let deploy = crashing.killed_deploy(line, how);
            scene.ok(&["deploy", "--resume", &deploy]);
        } else {
            scene.world.commit_release("v3").unwrap();
            scene.ok(&["deploy"]);
        }
        assert_eq!(scene.seen(), crashing.new, "{told}");
        scene.assert_settled("done", &told);

        let told = format!("rollback, line {line}, {how}");
        let rollback = if line <= rollback_lines {
            let rollback = crashing.killed_rollback(line, how);
            scene.ok(&["rollback", "--resume", &rollback]);
            rollback
        } else {
            scene.ok(&["rollback", &scene.old_tag, "--reason", "next"]);
            scene.last_operation()["id"].as_str().unwrap().to_owned()
        };
        assert_eq!(scene.seen(), scene.old(), "{told}");
        scene.assert_settled("done", &told);
        crashing.forget(&rollback);
    }
}

#[test]
fn killed_at_every_line_and_taken_back() {
    let (crashing, deploy_lines, rollback_lines) = Crashing::new();
    let scene = &crashing.scene;
    for line in 1..=deploy_lines {
        let how = HOW[(line + 1) % 2];
        let deploy = crashing.killed_deploy(line, how);
        scene.ok(&["deploy", "--undo", &deploy]);
        assert_eq!(scene.seen(), scene.old(), "deploy, line {line}, {how}");
    }
    scene.world.commit_release("v3").unwrap();
    scene.ok(&["deploy"]);
    for line in 1..=rollback_lines {
        let how = HOW[(line + 1) % 2];
        let rollback = crashing.killed_rollback(line, how);
        scene.ok(&["rollback", "--undo", &rollback]);
        assert_eq!(scene.seen(), crashing.new, "rollback, line {line}, {how}");
    }
}
