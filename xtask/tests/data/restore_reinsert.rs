//! Documents are put back where they came from, and nowhere else.

use mongodb::bson::doc;
use rehearsal::test_env::process::told as told_of;
use rehearsal::test_env::remote::refuse_the_end;
use rehearsal::test_env::restore::{RestoreEnv, change, seed};

#[test]
fn documents_are_put_back_only_where_they_came_from_with_the_indexes_that_they_had() {
    let env = RestoreEnv::start();
    seed(&env);
    let backup = env.backup();
    change(&env);
    env.command(doc! { "createIndexes": "payments", "indexes": [
        { "key": { "number": 1 }, "name": "number", "unique": true },
    ] });
    let payments = env.inventory().collections.remove("payments").unwrap();
    let restored = env.ok(&["restore", backup.to_str().unwrap()]);
    let rescue = restored["rescue"]["path"].as_str().unwrap();
    let before = env.inventory();

    // What was not asked for is never done: these options are for a new restore.
    let operation = restored["operation"].as_str().unwrap();
    let without: &[&str] = &["--list"];
    for verb in [
        &["--undo", operation],
        &["--resume", operation],
        &["--forget", operation],
        &["--reinsert", rescue],
        without,
    ] {
        for option in [
            &["--plan"][..],
            &["--show-values"],
            &["--delta", "counts"],
            &["--to", "staging"],
        ] {
            let told = env.fails(2, &[&["restore"], verb, option].concat());
            assert!(
                told.contains("cannot be used with"),
                "{verb:?} {option:?}: {told}"
            );
        }
    }
    assert_eq!(before.compare(&env.inventory()), []);

    // A whole backup has documents that the application has deleted since.
    let told = env.fails(3, &["restore", "--reinsert", backup.to_str().unwrap()]);
    assert!(told.contains("it is a backup and no rescue file"), "{told}");
    let told = env.fails(2, &["restore", "--reinsert", rescue, "--collection", "paymnts"]);
    assert!(told.contains("`payments`"), "{told}");
    env.configure(|text| text.replace("production", "staging"));
    let told = env.fails(3, &["restore", "--reinsert", rescue]);
    assert!(
        told.contains("`production`") && told.contains("`staging`"),
        "{told}"
    );
    env.configure(|text| text.replace("database = \"shop\"", "database = \"shop2\""));
    let told = env.fails(3, &["restore", "--reinsert", rescue]);
    assert!(told.contains("`shop2`"), "{told}");
    env.configure(|text| format!("{text}\n"));
    // The same server by an address of another name.
    let elsewhere = env.server.uri().replace("127.0.0.1", "0.0.0.0");
    let mut command = env.xtask(&["restore", "--reinsert", rescue, "--yes"]);
    let output = command.env("TEST_MONGODB_URI", elsewhere).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", told_of(&output));
    assert!(told_of(&output).contains("--other-host"), "{}", told_of(&output));
    assert_eq!(before.compare(&env.inventory()), []);

    let done = env.ok(&[
        "restore",
        "--reinsert",
        rescue,
        "--collection",
        "payments",
        "--reason",
        "they were paid",
    ]);
    assert_eq!(done["created"], serde_json::json!(["payments"]), "{done}");
    assert_eq!(env.inventory().collections.remove("payments"), Some(payments));
    let ledger = env.ok(&["ledger"]);
    let last = ledger["operations"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["kind"], &last["ended"]["outcome"]),
        (&"reinsert".into(), &"done".into()),
        "{last}"
    );
    assert_eq!(last["reason"], "they were paid");
}

#[test]
fn documents_that_were_put_back_are_not_called_unchanged_where_the_ledger_does_not_take_the_end() {
    let env = RestoreEnv::start();
    seed(&env);
    let backup = env.backup();
    change(&env);
    let restored = env.ok(&["restore", backup.to_str().unwrap()]);
    let rescue = restored["rescue"]["path"].as_str().unwrap();
    let hook = refuse_the_end(&env.dir.path().join("remote.git")).unwrap();
    let told = env.fails(4, &["restore", "--reinsert", rescue, "--collection", "payments"]);
    std::fs::remove_file(hook).unwrap();
    assert!(
        told.contains("live: what was asked for is done and proved"),
        "{told}"
    );
    assert!(
        told.contains(&format!("cargo xtask restore --reinsert {rescue}")),
        "{told}"
    );
    let again = env.ok(&["restore", "--reinsert", rescue, "--collection", "payments"]);
    assert_eq!(again["inserted"]["payments"], 0, "{again}");
    assert_ne!(again["conflicts"], 0, "{again}");
}
