//! The number of releases has no limit: ten thousand are some years of a busy team.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};
use xtask::context::Context;
use xtask::domain::release::{Release, ReleaseRecord};
use xtask::release::ledger_repair;
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

/// A commit of the second `at`.
fn commit(stream: &mut impl std::io::Write, reference: &str, at: u64, text: &str) {
    let length = text.len();
    writeln!(
        stream,
        "commit {reference}\ncommitter x <x@invalid> {at} +0000\ndata {length}\n{text}"
    )
    .unwrap();
}

fn import(repository: &Path, write: impl FnOnce(&mut dyn std::io::Write)) {
    let mut child = command(repository)
        .args(["fast-import", "--quiet", "--force"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stream = std::io::BufWriter::new(child.stdin.take().unwrap());
    write(&mut stream);
    drop(stream);
    assert!(child.wait().unwrap().success());
}

/// Ledger, records and tags, by one process.
fn fill(remote: &Path, head: &str, releases: u64) {
    import(remote, |stream| write_releases(stream, head, releases));
}

fn write_releases(mut stream: &mut dyn std::io::Write, head: &str, releases: u64) {
    for number in 0..releases {
        let release = record(number, head);
        let (name, message) = (&release.tag, release.message().unwrap());
        for event in events(number, &release) {
            commit(&mut stream, LEDGER, 1, &format!("production\n\n{event}\n"));
        }
        commit(&mut stream, &format!("refs/xtask/releases/{name}"), 1, &message);
        let length = message.len();
        writeln!(
            stream,
            "tag {name}\nfrom {head}\ntagger x <x@invalid> 1 +0000\ndata {length}\n{message}"
        )
        .unwrap();
    }
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

fn context(clone: &Path) -> Context {
    let pipeline = clone.join("pipeline.toml");
    std::fs::write(&pipeline, PIPELINE).unwrap();
    Context {
        root: clone.to_owned(),
        config: xtask::config::Config::read(&pipeline).unwrap(),
        env_name: "production".into(),
        format: xtask::report::Format::Json,
        yes: true,
        started: Instant::now(),
    }
}

fn rev(repository: &Path, name: &str) -> String {
    let output = command(repository).args(["rev-parse", name]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_ledger_that_was_written_anew_is_named_by_each_release_that_was_recorded_with_the_old_one() {
    let dir = with_releases(2);
    let remote = dir.path().join("remote.git");
    let ctx = context(&dir.path().join("clone"));
    let (head, anchor) = (rev(&remote, "main"), rev(&remote, LEDGER));
    let release = Release {
        ledger: Some(anchor.clone()),
        ..record(2, &head)
    };
    let append = |from: &str, at: u64| {
        import(&remote, |mut stream| {
            for (number, event) in events(2, &release).into_iter().enumerate() {
                let text = format!("production\n\n{event}\n");
                let length = text.len();
                let from = if number == 0 {
                    format!("\nfrom {from}")
                } else {
                    String::new()
                };
                writeln!(
                    stream,
                    "commit {LEDGER}\ncommitter x <x@invalid> {at} +0000\ndata {length}\n{text}{from}"
                )
                .unwrap();
            }
            let record = format!("refs/xtask/releases/{}", release.tag);
            commit(&mut stream, &record, at, &release.message().unwrap());
        });
    };
    append(&anchor, 1);
    let releases = Releases::read(&ctx).unwrap();
    assert_eq!(releases.links.len(), 3);
    assert!(
        releases.links.iter().all(|link| link.problems.is_empty()),
        "{:?}",
        releases.links
    );

    // The same events with one word changed, and all later ones upon them.
    let first = events(0, &record(0, &head));
    import(&remote, |mut stream| {
        for number in 0..2 {
            let release = record(number, &head);
            for event in events(number, &release) {
                let event = event.to_string().replace("\"ann\"", "\"eve\"");
                commit(&mut stream, LEDGER, 1, &format!("production\n\n{event}\n"));
            }
        }
    });
    assert!(first[0].to_string().contains("\"ann\""));
    append(&rev(&remote, LEDGER), 1);
    let releases = Releases::read(&ctx).unwrap();
    assert_eq!(releases.links.len(), 3);
    assert_eq!(
        releases.doubts(&release.tag),
        [format!(
            "the ledger was rewritten: it had the commit {anchor} when {} was recorded",
            release.tag
        )]
    );
    let repair = ledger_repair::plan(&ctx).unwrap();
    assert!(repair.push.is_empty() && repair.adopt.is_empty());
    assert!(
        repair.left[0].contains("refs/xtask/seen/xtask/ledger/production"),
        "{:?}",
        repair.left
    );

    // The advice: without the ledger a new one takes all of them over, and the old one is no longer missed.
    git(&remote, &["update-ref", "-d", LEDGER]);
    let repair = ledger_repair::plan(&ctx).unwrap();
    assert_eq!(repair.adopt.len(), 3);
    ledger_repair::carry_out(&ctx, &repair).unwrap();
    let releases = Releases::read(&ctx).unwrap();
    assert!(releases.doubts(&release.tag).is_empty(), "{:?}", releases.links);
}

#[test]
fn ten_thousand_releases_are_read_and_each_is_compared_with_the_ledger() {
    let dir = with_releases(RELEASES);
    let ctx = context(&dir.path().join("clone"));
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
