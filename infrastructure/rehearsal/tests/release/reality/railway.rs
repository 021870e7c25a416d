//! What Railway does beside the happy way: settings of the service, statuses, refusals, rate limits.

use serde_json::{Value, json};

use crate::operation::case::Case;

fn control(case: &Case, path: &str, body: &Value) {
    case.env.control(path, body).unwrap();
}

fn deployments(case: &Case) -> Vec<Value> {
    let report = case.env.platform_report().unwrap();
    report["railway"]["deployments"].as_array().unwrap().clone()
}

fn asked(case: &Case, operation: &str) -> usize {
    let report = case.env.platform_report().unwrap();
    let requests = report["requests"].as_array().unwrap();
    requests
        .iter()
        .filter(|request| request["operation"] == operation)
        .count()
}

#[test]
fn settings_of_the_service_and_refusals_of_the_platform_are_met() {
    let case = Case::new();
    let pipeline = case.env.clone_dir().join("infrastructure/pipeline.toml");
    let set_two = || {
        let text = std::fs::read_to_string(&pipeline).unwrap();
        let one = "railway = \"JWT_SECRET\"";
        assert!(text.contains(one));
        let two = format!(
            "{one}\n\n[[environments.production.variables]]\nsecret = \"HEALTH_EMAIL\"\nrailway = \"TEST_EMAIL\""
        );
        std::fs::write(&pipeline, text.replace(one, &two)).unwrap();
    };
    set_two();
    case.env.commit_release("v3").unwrap();

    // A root directory: the upload holds it. The variables: one request, again after its answer got lost.
    control(
        &case,
        "/railway/service",
        &json!({"root_directory": "/backend", "watch_patterns": ["/backend/**"]}),
    );
    control(
        &case,
        "/faults",
        &json!({"id": "lost", "platform": "railway", "operation": "variableCollectionUpsert", "kind": "done-then-close"}),
    );
    // And a rate limit while the deployment is waited for.
    control(
        &case,
        "/faults",
        &json!({
            "id": "limited", "platform": "railway", "operation": "deployment", "kind": "status", "status": 429,
            "times": 6, "body": "rate limit: retry-after: 1",
        }),
    );
    let before = deployments(&case).len();
    let sets = || asked(&case, "variableCollectionUpsert");
    let set_before = sets();
    let secret = [("PROD_JWT_SECRET", "another-secret-of-this-test".to_owned())];
    let deployed = case.run(&["deploy"], &secret);
    assert_eq!(deployed.code, Some(0), "{}", deployed.error());
    // The secret, whose answer is lost, once more, and what the release reports itself by.
    assert_eq!(sets() - set_before, 3);
    assert_eq!(
        deployments(&case).len(),
        before + 1,
        "a variable started a deployment"
    );
    let plan = case.run(&["deploy", "--plan", "--allow-rolled-back"], &secret);
    assert!(
        plan.stdout.contains("watch patterns (/backend/**)"),
        "{}",
        plan.error()
    );

    // A folder that no upload has there.
    control(&case, "/railway/service", &json!({"root_directory": "/server"}));
    let refused = case.run(&["deploy", "--plan"], &secret);
    assert_eq!(refused.code, Some(3), "{}", refused.error());
    let said = refused.stderr_tail.join("\n");
    assert!(said.contains("root directory on Railway is /server"), "{said}");
    control(&case, "/railway/service", &json!({}));

    // The token may not roll back: known in the plan, built again.
    control(&case, "/railway/token", &json!({"may_roll_back": false}));
    let back = ["rollback", &case.old_tag, "--reason", "test"];
    let plan = case.run(&[&back[..], &["--plan"]].concat(), &secret);
    assert!(
        plan.stdout.contains("does not let this token roll back"),
        "{}",
        plan.stdout
    );
    let done = case.run(&back, &secret);
    assert_eq!(done.code, Some(0), "{}", done.error());
    assert_eq!(case.seen(), case.old());
    assert_eq!(deployments(&case).last().unwrap()["meta"]["reason"], "deploy");
    control(&case, "/railway/token", &json!({"may_roll_back": true}));
}

#[test]
fn a_status_that_is_no_success_is_reported_with_its_meaning() {
    let case = Case::new();
    // What can still go live is midway, and can be undone; what cannot has failed, and leaves nothing to undo.
    for (status, meaning, code) in [
        ("SKIPPED", "watch patterns match nothing", 1),
        ("CANCELLED", "was replaced while it was waited for", 1),
        ("NEEDS_APPROVAL", "waits for an approval", 4),
    ] {
        case.env.commit_release("v1").unwrap();
        control(&case, "/railway/next", &json!({"status": status}));
        let stopped = case.run(&["deploy"], &[]);
        assert_eq!(stopped.code, Some(code), "{status}: {}", stopped.error());
        let said = stopped.stderr_tail.join("\n");
        assert!(said.contains(meaning), "{status}: {said}");
        let id = case.last_operation()["id"].as_str().unwrap().to_owned();
        if code == 4 {
            case.ok(&["deploy", "--undo", &id]);
        }
        assert_eq!(case.seen(), case.old(), "{status}");
    }
}

#[test]
fn a_rebuild_names_settings_of_the_service_that_are_not_those_of_the_release() {
    let case = Case::new();
    let settings = |build: Option<&str>| {
        control(
            &case,
            "/railway/service",
            &json!({ "build_command": build, "start_command": "node server.js" }),
        );
    };
    settings(None);
    case.env.commit_release("v3").unwrap();
    let deployed = case.run(&["deploy", "--format", "json"], &[]);
    let release: Value = serde_json::from_str(&deployed.stdout).unwrap();
    let recorded = &release["release"]["railway"];
    assert_eq!(
        recorded["settings"],
        json!({ "builder": "RAILPACK", "healthcheckPath": "/api/health", "startCommand": "node server.js" }),
        "{release:#}"
    );
    // The first release was built with the settings of a new service.
    let first = deployments(&case)[0]["id"].clone();
    let plan = || {
        let planned = case.run(&["rollback", &case.old_tag, "--plan"], &[]);
        planned.stdout + &planned.stderr_tail.join("\n")
    };
    settings(Some("npm run build"));
    let kept = plan();
    assert!(!kept.contains("is not set as when"), "its image has them: {kept}");
    control(&case, "/railway/purge-image", &json!({ "deployment": first }));
    let rebuilt = plan();
    assert!(
        rebuilt.contains(
            "buildCommand is `npm run build`, was nothing; startCommand is `node server.js`, was nothing"
        ),
        "{rebuilt}"
    );
    control(&case, "/railway/service", &json!({}));
    let same = plan();
    assert!(
        same.contains("is rebuilt") && !same.contains("is not set as when"),
        "{same}"
    );
}
