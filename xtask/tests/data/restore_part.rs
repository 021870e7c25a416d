//! A restore of named collections: all others stay as they are, whoever resumes, undoes or forgets it.

use std::collections::BTreeSet;

use mongodb::bson::doc;
use rehearsal::test_env::restore::crash::CrashCase;
use rehearsal::test_env::restore::{RestoreEnv, change, seed};

#[test]
fn a_restore_of_named_collections_leaves_all_others_alone_and_names_the_views_that_show_them() {
    let env = RestoreEnv::start();
    seed(&env);
    let odd = "a,b";
    let insert = |id: &str| {
        let document = doc! { "_id": id };
        env.collection(odd).insert_one(document).run().unwrap();
    };
    insert("then");
    let mut expected = env.inventory();
    let backup = env.backup();
    let backup = backup.to_str().unwrap();
    change(&env);
    insert("now");
    let changed = env.inventory();
    let restored = ["users", "empty", odd];
    for (name, facts) in &changed.collections {
        if !restored.contains(&name.as_str()) {
            expected.collections.insert(name.clone(), facts.clone());
        }
    }
    let taken = |name: &String| restored.contains(&name.as_str()) || changed.collections.contains_key(name);
    expected.collections.retain(|name, _| taken(name));
    let choice = ["--collection", "users, empty", "--collection", odd];

    for unknown in ["usrs", "users,usrs", "payments", ""] {
        let refused = env.fails(2, &["restore", backup, "--collection", unknown]);
        assert!(
            refused.contains("`users`") && refused.contains("`orders`"),
            "{unknown}: {refused}"
        );
    }
    env.fails(2, &["restore", "--list", "--collection", "users"]);
    let plan = env.ok(&[&["restore", backup, "--plan"], &choice[..]].concat());
    assert_eq!(
        plan["collections"],
        serde_json::json!([odd, "empty", "users"]),
        "{plan}"
    );
    assert_eq!(plan["problems"], serde_json::json!([]), "{plan}");
    let warnings = plan["warnings"].to_string();
    assert!(
        warnings.contains("the view `rich_users` reads `users`"),
        "{warnings}"
    );
    let lost = plan["loss"]["collections"].as_array().unwrap().iter();
    let lost: BTreeSet<&str> = lost.map(|loss| loss["collection"].as_str().unwrap()).collect();
    assert_eq!(lost, BTreeSet::from([odd, "users"]), "{plan}");
    assert_eq!(changed.compare(&env.inventory()), []);

    let done = env.ok(&[&["restore", backup], &choice[..]].concat());
    assert_eq!(expected.compare(&env.inventory()), []);
    let others = changed.collections.len() - 2;
    assert_eq!(done["left_alone"]["collections"], others, "{done}");
    assert_eq!(
        done["left_alone"]["changed_since"],
        serde_json::json!([]),
        "{done}"
    );
    let operation = done["operation"].as_str().unwrap();
    let listed = env.ok(&["restore", "--list"])["restores"][0].clone();
    assert_eq!(listed["collections"], plan["collections"], "{listed}");
    let aside = [odd, "users"].map(|name| format!("__old_{operation}_{name}"));
    assert_eq!(listed["old"], serde_json::json!(aside), "{listed}");
    // Another machine undoes it: the choice is in the database.
    std::fs::remove_dir_all(env.root().join(".xtask")).unwrap();
    env.ok(&["restore", "--undo", operation]);
    assert_eq!(changed.compare(&env.inventory()), []);
    env.ok(&["restore", "--forget", operation]);
    let names = env.database().list_collection_names().run().unwrap();
    assert!(names.iter().all(|name| !name.starts_with("__")), "{names:?}");
}

/// Before anything was kept in the database the ledger has the choice; from the swap on the database has it too.
#[test]
fn another_machine_resumes_a_restore_of_named_collections_and_takes_no_more() {
    let env = RestoreEnv::start();
    env.storage_elsewhere(false);
    let mut case = CrashCase::of_part(env, &["users"]);
    let operation = case.begin_recorded();
    case.env.replace_machine();
    let resumed = case.resume_and_undo(&operation, "the machine was lost before the shadow was filled");
    assert_eq!(resumed["collections"].as_array().unwrap().len(), 1, "{resumed}");
    let operation = case.begin();
    let midway = r#""event":"before","step":{"do":"bring","collection":"users""#;
    let number = case.restore_lines.iter().position(|line| line.contains(midway));
    case.killed_within(&operation, number.unwrap());
    case.env.replace_machine();
    case.resume_and_undo(&operation, "the machine was lost within the swap");
    case.forget_all();
}
