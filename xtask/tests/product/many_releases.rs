//! The number of releases has no limit: ten thousand are some years of a busy team.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};
use xtask::context::Context;
use xtask::domain::release::{Release, ReleaseRecord};
use xtask::release::releases::Releases;

use rehearsal::test_env::git::{command, git, remote_and_clone};
use rehearsal::test_env::history::PIPELINE;

const RELEASES: u64 = 10_000;
/// What a health report of some dozen checks adds to a record.
const REPORT_BYTES: usize = 2_000;
const LEDGER: &str = "refs/xtask/ledger/production";

fn tag(number: u64) -> String {
    format!(
        "prod-20250101-{:02}{:02}{:02}",
        number / 3600,
        number / 60 % 60,
        number % 60
    )
}

fn record(number: u64, commit: &str) -> Release {
    let record = json!({
        "schema": "release/1", "tag": tag(number), "environment": "production", "operation": operation(number),
        "created": "2025-01-01T00:00:00Z", "commit": commit,
        "railway": {"deployment": "d", "image_digest": null}, "vercel": {"deployment": "dpl"},
        "backup": {"id": format!("backup-{number}"), "hash": "h"}, "approvers": [], "actor": "ann", "reason": null,
        "health": "healthy", "variables": [], "schema_fingerprint": "s", "timings_ms": {},
        "health_report": {"summary": "x".repeat(REPORT_BYTES)},
    });
    ReleaseRecord::from_value(&tag(number), record).unwrap().release
}

fn operation(number: u64) -> String {
    format!(
        "20250101-{:02}{:02}{:02}-abcd",
        number / 3600,
        number / 60 % 60,
        number % 60
    )
}

/// The three events of an operation that ended well.
fn events(number: u64, release: &Release) -> [Value; 3] {
    let fence = number * 3 + 1;
    let event = |at: u64| {
        json!({
            "schema": "ledger-event/1", "seq": fence + at, "at": "2025-01-01T00:00:00Z", "operation": operation(number),
            "fence": fence,
        })
    };
    let (mut started, mut step, mut finished) = (event(0), event(1), event(2));
    let holder = json!({"user": "ann", "host": "here", "pid": 1});
    merge(
        &mut started,
        json!({
            "event": "started", "kind": "deploy", "reason": "r", "target": "t", "plan_sha256": "p", "plan": {}, "holder": holder,
            "lease_ms": 1,
        }),
    );
    merge(
        &mut step,
        json!({"event": "step", "name": "record release", "facts": release}),
    );
    let facts = json!({"tag": release.tag, "record_sha256": release.sha256().unwrap()});
    merge(
        &mut finished,
        json!({"event": "finished", "outcome": "done", "facts": facts}),
    );
    [started, step, finished]
}

fn merge(event: &mut Value, body: Value) {
    let Value::Object(body) = body else {
        unreachable!("a body is an object")
    };
    event.as_object_mut().unwrap().extend(body);
}

fn commit(stream: &mut impl std::io::Write, reference: &str, text: &str) {
    let length = text.len();
    writeln!(
        stream,
        "commit {reference}\ncommitter x <x@invalid> 1 +0000\ndata {length}\n{text}"
    )
    .unwrap();
}

/// Ledger, records and tags, by one process.
fn fill(remote: &Path, head: &str) {
    let mut child = command(remote)
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stream = std::io::BufWriter::new(child.stdin.take().unwrap());
    for number in 0..RELEASES {
        let release = record(number, head);
        let (name, message) = (&release.tag, release.message().unwrap());
        for event in events(number, &release) {
            commit(&mut stream, LEDGER, &format!("production\n\n{event}\n"));
        }
        commit(&mut stream, &format!("refs/xtask/releases/{name}"), &message);
        let length = message.len();
        writeln!(
            stream,
            "tag {name}\nfrom {head}\ntagger x <x@invalid> 1 +0000\ndata {length}\n{message}"
        )
        .unwrap();
    }
    drop(stream);
    assert!(child.wait().unwrap().success());
}

#[test]
fn ten_thousand_releases_are_read_and_each_is_compared_with_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    remote_and_clone(dir.path(), "remote.git", "clone");
    let clone = dir.path().join("clone");
    git(&clone, &["commit", "--quiet", "--allow-empty", "--message", "x"]);
    git(&clone, &["push", "--quiet", "origin", "HEAD:refs/heads/main"]);
    let head = command(&clone).args(["rev-parse", "HEAD"]).output().unwrap();
    fill(
        &dir.path().join("remote.git"),
        String::from_utf8(head.stdout).unwrap().trim(),
    );
    let pipeline = clone.join("pipeline.toml");
    std::fs::write(&pipeline, PIPELINE).unwrap();
    let ctx = Context {
        root: clone,
        config: xtask::config::Config::read(&pipeline).unwrap(),
        env_name: "production".into(),
        format: xtask::report::Format::Json,
        yes: true,
        started: Instant::now(),
    };
    let releases = Releases::read(&ctx).unwrap();
    eprintln!("read in {} ms", ctx.started.elapsed().as_millis());
    assert_eq!(releases.links.len() as u64, RELEASES);
    assert!(releases.links.iter().all(|link| link.problems.is_empty()));
    let backup = releases.backup_of(&tag(17)).unwrap().unwrap();
    assert_eq!(backup.id, "backup-18");
    assert_eq!(releases.newest().unwrap().tag, tag(RELEASES - 1));
}
