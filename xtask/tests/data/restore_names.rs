//! Names that look like a restore's own, or like a secret: they are the application's data, and go through every way.

use std::process::Output;

use mongodb::bson::doc;
use rehearsal::test_env::process::told;
use rehearsal::test_env::restore::crash::CrashCase;
use rehearsal::test_env::restore::{RestoreEnv, seed};
use serde_json::Value;

#[test]
fn collections_of_the_application_with_prefixes_of_a_restore_are_backed_up_restored_and_undone() {
    let env = RestoreEnv::start();
    let names = [
        "__old_orders_2024",
        "__new_arrivals",
        "__late_fees",
        "__plan_b",
        "__plan_20260102-030405-ab12_b",
        "__late_20260102-030405-ab12_x_fees",
        "users",
    ];
    for name in names {
        env.collection(name).insert_one(doc! { "_id": 1 }).run().unwrap();
    }
    let left = "__old_20260101-000000-abcd_users";
    env.collection(left).insert_one(doc! { "_id": 1 }).run().unwrap();
    let before = env.inventory();
    assert_eq!(before.collections.len(), names.len());
    let backup = env.backup();
    for name in names {
        env.command(doc! { "drop": name });
    }
    env.collection("users")
        .insert_one(doc! { "_id": 2 })
        .run()
        .unwrap();
    let emptied = env.inventory();
    let restored = env.ok(&["restore", backup.to_str().unwrap()]);
    assert_eq!(before.compare(&env.inventory()), []);
    let operation = restored["operation"].as_str().unwrap();
    env.ok(&["restore", "--undo", operation]);
    assert_eq!(emptied.compare(&env.inventory()), []);
    env.ok(&["restore", "--forget", operation]);
    let names = env.database().list_collection_names().run().unwrap();
    assert!(names.contains(&left.to_owned()), "{names:?}");
}

/// A restore reads names and paths from its journal, from the plan in the database and from what the tools print.
#[test]
fn a_password_with_the_letters_of_a_name_or_a_path_breaks_no_backup_no_resume_and_no_undo() {
    let mut env = RestoreEnv::start();
    seed(&env);
    let passwords = ["documents", "shop", "users", "repository", "steps.jsonl", "event"];
    for (number, password) in passwords.iter().enumerate() {
        env.command(
            doc! { "createUser": format!("u{number}"), "pwd": password, "roles": ["readWrite", "dbAdmin"] },
        );
    }
    env.server.restart_with(&["--auth"]);
    for (number, password) in passwords.iter().enumerate() {
        let uri = env
            .server
            .uri()
            .replace("://", &format!("://u{number}:{password}@"));
        let as_user = |args: &[&str]| -> Value {
            let output: Output = env
                .xtask(&[args, &["--format", "json", "--yes"]].concat())
                .env("TEST_MONGODB_URI", format!("{uri}?authSource=shop"))
                .output()
                .unwrap();
            assert!(output.status.success(), "{password}: {args:?}: {}", told(&output));
            serde_json::from_slice(&output.stdout).unwrap()
        };
        let created = as_user(&["backup"]);
        let restored = as_user(&["restore", created["path"].as_str().unwrap()]);
        let operation = restored["operation"].as_str().unwrap();
        // Another machine has only the plan that is kept in the database.
        if number % 2 == 1 {
            std::fs::remove_dir_all(env.root().join(".xtask")).unwrap();
        }
        as_user(&["restore", "--undo", operation]);
        as_user(&["restore", "--forget", operation]);
    }
}

#[test]
fn a_backup_while_a_restore_stands_midway_is_refused_at_every_step() {
    let mut case = CrashCase::new(RestoreEnv::start());
    // Where a collection is aside, and where some are swapped and some are not.
    let after_renames: Vec<usize> = (0..case.restore_lines.len())
        .filter(|number| {
            let line = &case.restore_lines[*number];
            line.contains(r#""event":"after""#) && line.contains(r#""do":"aside""#)
        })
        .collect();
    assert!(!after_renames.is_empty());
    for number in after_renames {
        let operation = case.begin();
        case.killed_within(&operation, number + 1);
        let said = case.env.fails(3, &["backup"]);
        assert!(
            said.contains("restore-midway") && said.contains(&operation),
            "{said}"
        );
        assert!(said.contains(&format!("--undo {operation}")), "{said}");
        case.undo(&operation, "a refused backup");
        case.env.backup();
        case.env.ok(&["restore", "--forget", &operation]);
    }
}
