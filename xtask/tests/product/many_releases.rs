//! The number of releases has no limit: ten thousand are some years of a busy team.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
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
fn fill(remote: &Path, head: &str, releases: u64) {
    let mut child = command(remote)
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stream = std::io::BufWriter::new(child.stdin.take().unwrap());
    for number in 0..releases {
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

fn with_releases(count: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    remote_and_clone(dir.path(), "remote.git", "clone");
    let clone = dir.path().join("clone");
    git(&clone, &["commit", "--quiet", "--allow-empty", "--message", "x"]);
    git(&clone, &["push", "--quiet", "origin", "HEAD:refs/heads/main"]);
    let head = command(&clone).args(["rev-parse", "HEAD"]).output().unwrap();
    let head = String::from_utf8(head.stdout).unwrap();
    fill(&dir.path().join("remote.git"), head.trim(), count);
    dir
}

#[test]
fn ten_thousand_releases_are_read_and_each_is_compared_with_the_ledger() {
    let dir = with_releases(RELEASES);
    let clone = dir.path().join("clone");
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

#[test]
fn releases_are_listed_while_one_platform_hangs_and_another_is_away() {
    let dir = with_releases(3);
    let clone = dir.path().join("clone");
    std::fs::create_dir(clone.join("infrastructure")).unwrap();
    std::fs::write(clone.join("infrastructure/pipeline.toml"), PIPELINE).unwrap();
    let programs = dir.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    for (name, does) in [("railway", "exec sleep 600"), ("vercel", "exit 1")] {
        let file = programs.join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{does}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["releases", "--format", "json"])
        .env_clear()
        .env("PATH", path)
        .env("HOME", dir.path())
        .env("RAILWAY", "t")
        .env("VERCEL", "t")
        .current_dir(&clone)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let listing: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(listing["releases"][0]["release"]["tag"], tag(2), "{listing:#}");
    assert_eq!(listing["releases"][0]["live"], false);
    let unanswered = listing["unanswered"].to_string();
    for named in [
        "Railway (what the backend serves)",
        "Vercel (what the frontend serves)",
    ] {
        assert!(unanswered.contains(named), "{unanswered}");
    }
    for named in [
        "the list is not complete: Railway",
        "nothing was changed",
        "cargo xtask doctor",
    ] {
        assert!(errors.contains(named), "{errors}");
    }
}
