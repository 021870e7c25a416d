//! The database's check against a real server.

use std::net::TcpListener;

use mongodb::bson::{Document, doc};

use super::server::check;
use rehearsal::test_env::process::told;
use rehearsal::test_env::restore::RestoreEnv;

#[test]
fn the_database_is_asked_itself() {
    let mut env = RestoreEnv::start();
    let things = env.collection("things");
    things
        .insert_many([
            doc! {"_id": 1, "of": "a"},
            doc! {"_id": 2, "of": "a"},
            doc! {"_id": 3, "of": "b"},
        ])
        .run()
        .unwrap();
    let look = |env: &RestoreEnv, lines: &str, uri: Option<String>| {
        let health = format!(
            "schema = \"health/1\"\n[check.it]\ngroup = \"database\"\n[check.it.database]\ncollection = \"things\"\ntimeout_ms = 5000\n{lines}\n"
        );
        std::fs::write(env.root().join("infrastructure/health.toml"), health).unwrap();
        let mut command = env.xtask(&["health", "--format", "json"]);
        if let Some(uri) = uri {
            command.env("TEST_MONGODB_URI", uri);
        }
        let output = command.output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", told(&output)));
        (
            report["verdict"].as_str().unwrap().to_owned(),
            check(&report, "it").clone(),
        )
    };
    let table = [
        ("p95_ms = 60000", "healthy", "over 20 queries"),
        (
            "filter = { of = \"a\" }\nmin_documents = 2",
            "healthy",
            "over 20 queries",
        ),
        (
            "filter = { of = \"a\" }\nmin_documents = 3",
            "unhealthy",
            "finds 2 documents in things instead of at least 3",
        ),
        ("p95_ms = 0", "unhealthy", "at most 0 ms are allowed"),
        (
            "roles = [\"readWrite\"]",
            "unhealthy",
            "lacks the role `readWrite`",
        ),
        ("marker_collection = \"_health\"", "healthy", "over 20 queries"),
        ("marker_collection = \"_health\"", "healthy", "over 20 queries"),
    ];
    for (lines, verdict, message) in table {
        let (given, it) = look(&env, lines, None);
        assert_eq!(given, verdict, "{lines}: {it:#}");
        assert!(
            it["message"].as_str().unwrap().contains(message),
            "{lines}: {it:#}"
        );
    }
    let markers = env
        .collection("_health")
        .count_documents(Document::new())
        .run()
        .unwrap();
    assert_eq!(markers, 1, "the marker must not grow");
    let (_, it) = look(&env, "", None);
    assert_eq!(it["facts"]["writable_primary"], true);
    assert!(it["facts"]["p50_ms"].is_number(), "{it:#}");

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("mongodb://app:hunter2-hunter2@{}/", silent.local_addr().unwrap());
    let (verdict, it) = look(&env, "", Some(uri));
    assert_eq!(verdict, "unknown", "{it:#}");
    assert!(!it.to_string().contains("hunter2"), "{it:#}");
    env.server.kill();
    let (verdict, it) = look(&env, "", None);
    assert_eq!(verdict, "unhealthy", "{it:#}");
    assert!(
        it["message"].as_str().unwrap().contains("cannot connect"),
        "{it:#}"
    );
}
