//! What a plan has of the restore that a rollback would make: before the release, and before the rollback.

use mongodb::bson::{Document, doc};
use rehearsal::test_env::DATABASE;
use rehearsal::test_env::proxy::Proxy;
use serde_json::{Value, json};
use xtask::database::Live;
use xtask::secret::Secret;

use super::case::Case;

/// What the server lacks from then on.
type Limit<'a> = &'a dyn Fn(&Proxy);

/// The notes of a plan, which is made.
fn notes(case: &Case, args: &[&str]) -> String {
    let planned = case.ok(&[args, &["--plan", "--format", "json"]].concat());
    let plan: Value = serde_json::from_str(&planned.stdout).unwrap();
    plan["plan"]["notes"].to_string()
}

#[test]
fn the_plan_of_a_deploy_has_what_no_rollback_could_restore() {
    let case = Case::new();
    case.env.commit_release("v2").unwrap();
    let collection = case.old_data.collections.keys().next().unwrap();
    let limits: [(String, Limit); 4] = [
        (format!("`{collection}` is sharded"), &|proxy| {
            proxy.become_router_of(collection);
        }),
        ("the second copy needs about".to_owned(), &Proxy::fill_disk),
        (
            "the database user may not insert, createCollection".to_owned(),
            &Proxy::become_reader,
        ),
        ("have search indexes is not known".to_owned(), &|proxy| {
            proxy.hide_search(false);
        }),
    ];
    for (why, limit) in limits {
        assert!(!notes(&case, &["deploy"]).contains(&why), "{why}");
        limit(&case.proxy);
        let notes = notes(&case, &["deploy"]);
        assert!(notes.contains(&why), "{why}: {notes}");
        case.proxy.mend();
    }
}

#[test]
fn the_plan_of_a_rollback_has_search_indexes_change_streams_and_works_on_a_small_tier() {
    let case = Case::new();
    let collection = case.old_data.collections.keys().next().unwrap();
    let definition = doc! { "mappings": { "dynamic": true } };
    let by_text = doc! { "name": "by text", "type": "search", "definition": definition };
    case.proxy.become_searchable(collection, by_text);
    case.env.commit_release("v2").unwrap();
    let bad = case.run(&["deploy"], &[]);
    assert_eq!(bad.code, Some(4), "{}", bad.error());
    let rollback = ["rollback", &case.old_tag, "--database", "restore"];
    let planned = notes(&case, &rollback);
    let built = format!("search indexes of `{collection}` (by text) are built on the restored collection");
    assert!(planned.contains(&built), "{planned}");
    assert!(
        planned.contains("change streams end where they watch"),
        "{planned}"
    );
    // Nothing is restored: nothing of it ends.
    let keep = [
        "rollback",
        &case.old_tag,
        "--database",
        "keep",
        "--over-migrations",
    ];
    let kept = notes(&case, &keep);
    assert!(!kept.contains("change streams"), "{kept}");

    case.proxy.mend();
    case.proxy.become_small_tier();
    let planned = notes(&case, &rollback);
    assert!(planned.contains("this server has no search"), "{planned}");
    let before = case.old();
    let rolled_back = case.run(&["rollback", &case.old_tag, "--reason", "test"], &[]);
    assert_eq!(rolled_back.code, Some(0), "{}", rolled_back.error());
    assert_eq!(case.seen().data, before.data);
}

/// Of a release that changed one document nothing is copied; a collection with a collation, or a capped one, always is.
#[test]
fn a_full_disk_forbids_no_rollback_in_place() {
    let case = Case::new();
    let migration = json!({
        "collection": "users",
        "filter": { "email": "user0@rehearsal.example" },
        "update": [{ "$set": { "verified": true } }],
    });
    let live = Live::connect(&Secret::new(&case.env.uri), DATABASE).unwrap();
    for name in ["audit_log", "cities"] {
        live.database().collection::<Document>(name).drop().run().unwrap();
    }
    let before = case.seen().data;
    let file = case.env.clone_dir().join("backend/migrations/002-verified.json");
    std::fs::write(&file, migration.to_string()).unwrap();
    case.env.commit("Verified users", "main").unwrap();
    case.ok(&["deploy"]);
    assert_ne!(case.seen().data, before);
    case.proxy.fill_disk();
    let rollback = [
        "rollback",
        &case.old_tag,
        "--database",
        "restore",
        "--reason",
        "test",
        "--method",
    ];
    let refused = case.run(&[&rollback[..], &["swap"]].concat(), &[]);
    assert_eq!(refused.code, Some(3), "{}", refused.error());
    let said = refused.stderr_tail.join("\n");
    assert!(said.contains("the second copy needs about"), "{said}");
    case.ok(&[&rollback[..], &["delta"]].concat());
    assert_eq!(case.seen().data, before);
}
