//! Names that look like a restore's own, or like a secret: they are the application's data, and go through every way.

use std::process::Output;

use mongodb::bson::{Bson, doc};
use rehearsal::test_env::process::told;
use rehearsal::test_env::restore::crash::CrashCase;
use rehearsal::test_env::restore::{RestoreEnv, change, seed};
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
    let users = ["shop", "users", "u2", "u3", "u4", "u5"];
    for (user, password) in users.iter().zip(passwords) {
        env.command(doc! { "createUser": user, "pwd": password, "roles": ["readWrite", "dbAdmin"] });
    }
    env.server.restart_with(&["--auth"]);
    for (number, password) in passwords.iter().enumerate() {
        let uri = env
            .server
            .uri()
            .replace("://", &format!("://{}:{password}@", users[number]));
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
        let prepared = as_user(&["restore", created["path"].as_str().unwrap(), "--prepare"]);
        let operation = prepared["operation"].as_str().unwrap();
        // Another machine has only the ledger, and the plan that is kept in the database.
        let replace_machine = || {
            if number % 2 == 1 {
                std::fs::remove_dir_all(env.root().join(".xtask")).unwrap();
            }
        };
        replace_machine();
        as_user(&["restore", "--resume", operation]);
        replace_machine();
        as_user(&["restore", "--undo", operation]);
        as_user(&["restore", "--forget", operation]);
    }
}

#[test]
fn a_backup_while_a_restore_stands_midway_is_refused_at_every_step() {
    let mut case = CrashCase::new(RestoreEnv::start());
    let renames = |text: &str| {
        let lines = case.restore_lines.iter();
        lines
            .filter(|line| line.contains(r#""event":"after""#) && line.contains(text))
            .count()
    };
    assert!(renames(r#""do":"aside""#) > 0 && renames(r#""do":"bring""#) > 0);
    // From the first renaming on until the last line: a collection is aside, some are swapped and some are not, nothing is proved.
    let at = |text: &str| case.restore_lines.iter().position(|line| line.contains(text));
    let first = at(r#""event":"after""#).unwrap() + 1;
    let proved = at(r#""event":"rescued""#).unwrap();
    for number in first..proved {
        let operation = case.begin();
        case.killed_within(&operation, number);
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

/// Linux allows these characters in the name of a database, and Windows does not; to shells and in patterns of the tools they mean
/// something.
#[test]
fn a_database_with_every_character_that_linux_allows_is_backed_up_previewed_restored_and_undone() {
    let env = RestoreEnv::start().with_database("a*b:c?d<e>f|g");
    // What a pattern with its name would mean too.
    let other = env.server.client().database("aXb:c?d<e>f|g");
    other
        .collection("users")
        .insert_one(doc! { "_id": 1 })
        .run()
        .unwrap();
    seed(&env);
    let before = env.inventory();
    let backup = env.backup();
    let backup = backup.to_str().unwrap();
    env.ok(&["backup", "verify", backup]);
    change(&env);
    let changed = env.inventory();
    let plan = env.ok(&["restore", backup, "--plan", "--show-values"]);
    assert_eq!(plan["problems"].to_string(), "[]");
    let restored = env.ok(&["restore", backup]);
    assert_eq!(before.compare(&env.inventory()), []);
    let operation = restored["operation"].as_str().unwrap();
    // Another machine has only the plan that is kept in the database.
    std::fs::remove_dir_all(env.root().join(".xtask")).unwrap();
    env.ok(&["restore", "--undo", operation]);
    assert_eq!(changed.compare(&env.inventory()), []);
    env.ok(&["restore", "--forget", operation]);
    assert_eq!(other.list_collection_names().run().unwrap(), ["users"]);
    for refused in ["a b", "a.b", "a/b", "a$b"] {
        let env = RestoreEnv::start().with_database(refused);
        for args in [&["backup"][..], &["doctor", "--config-only"]] {
            let output = env.run(args);
            assert!(!output.status.success(), "{args:?}: {refused}");
            let told = told(&output);
            assert!(
                told.contains("`database` is the name of a database"),
                "{args:?}: {told}"
            );
        }
    }
}

/// No server lets a collection be renamed to `system.js`.
#[test]
fn stored_functions_are_named_stay_as_they_are_and_come_back_with_mongorestore() {
    let env = RestoreEnv::start();
    let stored = |code: &str| doc! { "_id": "f", "value": Bson::JavaScriptCode(code.to_owned()) };
    let functions = env.collection("system.js");
    let live = || {
        let found = functions.find(doc! {}).run().unwrap();
        found.map(Result::unwrap).collect::<Vec<_>>()
    };
    functions.insert_one(stored("of the backup")).run().unwrap();
    env.collection("users")
        .insert_one(doc! { "_id": 1 })
        .run()
        .unwrap();
    let before = env.inventory();
    let created = env.ok(&["backup"]);
    let why = "no server lets a collection be renamed to it";
    assert!(
        created["metadata"]["warnings"].to_string().contains(why),
        "{created}"
    );
    let doctor = told(&env.run(&["doctor"]));
    assert!(doctor.contains(why), "{doctor}");
    functions.delete_many(doc! {}).run().unwrap();
    functions.insert_one(stored("since")).run().unwrap();
    env.collection("users")
        .insert_one(doc! { "_id": 2 })
        .run()
        .unwrap();
    let backup = created["path"].as_str().unwrap();
    let plan = env.ok(&["restore", backup, "--plan"]);
    assert_eq!(plan["problems"].to_string(), "[]");
    assert!(plan["warnings"].to_string().contains(why), "{plan}");
    let restored = env.ok(&["restore", backup]);
    assert_eq!(before.compare(&env.inventory()), []);
    assert_eq!(live(), [stored("since")]);
    env.ok(&["restore", "--undo", restored["operation"].as_str().unwrap()]);
    assert_eq!(live(), [stored("since")]);
    // It never drops this collection, and inserts only what is not there.
    functions.delete_many(doc! {}).run().unwrap();
    let script = "tar -xzO --wildcards 'data/*' -f \"$BACKUP\" | mongorestore --uri \"$URI\" --archive --nsInclude shop.system.js";
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", script])
        .envs([("BACKUP", backup), ("URI", &env.server.uri())]);
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(live(), [stored("of the backup")]);
}
