//! A restore is killed at every line of its journal; then resumed, and taken back. Nothing may be lost on the way.

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};

use common::{World, change, program, seed, told, wait_until};
use mongodb::bson::doc;
use xtask::domain::inventory::Inventory;
use xtask::domain::operation::OperationId;

const PADDING_BYTES: usize = 200_000;

fn journal_of(world: &World, operation: &str) -> PathBuf {
    world
        .root()
        .join(".xtask/operations")
        .join(operation)
        .join("restore.jsonl")
}

/// A small database, so that there are many crashes in little time; every kind of step occurs.
fn small(world: &World) -> (Inventory, Inventory, PathBuf) {
    let old = mongodb::bson::DateTime::from_millis(0);
    world
        .collection("users")
        .insert_many((0..20).map(|n| doc! { "_id": n, "seen": old }))
        .run()
        .unwrap();
    let expiry = doc! { "key": { "seen": 1 }, "name": "seen", "expireAfterSeconds": 2_000_000_000_i64 };
    world.command(doc! { "createIndexes": "users", "indexes": [expiry] });
    world
        .collection("gone")
        .insert_one(doc! { "_id": 1 })
        .run()
        .unwrap();
    world.command(doc! { "create": "seen_users", "viewOn": "users", "pipeline": [] });
    let backed_up = world.inventory();
    let backup = world.backup();
    world
        .collection("users")
        .delete_many(doc! { "_id": { "$lt": 3 } })
        .run()
        .unwrap();
    world
        .collection("users")
        .insert_one(doc! { "_id": "new" })
        .run()
        .unwrap();
    world
        .collection("payments")
        .insert_one(doc! { "_id": 1 })
        .run()
        .unwrap();
    world.command(doc! { "drop": "gone" });
    world.command(doc! { "drop": "seen_users" });
    world.command(doc! { "create": "seen_users", "viewOn": "payments", "pipeline": [] });
    (backed_up, world.inventory(), backup)
}

/// One restore from end to end, taken back and forgotten: the lines of its journal up to the rescue.
fn reference(world: &World, backup: &Path) -> Vec<String> {
    let restored = world.ok(&["restore", backup.to_str().unwrap()]);
    let operation = restored["operation"].as_str().unwrap();
    let text = std::fs::read_to_string(journal_of(world, operation)).unwrap();
    world.ok(&["restore", "--undo", operation]);
    world.ok(&["restore", "--forget", operation]);
    text.split_inclusive('\n').map(str::to_owned).collect()
}

/// An operation whose journal has its first line.
fn begun(world: &World, first_line: &str, number: u16) -> String {
    let operation = OperationId::at(chrono::Utc::now(), number).to_string();
    let journal = journal_of(world, &operation);
    std::fs::create_dir_all(journal.parent().unwrap()).unwrap();
    // Longer than every other file of the run, so that the limit on file sizes strikes in the journal.
    let padded = format!("{}{}\n", first_line.trim_end(), " ".repeat(PADDING_BYTES));
    std::fs::write(journal, padded).unwrap();
    operation
}

#[test]
fn killed_at_every_line_of_the_journal_it_is_resumed_and_taken_back() {
    let world = World::new();
    let (backed_up, changed, backup) = small(&world);
    let lines = reference(&world, &backup);
    assert!(lines.len() > 12, "{lines:?}");
    // The kernel kills a process that writes a file beyond the limit: while it writes the line, which is then cut.
    let mut end = 0;
    for (number, line) in lines.iter().enumerate() {
        end += line.len();
        if number == 0 {
            continue;
        }
        let operation = begun(&world, &lines[0], u16::try_from(number).unwrap());
        let limit = format!("--fsize={}", PADDING_BYTES + end - line.len() / 2);
        let xtask = world.xtask(&["restore", "--resume", &operation, "--yes"]);
        let mut limited = std::process::Command::new(program(&["prlimit"]));
        limited
            .args([&limit, "--core=0", "--"])
            .arg(xtask.get_program())
            .args(xtask.get_args());
        limited.env_clear().current_dir(world.root());
        limited.envs(xtask.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let crashed = limited.output().unwrap();
        let by_signal = crashed.status.signal().is_some();
        assert!(by_signal, "line {number} {line}: {}", told(&crashed));

        if number % 2 == 0 {
            // Straight back from where it stopped.
            world.ok(&["restore", "--undo", &operation]);
        } else {
            world.ok(&["restore", "--resume", &operation]);
            assert_eq!(
                backed_up.compare(&world.inventory()),
                [],
                "resumed after line {number}"
            );
            world.ok(&["restore", "--undo", &operation]);
        }
        assert_eq!(
            changed.compare(&world.inventory()),
            [],
            "taken back after line {number}"
        );
        world.ok(&["restore", "--forget", &operation]);
    }
    let names = world.database().list_collection_names().run().unwrap();
    assert!(names.iter().all(|name| !name.starts_with("__")), "{names:?}");
}

#[test]
fn the_journal_is_lost_with_its_machine_and_another_one_goes_back() {
    let world = World::new();
    let (backed_up, changed, backup) = small(&world);
    let restored = world.ok(&["restore", backup.to_str().unwrap()]);
    assert_eq!(backed_up.compare(&world.inventory()), []);
    let operation = restored["operation"].as_str().unwrap();
    std::fs::remove_dir_all(world.root().join(".xtask")).unwrap();
    world.ok(&["restore", "--undo", operation]);
    assert_eq!(changed.compare(&world.inventory()), []);
}

/// Between two renames, not within one: the local server copies when it renames, and killed within a copy it loses
/// what it was copying (docs/RESTORE.md), which nothing on our side can mend. A `mongod` renames in its catalog.
#[test]
fn the_server_is_killed_between_two_renames_of_the_swap() {
    let mut world = World::new();
    let (backed_up, changed, backup) = small(&world);
    let lines = reference(&world, &backup);
    let begins = lines.iter().position(|line| line.contains("swap-begun")).unwrap();
    for at in [begins + 1, begins + 4, lines.len() - 3] {
        let operation = begun(&world, &lines[0], u16::try_from(at).unwrap());
        let journal = journal_of(&world, &operation);
        let mut resume = world.xtask(&["restore", "--resume", &operation, "--yes"]);
        let mut resume = common::Owned::start(
            resume
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null()),
        );
        wait_until("the journal to grow", || {
            let ended = resume.0.try_wait().unwrap().is_some();
            ended || std::fs::read_to_string(&journal).unwrap().lines().count() >= at
        });
        resume.kill();
        // Answered only when the rename that was under way has ended.
        world.inventory();
        world.server.kill();
        world.server.restart();
        world.ok(&["restore", "--resume", &operation]);
        assert_eq!(
            backed_up.compare(&world.inventory()),
            [],
            "resumed after line {at}"
        );
        world.ok(&["restore", "--undo", &operation]);
        assert_eq!(
            changed.compare(&world.inventory()),
            [],
            "taken back after line {at}"
        );
        world.ok(&["restore", "--forget", &operation]);
    }
}

#[test]
fn mongorestore_is_killed_and_nothing_live_changes() {
    let world = World::new();
    seed(&world);
    let backup = world.backup();
    change(&world);
    let changed = world.inventory();
    // Takes the place of mongorestore: gives the real one half of the archive, and dies.
    let real = program(&["mongorestore"]);
    let stand_in = world.dir.path().join("bin/mongorestore");
    std::fs::create_dir_all(stand_in.parent().unwrap()).unwrap();
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--dryRun*) exec {0} \"$@\";; esac\nhead -c 9000 | {0} \"$@\"\nkill -9 $$\n",
        real.display()
    );
    std::fs::write(&stand_in, script).unwrap();
    std::fs::set_permissions(&stand_in, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", stand_in.parent().unwrap().display());
    let mut restore = world.xtask(&["restore", backup.to_str().unwrap(), "--yes"]);
    let output = restore.env("PATH", path).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert_eq!(changed.compare(&world.inventory()), []);
    let names = world.database().list_collection_names().run().unwrap();
    assert!(names.iter().all(|name| !name.starts_with("__")), "{names:?}");
}
