//! Rollbacks that must refuse before anything live is touched, in a whole rehearsed world.

use std::path::{Path, PathBuf};

use xtask::commands::rehearse::World;
use xtask::database::{Digests, Live};
use xtask::domain::inventory::Inventory;
use xtask::secret::Secret;

/// A world in which a faulty release has just replaced a good one; and the tag of the good one.
fn world_with_a_bad_release(folder: &Path) -> (World, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace is above the crate");
    let world = World::start(root, folder, Path::new(env!("CARGO_BIN_EXE_xtask"))).expect("the world starts");
    world.seed(300, 1).unwrap();
    world.commit_release("v1").unwrap();
    let first = world.xtask_json("deploy-v1", &["deploy", "--yes"]).unwrap();
    world.commit_release("v2").unwrap();
    let bad = world.xtask("deploy-v2", &["deploy", "--yes"]).unwrap();
    assert_eq!(bad.code, Some(4), "{}", bad.error());
    (world, first["release"]["tag"].as_str().unwrap().to_owned())
}

fn inventory(world: &World) -> Inventory {
    let live = Live::connect(&Secret::new(&world.uri), xtask::commands::rehearse::DATABASE).unwrap();
    live.inventory(Digests::Full).unwrap()
}

/// The newest backup's file: what the faulty release was preceded by.
fn newest_backup(world: &World) -> PathBuf {
    let newest = std::fs::read_dir(world.folder.join("backups"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .max();
    let mut files = std::fs::read_dir(newest.unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .find(|path| path.extension().is_some_and(|extension| extension == "age"))
        .unwrap()
}

#[test]
fn a_backup_that_was_damaged_since_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (world, tag) = world_with_a_bad_release(folder.path());
    let before = inventory(&world);
    let serving_before = world.platform_report().unwrap();

    let file = newest_backup(&world);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();

    let refused = world
        .xtask("rollback", &["rollback", &tag, "--reason", "test", "--yes"])
        .unwrap();
    assert_eq!(refused.code, Some(1), "{}", refused.error());
    let said = refused.stderr_tail.join("\n");
    assert!(
        said.contains("backup") && said.contains("nothing was changed"),
        "{said}"
    );
    assert_eq!(inventory(&world), before, "live data was touched");
    let serving = world.platform_report().unwrap();
    for (platform, what) in [("railway", "deployments"), ("vercel", "deployments")] {
        assert_eq!(
            serving[platform][what], serving_before[platform][what],
            "{platform} was touched"
        );
    }
}

#[test]
fn a_wrong_target_is_refused_with_the_right_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (world, tag) = world_with_a_bad_release(folder.path());
    for wrong in [
        "prod-19990101-000000",
        "prod-1999",
        "main",
        "staging-20250101-000000",
    ] {
        let refused = world
            .xtask("rollback", &["rollback", wrong, "--reason", "test", "--yes"])
            .unwrap();
        assert_eq!(refused.code, Some(2), "{wrong}: {}", refused.error());
        let said = refused.stderr_tail.join("\n");
        assert!(said.contains(&format!("choose one of: {tag}")), "{said}");
    }
    let without_reason = world.xtask("rollback", &["rollback", &tag, "--yes"]).unwrap();
    assert_eq!(without_reason.code, Some(2), "{}", without_reason.error());
    let unconfirmed = world
        .xtask("rollback", &["rollback", &tag, "--reason", "test"])
        .unwrap();
    assert_eq!(unconfirmed.code, Some(3), "{}", unconfirmed.error());
}
