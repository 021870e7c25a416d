//! The ledger says which releases there are. What the remote has beside them does not count; what it lacks or has otherwise is
//! named, and nothing is decided by it.

use rehearsal::test_env::Served;
use rehearsal::test_env::remote::hook;
use serde_json::Value;
use xshell::{Shell, cmd};
use xtask::domain::release::Release;
use xtask::exec::Finished;

use super::case::{Case, OLD};

/// The remote is no repository any more once it has the end of an operation.
const AWAY_AFTER_THE_END: &str = "#!/bin/sh
while read -r old new reference; do
  case $reference in
    refs/xtask/ledger/*) git log -1 --format=%B \"$new\" | grep -q '\"event\": *\"finished\"' && mv HEAD HEAD.away ;;
  esac
done
exit 0
";
/// A tag of the future, which sorts behind all others.
const FORGED: &str = "prod-29991231-235959";

fn told(ended: &Finished) -> String {
    ended.stderr_tail.join("\n")
}

fn refused(case: &Case, args: &[&str], expected: &str) {
    let ended = case.run(args, &[]);
    assert_eq!(ended.code, Some(3), "{args:?}: {}", ended.error());
    let told = told(&ended);
    assert!(
        told.contains(expected) && told.contains("next:"),
        "{args:?}: {told}"
    );
}

fn plan(case: &Case) -> Value {
    let planned = case.ok(&["rollback", &case.old_tag, "--plan", "--format", "json"]);
    serde_json::from_str(&planned.stdout).unwrap()
}

/// References that anybody who may push can make.
fn make_others(case: &Case, newest: &Release) {
    let file = case.env.folder.join("message");
    let mut forged = newest.clone();
    forged.tag = FORGED.into();
    let elsewhere = forged.message().unwrap().replace("\"production\"", "\"staging\"");
    for (tag, message) in [
        (FORGED, forged.message().unwrap()),
        (
            "prod-20200101-000000",
            elsewhere.replace(FORGED, "prod-20200101-000000"),
        ),
    ] {
        std::fs::write(&file, message).unwrap();
        case.git(&format!(
            "git tag --annotate --cleanup=verbatim --file={} {tag} main",
            file.display()
        ));
    }
    // Its error has a part of it: a title, a cleared screen, a row, a mark of direction.
    let acts = "\"x\\u001b]0;title\\u0007\\u009b2J\\n live  prod-20990101-000000\\u202e\"";
    let row = forged.message().unwrap().replace("\"healthy\"", acts);
    assert!(row.contains("prod-2099"));
    std::fs::write(&file, row.replace(FORGED, "prod-20200101-000004")).unwrap();
    case.git(&format!(
        "git tag --annotate --cleanup=verbatim --file={} prod-20200101-000004 main",
        file.display()
    ));
    std::fs::write(&file, b"Release \xff\n").unwrap();
    let blob = case.git(&format!("git hash-object -w {}", file.display()));
    let tree = case.git("git rev-parse main^{tree}");
    for (name, object) in [
        ("tags/prod-20200101-000001", &blob),
        ("tags/prod-20200101-000002", &tree),
        ("xtask/releases/prod-20200101-000003", &blob),
    ] {
        case.git(&format!("git update-ref refs/{name} {object}"));
    }
}

#[test]
fn the_chain_of_releases_is_that_of_the_ledger_whatever_the_remote_has() {
    let case = Case::new();
    case.env.commit_release("v3").unwrap();
    case.ok(&["deploy"]);
    let newest = case.newest_record();
    let (tag, record) = (
        format!("refs/tags/{}", newest.tag),
        format!("refs/xtask/releases/{}", newest.tag),
    );
    let backup = newest.backup.clone().unwrap().id;
    let anchor = newest.ledger.clone().unwrap();
    case.git(&format!(
        "git merge-base --is-ancestor {anchor} refs/xtask/ledger/production"
    ));
    let rollback = ["rollback", &case.old_tag, "--reason", "test", "--plan"];

    make_others(&case, &newest);
    let listed = case.ok(&["releases"]).stdout;
    for line in [
        &format!("not in the ledger, does not count: {FORGED}"),
        "not in the ledger, does not count: prod-20200101-000000",
        "unreadable: prod-20200101-000001",
        "unreadable: prod-20200101-000002",
        "unreadable: prod-20200101-000003",
        "unreadable: prod-20200101-000004",
        &format!(" live  {}", newest.tag),
    ] {
        assert!(listed.contains(line), "{line}: {listed}");
    }
    assert!(!listed.contains("\n live  prod-2099"), "{listed}");
    assert!(
        !listed.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']),
        "{listed:?}"
    );
    let planned = plan(&case);
    assert_eq!(planned["plan"]["from"], newest.tag.as_str());
    assert_eq!(planned["plan"]["backup"]["id"], backup.as_str());
    refused(
        &case,
        &["rollback", FORGED, "--reason", "test"],
        "no operation in the ledger made it",
    );

    let object = case.git(&format!("git rev-parse {record}"));
    case.git(&format!("git update-ref -d {tag}"));
    case.git(&format!("git update-ref -d {record}"));
    refused(
        &case,
        &rollback,
        &format!("the release {} of the ledger is missing", newest.tag),
    );
    refused(&case, &["deploy", "--plan"], "cargo xtask ledger --repair");
    case.ok(&["ledger", "--repair"]);
    assert_ne!(case.git(&format!("git rev-parse {record}")), "");
    assert_eq!(plan(&case)["plan"]["backup"]["id"], backup.as_str());

    case.git(&format!("git update-ref {tag} main~1"));
    refused(&case, &rollback, &format!("the tag {} was moved", newest.tag));
    refused(
        &case,
        &["ledger", "--repair"],
        "problems cannot be repaired by this command",
    );
    case.git(&format!("git update-ref -d {tag}"));
    // The release is recorded without its tag too: a job's token may not push it.
    assert_eq!(plan(&case)["plan"]["backup"]["id"], backup.as_str());
    case.git(&format!("git update-ref {record} {object}"));

    case.git("git config transfer.hideRefs refs/xtask/ledger");
    for args in [&rollback[..], &["deploy", "--plan"], &["ledger"], &["releases"]] {
        refused(&case, args, "has no ledger of production");
    }
    case.git("git config --unset transfer.hideRefs");
    case.ok(&["rollback", &case.old_tag, "--reason", "test"]);
    assert_eq!(case.env.served().unwrap(), Served::both(OLD));
}

/// Somebody changes the frontend by hand.
fn promote_by_hand(case: &Case, deployment: &str) {
    let sh = Shell::new().unwrap();
    sh.change_dir(&case.env.folder);
    let token = &case.env.environment()["PROD_VERCEL_TOKEN"];
    case.env
        .in_env(cmd!(
            sh,
            "vercel rollback {deployment} --yes --timeout 5m --scope team_x"
        ))
        .env("VERCEL_TOKEN", token)
        .env("VERCEL_ORG_ID", "team_x")
        .env("VERCEL_PROJECT_ID", "prj_x")
        .run()
        .unwrap();
}

#[test]
fn what_an_undo_or_a_rollback_would_mean_beyond_its_name_is_refused_or_told() {
    let case = Case::new();
    let first = case.newest_record();
    case.env.commit_release("v3").unwrap();
    case.ok(&["deploy"]);
    let deploy = case.last_operation()["id"].as_str().unwrap().to_owned();
    let rollback = ["rollback", &case.old_tag, "--reason", "test"];
    case.ok(&rollback);
    let earlier = case.last_operation()["id"].as_str().unwrap().to_owned();
    let again = case.newest_record().tag;
    refused(&case, &["deploy", "--undo", &deploy], "which was replaced since");
    refused(&case, &rollback, &format!("is live already, as {again}"));

    // The remote goes away once it has the end: what is live is no less known for that.
    case.env.commit_release("v2").unwrap();
    let origin = case.env.folder.join("origin.git");
    let hook = hook(&origin, "post-receive", AWAY_AFTER_THE_END).unwrap();
    let partial = case.run(&["deploy"], &[]);
    std::fs::remove_file(&hook).unwrap();
    let head = case.env.folder.join("origin.git/HEAD");
    std::fs::rename(head.with_extension("away"), &head).unwrap();
    assert_eq!(partial.code, Some(4), "{}", partial.error());
    assert!(
        told(&partial).contains("next: cargo xtask "),
        "{}",
        told(&partial)
    );
    assert!(
        told(&partial).contains("the frontend still serves what it served before"),
        "{}",
        told(&partial)
    );
    assert_eq!(case.last_operation()["ended"]["outcome"], "partial");
    let planned = plan(&case)["plan"]["notes"].to_string();
    assert!(
        planned.contains(&format!("was live a second time, as {again}")),
        "{planned}"
    );

    case.env.commit_release("v3").unwrap();
    case.ok(&["deploy"]);
    refused(
        &case,
        &["rollback", "--undo", &earlier],
        "which was replaced since",
    );
    promote_by_hand(&case, &first.parts.frontends["frontend"].deployment);
    refused(&case, &["deploy", "--plan"], "drift: the frontend serves");
    refused(&case, &rollback, "drift: the frontend serves");
    let allowed = ["--plan", "--allow-drift", "--format", "json"];
    let allowed: Value = serde_json::from_str(&case.ok(&[&rollback[..], &allowed].concat()).stdout).unwrap();
    assert_eq!(allowed["plan"]["verdict"]["database"], "restore");
}
