//! What a server, its tier or the rights of a user do not allow: each command that could need it reports it first.

use mongodb::bson::doc;
use rehearsal::test_env::process::told;
use rehearsal::test_env::proxy::Proxy;
use rehearsal::test_env::restore::RestoreEnv;
use rehearsal::test_env::server::Server;
use serde_json::Value;

/// What the server lacks from then on.
type Limit = fn(&Proxy);

/// With one document in `users`, behind a proxy.
fn with_one_document() -> RestoreEnv {
    let env = RestoreEnv::behind_proxy();
    let users = env.collection("users");
    users.insert_one(doc! { "_id": 1 }).run().unwrap();
    env
}

fn warnings_of(created: &Value) -> String {
    created["metadata"]["warnings"].to_string()
}

#[test]
fn what_forbids_a_restore_is_reported_by_backup_plan_and_doctor() {
    let limits: [(&str, Limit); 3] = [
        ("`users` is sharded", |proxy| proxy.become_router_of("users")),
        ("the second copy needs about", Proxy::fill_disk),
        (
            "the database user may not insert, createCollection",
            Proxy::become_reader,
        ),
    ];
    for (why, limit) in limits {
        let env = with_one_document();
        limit(env.proxy.as_ref().unwrap());
        let created = env.ok(&["backup"]);
        let warnings = warnings_of(&created);
        assert!(
            warnings.contains("cannot restore this backup") && warnings.contains(why),
            "{why}: {warnings}"
        );
        let backup = created["metadata"]["id"].as_str().unwrap();
        // Where nothing differs, nothing is copied.
        env.collection("users")
            .insert_one(doc! { "_id": 2 })
            .run()
            .unwrap();
        let before = env.inventory();
        let plan = env.ok(&["restore", backup, "--plan"]);
        assert!(plan["problems"].to_string().contains(why), "{why}: {plan}");
        let refused = env.fails(3, &["restore", backup]);
        assert!(refused.contains(why), "{why}: {refused}");
        let doctor = told(&env.run(&["doctor"]));
        assert!(
            doctor.contains("restorable") && doctor.contains(why),
            "{why}: {doctor}"
        );
        assert_eq!(before.compare(&env.inventory()), []);
    }
}

/// A database that fills its disk is the one that needs it most.
#[test]
fn a_full_disk_forbids_no_restore_in_place() {
    let env = with_one_document();
    let created = env.ok(&["backup"]);
    let backup = created["metadata"]["id"].as_str().unwrap();
    let before = env.inventory();
    let users = env.collection("users");
    users.insert_one(doc! { "_id": 2 }).run().unwrap();
    env.proxy.as_ref().unwrap().fill_disk();
    let refused = env.fails(3, &["restore", backup, "--method", "swap"]);
    assert!(refused.contains("the second copy needs about"), "{refused}");

    let plan = env.ok(&["restore", backup, "--method", "delta", "--plan"]);
    assert_eq!(plan["problems"].to_string(), "[]", "{plan}");
    assert_eq!(plan["storage"]["needed_bytes"], 0, "{plan}");
    assert_eq!(plan["change_streams"], "live on: nothing is renamed");
    let writers = plan["writers"].as_str().unwrap();
    assert!(
        writers.contains("--conflicts") && !writers.contains("__old_"),
        "{plan}"
    );
    let phases = plan["estimate"]["phases"].as_array().unwrap();
    let phases: Vec<&str> = phases.iter().map(|one| one["phase"].as_str().unwrap()).collect();
    assert_eq!(
        phases,
        [
            "safety backup",
            "check of the backup",
            "documents put back in place"
        ]
    );
    env.ok(&["restore", backup, "--method", "delta"]);
    assert_eq!(before.compare(&env.inventory()), []);

    // What the backup has not is renamed: no second copy, but a swap.
    env.collection("new").insert_one(doc! { "_id": 1 }).run().unwrap();
    let plan = env.ok(&["restore", backup, "--method", "delta", "--plan"]);
    assert_eq!(plan["storage"]["needed_bytes"], 0, "{plan}");
    assert!(
        plan["change_streams"].as_str().unwrap().starts_with("end where"),
        "{plan}"
    );
    let writers = plan["writers"].as_str().unwrap();
    assert!(
        writers.contains("--conflicts") && writers.contains("__old_"),
        "{plan}"
    );
}

#[test]
fn search_indexes_that_a_user_may_not_list_are_named() {
    for by_small_tier in [false, true] {
        let env = with_one_document();
        env.proxy.as_ref().unwrap().hide_search(by_small_tier);
        let why = "whether `users` have search indexes is not known";
        let created = env.ok(&["backup"]);
        assert!(warnings_of(&created).contains(why), "{by_small_tier}: {created}");
        let backup = created["metadata"]["id"].as_str().unwrap();
        let plan = env.ok(&["restore", backup, "--plan"]);
        assert_eq!(plan["problems"].to_string(), "[]");
        assert!(
            plan["warnings"].to_string().contains(why),
            "{by_small_tier}: {plan}"
        );
        let doctor = told(&env.run(&["doctor"]));
        assert!(doctor.contains(why), "{by_small_tier}: {doctor}");
        env.ok(&["restore", backup]);
    }
}

/// The backup has search indexes; the server that it is restored into has none, or the user may not list them.
#[test]
fn recorded_search_indexes_that_cannot_be_built_are_named_or_refused_before_anything_is_restored() {
    let env = with_one_document();
    let proxy = env.proxy.as_ref().unwrap();
    let definition = doc! { "mappings": { "dynamic": true } };
    proxy.become_searchable(
        "users",
        doc! { "name": "by text", "type": "search", "definition": definition },
    );
    let created = env.ok(&["backup"]);
    let backup = created["metadata"]["id"].as_str().unwrap();
    proxy.hide_search(false);
    let refused = env.fails(3, &["restore", backup]);
    assert!(refused.contains("may not list them"), "{refused}");
    proxy.mend();
    let plan = env.ok(&["restore", backup, "--plan"]);
    let warnings = plan["warnings"].to_string();
    assert!(
        warnings.contains("search indexes of `users` are not built: this server has no search"),
        "{warnings}"
    );
    env.ok(&["restore", backup]);
}

#[test]
fn a_small_tier_takes_a_drill_and_has_nothing_of_it_afterwards() {
    let env = with_one_document();
    let indexes = [
        doc! { "key": { "a": 1 }, "name": "a", "v": 1 },
        doc! { "key": { "b": 1 }, "name": "b", "dropDups": true },
    ];
    env.command(doc! { "createIndexes": "users", "indexes": indexes.to_vec() });
    env.backup();
    let scratch = Server::start(&env.dir.path().join("scratch"));
    let tier = Proxy::start(scratch.port);
    tier.become_small_tier();
    let uri = tier.through(&scratch.uri()) + "?directConnection=true";
    let args = ["backup", "drill", "--uri-env", "SCRATCH"];
    let drill = env.finished(&args, &[("SCRATCH", uri)]);
    assert_eq!(drill.code, Some(0), "{}", drill.error());
    let drill: Value = serde_json::from_str(&drill.stdout).unwrap();
    assert_eq!(drill["differences"], serde_json::json!([]), "{drill}");
    let left = scratch
        .client()
        .database("shop")
        .list_collection_names()
        .run()
        .unwrap();
    assert!(left.iter().all(|name| name.starts_with("system.")), "{left:?}");
}
