//! What must be refused before anything live is touched: every problem in one list.

use std::path::PathBuf;

use rehearsal::test_env::DATABASE;
use rehearsal::test_env::proxy::Proxy;
use serde_json::json;
use xtask::database::Live;
use xtask::exec::Finished;
use xtask::secret::Secret;

use super::case::{Case, Seen};

/// A case in which a faulty release has just replaced the good one.
fn scene_with_a_bad_release() -> Case {
    let case = Case::new();
    case.env.commit_release("v2").unwrap();
    let bad = case.run(&["deploy"], &[]);
    assert_eq!(bad.code, Some(4), "{}", bad.error());
    case
}

/// Everything that a refused command must leave as it was.
fn untouched(case: &Case) -> (Seen, serde_json::Value, serde_json::Value) {
    let platforms = case.env.platform_report().unwrap();
    (
        case.seen(),
        platforms["railway"]["deployments"].clone(),
        platforms["vercel"]["deployments"].clone(),
    )
}

fn rollback(case: &Case, tag: &str, env: &[(&str, String)]) -> Finished {
    case.run(&["rollback", tag, "--reason", "test"], env)
}

/// The newest backup's file: what the faulty release was preceded by.
fn newest_backup(case: &Case) -> PathBuf {
    let listed = |folder: &PathBuf| {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    let newest = listed(&case.env.folder.join("backups"))
        .into_iter()
        .max()
        .unwrap();
    let mut files = listed(&newest).into_iter();
    files
        .find(|path| path.extension().is_some_and(|extension| extension == "age"))
        .unwrap()
}

#[test]
fn a_backup_that_was_damaged_since_is_refused() {
    let case = scene_with_a_bad_release();
    let before = untouched(&case);
    let file = newest_backup(&case);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();

    let refused = rollback(&case, &case.old_tag, &[]);
    assert_eq!(refused.code, Some(1), "{}", refused.error());
    let said = refused.stderr_tail.join("\n");
    assert!(
        said.contains("backup") && said.contains("nothing was changed"),
        "{said}"
    );
    assert_eq!(untouched(&case), before);
}

#[test]
fn a_plan_has_what_blocks_the_restore_of_its_data() {
    let case = scene_with_a_bad_release();
    let live = Live::connect(&Secret::new(&case.env.uri), DATABASE).unwrap();
    let database = live.database();
    for name in [
        "__old_20260102-030405-ab12_users",
        "__new_20260102-030405-ab12_users",
    ] {
        database.create_collection(name).run().unwrap();
    }
    let before = untouched(&case);
    for how in [&["--plan"][..], &["--reason", "test"]] {
        let refused = case.run(&[&["rollback", &case.old_tag], how].concat(), &[]);
        assert_eq!(refused.code, Some(3), "{}", refused.error());
        let said = refused.stderr_tail.join("\n");
        assert!(
            said.contains("restore 20260102-030405-ab12 stopped midway"),
            "{said}"
        );
    }
    assert_eq!(untouched(&case), before);
    for name in database.list_collection_names().run().unwrap() {
        if name.starts_with("__") {
            database
                .collection::<mongodb::bson::Document>(&name)
                .drop()
                .run()
                .unwrap();
        }
    }

    // A migration made it a time-series collection, whose name the one of the backup cannot get.
    let before = untouched(&case);
    let collection = case.old_data.collections.keys().next().unwrap();
    case.proxy.becomes_timeseries(collection);
    for how in [&["--plan"][..], &["--reason", "test"]] {
        let args = [&["rollback", &case.old_tag, "--database", "restore"], how].concat();
        let refused = case.run(&args, &[]);
        assert_eq!(refused.code, Some(3), "{}", refused.error());
        let said = refused.stderr_tail.join("\n");
        assert!(
            said.contains(&format!("`{collection}` is a time-series collection now")),
            "{said}"
        );
    }
    assert_eq!(untouched(&case), before);
}

/// What the server lacks from then on.
type Limit<'a> = &'a dyn Fn(&Proxy);

#[test]
fn the_plan_of_a_rollback_has_what_server_user_disk_and_names_forbid() {
    let case = scene_with_a_bad_release();
    let collection = case.old_data.collections.keys().next().unwrap();
    let before = untouched(&case);
    let refused = |why: &str, seen: &(Seen, serde_json::Value, serde_json::Value)| {
        for how in [&["--plan"][..], &["--reason", "test"]] {
            let args = [&["rollback", &case.old_tag, "--database", "restore"], how].concat();
            let refused = case.run(&args, &[]);
            assert_eq!(refused.code, Some(3), "{why}: {how:?}: {}", refused.error());
            let said = refused.stderr_tail.join("\n");
            assert!(said.contains(why), "{why}: {how:?}: {said}");
        }
        assert_eq!(untouched(&case), *seen, "{why}");
    };
    let limits: [(&str, Limit); 4] = [
        (
            "the database user may not insert, createCollection",
            &Proxy::become_reader,
        ),
        ("the second copy needs about", &Proxy::fill_disk),
        ("is older than the one that was dumped", &|proxy| {
            proxy.become_version("3.6.23");
        }),
        ("is sharded", &|proxy| proxy.become_router_of(collection)),
    ];
    for (why, limit) in limits {
        limit(&case.proxy);
        refused(why, &before);
        case.proxy.mend();
    }
    let live = Live::connect(&Secret::new(&case.env.uri), DATABASE).unwrap();
    live.database().create_collection("c".repeat(220)).run().unwrap();
    refused(
        "has a name too long to be kept beside the live one",
        &untouched(&case),
    );
}

#[test]
fn a_wrong_target_is_refused_with_the_right_ones() {
    let case = scene_with_a_bad_release();
    let tag = &case.old_tag;
    for wrong in [
        "prod-19990101-000000",
        "prod-1999",
        "main",
        "staging-20250101-000000",
    ] {
        let refused = rollback(&case, wrong, &[]);
        assert_eq!(refused.code, Some(2), "{wrong}: {}", refused.error());
        let said = refused.stderr_tail.join("\n");
        assert!(said.contains(&format!("choose one of: {tag}")), "{said}");
    }
    let without_reason = case.run(&["rollback", tag], &[]);
    assert_eq!(without_reason.code, Some(2), "{}", without_reason.error());
    let unconfirmed = case
        .env
        .xtask("unconfirmed", &["rollback", tag, "--reason", "test"])
        .unwrap();
    assert_eq!(unconfirmed.code, Some(3), "{}", unconfirmed.error());
    // A tag that somebody made by hand.
    case.git("git tag --annotate --message=hand-made prod-20200101-000000 main");
    let refused = rollback(&case, "prod-20200101-000000", &[]);
    assert_eq!(refused.code, Some(2), "{}", refused.error());
    assert!(
        refused.stderr_tail.join("\n").contains("has no release record"),
        "{}",
        refused.error()
    );
}

#[test]
fn all_problems_of_a_rollback_are_in_one_list() {
    let case = scene_with_a_bad_release();
    let bad = case.newest_record();
    case.env.commit_release("v3").unwrap();
    case.ok(&["deploy"]);
    let before = untouched(&case);
    // The backup that the target needs was pruned, its record was written anew, and it was never healthy.
    std::fs::remove_dir_all(newest_backup(&case).parent().unwrap()).unwrap();
    let message = bad.message().unwrap().replace(&bad.actor, "somebody else");
    let file = case.env.folder.join("message");
    std::fs::write(&file, message).unwrap();
    case.git(&format!(
        "git tag --annotate --force --cleanup=verbatim --file={} {} {}",
        file.display(),
        bad.tag,
        bad.commit
    ));
    let refused = rollback(&case, &bad.tag, &[]);
    assert_eq!(refused.code, Some(3), "{}", refused.error());
    let said = refused.stderr_tail.join("\n");
    for problem in [
        "3 problems",
        "was never healthy: its record has unhealthy",
        "is not the one that the ledger knows",
        "the backup ",
    ] {
        assert!(said.contains(problem), "{problem}: {said}");
    }
    assert_eq!(untouched(&case), before);
}

#[test]
fn a_token_that_is_missing_or_of_another_project_is_refused() {
    let case = scene_with_a_bad_release();
    let before = untouched(&case);
    let missing = rollback(
        &case,
        &case.old_tag,
        &[
            ("PROD_VERCEL_TOKEN", String::new()),
            ("PROD_MONGODB_URI", String::new()),
        ],
    );
    assert_eq!(missing.code, Some(2), "{}", missing.error());
    let said = missing.stderr_tail.join("\n");
    for name in ["PROD_VERCEL_TOKEN", "PROD_MONGODB_URI"] {
        assert!(said.contains(name), "{name}: {said}");
    }
    let file = case.env.clone_dir().join("infrastructure/pipeline.toml");
    let pipeline = std::fs::read_to_string(&file).unwrap();
    // The key of backups, also where the data are not compared; without a public one a deploy needs it too.
    let without_key = |args: &[&str]| {
        let missing = case.run(args, &[("BACKUP_AGE_IDENTITY", String::new())]);
        let said = missing.stderr_tail.join("\n");
        assert_eq!(missing.code, Some(2), "{args:?}: {said}");
        for part in ["BACKUP_AGE_IDENTITY", "live: nothing", "next: "] {
            assert!(said.contains(part), "{args:?}: {part}: {said}");
        }
    };
    without_key(&["rollback", &case.old_tag, "--plan", "--delta", "none"]);
    let only_identity = pipeline.lines().filter(|line| !line.starts_with("recipients"));
    std::fs::write(&file, only_identity.collect::<Vec<_>>().join("\n")).unwrap();
    without_key(&["deploy", "--plan"]);
    std::fs::write(
        &file,
        pipeline.replace("project = \"prj\"", "project = \"other\""),
    )
    .unwrap();
    let other = rollback(&case, &case.old_tag, &[]);
    std::fs::write(&file, pipeline).unwrap();
    assert_eq!(other.code, Some(3), "{}", other.error());
    let said = other.stderr_tail.join("\n");
    assert!(said.contains("a token of another Railway project"), "{said}");
    assert_eq!(untouched(&case), before);
}

/// A fault of the platform, until it is cleared.
fn fault(case: &Case, platform: &str, operation: &str) {
    let body = json!({"id": "x", "platform": platform, "operation": operation, "kind": "status", "status": 400, "times": 0});
    case.env.control("/faults", &body).unwrap();
}

#[test]
fn a_deploy_that_changed_nothing_has_failed_and_one_that_stopped_midway_is_recovered() {
    let case = Case::new();
    let before = case.seen();
    let failed = |ended: &Finished, code: i32, why: &str| {
        assert_eq!(ended.code, Some(code), "{}", ended.error());
        assert!(
            ended.stderr_tail.join("\n").contains(why),
            "{why}: {}",
            ended.error()
        );
    };
    failed(
        &case.run(&["recover", "--resume"], &[]),
        2,
        "no operation of production is unfinished",
    );
    case.env.commit_release("v1").unwrap();
    // GitHub ends a job at its limit: nothing is begun that may not fit.
    let ends = |text: String| [("XTASK_JOB_ENDS", text)];
    let soon = (chrono::Utc::now() + chrono::TimeDelta::seconds(90)).timestamp();
    failed(
        &case.run(&["deploy"], &ends(soon.to_string())),
        3,
        "the job ends in ",
    );
    failed(&case.run(&["deploy"], &ends("noon".into())), 2, "is not a time");

    fault(&case, "railway", "up");
    failed(&case.run(&["deploy"], &[]), 1, "nothing live was changed");
    assert_eq!(case.last_operation()["ended"]["outcome"], "failed");
    assert_eq!(case.seen(), before);

    // The domain does not move: the backend is live, and so the deploy is midway.
    case.env.control("/faults/clear", &json!({})).unwrap();
    fault(
        &case,
        "vercel",
        "POST /v10/projects/{project}/promote/{deployment}",
    );
    let stopped = case.run(&["deploy"], &[]);
    assert_eq!(stopped.code, Some(4), "{}", stopped.error());
    case.env.control("/faults/clear", &json!({})).unwrap();
    failed(&case.run(&["deploy"], &[]), 3, "was left unfinished");
    case.ok(&["recover", "--undo"]);
    assert_eq!(case.last_operation()["ended"]["outcome"], "undone");
    assert_eq!(case.seen(), before);

    let later = (chrono::Utc::now() + chrono::TimeDelta::minutes(55)).timestamp();
    let done = case.run(&["deploy"], &ends(later.to_string()));
    assert_eq!(done.code, Some(0), "{}", done.error());
}
