//! The sample application: what each release does, who may log in, and data that is the same for the same seed.

use std::process::Command;

use crate::env::{REHEARSAL, SimulatorEnv, seed, server};
use mongodb::bson::{Document, doc};
use rehearsal::http::client::Client;
use serde_json::{Value, json};

fn prices(env: &SimulatorEnv) -> Vec<Value> {
    let (_, listing) = env.backend("/api/properties?limit=100");
    listing["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["price"].clone())
        .collect()
}

fn deploy(env: &SimulatorEnv, release: &str) {
    let id = env.up(release, &format!("release={release} sha=1"));
    assert_eq!(env.settled(&id), "SUCCESS");
}

fn write(env: &SimulatorEnv, count: u32) -> Value {
    let output = Command::new(REHEARSAL)
        .args([
            "write",
            "--base",
            &env.platform.addresses.backend,
            "--seed",
            "3",
            "--count",
            &count.to_string(),
        ])
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", crate::env::text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn each_release_does_what_its_table_says() {
    let env = SimulatorEnv::start();
    env.seed(200);
    deploy(&env, "v1");
    assert_eq!(
        env.backend("/api/features").1["features"]["online-booking"],
        false
    );
    assert_eq!(write(&env, 5)["written"], 5);
    assert_eq!(env.backend("/api/properties").1["total"], 105);
    assert!(prices(&env).iter().all(Value::is_number));

    deploy(&env, "v2-code-only");
    let (status, listing) = env.backend("/api/properties");
    assert_eq!((status, listing), (200, json!({"items": [], "total": 0})));

    deploy(&env, "v3");
    assert_eq!(env.backend("/api/features").1["features"]["online-booking"], true);
    assert_eq!(prices(&env).len(), 100);
    assert!(
        prices(&env).iter().all(Value::is_number),
        "the migration and the listing agree"
    );
    assert_eq!(write(&env, 2)["written"], 2);
    assert!(
        prices(&env).iter().all(Value::is_number),
        "users write in the new form"
    );

    let broken = env.stage("v2-frontend-fails");
    let page = Client::for_url(&broken["url"].as_str().unwrap().replace("https", "http")).unwrap();
    assert!(
        !String::from_utf8(page.get("/").unwrap().body)
            .unwrap()
            .contains("<title>")
    );
    assert_eq!(page.get("/assets/app-2.0.2.js").unwrap().status, 404);
}

#[test]
fn who_may_log_in() {
    let env = SimulatorEnv::start();
    env.seed(60);
    deploy(&env, "v1");
    let client = Client::for_url(&env.platform.addresses.backend).unwrap();
    let login = |email: &str, password: &str| {
        client
            .send_json(
                "POST",
                "/api/auth/login",
                &json!({"email": email, "password": password}),
            )
            .unwrap()
    };
    for (email, password) in [
        ("tester@rehearsal.example", "wrong"),
        ("nobody@rehearsal.example", "rehearsal"),
    ] {
        assert_eq!(login(email, password).status, 401, "{email}");
    }
    assert_eq!(
        client
            .send_json("POST", "/api/auth/login", &json!({"email": {"$ne": ""}}))
            .unwrap()
            .status,
        400
    );
    let token = login("tester@rehearsal.example", "rehearsal").parse().unwrap()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let with = client.clone().header("authorization", &format!("Bearer {token}"));
    let profile = with.get("/api/auth/profile").unwrap().parse().unwrap();
    assert_eq!(profile["email"], "tester@rehearsal.example");
    assert_eq!(
        with.get("/api/features").unwrap().parse().unwrap()["features"]["admin-tools"],
        true
    );
    assert_eq!(
        client.get("/api/features").unwrap().parse().unwrap()["features"]["admin-tools"],
        false
    );
    assert_eq!(client.get("/api/auth/profile").unwrap().status, 401);
    assert_eq!(
        client
            .clone()
            .header("authorization", "Bearer x.y.z")
            .get("/api/auth/profile")
            .unwrap()
            .status,
        401
    );
    assert_eq!(
        client
            .send_json("POST", "/api/properties", &json!({}))
            .unwrap()
            .status,
        401
    );
    assert_eq!(
        with.send_json("POST", "/api/properties", &json!({"title": "t"}))
            .unwrap()
            .status,
        400
    );
}

#[test]
fn the_same_seed_makes_the_same_data() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    seed(&server, "one", 300);
    seed(&server, "two", 300);
    let client = server.client();
    let all = |database: &str, collection: &str| -> Vec<Document> {
        let collection = client.database(database).collection::<Document>(collection);
        let found = collection.find(doc! {}).sort(doc! {"_id": 1}).run().unwrap();
        found.map(Result::unwrap).collect()
    };
    for collection in [
        "properties",
        "users",
        "bookings",
        "sessions",
        "types",
        "audit_log",
        "cities",
    ] {
        let (one, two) = (all("one", collection), all("two", collection));
        assert!(!one.is_empty(), "{collection}");
        // NaN is not equal to itself: compare as text.
        assert_eq!(format!("{one:?}"), format!("{two:?}"), "{collection}");
    }
    let indexes = |collection: &str| {
        client
            .database("one")
            .collection::<Document>(collection)
            .list_index_names()
            .run()
    };
    assert_eq!(indexes("properties").unwrap().len(), 5);
    assert_eq!(indexes("bookings").unwrap().len(), 3);
    assert_eq!(
        all("one", "featured_properties").len(),
        all("two", "featured_properties").len()
    );
}

#[test]
fn a_backend_without_its_database_says_so() {
    let mut env = SimulatorEnv::start();
    env.seed(60);
    deploy(&env, "v1");
    env.server.process.end();
    let (status, health) = env.backend("/api/health");
    assert_eq!(
        (status, &health["database"]["state"]),
        (503, &json!("unreachable"))
    );
}
