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
    let github = env.report()["github"].clone();
    assert_eq!(
        github["secrets"],
        json!([]),
        "one branch with a workflow reads them all"
    );
    let kept = github["environment_secrets"]["production"].as_array().unwrap();
    for name in secrets.iter().chain(&["PROD_MONGODB_URI", "BACKUP_AGE_IDENTITY"]) {
        assert!(kept.contains(&json!(name)), "{name}: {github}");
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
fn the_secrets_of_health_checks_and_drills_are_wanted_too() {
    let drill = "[backup]\ndrill_uri = \"DRILL_MONGODB_URI\"\n";
    let env = GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE).replace("[backup]\n", drill));
    let (_, text) = env.said(&["setup", "--plan"]);
    assert!(!text.contains("HEALTH_"), "{text}");
    let file = repository().join("infrastructure/health.toml");
    std::fs::copy(file, env.path("clone/infrastructure/health.toml")).unwrap();
    let (_, text) = env.said(&["setup", "--plan"]);
    for name in ["HEALTH_EMAIL", "HEALTH_PASSWORD", "DRILL_MONGODB_URI"] {
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
fn a_workflow_that_github_does_not_run_any_more_is_named() {
    let env = GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE));
    assert!(!env.said(&["doctor"]).1.contains("GitHub does not run"));
    for (file, state) in [
        ("restore-drill.yml", "disabled_inactivity"),
        ("ci.yml", "disabled_manually"),
    ] {
        let path = format!(".github/workflows/{file}");
        env.control("github/workflows", &json!({"path": path, "state": state}));
    }
    let (code, text) = env.said(&["doctor"]);
    assert!(
        code == 1
            && text.contains("PROBLEM  workflows: GitHub does not run restore-drill.yml (disabled_inactivity)\n         fix: gh workflow enable restore-drill.yml"),
        "{text}"
    );
    assert!(!text.contains("ci.yml"), "not of this program: {text}");
}

#[test]
fn a_workflow_that_does_not_do_what_pipeline_toml_asks_for_is_named() {
    let env = GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE));
    let health = repository().join("infrastructure/health.toml");
    std::fs::copy(health, env.path("clone/infrastructure/health.toml")).unwrap();
    let (code, text) = env.said(&["generate"]);
    assert_eq!(code, 0, "{text}");
    let found = "warning  workflows: ";
    let (_, text) = env.said(&["doctor", "--config-only"]);
    assert!(!text.contains(found), "{text}");
    let file = env.path("clone/.github/workflows/production-deploy.yml");
    let ours = std::fs::read_to_string(&file).unwrap();
    for (right, wrong, named) in [
        ("branches: [main]", "branches: [master]", "on.push.branches[0]"),
        ("needs: approval-2", "needs: request", "jobs.deploy.needs"),
        (
            "environment: production-approval-1",
            "environment: a",
            "jobs.approval-1.environment",
        ),
        ("PROD_JWT_SECRET: ", "JWT: ", "env.PROD_JWT_SECRET is missing"),
    ] {
        assert!(ours.contains(right), "{right}");
        std::fs::write(&file, ours.replacen(right, wrong, 1)).unwrap();
        let (_, text) = env.said(&["doctor", "--config-only"]);
        let mut lines = text.lines().filter(|line| line.contains(found));
        assert!(lines.any(|line| line.contains(named)), "{named}: {text}");
    }
}

#[test]
fn a_rollback_that_github_would_not_offer_is_named() {
    let env = GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE));
    assert!(!env.said(&["doctor"]).1.contains("default branch"));
    let mut branch = json!({"name": "develop", "workflows": ["ci.yml"]});
    env.control("github/default-branch", &branch);
    let (code, text) = env.said(&["doctor"]);
    let found = "PROBLEM  default branch: it is develop, which has no production-rollback.yml";
    assert!(code == 1 && text.contains(found), "{text}");
    branch["workflows"] = json!(["production-rollback.yml"]);
    env.control("github/default-branch", &branch);
    let (_, text) = env.said(&["doctor"]);
    let found = "warning  default branch: schedules run as develop has them, and releases come from main";
    assert!(text.contains(found), "{text}");
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
fn what_a_release_would_fail_at_later_is_a_problem_of_the_configuration() {
    let env = GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE));
    let template = repository().join("infrastructure/health.toml");
    let health = std::fs::read_to_string(template).unwrap();
    let file = env.path("clone/infrastructure/health.toml");
    std::fs::write(&file, health.replace("\"features\"", "\"api\"")).unwrap();
    let (code, text) = env.said(&["doctor", "--config-only"]);
    assert_eq!(code, 1, "{text}");
    for named in [
        "infrastructure/health.toml has no critical check in the group `features`",
        "values of the template: railway.project, railway.environment, railway.service",
        "railway.source: there is no folder backend",
        "no commit has anything at backend/migrations",
    ] {
        assert!(text.contains(named), "{named}: {text}");
    }
    let without_page = health.replace(
        "group = \"performance\"\nretry = { for_s = 10 }",
        "group = \"performance\"\nseverity = \"warning\"",
    );
    std::fs::write(&file, without_page).unwrap();
    let text = env.said(&["doctor", "--config-only"]).1;
    assert!(
        text.contains("no critical check of the kind `frontend`"),
        "{text}"
    );
    // Somebody types a secret where a value, a name or a key stands.
    for (right, wrong) in [
        ("${secret:HEALTH_PASSWORD}", "${secret:sk_live_51H8}"),
        ("${secret:HEALTH_PASSWORD}", "${sk_live_51H8}"),
        ("method = \"POST\"", "method = \"sk_live_51H8\""),
        (
            "headers = { authorization = \"Bearer ${token}\" }",
            "headers = \"Bearer sk_live_51H8\"",
        ),
        ("schema = \"health/1\"", "schema = \"sk_live_51H8\""),
        ("schema = \"health/1\"", "schema = \"health/1\"\nsk_live_51H8 = 1"),
    ] {
        assert!(health.contains(right), "{right}");
        std::fs::write(&file, health.replacen(right, wrong, 1)).unwrap();
        let text = env.said(&["doctor", "--config-only"]).1;
        assert!(
            !text.contains("51H8") && text.contains("health.toml:"),
            "{wrong}: {text}"
        );
    }
    std::fs::write(&file, health).unwrap();
    let text = env.said(&["doctor", "--config-only"]).1;
    assert!(text.contains("ok       health.toml"), "{text}");
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

#[test]
fn a_secret_of_the_repository_is_a_gap_and_setup_moves_it_to_the_environment() {
    let exposed = [
        "PROD_MONGODB_URI",
        "PROD_VERCEL_TOKEN",
        "SLACK_WEBHOOK_URL",
        "OTHER",
    ];
    let env = GithubEnv::start(
        |config| config["github"]["secrets"] = json!(exposed),
        &pipeline(TWO_PEOPLE),
    );
    let gap = |name: &str| {
        format!("secret {name}: belongs to the repository, so that a workflow of any branch can read it")
    };
    let (_, text) = env.said(&["doctor"]);
    for name in &exposed[..3] {
        assert!(text.contains(&gap(name)), "{name}: {text}");
    }
    assert!(!text.contains(&gap("OTHER")), "{text}");
    // Only the value that is known here can be moved: GitHub gives none back.
    env.said(&["setup", "--yes"]);
    let github = env.report()["github"].clone();
    assert_eq!(
        github["secrets"],
        json!(["OTHER", "PROD_VERCEL_TOKEN", "SLACK_WEBHOOK_URL"]),
        "{github}"
    );
    for name in ["PROD_VERCEL_TOKEN", "SLACK_WEBHOOK_URL"] {
        env.set_secret(name);
    }
    env.said(&["setup", "--yes"]);
    assert_eq!(env.report()["github"]["secrets"], json!(["OTHER"]));
    let (_, text) = env.said(&["doctor"]);
    assert!(!text.contains("belongs to the repository"), "{text}");
}

#[test]
fn setup_makes_the_key_of_the_backups_once_and_tells_where_it_must_be_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    let env = GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE));
    let file = env.path("clone/.xtask/keys/backup-age-identity.txt");
    let (_, text) = env.said(&["setup", "--plan"]);
    assert!(
        text.contains("would: make the key of the backups: the secret BACKUP_AGE_IDENTITY, and the file ")
            && !file.exists(),
        "{text}"
    );
    let (_, text) = env.said(&["setup", "--yes"]);
    assert!(
        text.contains("keep it outside of GitHub and of this machine"),
        "{text}"
    );
    let key = std::fs::read_to_string(&file).unwrap();
    let secret = key
        .lines()
        .find(|line| line.starts_with("AGE-SECRET-KEY-1"))
        .unwrap();
    assert!(!text.contains(secret), "{text}");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let kept = &env.report()["github"]["environment_secrets"]["production"];
    assert!(
        kept.as_array().unwrap().contains(&json!("BACKUP_AGE_IDENTITY")),
        "{kept}"
    );
    // Another key would lock everybody out of the backups that were made with the first.
    env.said(&["setup", "--yes"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), key);
}

#[test]
fn backups_in_the_clear_are_a_problem_where_others_can_read_them() {
    let clear = pipeline(TWO_PEOPLE).replace("identity = \"BACKUP_AGE_IDENTITY\"", "");
    let env = GithubEnv::start(|_| {}, &clear);
    let file = repository().join("infrastructure/health.toml");
    std::fs::copy(file, env.path("clone/infrastructure/health.toml")).unwrap();
    let (code, text) = env.said(&["doctor", "--config-only"]);
    assert!(
        code == 1
            && text.contains(
                "PROBLEM  backups: not encrypted, which is refused for GitHub (artifacts of workflow runs)"
            ),
        "{text}"
    );
    let allowed = clear.replace(
        "unencrypted = \"refuse\"",
        "unencrypted = \"let-others-read-them\"",
    );
    std::fs::write(env.path("clone/infrastructure/pipeline.toml"), allowed).unwrap();
    let (code, text) = env.said(&["doctor", "--config-only"]);
    // What is left from the template stays a problem.
    assert!(
        code == 1
            && !text.contains("PROBLEM  backups")
            && text.contains("warning  backups: not encrypted: others can read them"),
        "{text}"
    );
}

#[test]
fn a_rollback_of_normal_urgency_has_a_reviewer_and_a_critical_one_is_reviewed_afterwards() {
    let approval = TWO_PEOPLE.replace(
        "[approval.reviewers]",
        "rollback = \"production-rollback\"\n[approval.reviewers]\nproduction-rollback = [\"ann\", \"bob\"]",
    );
    let env = GithubEnv::start(|_| {}, &pipeline(&approval));
    let gap = "PROBLEM  environment production-rollback: does not exist";
    let (_, text) = env.said(&["doctor"]);
    assert!(text.contains(gap), "{text}");
    let (_, text) = env.said(&["setup", "--yes"]);
    assert!(
        text.contains("protect the environment production-rollback: reviewers ann, bob"),
        "{text}"
    );
    let (_, text) = env.said(&["doctor"]);
    assert!(!text.contains(gap) && !text.contains("rollback review"), "{text}");
    // Reviewers of rollbacks do not count for a release.
    let people = "PROBLEM  reviewers:";
    assert!(!text.contains(people), "{text}");

    let critical = [
        "gate",
        "review-later",
        "--tag",
        "prod-20260101-000000",
        "--reason",
        "@everybody\n# data lost",
    ];
    for _ in 0..2 {
        let (code, text) = env.said(&critical);
        assert!(
            code == 0 && text.contains("https://github.com/example/shop/issues/1"),
            "{text}"
        );
    }
    let issues = env.report()["github"]["issues"].clone();
    assert_eq!(issues.as_array().unwrap().len(), 1, "{issues}");
    let body = issues[0]["body"].as_str().unwrap();
    assert!(body.contains("\n    reason: @everybody # data lost\n"), "{body}");
    let reminder = "nobody has closed it: Review the rollback to prod-20260101-000000 in production";
    let (_, text) = env.said(&["doctor"]);
    assert!(text.contains(reminder), "{text}");
    env.control("github/close-issue", &json!({"number": 1}));
    let (_, text) = env.said(&["doctor"]);
    assert!(!text.contains(reminder), "{text}");
}
