//! Ended is ended, midway stays midway, and nothing is dropped that is nowhere else: every command, asked at every moment.

use mongodb::bson::doc;
use rehearsal::test_env::process::{confirmed_late, told as told_of};
use rehearsal::test_env::restore::crash::CrashCase;
use rehearsal::test_env::restore::{DATABASE, RestoreEnv, change, seed};

/// Another machine has the storages, and neither journals nor the rescue files beside them.
fn on_another_machine(env: &RestoreEnv) {
    std::fs::remove_dir_all(env.root().join(".xtask")).unwrap();
}

/// A rescue file that the report names is in no storage any more.
fn lose_rescue(env: &RestoreEnv, report: &serde_json::Value) {
    let id = report["rescue"]["id"].as_str().unwrap();
    std::fs::remove_dir_all(env.root().join("backups").join(id)).unwrap();
}

/// The line of a restore's journal at which the first of these texts stands.
fn line(case: &CrashCase, text: &str) -> usize {
    let mut lines = case.restore_lines.iter();
    lines.position(|line| line.contains(text)).unwrap()
}

#[test]
fn a_restore_that_was_undone_is_not_undone_again() {
    let env = RestoreEnv::start();
    seed(&env);
    let backup = env.backup();
    change(&env);
    let restored = env.ok(&["restore", backup.to_str().unwrap()]);
    let operation = restored["operation"].as_str().unwrap();
    let written = doc! { "_id": "while restored", "email": "while@example.com" };
    env.collection("users").insert_one(written).run().unwrap();
    let undone = env.ok(&["restore", "--undo", operation]);

    // The application goes on: all that an undo would bring back is gone by intention, and something new is there.
    env.command(doc! { "drop": "payments" });
    env.command(doc! { "drop": "rich_users" });
    env.command(doc! { "create": "active_users", "viewOn": "users", "pipeline": [] });
    env.collection("empty")
        .insert_one(doc! { "_id": "new" })
        .run()
        .unwrap();
    env.collection("users")
        .insert_one(doc! { "_id": "since", "email": "since@example.com" })
        .run()
        .unwrap();
    let since = env.inventory();
    for elsewhere in [false, true] {
        if elsewhere {
            on_another_machine(&env);
        }
        let told = env.fails(3, &["restore", "--undo", operation]);
        assert!(told.contains("was undone"), "{told}");
        let told = env.fails(3, &["restore", "--resume", operation]);
        assert!(told.contains("was undone"), "{told}");
        assert_eq!(since.compare(&env.inventory()), [], "elsewhere: {elsewhere}");
    }
    // What was written to the restored collections is in no storage any more: it is exported before it is dropped.
    lose_rescue(&env, &undone);
    let forgotten = env.ok(&["restore", "--forget", operation]);
    assert_eq!(forgotten["rescue"]["documents"], 1, "{forgotten}");
    env.fails(3, &["restore", "--forget", operation]);
    env.fails(3, &["restore", "--undo", operation]);
    assert_eq!(since.compare(&env.inventory()), []);
}

#[test]
fn what_no_rescue_file_has_yet_is_not_dropped_from_another_machine() {
    let mut case = CrashCase::new(RestoreEnv::start());
    let operation = case.begin();
    let number = line(&case, r#""event":"rescued""#);
    case.killed_within(&operation, number);
    on_another_machine(&case.env);
    let aside = format!("__old_{operation}_users");
    let documents = case
        .env
        .collection(&aside)
        .count_documents(doc! {})
        .run()
        .unwrap();
    let listed = case.env.ok(&["restore", "--list"]);
    assert!(!listed.to_string().contains("--forget"), "{listed}");
    case.env.fails(3, &["restore", "--forget", &operation]);
    let still = case
        .env
        .collection(&aside)
        .count_documents(doc! {})
        .run()
        .unwrap();
    assert_eq!(still, documents);

    // The other machine ends it: the rescue file is written there.
    let resumed = case.env.ok(&["restore", "--resume", &operation]);
    assert_eq!(resumed["rescue"]["documents"], 2, "{resumed}");
    // A third one has no rescue file, and no storage has it: it writes one before it drops anything.
    on_another_machine(&case.env);
    lose_rescue(&case.env, &resumed);
    let forgotten = case.env.ok(&["restore", "--forget", &operation]);
    assert_eq!(forgotten["rescue"]["documents"], 2, "{forgotten}");
    let names = case.env.database().list_collection_names().run().unwrap();
    assert!(names.iter().all(|name| !name.starts_with("__")), "{names:?}");
}

#[test]
fn a_swap_that_stopped_before_its_plan_was_kept_is_undone_here_and_forgotten_elsewhere() {
    let mut case = CrashCase::new(RestoreEnv::start());
    let operation = case.begin();
    let number = line(&case, r#""event":"before""#);
    case.killed_within(&operation, number);
    case.env.command(doc! { "drop": format!("__plan_{operation}") });
    case.undo(&operation, "a plan that was not kept");
    on_another_machine(&case.env);
    let listed = case.env.ok(&["restore", "--list"]);
    assert!(listed.to_string().contains("--forget"), "{listed}");
    case.env.ok(&["restore", "--forget", &operation]);
    let names = case.env.database().list_collection_names().run().unwrap();
    assert!(names.iter().all(|name| !name.starts_with("__")), "{names:?}");
}

#[test]
fn a_half_swapped_database_stays_midway_where_a_resume_or_an_undo_fails() {
    let mut case = CrashCase::new(RestoreEnv::start());
    let operation = case.begin();
    let number = line(
        &case,
        r#""event":"before","step":{"do":"bring","collection":"users""#,
    );
    case.killed_within(&operation, number);
    for verb in ["--resume", "--undo"] {
        let mut command = case.env.xtask(&["restore", verb, &operation, "--yes"]);
        let refused = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=500";
        let output = command.env("TEST_MONGODB_URI", refused).output().unwrap();
        let told = told_of(&output);
        assert_eq!(output.status.code(), Some(4), "{verb}: {told}");
        assert!(!told.contains("nothing live was changed"), "{verb}: {told}");
        assert!(told.contains(&format!("{verb} {operation}")), "{verb}: {told}");
        let ledger = case.env.ok(&["ledger"]);
        let last = ledger["operations"].as_array().unwrap().last().unwrap().clone();
        assert_ne!(last["ended"]["outcome"], "failed", "{verb}: {last}");
        let backup = case.backup.to_str().unwrap();
        case.env.fails(3, &["restore", backup]);
    }
    // Under the lock: the backup is nowhere.
    let backups = case.env.root().join("backups");
    let away = case.env.root().join("away");
    std::fs::rename(&backups, &away).unwrap();
    let told = case.env.fails(4, &["restore", "--resume", &operation]);
    assert!(
        !told.contains("nothing live was changed") && told.contains("--undo"),
        "{told}"
    );
    std::fs::remove_dir_all(&backups).ok();
    std::fs::rename(&away, &backups).unwrap();
    let told = case.env.fails(3, &["restore", case.backup.to_str().unwrap()]);
    assert!(told.contains("stopped midway"), "{told}");
    case.undo(&operation, "three failures");
}

/// It stopped before it kept anything in the database, and its journal is gone with its machine: only the ledger has it.
#[test]
fn a_restore_that_kept_nothing_is_listed_with_the_command_that_ends_it_while_it_blocks_others() {
    let case = CrashCase::new(RestoreEnv::start());
    let backup = case.backup.to_str().unwrap();
    let operation = case.begin_recorded();
    on_another_machine(&case.env);
    let told = case.env.fails(3, &["restore", backup]);
    assert!(told.contains(&operation), "{told}");
    let listed = case.env.ok(&["restore", "--list"]);
    let restores = listed["restores"].as_array().unwrap().iter();
    let ours: Vec<_> = restores
        .filter(|known| known["operation"] == *operation)
        .collect();
    assert_eq!(
        ours.len(),
        1,
        "nothing is advised about what blocks all others: {listed}"
    );
    let next = ours[0]["next"].as_str().unwrap();
    assert!(
        next.contains(&format!("--resume {operation}")) && next.contains(&format!("--undo {operation}")),
        "{next}"
    );
    case.undo(&operation, "nothing that it kept");
    case.env.ok(&["restore", backup]);
    assert_eq!(case.backed_up.compare(&case.env.inventory()), []);
}

/// Writers recreated the collection faster than it was replaced, until they were stopped.
#[test]
fn names_of_collections_that_writers_made_are_left_for_the_one_that_resumes() {
    let mut case = CrashCase::new(RestoreEnv::start());
    let operation = case.begin();
    let number = line(
        &case,
        r#""event":"before","step":{"do":"bring","collection":"users""#,
    );
    case.killed_within(&operation, number);
    let late = |number: usize| format!("__late_{operation}_{number}_users");
    for number in 0..100 {
        case.env.command(doc! { "create": late(number) });
    }
    let written = doc! { "_id": "late", "email": "late@example.com" };
    case.env.collection("users").insert_one(written).run().unwrap();
    let resumed = case.env.ok(&["restore", "--resume", &operation]);
    let kept = case.env.collection(&late(100)).count_documents(doc! {}).run();
    assert_eq!(kept.unwrap(), 1, "{resumed}");
    case.env.ok(&["restore", "--forget", &operation]);
    let names = case.env.database().list_collection_names().run().unwrap();
    assert!(names.iter().all(|name| !name.starts_with("__")), "{names:?}");
}

#[test]
fn an_older_restore_is_not_undone_while_a_newer_one_is_live() {
    let env = RestoreEnv::start();
    seed(&env);
    let backup = env.backup();
    let backup = backup.to_str().unwrap();
    let insert = |id: &str| {
        let document = doc! { "_id": id, "email": id };
        env.collection("users").insert_one(document).run().unwrap();
    };
    insert("one");
    let older = env.ok(&["restore", backup])["operation"]
        .as_str()
        .unwrap()
        .to_owned();
    insert("two");
    let newer = env.ok(&["restore", backup])["operation"]
        .as_str()
        .unwrap()
        .to_owned();
    insert("three");
    let live = env.inventory();
    for elsewhere in [false, true] {
        if elsewhere {
            on_another_machine(&env);
        }
        let told = env.fails(3, &["restore", "--undo", &older]);
        assert!(told.contains(&format!("--undo {newer}")), "{told}");
        assert_eq!(live.compare(&env.inventory()), []);
        let listed = env.ok(&["restore", "--list"]);
        let next = |id: &str| {
            let restores = listed["restores"].as_array().unwrap().iter();
            let mut found = restores.filter(|known| known["operation"] == *id);
            found.next().unwrap()["next"].as_str().unwrap().to_owned()
        };
        assert!(!next(&older).contains("--undo"), "{}", next(&older));
        assert!(next(&newer).contains("--undo"), "{}", next(&newer));
    }
    // Step by step it works.
    env.ok(&["restore", "--undo", &newer]);
    env.ok(&["restore", "--undo", &older]);
    let found = |id: &str| {
        let users = env.collection("users");
        users.find_one(doc! { "_id": id }).run().unwrap().is_some()
    };
    assert!(found("one") && !found("two") && !found("three"));
}

#[test]
fn a_rescue_file_is_in_the_storages_and_any_machine_puts_its_documents_back() {
    let env = RestoreEnv::start();
    let storage = env.storage_elsewhere(false);
    seed(&env);
    let backup = env.backup();
    change(&env);
    let before = env.inventory();
    let job = [("GITHUB_ACTIONS", "true".to_owned())];

    // The machine of a job is gone with its disk: without a storage elsewhere nothing is made live on it.
    let refused = env.finished(&["restore", backup.to_str().unwrap()], &job);
    let told = refused.stderr_tail.join("\n");
    assert_eq!(refused.code, Some(3), "{told}");
    assert!(told.contains("no storage of pipeline.toml outlives it"), "{told}");
    // What was prepared there neither, before its backup is elsewhere.
    let prepared = env.finished(&["restore", backup.to_str().unwrap(), "--prepare"], &job);
    assert_eq!(prepared.code, Some(0), "{}", prepared.error());
    let begun = env.ok(&["restore", "--list"])["restores"][0]["operation"].clone();
    let begun = begun.as_str().unwrap();
    let refused = env.finished(&["restore", "--resume", begun], &job);
    let told = refused.stderr_tail.join("\n");
    assert_eq!(refused.code, Some(3), "{told}");
    assert!(told.contains("is only on this machine"), "{told}");
    assert_eq!(before.compare(&env.inventory()), []);
    env.ok(&["restore", "--undo", begun]);

    env.storage_elsewhere(true);
    let restored = env.finished(&["restore", backup.to_str().unwrap()], &job);
    assert_eq!(restored.code, Some(0), "{}", restored.error());
    let restored: serde_json::Value = serde_json::from_str(&restored.stdout).unwrap();
    let operation = restored["operation"].as_str().unwrap();
    let rescue = restored["rescue"]["id"].as_str().unwrap();
    let kept = storage.join(rescue);
    assert!(kept.join("backup-metadata.json").is_file());
    let told = env.fails(3, &["restore", rescue]);
    assert!(told.contains("is a rescue file"), "{told}");

    // Nothing is dropped where the rescue file is on a machine that vanishes, and the other one has it from the storage.
    env.replace_machine();
    env.storage_elsewhere(false);
    let refused = env.finished(&["restore", "--forget", operation], &job);
    let told = refused.stderr_tail.join("\n");
    assert_eq!(refused.code, Some(3), "{told}");
    assert!(told.contains("which was read back"), "{told}");
    env.storage_elsewhere(true);
    let forgotten = env.finished(&["restore", "--forget", operation], &job);
    assert_eq!(forgotten.code, Some(0), "{}", forgotten.error());
    assert!(
        forgotten.stdout.contains("\"rescue\": null"),
        "{}",
        forgotten.stdout
    );

    env.replace_machine();
    let taken = env.ok(&["restore", "--reinsert", rescue]);
    let documents = restored["rescue"]["documents"].as_u64().unwrap();
    let inserted = taken["inserted"].as_object().unwrap().values();
    let inserted: u64 = inserted.map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(
        inserted + taken["conflicts"].as_u64().unwrap(),
        documents,
        "{taken}"
    );
    assert!(inserted > 0, "{taken}");
    // What takes its place in the storage is not what was recorded.
    let taken = env.backup();
    for entry in std::fs::read_dir(&kept).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    for entry in std::fs::read_dir(&taken).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, kept.join(path.file_name().unwrap())).unwrap();
    }
    env.fails(1, &["restore", "--reinsert", rescue]);
}

/// The process that compared was killed: it has found what the one that ends the restore must report.
#[test]
fn what_was_found_before_a_kill_is_reported_by_the_one_that_resumes() {
    let mut case = CrashCase::new(RestoreEnv::start());
    let operation = case.begin();
    let number = line(&case, r#""event":"rescued""#);
    case.killed_within(&operation, number);
    let journal = std::fs::read_to_string(case.journal(&operation)).unwrap();
    let none = r#""written_since":[],"changed_since":[]"#;
    assert!(journal.contains(none), "{journal}");
    let found = r#""written_since":[{"collection":"users","differs":"content"}],"changed_since":["`users`: index `email` differs"]"#;
    std::fs::write(case.journal(&operation), journal.replace(none, found)).unwrap();
    let written = doc! { "_id": "since", "email": "since@example.com" };
    case.env.collection("users").insert_one(written).run().unwrap();
    let resumed = case.env.ok(&["restore", "--resume", &operation]);
    assert_eq!(resumed["written_since"][0]["collection"], "users", "{resumed}");
    assert_eq!(resumed["written_since"][0]["created"], 1, "{resumed}");
    assert_eq!(
        resumed["changed_since"][0], "`users`: index `email` differs",
        "{resumed}"
    );
}

#[test]
fn what_changed_while_a_verb_waited_for_its_confirmation_is_named_and_refused() {
    let env = RestoreEnv::start();
    seed(&env);
    let backup = env.backup();
    let backup = backup.to_str().unwrap();
    change(&env);
    let late = |args: &[&str], change: &dyn Fn()| {
        let (code, shown) = confirmed_late(&env.xtask(args), change, DATABASE);
        assert_eq!(code, Some(3), "{args:?}: {shown}");
        assert!(
            shown.contains("this changed after the plan was made"),
            "{args:?}: {shown}"
        );
        shown
    };
    let index = |name: &str| {
        let index = doc! { "key": { name: 1 }, "name": name };
        env.command(doc! { "createIndexes": "users", "indexes": [index] });
    };
    let shown = late(&["restore", backup], &|| index("while_planned"));
    assert!(shown.contains("the schema of the data"), "{shown}");
    let restored = env.ok(&["restore", backup]);
    let operation = restored["operation"].as_str().unwrap();
    let rescue = restored["rescue"]["id"].as_str().unwrap();
    // Another operation ends: it puts the documents back that only the replaced collections had.
    let another = || drop(env.ok(&["restore", "--reinsert", rescue]));
    for args in [
        ["restore", "--undo", operation],
        ["restore", "--forget", operation],
        ["restore", "--reinsert", rescue],
    ] {
        let before = env.ok(&["restore", "--list"]);
        let shown = late(&args, &another);
        assert!(shown.contains("the last operation of the ledger is "), "{shown}");
        assert_eq!(before, env.ok(&["restore", "--list"]), "{args:?}");
    }
    // Nothing of that is in the way of the next one.
    env.ok(&["restore", "--undo", operation]);
}
