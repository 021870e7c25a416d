//! Migrations that only add leave the database where it is; over others, the older code needs a word of the operator.

use mongodb::bson::{Document, doc};
use mongodb::sync::{Client, Database};
use rehearsal::test_env::DATABASE;
use serde_json::Value;

use super::case::Case;

const ADDS: &str = "module.exports = {
  async up(db) {
    await db.createCollection('audits');
    await db.collection('audits').createIndex({ at: 1 });
  },
  async down(db) {
    await db.collection('audits').drop();
  },
};
";
const DESTROYS: &str =
    "exports.up = async (db) => db.collection('audits').updateMany({}, { $unset: { at: 1 } });\n";

fn database(case: &Case) -> Database {
    Client::with_uri_str(&case.env.uri).unwrap().database(DATABASE)
}

/// Commits a migration beside those of the sample, and releases it.
fn release(case: &Case, name: &str, text: &str) {
    let folder = case.env.clone_dir().join("backend/migrations");
    std::fs::write(folder.join(name), text).unwrap();
    case.env.commit_release("v1").unwrap();
    case.ok(&["deploy"]);
}

fn plan(case: &Case, more: &[&str]) -> Value {
    let args = ["rollback", &case.old_tag, "--plan", "--format", "json"];
    let shown = case.ok(&[&args[..], more].concat());
    serde_json::from_str::<Value>(&shown.stdout).unwrap()["plan"].clone()
}

#[test]
fn migrations_that_only_add_keep_the_database_and_others_need_a_word() {
    let case = Case::new();
    let database = database(&case);
    database
        .run_command(doc! { "createIndexes": "audits", "indexes": [{ "key": { "at": 1 }, "name": "at_1" }] })
        .run()
        .unwrap();
    let applied = doc! { "fileName": "010-audits.js", "appliedAt": mongodb::bson::DateTime::now() };
    database
        .collection::<Document>("changelog")
        .insert_one(applied)
        .run()
        .unwrap();
    release(&case, "010-audits.js", ADDS);

    let kept = plan(&case, &[]);
    assert_eq!(kept["verdict"]["database"], "keep", "{kept:#}");
    assert!(
        kept["verdict"]["why"].as_str().unwrap().contains("only add"),
        "{kept:#}"
    );
    assert_eq!(kept["migrations"][0]["class"], "additive");

    release(&case, "011-forget.js", DESTROYS);
    let args = [
        "migrations",
        "--since",
        &case.old_tag,
        "--applied",
        "--format",
        "json",
    ];
    let listed: Value = serde_json::from_str(&case.ok(&args).stdout).unwrap();
    let shown: Vec<_> = listed["migrations"].as_array().unwrap().iter().collect();
    let seen = shown
        .iter()
        .map(|one| (one["class"].as_str().unwrap(), &one["applied"], &one["has_down"]));
    assert_eq!(
        seen.collect::<Vec<_>>(),
        [
            ("additive", &Value::Bool(true), &Value::Bool(true)),
            ("destructive", &Value::Bool(false), &Value::Bool(false)),
        ]
    );

    // The code before it is deployed again: newest and target have the same migrations, and the data are what it left.
    std::fs::remove_file(case.env.clone_dir().join("backend/migrations/011-forget.js")).unwrap();
    case.env.commit_release("v1").unwrap();
    case.ok(&["deploy"]);
    assert_eq!(plan(&case, &[])["verdict"]["database"], "restore");
    let keep = ["--database", "keep"];
    let refused = case.run(&[&["rollback", &case.old_tag, "--plan"], &keep[..]].concat(), &[]);
    assert_eq!(refused.code, Some(3), "{}", refused.error());
    let told = refused.stderr_tail.join("\n");
    assert!(
        told.contains("011-forget.js") && told.contains("--over-migrations"),
        "{told}"
    );
    let accepted = plan(&case, &["--database", "keep", "--over-migrations"]);
    assert_eq!(accepted["verdict"]["database"], "keep");
}

#[test]
fn what_was_taken_away_beside_additive_migrations_brings_the_data_back() {
    let case = Case::new();
    release(&case, "010-audits.js", ADDS);
    assert_eq!(plan(&case, &[])["verdict"]["database"], "keep");
    database(&case)
        .run_command(doc! { "dropIndexes": "properties", "index": "*" })
        .run()
        .unwrap();
    let verdict = plan(&case, &[])["verdict"].clone();
    assert_eq!(verdict["database"], "restore", "{verdict:#}");
    assert!(
        verdict["why"].as_str().unwrap().contains("`properties`: index"),
        "{verdict:#}"
    );
}
