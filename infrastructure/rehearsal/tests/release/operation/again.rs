//! What may follow on a deploy or a rollback: the automatic way back, an undo of what has ended, no second try of what was
//! taken back.

use rehearsal::test_env::Served;
use rehearsal::test_env::remote::refuse_the_end;

use super::case::{Case, NEW, OLD, assert_no_drift};
use super::fault::Library;

#[test]
fn an_unhealthy_deploy_is_rolled_back_at_once_where_the_configuration_says_so() {
    let case = Case::new();
    let file = case.env.clone_dir().join("infrastructure/pipeline.toml");
    let pipeline = std::fs::read_to_string(&file).unwrap();
    let changed = pipeline.replace("on_unhealthy = \"stop\"", "on_unhealthy = \"rollback\"");
    assert_ne!(changed, pipeline);
    std::fs::write(&file, changed).unwrap();

    // Where that is refused, what is live is unhealthy all the same. For this it need not be checked for long.
    let file = case.env.clone_dir().join("infrastructure/health.toml");
    let patient = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, patient.replace("for_s = 10", "for_s = 1")).unwrap();
    case.env.commit_release("v2").unwrap();
    let refused = case.run(&["deploy"], &[("BACKUP_AGE_IDENTITY", String::new())]);
    let said = refused.stderr_tail.join("\n");
    assert_eq!(refused.code, Some(4), "{said}");
    for part in [
        "was not rolled back: ",
        "BACKUP_AGE_IDENTITY",
        &format!("next: cargo xtask rollback {} ", case.old_tag),
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }

    std::fs::write(&file, patient).unwrap();
    case.env.commit_release("v2").unwrap();
    let ended = case.run(&["deploy", "--format", "json"], &[]);
    assert_eq!(ended.code, Some(1), "{}", ended.error());
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["release"]["health"], "unhealthy");
    assert_eq!(
        report["rolled_back"]["release"]["restores"],
        case.old_tag.as_str()
    );
    assert_eq!(case.seen(), case.old());
    let said = ended.stderr_tail.join("\n");
    assert!(
        said.contains(&format!("{} is live again", case.old_tag)),
        "{said}"
    );
}

#[test]
fn what_was_taken_back_is_not_deployed_again_and_an_undo_brings_it_back() {
    let case = Case::new();
    case.env.commit_release("v3").unwrap();
    case.ok(&["deploy"]);
    let deploy = case.last_operation()["id"].as_str().unwrap().to_owned();
    let new = case.seen();
    // A backup is found by the tag of the release that it belongs to: the one that the next deploy took.
    let plan = case.ok(&["restore", &case.old_tag, "--plan", "--format", "json"]);
    let taken = case.newest_record().backup.unwrap();
    assert!(plan.stdout.contains(&taken.id), "{}", plan.stdout);
    let none = case.run(&["restore", &case.newest_record().tag, "--plan"], &[]);
    assert_ne!(none.code, Some(0), "nothing has replaced the newest release yet");
    // A deploy that has ended is undone by a rollback.
    case.ok(&["deploy", "--undo", &deploy]);
    assert_eq!(case.seen(), case.old());
    assert_no_drift(&case);
    let rollback = case.last_operation();
    assert_eq!(rollback["kind"], "rollback");

    let again = case.run(&["deploy"], &[]);
    assert_eq!(again.code, Some(3), "{}", again.error());
    assert!(
        again.stderr_tail.join("\n").contains("--allow-rolled-back"),
        "{}",
        again.error()
    );

    case.ok(&["rollback", "--undo", rollback["id"].as_str().unwrap()]);
    assert_eq!(case.seen(), new);
    assert_no_drift(&case);
    assert_eq!(case.env.served().unwrap(), Served::both(NEW));

    // The record has what the checks saw, and a later look can be compared with it.
    let tag = case.newest_record().tag;
    let compared = case.ok(&["health", "--compare", &tag, "--format", "json"]);
    let compared: serde_json::Value = serde_json::from_str(&compared.stdout).unwrap();
    assert_eq!(compared["comparison"]["earlier_verdict"], "healthy");

    // What has ended cannot be resumed, and what is a deploy is not a rollback.
    let ended = case.run(&["rollback", "--resume", rollback["id"].as_str().unwrap()], &[]);
    assert_eq!(ended.code, Some(2), "{}", ended.error());
    let other = case.run(&["rollback", "--undo", &deploy], &[]);
    assert_eq!(other.code, Some(2), "{}", other.error());

    // The end that the ledger does not take: what was asked for is live, and the exit code does not call it done.
    let hook = refuse_the_end(&case.env.folder.join("origin.git")).unwrap();
    let unrecorded = case.run(&["rollback", &case.old_tag, "--reason", "after all"], &[]);
    assert_eq!(unrecorded.code, Some(4), "{}", unrecorded.error());
    std::fs::remove_file(hook).unwrap();
    let id = case.last_operation()["id"].as_str().unwrap().to_owned();
    let said = unrecorded.stderr_tail.join("\n");
    assert!(
        said.contains("what was asked for is done and proved")
            && said.contains(&format!("cargo xtask rollback --resume {id}")),
        "{said}"
    );
    assert_eq!(case.env.served().unwrap(), Served::both(OLD));
    case.ok(&["rollback", "--resume", &id]);
    case.assert_settled("an end that was not recorded at first");
    assert_eq!(case.env.served().unwrap(), Served::both(OLD));
}

#[test]
fn the_undo_of_a_first_deploy_takes_nothing_away_and_reports_what_is_live() {
    let case = Case::without_release(str::to_owned);
    let library = Library::compile(&case.env.folder);
    let data = case.data();
    // A remote that hides the ledger takes no lock either.
    case.git("git config transfer.hideRefs refs/xtask");
    let hidden = case.run(&["deploy"], &[]);
    assert_eq!(hidden.code, Some(1), "{}", hidden.error());
    let said = hidden.stderr_tail.join("\n");
    assert!(said.contains("live: nothing live was changed"), "{said}");
    assert_eq!(
        case.env.platform_report().unwrap()["railway"]["deployments"],
        serde_json::json!([])
    );
    case.git("git config --unset transfer.hideRefs");
    let killed_after = |step: &str| {
        let at = format!(r#"text:"entry":"done","step":"{step}""#);
        let killed = case.run(&["deploy"], &library.env("/steps.jsonl", &at, "after"));
        assert_eq!(killed.code, None, "{}", killed.error());
        let id = case.last_operation()["id"].as_str().unwrap().to_owned();
        let undone = case.ok(&["deploy", "--undo", &id, "--format", "json"]);
        let undone: serde_json::Value = serde_json::from_str(&undone.stdout).unwrap();
        assert_eq!(undone["serves"], serde_json::Value::Null, "{undone}");
        case.last_operation()["ended"]["outcome"].clone()
    };
    assert_eq!(killed_after("backup"), "undone");
    assert_eq!(case.data(), data);
    // The backend is live, and nothing was before it: that is not called undone.
    assert_eq!(killed_after("backend serves"), "partial");

    case.ok(&["deploy"]);
    let live = case.seen();
    let id = case.last_operation()["id"].as_str().unwrap().to_owned();
    let refused = case.run(&["deploy", "--undo", &id], &[]);
    assert_eq!(refused.code, Some(3), "{}", refused.error());
    let said = refused.stderr_tail.join("\n");
    assert!(said.contains("live:") && said.contains("next:"), "{said}");
    assert_eq!(case.seen(), live);
    assert_eq!(live.served, Served::both(OLD));
}
