//! A release goes out, a worse one replaces it, and the platforms go back.

use crate::env::SimulatorEnv;
use serde_json::json;

#[test]
fn a_release_goes_out_and_back() {
    let env = SimulatorEnv::start();
    env.seed(400);

    env.name_release("one", "aaa111");
    let v1 = env.up("v1", "release=one sha=aaa111");
    assert_eq!(env.settled(&v1), "SUCCESS");
    let (status, health) = env.backend("/api/health");
    assert_eq!(
        (status, &health["version"], &health["commit"]),
        (200, &json!("1.0.0"), &json!("aaa111"))
    );
    assert_eq!(health["release"], "one");
    assert_eq!(health["deployment"], v1.as_str());
    let (_, listing) = env.backend("/api/properties?limit=5");
    assert_eq!(listing["total"], 200);
    assert!(
        listing["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["price"].is_number()),
        "{listing}"
    );

    env.name_release("two", "bbb222");
    let v2 = env.up("v2", "release=two sha=bbb222");
    assert_eq!(
        env.settled(&v2),
        "SUCCESS",
        "the platform's own check does not find the fault"
    );
    assert_eq!(env.settled(&v1), "REMOVED");
    assert_eq!(env.child_pids().len(), 1, "a removed deployment does not run");
    let (_, listing) = env.backend("/api/properties?limit=5");
    assert!(
        listing["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["price"].is_null()),
        "{listing}"
    );

    let mutation = "mutation($id:String!){deploymentRollback(id:$id)}";
    let answer = env.json(
        "railway",
        &["api", mutation, "--raw-var", &format!("id={v1}"), "--compact"],
    );
    assert_eq!(answer, json!({"data": {"deploymentRollback": true}}));
    let list = env.json(
        "railway",
        &[
            "deployment",
            "list",
            "--project",
            "prj",
            "--environment",
            "env",
            "--service",
            "svc",
            "--json",
            "--limit",
            "20",
        ],
    );
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 3);
    let back = list[0]["id"].as_str().unwrap();
    assert!(back != v1 && back != v2, "a rollback makes a new deployment");
    assert_eq!(env.settled(back), "SUCCESS");
    assert_eq!(
        env.deployment(back)["meta"]["imageDigest"],
        env.deployment(&v1)["meta"]["imageDigest"]
    );
    let (_, health) = env.backend("/api/health");
    assert_eq!(
        (&health["version"], &health["commit"], &health["release"]),
        (&json!("1.0.0"), &json!("aaa111"), &json!("one")),
        "the variables go back with the image"
    );
    let (_, listing) = env.backend("/api/properties?limit=5");
    let old_items_without_price = listing["items"]
        .as_array()
        .unwrap()
        .iter()
        .all(|item| item["price"].is_null());
    assert!(
        old_items_without_price,
        "the code alone does not bring the data back: {listing}"
    );
    assert_eq!(env.report()["unimplemented"], json!([]));
    assert_eq!(env.end(), [0_u32; 0]);
}
