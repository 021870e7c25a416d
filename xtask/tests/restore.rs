//! Restores against a real server, real mongodump and mongorestore.

mod common;

use common::{World, change, seed};

#[test]
fn a_restore_gives_back_the_backup_and_an_undo_what_was_live() {
    let world = World::new();
    seed(&world);
    let backed_up = world.inventory();
    let backup = world.backup();
    change(&world);
    let changed = world.inventory();
    assert!(!backed_up.compare(&changed).is_empty());

    let plan = world.ok(&["restore", backup.to_str().unwrap(), "--plan"]);
    assert_eq!(plan["problems"], serde_json::json!([]), "{plan}");
    assert_eq!(world.inventory(), changed);

    let restored = world.ok(&["restore", backup.to_str().unwrap()]);
    assert_eq!(backed_up.compare(&world.inventory()), []);
    assert_eq!(restored["written_since"], serde_json::json!([]));
    let operation = restored["operation"].as_str().unwrap();

    let undone = world.ok(&["restore", "--undo", operation]);
    assert_eq!(undone["written_since"], serde_json::json!([]));
    assert_eq!(changed.compare(&world.inventory()), []);

    let young = world.fails(3, &["restore", "--resume", operation]);
    assert!(young.contains("taken back"), "{young}");
}
