//! The real `gh` in place of its stand-in: setup, doctor and gate against the same simulated GitHub. What it asks, and
//! what is said of it, must be the same.
//!
//! Run by `cargo xtask ci --conformance`.

use std::path::Path;

use rehearsal::test_env::github::{GithubEnv, TWO_PEOPLE, pipeline, with_run};
use rehearsal::test_env::programs::built;
use serde_json::{Value, json};

use crate::compare::{Told, assert_alike};
use crate::names::Names;
use crate::{real, requests};

/// Commands of one story, told one after the other.
struct Story {
    env: GithubEnv,
    told: Told,
    steps: usize,
    requests: usize,
}

impl Story {
    fn with(gh: &Path) -> Self {
        Self {
            env: GithubEnv::start_with(gh, |_| {}, &pipeline(TWO_PEOPLE)),
            told: Told::default(),
            steps: 0,
            requests: 0,
        }
    }

    fn said(&mut self, args: &[&str]) -> (i32, String) {
        let (code, text) = self.env.said(args);
        self.tell(&args.join(" "), &text);
        (code, text)
    }

    fn set_secret(&mut self, name: &str) {
        self.env.set_secret(name);
        self.tell(&format!("secret {name}"), "");
    }

    /// What was asked since the last step, and what was said.
    fn tell(&mut self, step: &str, said: &str) {
        let report = self.env.report();
        assert_eq!(report["unimplemented"], json!([]));
        let requests = report["requests"].as_array().unwrap();
        self.steps += 1;
        let title = format!("{} {step}", self.steps);
        let mut names = Names::default();
        names.add(self.env.folder.path().to_str().unwrap(), "(folder)");
        for (what, lines) in requests::asked(&requests[self.requests..], &names) {
            self.told.sections.insert(format!("{title}: {what}"), lines);
        }
        self.requests = requests.len();
        // What a program itself says is quoted behind a bar.
        let said = said.lines().filter(|line| !line.trim_start().starts_with('|'));
        let said = said.map(|line| names.text(line)).collect();
        self.told.sections.insert(format!("{title}: says"), said);
    }
}

fn set_up(gh: &Path) -> Told {
    let mut story = Story::with(gh);
    let (code, text) = story.said(&["doctor"]);
    assert!(
        code == 1 && text.contains("PROBLEM  environment production-approval-1: does not exist"),
        "{text}"
    );
    assert!(text.contains("ok       clock"), "{text}");
    let (code, text) = story.said(&["setup", "--plan"]);
    assert!(
        code == 0 && text.contains("would: protect the environment production-approval-2"),
        "{text}"
    );
    // The secrets go into the environment, which has to be there.
    let (code, text) = story.said(&["setup", "--yes"]);
    assert!(
        code == 1 && text.contains("still to do: set the secret"),
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
        story.set_secret(name);
    }
    let (code, text) = story.said(&["setup", "--yes"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = story.said(&["setup", "--plan"]);
    assert_eq!(
        (code, text.as_str()),
        (0, "example/shop is set up as configured\n")
    );
    let (_, text) = story.said(&["doctor"]);
    assert!(
        text.contains("ok       github: example/shop is set up as configured"),
        "{text}"
    );
    story.told
}

#[test]
#[ignore = "needs the real gh: cargo xtask ci --conformance"]
fn the_real_gh_sets_a_repository_up_as_the_stand_in_does() {
    assert_alike("setup", &set_up(&built("standin-gh")), &set_up(&real("gh")));
}

fn approve(gh: &Path) -> Told {
    let mut story = Story::with(gh);
    with_run(&story.env);
    let (code, text) = story.said(&["gate", "request", "plan.json"]);
    assert_eq!(code, 0, "{text}");
    story.env.approve("ann", "production-approval-1");
    let (code, text) = story.said(&["gate", "verify", "plan.json"]);
    assert!(
        code == 3 && text.contains("1 of 2 approvals count (ann)"),
        "{text}"
    );
    story.env.approve("bob", "production-approval-2");
    let (code, text) = story.said(&["gate", "verify", "plan.json", "--format", "json"]);
    assert_eq!(code, 0, "{text}");
    let approved: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(approved["approvers"], json!(["ann", "bob"]));

    let old = chrono::Utc::now() - chrono::TimeDelta::hours(25);
    let waiting = json!({"id": 8, "created_at": old.to_rfc3339()});
    story.env.control("github/runs", &waiting);
    let (code, text) = story.said(&["gate", "sweep"]);
    assert!(code == 0 && text.contains("1 runs cancelled"), "{text}");

    let config = "version: 1\nhttp_unix_socket: /nowhere\n";
    std::fs::write(story.env.path("gh/config.yml"), config).unwrap();
    let (code, text) = story.said(&["gate", "verify", "plan.json"]);
    assert!(
        code == 3 && text.contains("cannot determine the approvers"),
        "{text}"
    );
    story.told
}

#[test]
#[ignore = "needs the real gh: cargo xtask ci --conformance"]
fn the_real_gh_proves_approvals_and_cancels_as_the_stand_in_does() {
    assert_alike("gate", &approve(&built("standin-gh")), &approve(&real("gh")));
}
