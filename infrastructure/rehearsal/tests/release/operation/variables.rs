//! Secrets of ours as variables of both platforms: set before the build and the deployment that need them, through standard
//! input, and nowhere to be read.

use sha2::{Digest as _, Sha256};

use super::case::Case;

const ANOTHER: &str = "another-secret-of-this-test";

#[test]
fn variables_are_set_on_both_platforms_before_they_are_needed() {
    let case = Case::new();
    let file = case.env.clone_dir().join("infrastructure/pipeline.toml");
    let pipeline = std::fs::read_to_string(&file).unwrap();
    let mapped = "railway = \"JWT_SECRET\"";
    assert!(pipeline.contains(mapped));
    let changed = pipeline.replace(mapped, &format!("{mapped}\nvercel = \"FRONTEND_KEY\""));
    std::fs::write(&file, changed).unwrap();
    case.env.commit_release("v3").unwrap();
    let plan = case.ok(&["deploy", "--plan", "--format", "json"]);
    let plan: serde_json::Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!(plan["plan"]["variables"], serde_json::json!([]), "it is there");
    assert_eq!(
        plan["plan"]["frontend_variables"],
        serde_json::json!(["FRONTEND_KEY"])
    );

    let secret = [("PROD_JWT_SECRET", ANOTHER.to_owned())];
    let deployed = case.run(&["deploy"], &secret);
    assert_eq!(deployed.code, Some(0), "{}", deployed.error());
    let seen = case.env.platform_report().unwrap();
    let set = serde_json::json!([{
        "key": "FRONTEND_KEY", "type": "sensitive", "target": ["production"], "value": hex::encode(Sha256::digest(ANOTHER)),
    }]);
    assert_eq!(seen["vercel"]["variables"], set);
    let requests = seen["requests"].as_array().unwrap();
    let last = |operation: &str| {
        let at = requests
            .iter()
            .rposition(|request| request["operation"] == operation);
        at.unwrap_or_else(|| panic!("nobody asked for {operation}"))
    };
    let (set, staged) = (
        last("POST /v10/projects/{project}/env"),
        last("POST /v13/deployments"),
    );
    assert!(set < staged, "a build must follow for it to count");
    assert!(last("variableCollectionUpsert") < last("up"));
    let everything = [
        deployed.stderr_tail.join("\n"),
        case.git("git log --all --format=%B"),
    ];
    for text in everything {
        assert!(!text.contains(ANOTHER), "the secret is shown: {text}");
    }
    let record = case.newest_record();
    assert_eq!(record.variables.len(), 1);

    // The release before ran with another value: who goes back is told.
    let back = case.run(&["rollback", &case.old_tag, "--plan"], &secret);
    assert!(
        back.stdout.contains("ran with other values of PROD_JWT_SECRET"),
        "{}",
        back.stdout
    );
}
