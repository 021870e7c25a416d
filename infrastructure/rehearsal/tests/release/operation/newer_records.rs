//! A release in the chain was recorded by a newer version, in the ledger, the record and the tag: what that version added shifts nothing,
//! and is kept where this version writes the record again.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::case::Case;

const LEDGER: &str = "refs/xtask/ledger/production";

fn json_of(case: &Case, args: &[&str]) -> Value {
    let shown = case.ok(&[args, &["--format", "json"]].concat());
    serde_json::from_str(&shown.stdout).unwrap()
}

/// The backup that a rollback to the release would restore.
fn planned_backup(case: &Case, tag: &str) -> Value {
    let planned = json_of(case, &["rollback", tag, "--plan"]);
    assert_eq!(planned["plan"]["verdict"]["database"], "restore", "{planned:#}");
    planned["plan"]["backup"]["id"].clone()
}

/// What is recorded of a release.
fn recorded(case: &Case, reference: &str) -> Value {
    let message = case.git(&format!("git for-each-ref --format=%(contents) {reference}"));
    serde_json::from_str(&message[message.find("\n{\n").unwrap()..]).unwrap()
}

/// Makes the newest release one of a newer version. Gives its record.
fn add_what_a_newer_version_has(case: &Case) -> Value {
    let newest = case.newest_record();
    let (tag, anchor) = (&newest.tag, newest.ledger.as_ref().unwrap());
    let reference = format!("refs/xtask/releases/{tag}");
    let mut record = recorded(case, &reference);
    record["canary"] = json!({"percent": 5.5, "regions": ["eu", null]});
    record["backup"]["region"] = "eu".into();
    record["railway"]["replicas"] = 2.into();
    let sha256 = hex::encode(Sha256::digest(serde_json::to_vec(&record).unwrap()));

    let file = case.env.folder.join("message");
    let tree = case.git(&format!("git rev-parse {reference}^{{tree}}"));
    let commit = |message: &str, parents: &str| {
        std::fs::write(&file, message).unwrap();
        case.git(&format!("git commit-tree {tree}{parents} -F {}", file.display()))
    };
    let message = format!("Release\n\n{}\n", serde_json::to_string_pretty(&record).unwrap());
    let made = commit(&message, "");
    case.git(&format!("git update-ref {reference} {made}"));
    case.git(&format!(
        "git tag --force --annotate --cleanup=verbatim --file={} {tag} {}",
        file.display(),
        newest.commit
    ));

    // The ledger from there on, as that version would have written it.
    let mut head = anchor.clone();
    let mut changed = 0;
    for event in case
        .git(&format!("git rev-list --reverse {anchor}..{LEDGER}"))
        .lines()
    {
        let text = case.git(&format!("git log -1 --format=%B {event}"));
        let (title, line) = text.trim_end().rsplit_once('\n').unwrap();
        let mut event: Value = serde_json::from_str(line).unwrap();
        event["region"] = "eu".into();
        let facts = &mut event["facts"];
        if facts["record_sha256"].is_string() {
            facts["record_sha256"] = sha256.as_str().into();
            changed += 1;
        } else if facts["tag"] == tag.as_str() {
            *facts = record.clone();
            changed += 1;
        }
        head = commit(&format!("{title}\n{event}\n"), &format!(" -p {head}"));
    }
    assert_eq!(changed, 2, "the record, and its hash");
    case.git(&format!("git update-ref {LEDGER} {head}"));
    record
}

#[test]
fn a_record_of_a_newer_version_shifts_no_backup_and_is_kept_whole() {
    let case = Case::new();
    case.env.commit_release("v3").unwrap();
    case.ok(&["deploy"]);
    let record = add_what_a_newer_version_has(&case);
    let newer = record["tag"].as_str().unwrap().to_owned();
    let (tag, reference) = (
        format!("refs/tags/{newer}"),
        format!("refs/xtask/releases/{newer}"),
    );

    let listed = json_of(&case, &["releases"]);
    for wrong in ["problems", "unreadable", "unrecorded", "drift"] {
        assert_eq!(listed[wrong], json!([]), "{wrong}: {listed:#}");
    }
    let [live, before] = [0, 1].map(|at| &listed["releases"][at]);
    assert_eq!(
        (&live["release"]["tag"], &live["live"]),
        (&record["tag"], &json!(true))
    );
    assert_eq!(before["release"]["tag"], case.old_tag.as_str());
    assert_eq!(before["backup"], record["backup"]["id"]);
    assert_eq!(planned_backup(&case, &case.old_tag), record["backup"]["id"]);

    // A tag that a job could not push follows with the next release, as it was recorded.
    case.git(&format!("git update-ref -d {tag}"));
    case.env.users_write(5, 1).unwrap();
    case.env.commit_release("v3").unwrap();
    case.ok(&["deploy"]);
    assert_eq!(recorded(&case, &tag), record);
    let next = case.newest_record();
    assert_ne!(next.tag, newer);

    // A record that is gone is written again from the ledger.
    case.git(&format!("git update-ref -d {tag}"));
    case.git(&format!("git update-ref -d {reference}"));
    case.ok(&["ledger", "--repair"]);
    assert_eq!(recorded(&case, &reference), record);
    assert_eq!(json_of(&case, &["releases"])["problems"], json!([]));

    assert_eq!(
        planned_backup(&case, &case.old_tag),
        record["backup"]["id"],
        "of the release right after it"
    );
    case.ok(&["rollback", &case.old_tag, "--reason", "test"]);
    assert_eq!(case.seen(), case.old());
    assert_eq!(recorded(&case, &reference), record);
}
