//! The real `gh` in place of its stand-in: setup, doctor and gate against the same simulated GitHub.
//!
//! Run by `cargo xtask ci --conformance`.

#[path = "github/world.rs"]
mod world;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use world::{TWO_PEOPLE, World, pipeline, with_run};

fn gh() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let found = xtask::tools::resolve::resolve(root, &["gh".to_owned()]).unwrap();
    found[0].path.clone()
}

fn nothing_is_simulated_less(world: &World) {
    assert_eq!(world.report()["unimplemented"], json!([]));
}

#[test]
#[ignore = "needs the real gh: cargo xtask ci --conformance"]
fn the_real_gh_sets_a_repository_up_and_doctor_agrees() {
    let world = World::start_with(&gh(), |_| {}, &pipeline(TWO_PEOPLE));
    let (code, text) = world.said(&["doctor"]);
    assert!(
        code == 1 && text.contains("PROBLEM  environment production-approval-1: does not exist"),
        "{text}"
    );
    assert!(text.contains("ok       clock"), "{text}");
    let (code, text) = world.said(&["setup", "--plan"]);
    assert!(
        code == 0 && text.contains("would: protect the environment production-approval-2"),
        "{text}"
    );
    for name in [
        "PROD_RAILWAY_TOKEN",
        "PROD_VERCEL_TOKEN",
        "PROD_JWT_SECRET",
        "PROD_SESSION_SECRET",
        "PROD_GOOGLE_CLIENT_ID",
        "PROD_GOOGLE_CLIENT_SECRET",
    ] {
        world.set_secret(name);
    }
    let (code, text) = world.said(&["setup", "--yes"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = world.said(&["setup", "--plan"]);
    assert_eq!(
        (code, text.as_str()),
        (0, "example/shop is set up as configured\n")
    );
    let (_, text) = world.said(&["doctor"]);
    assert!(
        text.contains("ok       github: example/shop is set up as configured"),
        "{text}"
    );
    nothing_is_simulated_less(&world);
}

#[test]
#[ignore = "needs the real gh: cargo xtask ci --conformance"]
fn the_real_gh_proves_approvals_and_cancels_what_waited_too_long() {
    let world = World::start_with(&gh(), |_| {}, &pipeline(TWO_PEOPLE));
    with_run(&world);
    let (code, text) = world.said(&["gate", "request", "plan.json"]);
    assert_eq!(code, 0, "{text}");
    world.approve("ann", "production-approval-1");
    let (code, text) = world.said(&["gate", "verify", "plan.json"]);
    assert!(
        code == 3 && text.contains("1 of 2 approvals count (ann)"),
        "{text}"
    );
    world.approve("bob", "production-approval-2");
    let (code, text) = world.said(&["gate", "verify", "plan.json", "--format", "json"]);
    assert_eq!(code, 0, "{text}");
    let approved: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(approved["approvers"], json!(["ann", "bob"]));

    let old = chrono::Utc::now() - chrono::TimeDelta::hours(25);
    world.control("github/runs", &json!({"id": 8, "created_at": old.to_rfc3339()}));
    let (code, text) = world.said(&["gate", "sweep"]);
    assert!(code == 0 && text.contains("1 runs cancelled"), "{text}");
    nothing_is_simulated_less(&world);

    let config = "version: 1\nhttp_unix_socket: /nowhere\n";
    std::fs::write(world.path("gh/config.yml"), config).unwrap();
    let (code, text) = world.said(&["gate", "verify", "plan.json"]);
    assert!(
        code == 3 && text.contains("it cannot be told who approved"),
        "{text}"
    );
}
