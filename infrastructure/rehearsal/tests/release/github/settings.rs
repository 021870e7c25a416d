//! What setup makes and doctor misses.

use serde_json::json;

use rehearsal::test_env::github::{GithubEnv, TWO_PEOPLE, pipeline};
use rehearsal::test_env::programs::repository;

#[test]
fn setup_makes_what_doctor_misses_and_then_finds_nothing_to_do() {
    let env = GithubEnv::start(
        |config| config["github"]["artifact_retention_days"] = json!(30),
        &pipeline(TWO_PEOPLE),
    );
    let (code, text) = env.said(&["doctor"]);
    assert_eq!(code, 1, "{text}");
    for named in [
        "PROBLEM  environment production-approval-1: does not exist",
        "PROBLEM  reviewers: 0 distinct, 2 approvals are required",
        "PROBLEM  artifacts: GitHub keeps them for 30 days instead of 90",
    ] {
        assert!(text.contains(named), "{named}: {text}");
    }
    let (code, text) = env.said(&["setup", "--plan"]);
    assert!(
        code == 0 && text.contains("would: protect the environment production-approval-2"),
        "{text}"
    );
    let (_, again) = env.said(&["setup", "--plan"]);
    assert_eq!(text, again, "a plan changed something");

    let secrets = [
        "PROD_RAILWAY_TOKEN",
        "PROD_VERCEL_TOKEN",
        "PROD_JWT_SECRET",
        "PROD_SESSION_SECRET",
        "PROD_GOOGLE_CLIENT_ID",
        "PROD_GOOGLE_CLIENT_SECRET",
    ];
    let (code, text) = env.said(&["setup", "--yes"]);
    assert!(
        code == 1 && text.contains("still to do: set the secret"),
        "{text}"
    );
    for name in secrets {
        env.set_secret(name);
    }
    let (code, text) = env.said(&["setup", "--yes"]);
    assert_eq!(
        (code, text.as_str()),
        (0, "example/shop is set up as configured\n")
    );
    let (_, text) = env.said(&["doctor"]);
    assert!(
        text.contains("ok       github: example/shop is set up as configured"),
        "{text}"
    );
    assert_eq!(env.report()["unimplemented"], json!([]));
}

#[test]
fn the_secrets_of_the_health_checks_are_wanted_too() {
    let env = GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE));
    let (_, text) = env.said(&["setup", "--plan"]);
    assert!(!text.contains("HEALTH_"), "{text}");
    let file = repository().join("infrastructure/health.toml");
    std::fs::copy(file, env.path("clone/infrastructure/health.toml")).unwrap();
    let (_, text) = env.said(&["setup", "--plan"]);
    for name in ["HEALTH_EMAIL", "HEALTH_PASSWORD"] {
        assert!(
            text.contains(&format!("would: set the secret {name}\n")),
            "{text}"
        );
    }
}

#[test]
fn a_gate_with_holes_is_named() {
    let env = GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE));
    for name in ["production-approval-1", "production-approval-2"] {
        env.control(
            "github/environments",
            &json!({"name": name, "can_admins_bypass": true, "prevent_self_review": false,
                    "reviewers": [{"type": "User", "login": "ann"}]}),
        );
    }
    let (code, text) = env.said(&["doctor"]);
    assert_eq!(code, 1);
    for named in [
        "production-approval-1: lets people approve their own run",
        "production-approval-1: can be bypassed by administrators",
        "reviewers: 1 distinct, 2 approvals are required",
    ] {
        assert!(text.contains(named), "{named}: {text}");
    }
}

#[test]
fn a_clock_that_is_wrong_is_named() {
    let env = GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE));
    assert!(env.said(&["doctor"]).1.contains("ok       clock"));
    env.control("clock", &json!({"advance_ms": 600_000}));
    let (code, text) = env.said(&["doctor"]);
    assert!(code == 1 && text.contains("PROBLEM  clock: "), "{text}");
}

#[test]
fn blanks_in_the_guide_are_named() {
    let env = GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE));
    std::fs::create_dir(env.path("clone/docs")).unwrap();
    let guide = env.path("clone/docs/PRODUCTION-ROLLBACK-GUIDE.md");
    std::fs::write(&guide, "call <fill in>, then <fill in>").unwrap();
    let text = env.said(&["doctor", "--config-only"]).1;
    assert!(text.contains("warning  rollback guide: 2 blanks"), "{text}");
    std::fs::write(&guide, "call 112").unwrap();
    let text = env.said(&["doctor", "--config-only"]).1;
    assert!(text.contains("ok       rollback guide"), "{text}");
}

#[test]
fn where_github_has_no_reviewers_setup_says_what_to_do_instead() {
    let env = GithubEnv::start(
        |config| config["github"]["private"] = json!(true),
        &pipeline(TWO_PEOPLE),
    );
    let (code, text) = env.said(&["setup", "--yes"]);
    assert!(
        code == 1 && text.contains("approval.method = \"signed-tag\""),
        "{text}"
    );
}
