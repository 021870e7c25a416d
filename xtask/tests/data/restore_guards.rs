//! What a restore must refuse: hostile files, and everything that preflight knows of.

use std::io::Write as _;
use std::path::PathBuf;

use mongodb::bson::{DateTime, doc, serialize_to_vec};
use rehearsal::test_env::process::told;
use rehearsal::test_env::restore::crash::CrashCase;
use rehearsal::test_env::restore::{DATABASE, RestoreEnv, change, seed};
use serde_json::Value;
use xtask::archive::ContainerOptions;
use xtask::archive::container::ContainerWriter;
use xtask::backup::read_metadata;
use xtask::domain::inventory::Inventory;
use xtask::domain::manifest::{
    BackupMetadata, Consistency, ConsistencyKind, MANIFEST_SCHEMA, METADATA_FILE, Manifest, NamespaceRecord,
};

/// An archive with one collection of this database and name.
fn archive_of(database: &str, collection: &str) -> Vec<u8> {
    let names = [collection.to_owned()];
    let mut writer =
        xtask::archive::writer::ArchiveWriter::new(Vec::new(), "8.0.4", database, &names).unwrap();
    writer.collection(collection).unwrap();
    writer
        .document(&serialize_to_vec(&doc! { "_id": 1 }).unwrap())
        .unwrap();
    writer.finish().unwrap()
}

#[test]
fn hostile_archives_never_reach_live_collections() {
    let env = RestoreEnv::start();
    seed(&env);
    let before = env.inventory();
    let names = [
        (DATABASE, "../../etc/passwd"),
        (DATABASE, "system.users"),
        (DATABASE, "__old_20260102-030405-ab12_users"),
        (DATABASE, "a\nb"),
        ("admin", "users"),
        ("other", "users"),
    ];
    for (database, collection) in names {
        let backup = env.store(&archive_of(database, collection));
        let said = env.fails(3, &["restore", backup.to_str().unwrap()]);
        assert!(said.contains("problem"), "{database} {collection}: {said}");
    }
    assert_eq!(before.compare(&env.inventory()), []);
}

/// A backup as somebody would forge it who can compute every digest: any stream, and metadata that say what he likes.
fn forged(env: &RestoreEnv, number: u32, stream: &[u8], namespaces: &[NamespaceRecord]) -> PathBuf {
    let id = format!("20200101-{number:06}");
    let folder = env.root().join("backups").join(&id);
    std::fs::create_dir_all(&folder).unwrap();
    let mut writer = ContainerWriter::create(&ContainerOptions::new(&folder, &id, None)).unwrap();
    writer.write_all(stream).unwrap();
    let (archive_bytes, chunks) = writer.end_stream().unwrap();
    let manifest = Manifest {
        schema: MANIFEST_SCHEMA.to_owned(),
        id,
        created: chrono::Utc::now(),
        server_version: "8.0.4".into(),
        tool_version: "100.12.2".into(),
        archive_bytes,
        chunk_bytes: writer.chunk_bytes(),
        chunks,
        base: None,
        namespaces: namespaces.to_vec(),
    };
    let (file, stored) = writer.finish(&serde_json::to_vec(&manifest).unwrap()).unwrap();
    let consistency = Consistency {
        kind: ConsistencyKind::PerCollection,
        reason: "forged".into(),
    };
    let mut metadata = BackupMetadata::new(&manifest, stored, consistency);
    metadata.environment = "production".into();
    std::fs::write(folder.join(METADATA_FILE), metadata.to_text().unwrap()).unwrap();
    file.commit().unwrap();
    folder
}

/// Every place of `what` in `stream` becomes `with`, of the same length.
fn replaced(stream: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let mut changed = stream.to_vec();
    let mut at = 0;
    while let Some(found) = changed[at..]
        .windows(what.len())
        .position(|window| window == what)
    {
        changed[at + found..at + found + what.len()].copy_from_slice(with);
        at += found + what.len();
    }
    assert_ne!(changed, stream, "{what:?} is not in the stream");
    changed
}

#[test]
fn forged_streams_never_reach_live_collections() {
    let env = RestoreEnv::start();
    seed(&env);
    let before = env.inventory();
    let good = archive_of(DATABASE, "orders");
    let records = read_metadata(&env.store(&good).join(METADATA_FILE))
        .unwrap()
        .namespaces;
    let document = serialize_to_vec(&doc! { "_id": 1 }).unwrap();
    let at = good
        .windows(document.len())
        .position(|window| window == document)
        .unwrap();
    let with_length = |length: i32| {
        let mut stream = good.clone();
        stream[at..at + 4].copy_from_slice(&length.to_le_bytes());
        stream
    };
    let mut twice = good.clone();
    twice.splice(at..at, document.iter().copied());
    let mut two = records.clone();
    two[0].documents = 2;
    let mut listed_twice = records.clone();
    listed_twice.push(records[0].clone());
    let mut other_options = records.clone();
    other_options[0].options = serde_json::json!({ "capped": true });
    let cases: Vec<(&str, Vec<u8>, &[NamespaceRecord])> = vec![
        (
            "another collection than the metadata say",
            replaced(&good, b"orders", b"users\0"),
            &records,
        ),
        (
            "a collection of the server",
            replaced(&good, b"orders", b"system"),
            &records,
        ),
        (
            "another database",
            replaced(&good, b"shop\0", b"evil\0"),
            &records,
        ),
        (
            "a flip in the prelude",
            replaced(&good, b"options", b"optionz"),
            &records,
        ),
        ("a huge length", with_length(i32::MAX), &records),
        ("a negative length", with_length(-1), &records),
        ("a length of nothing", with_length(0), &records),
        ("a length beyond the end", with_length(200), &records),
        ("one document twice", twice, &two),
        ("the end is missing", good[..good.len() - 5].to_vec(), &records),
        ("more after the end", [&good[..], b"more"].concat(), &records),
        ("nothing at all", Vec::new(), &records),
        ("one collection listed twice", good.clone(), &listed_twice),
        ("other options than in the stream", good.clone(), &other_options),
    ];
    for (number, (what, stream, namespaces)) in (0..).zip(&cases) {
        let backup = forged(&env, number, stream, namespaces);
        for delta in ["full", "counts"] {
            let output = env.run(&["restore", backup.to_str().unwrap(), "--delta", delta]);
            let code = output.status.code();
            assert!(matches!(code, Some(1 | 3)), "{what}, {delta}: {}", told(&output));
            assert_eq!(before.compare(&env.inventory()), [], "{what}");
        }
    }
    let names = env.database().list_collection_names().run().unwrap();
    assert!(names.iter().all(|name| !name.starts_with("__")), "{names:?}");
}

fn problems(env: &RestoreEnv, args: &[&str]) -> String {
    let plan = env.ok(&[&["restore"], args, &["--plan"]].concat());
    plan["problems"].to_string()
}

#[test]
fn everything_in_the_way_is_found_and_told_at_once() {
    let env = RestoreEnv::start();
    seed(&env);
    let before = env.inventory();
    let mut archive = archive_of(DATABASE, "users");
    archive = replaced(&archive, b"8.0.4", b"9.9.9");
    let backup = env.store_as(&archive, |metadata| {
        metadata.environment = "staging".into();
        metadata.host = "elsewhere.example.com:27017".into();
    });
    let found = problems(&env, &[backup.to_str().unwrap()]);
    for part in [
        "`staging`",
        "older than the one that was dumped (9.9.9)",
        "elsewhere.example.com:27017",
    ] {
        assert!(found.contains(part), "{part}: {found}");
    }
    let meant = problems(&env, &[backup.to_str().unwrap(), "--other-host"]);
    assert!(
        !meant.contains("elsewhere") && meant.contains("`staging`"),
        "{meant}"
    );
    env.fails(3, &["restore", backup.to_str().unwrap()]);
    assert_eq!(before.compare(&env.inventory()), []);
}

#[test]
fn a_user_without_the_roles_is_told_which_actions_are_missing() {
    let mut env = RestoreEnv::start();
    seed(&env);
    let backup = env.backup();
    for (user, roles) in [("reader", vec!["read"]), ("owner", vec!["readWrite", "dbAdmin"])] {
        env.command(doc! { "createUser": user, "pwd": "pw", "roles": roles });
    }
    env.server.restart_with(&["--auth"]);
    let plan = |user: &str| {
        let uri = env.server.uri().replace("://", &format!("://{user}:pw@")) + "?authSource=shop";
        let mut command = env.xtask(&["restore", backup.to_str().unwrap(), "--plan", "--format", "json"]);
        let output = command.env("TEST_MONGODB_URI", uri).output().unwrap();
        assert!(output.status.success(), "{user}: {}", told(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["problems"].to_string()
    };
    let reader = plan("reader");
    assert!(
        reader.contains("renameCollectionSameDB") && reader.contains("collMod"),
        "{reader}"
    );
    assert_eq!(plan("owner"), "[]");
}

#[test]
fn another_operation_that_stopped_midway_is_in_the_way_and_listed() {
    let mut case = CrashCase::new(RestoreEnv::start());
    let operation = case.begin();
    let bring = r#""event":"before","step":{"do":"bring","collection":"users"#;
    let number = case
        .restore_lines
        .iter()
        .position(|line| line.contains(bring))
        .unwrap();
    case.killed_within(&operation, number);
    let backup = case.backup.to_str().unwrap();
    let found = problems(&case.env, &[backup]);
    assert!(
        found.contains("stopped midway") && found.contains("under way or stopped midway"),
        "{found}"
    );
    case.env.fails(3, &["restore", backup]);
    let listed = case.env.ok(&["restore", "--list"]);
    let listed = listed["restores"].as_array().unwrap().iter();
    let ours: Vec<&Value> = listed.filter(|known| known["operation"] == *operation).collect();
    assert!(ours[0]["next"].as_str().unwrap().contains("--undo"), "{ours:?}");
    let left = xtask::restore::leftovers(&case.env.live()).unwrap();
    assert!(
        left.len() == 1 && left[0].midway && left[0].next.contains("--resume"),
        "{left:?}"
    );
    case.env.fails(3, &["restore", "--forget", &operation]);
    case.undo(&operation, "the plan");
}

#[test]
fn the_plan_tells_time_storage_and_what_becomes_of_writers() {
    let env = RestoreEnv::start();
    seed(&env);
    let backup = env.backup();
    change(&env);
    let backup = backup.to_str().unwrap();
    let plan = env.ok(&["restore", backup, "--plan"]);
    let from = |plan: &Value| plan["estimate"]["phases"][2]["from"].as_str().unwrap().to_owned();
    assert!(from(&plan).contains("assumed"), "{plan}");
    assert!(
        plan["storage"]["needed_bytes"].as_u64().unwrap() > 10_000,
        "{plan}"
    );
    assert!(
        plan["writers"].as_str().unwrap().contains("rescue file"),
        "{plan}"
    );
    let structure = plan["loss"]["structure"].to_string();
    for part in [
        "empty",
        "active_users",
        "rich_users",
        "payments",
        "visits",
        "validator",
    ] {
        assert!(structure.contains(part), "{part}: {structure}");
    }
    let counts = env.ok(&["restore", backup, "--plan", "--delta", "counts"]);
    assert_eq!(counts["loss"]["exact"], false);
    let expected = r#""collection":"users","differs":"documents","expected":200,"found":194"#;
    assert!(counts["loss"].to_string().contains(expected), "{counts}");
    env.ok(&["restore", backup]);
    let again = env.ok(&["restore", backup, "--plan"]);
    assert!(from(&again).contains("last restore"), "{again}");
}

#[test]
fn a_plan_is_not_made_from_a_file_that_is_not_the_one_of_its_metadata() {
    let env = RestoreEnv::start();
    seed(&env);
    let folder = env.backup();
    change(&env);
    let other = env.backup();
    let file =
        |folder: &std::path::Path| folder.join(read_metadata(&folder.join(METADATA_FILE)).unwrap().file);
    std::fs::copy(file(&other), file(&folder)).unwrap();
    for delta in ["full", "counts"] {
        let said = env.fails(
            1,
            &["restore", folder.to_str().unwrap(), "--plan", "--delta", delta],
        );
        assert!(
            said.contains("is not the file that was stored"),
            "{delta}: {said}"
        );
    }
}

#[test]
fn a_collection_that_became_a_time_series_stops_plan_restore_and_undo_before_anything_changes() {
    let env = RestoreEnv::behind_proxy();
    seed(&env);
    let backup = env.backup();
    let backup = backup.to_str().unwrap();
    change(&env);
    let before = env.inventory();
    let proxy = env.proxy.as_ref().unwrap();

    proxy.becomes_timeseries("users");
    let plan = env.ok(&["restore", backup, "--plan"]);
    let problems = plan["problems"].to_string();
    assert!(
        problems.contains("`users` is a time-series collection now"),
        "{problems}"
    );
    let stays = plan["loss"]["time_series"].to_string();
    assert!(stays.contains("`users` stays as it is"), "{plan}");
    env.fails(3, &["restore", backup]);
    assert_eq!(before.compare(&env.inventory()), []);

    proxy.mend();
    let restored = env.ok(&["restore", backup]);
    let operation = restored["operation"].as_str().unwrap();
    let live = env.inventory();
    proxy.becomes_timeseries("users");
    for verb in ["--undo", "--resume"] {
        let told = env.fails(3, &["restore", verb, operation]);
        assert!(
            verb == "--resume" || told.contains("`users` is a time-series collection now"),
            "{told}"
        );
        assert_eq!(live.compare(&env.inventory()), [], "{verb}");
    }
    proxy.mend();
    env.ok(&["restore", "--undo", operation]);
    assert_eq!(before.compare(&env.inventory()), []);
}

#[test]
fn a_time_series_collection_stays_and_is_compared_while_everything_else_is_restored_and_undone() {
    let env = RestoreEnv::start();
    seed(&env);
    let measured =
        |second: i64| doc! { "at": DateTime::from_millis(second * 1000), "from": "a", "value": second };
    let options = doc! { "timeField": "at", "metaField": "from", "granularity": "seconds" };
    env.command(doc! { "create": "metered", "timeseries": options });
    let metered = env.collection("metered");
    metered.insert_many((0..50).map(measured)).run().unwrap();
    let created = env.ok(&["backup"]);
    let warnings = created["metadata"]["warnings"].to_string();
    assert!(
        warnings.contains("`metered` is a time-series collection"),
        "{created}"
    );
    let backup = created["metadata"]["id"].as_str().unwrap();
    let then = env.inventory();
    let without = |mut inventory: Inventory| {
        inventory.collections.remove("metered").unwrap();
        inventory
    };
    let plan = env.ok(&["restore", backup, "--plan"]);
    let told = plan["loss"]["time_series"][0].as_str().unwrap();
    assert!(told.ends_with("`metered` is as in the backup"), "{told}");

    change(&env);
    metered.insert_one(measured(86_400)).run().unwrap();
    let changed = env.inventory();
    let restored = env.ok(&["restore", backup]);
    for told in [
        &restored["time_series"],
        &env.ok(&["restore", backup, "--plan"])["loss"]["time_series"],
    ] {
        let told = told[0].as_str().unwrap();
        assert!(
            told.ends_with("not as in the backup: 2 buckets instead of 1"),
            "{told}"
        );
    }
    assert_eq!(without(then).compare(&without(env.inventory())), []);
    assert_eq!(metered.count_documents(doc! {}).run().unwrap(), 51);

    env.ok(&["restore", "--undo", restored["operation"].as_str().unwrap()]);
    assert_eq!(changed.compare(&env.inventory()), []);
    let copy = env.fails(
        3,
        &[
            "restore",
            backup,
            "--to-uri-env",
            "TEST_MONGODB_URI",
            "--to-database",
            "other",
        ],
    );
    assert!(copy.contains("whose values cannot be masked"), "{copy}");
}
