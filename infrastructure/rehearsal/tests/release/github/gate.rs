//! Two other people approve this plan in time, or nothing goes on.

use std::process::Command;

use serde_json::{Value, json};

use rehearsal::test_env::github::{GithubEnv, TWO_PEOPLE, pipeline, with_run};

#[test]
fn two_others_approve_this_plan_of_this_run_or_nothing_goes_on() {
    let env = GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE));
    with_run(&env);
    let refused = |plan: &str, why: &str| {
        let (code, text) = env.said(&["gate", "verify", plan]);
        assert_eq!(code, 3, "{text}");
        assert!(text.contains(why), "{why}: {text}");
    };
    refused("plan.json", "has requested no approval");
    let (code, text) = env.said(&["gate", "request", "plan.json"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = env.said(&["gate", "request", "other.json"]);
    assert!(code == 3 && text.contains("another plan"), "{text}");

    refused("plan.json", "0 of 2 approvals count");
    env.approve("dev", "production-approval-1");
    refused("plan.json", "dev is the author");
    env.approve("ann", "some-other-environment");
    refused("plan.json", "0 of 2 approvals count; dev is the author");
    env.approve("ann", "production-approval-1");
    env.approve("ann", "production-approval-2");
    refused(
        "plan.json",
        "1 of 2 approvals count (ann); dev is the author; ann counts once",
    );
    // Who wrote the commit is an author, whoever pushed it.
    env.control("github/commits", &json!({"commit": "0", "author": "cleo"}));
    env.approve("cleo", "production-approval-2");
    refused(
        "plan.json",
        "1 of 2 approvals count (ann); dev is the author; ann counts once; cleo is the author",
    );
    env.approve("bob", "production-approval-2");
    let (code, text) = env.said(&["gate", "verify", "plan.json", "--format", "json"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap()["approvers"],
        json!(["ann", "bob"])
    );
    refused("other.json", "bob approved another plan");

    env.control(
        "github/runs",
        &json!({"id": 7, "actor": "dev", "triggering_actor": "dev", "run_attempt": 2}),
    );
    refused("plan.json", "is a re-run");
    std::fs::write(
        env.path("gh/config.yml"),
        "version: 1\nhttp_unix_socket: /nowhere\n",
    )
    .unwrap();
    refused("plan.json", "cannot determine the approvers");
}

/// What `gate request` records, at another time.
fn request_at(env: &GithubEnv, at: chrono::DateTime<chrono::Utc>) {
    let plan: Value =
        serde_json::from_str(&std::fs::read_to_string(env.path("clone/plan.json")).unwrap()).unwrap();
    let request = json!({"schema": "approval-request/1", "environment": "production", "run": 7,
                         "plan_sha256": plan["plan_sha256"], "requested_at": at, "requested_by": "dev"});
    let message = format!("x\n\n{request}");
    let identity = ["-c", "user.name=Dev", "-c", "user.email=dev@example.com"];
    let commit = ["commit-tree", "-m", &message, "HEAD^{tree}"];
    let commit = env.git_as_user(&[&identity[..], &commit].concat());
    let reference = format!("+{commit}:refs/xtask/gate/production/7");
    env.git_as_user(&["push", "--quiet", "origin", &reference]);
}

#[test]
fn approvals_count_for_a_day_and_not_a_second_longer() {
    let env = GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE));
    with_run(&env);
    env.approve("ann", "production-approval-1");
    env.approve("bob", "production-approval-2");
    let day = chrono::TimeDelta::hours(24);
    request_at(&env, chrono::Utc::now() - day - chrono::TimeDelta::seconds(1));
    let (code, text) = env.said(&["gate", "verify", "plan.json"]);
    assert!(
        code == 3 && text.contains("the approval of ann is older than 24 h"),
        "{text}"
    );
    request_at(&env, chrono::Utc::now() - day + chrono::TimeDelta::minutes(2));
    let (code, text) = env.said(&["gate", "verify", "plan.json"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_plan_that_was_changed_by_hand_is_found() {
    let env = GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE));
    with_run(&env);
    let file = env.path("clone/plan.json");
    let text = std::fs::read_to_string(&file).unwrap().replace("abc", "abd");
    std::fs::write(&file, text).unwrap();
    let (code, text) = env.said(&["gate", "request", "plan.json"]);
    assert!(
        code == 3 && text.contains("does not have the hash it claims"),
        "{text}"
    );
}

#[test]
fn the_sweeper_cancels_only_what_waited_for_more_than_a_day() {
    let env = GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE));
    let at = |hours: i64| (chrono::Utc::now() - chrono::TimeDelta::hours(hours)).to_rfc3339();
    for (id, hours) in [(1, 25), (2, 23)] {
        env.control("github/runs", &json!({"id": id, "created_at": at(hours)}));
    }
    // A workflow of the team may wait for as long as it likes.
    let of_team = json!({"id": 3, "created_at": at(25), "path": ".github/workflows/deploy-docs.yml"});
    env.control("github/runs", &of_team);
    let (code, text) = env.said(&["gate", "sweep", "--format", "json"]);
    assert_eq!(code, 0, "{text}");
    let swept: Value = serde_json::from_str(text.split_inclusive("\n}\n").next().unwrap()).unwrap();
    assert_eq!(swept["cancelled"], json!([1]));
}

#[test]
fn signed_tags_of_known_keys_approve_and_no_others() {
    let env = GithubEnv::start(|_| {}, &pipeline("method = \"signed-tag\"\nrequired = 2\n"));
    env.plan("plan.json", &json!({"commit": "abc"}));
    let mut approvers = String::new();
    for who in ["ann", "bob", "dev", "eve"] {
        let key = env.path(who);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .status()
            .unwrap();
        assert!(made.success());
        if who != "eve" {
            let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
            approvers += &format!("{who}@example.com {public}");
        }
    }
    std::fs::write(env.path("clone/infrastructure/approvers"), approvers).unwrap();
    let sign_as = |who: &str| {
        let config = format!(
            "[user]\n\tname = {who}\n\temail = {who}@example.com\n\tsigningKey = {}\n[gpg]\n\tformat = ssh\n",
            env.path(who).display()
        );
        std::fs::write(env.path(".gitconfig"), config).unwrap();
    };
    let approve = |who: &str| {
        sign_as(who);
        let (code, text) = env.said(&["gate", "approve", "plan.json", "--format", "json"]);
        assert_eq!(code, 0, "{text}");
        let tagged: Value = serde_json::from_str(&text).unwrap();
        tagged["tag"].as_str().unwrap().to_owned()
    };
    let refused = |why: &str| {
        let (code, text) = env.said(&["gate", "verify", "plan.json"]);
        assert!(code == 3 && text.contains(why), "{why}: {text}");
    };
    refused("0 of 2 approvals count");
    sign_as("eve");
    let (code, text) = env.said(&["gate", "approve", "plan.json"]);
    assert!(
        code == 3 && text.contains("by a key that is not in infrastructure/approvers"),
        "{text}"
    );
    let tags = env.git_as_user(&["tag", "--list"]);
    assert_eq!(tags, "", "a tag that never counts stays");

    approve("dev");
    refused("dev@example.com is the author");
    let of_ann = approve("ann");
    approve("ann");
    refused("1 of 2 approvals count (ann@example.com)");
    refused("ann@example.com counts once");
    // Tags that somebody who may push makes by hand.
    let prefix = of_ann.rsplit_once('-').unwrap().0;
    let push = |name: &str, object: &str| {
        env.git_as_user(&["push", "--quiet", "origin", &format!("{object}:refs/tags/{name}")]);
    };
    let signed = env.git_as_user(&["cat-file", "tag", &of_ann]);
    sign_as("eve");
    env.git_as_user(&["tag", "--sign", "--message", "mine", "by-eve"]);
    push(&format!("{prefix}-0000000e"), "refs/tags/by-eve");
    refused("is signed by a key that is not in infrastructure/approvers");
    let forged = signed.replace("Approval for production", "Approval for Production");
    assert_ne!(forged, signed);
    std::fs::write(env.path("forged"), forged).unwrap();
    let file = env.path("forged");
    let object = env.git_as_user(&["hash-object", "-t", "tag", "-w", file.to_str().unwrap()]);
    push(&format!("{prefix}-0000000f"), &object);
    refused("was changed after it was signed");
    env.git_as_user(&["tag", "--annotate", "--message", "no", "plain"]);
    push(&format!("{prefix}-00000010"), "refs/tags/plain");
    refused("is not signed");
    // The signature for one plan, under the name of another.
    env.plan("other.json", &json!({"commit": "def"}));
    sign_as("bob");
    let (_, text) = env.said(&["gate", "approve", "other.json", "--format", "json"]);
    let other: Value = serde_json::from_str(&text).unwrap();
    push(
        &format!("{prefix}-00000011"),
        &format!("refs/tags/{}", other["tag"].as_str().unwrap()),
    );
    refused("bob@example.com approved another plan");
    approve("bob");
    let (code, text) = env.said(&["gate", "verify", "plan.json"]);
    assert!(
        code == 0 && text.contains("ann@example.com, bob@example.com"),
        "{text}"
    );
}
