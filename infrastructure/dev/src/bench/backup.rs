//! `bench backup`: our backup beside the pipeline of shell tools that it replaces, on the same data.
//!
//! With a recorded archive in place of mongodump, so that no server is the limit; and through one server.

use std::path::Path;

use anyhow::{Result, ensure};
use xshell::cmd;

use super::contest::{Run, Side};
use super::data::{DATABASE, record, record_changed};
use super::ground::{Ground, URI_VARIABLE};
use super::live::{keep, with_server};
use super::measure;
use super::report::Row;
use super::work::told;
use xtask::exec::{Exec, shell_in};

const SMALLEST_BYTES: u64 = 32_000_000;
/// What stands in the place of mongodump where an archive is replayed: it would write its files to the disk too.
const COPY: &str = "mkdir dump && cp \"$0\" dump/archive";
/// The pipeline that ours replaces, from plain files to a checked backup.
const PIPELINE: &str = "tar czf backup.tar.gz dump
 sha256sum backup.tar.gz > backup.tar.gz.sha256
 sha256sum --check --quiet backup.tar.gz.sha256
 gzip --test backup.tar.gz";

pub(super) fn run(ground: &Ground) -> Result<Vec<Row>> {
    let mut rows = ground.at_each_scale(|scale| replayed(ground, scale))?;
    rows.extend(ground.at_each_scale(|scale| upon_a_base(ground, scale))?);
    // A server copies for minutes what is replayed in seconds: the largest size would say nothing more.
    for scale in ground.scales_below_the_largest() {
        rows.extend(through_a_server(ground, scale)?);
    }
    Ok(rows)
}

fn replayed(ground: &Ground, scale: u32) -> Result<Vec<Row>> {
    let folder = ground.new_folder()?;
    let recorded = record(folder.path(), SMALLEST_BYTES * u64::from(scale))?;
    let expected = told(recorded.digests.iter().copied());
    let (us, archive) = (&ground.us, &recorded.path);
    let ours = |encrypted: &[&str]| -> Result<Run> {
        let folder = ground.new_folder()?;
        let (sh, path) = (shell_in(folder.path())?, folder.path());
        let exec = Exec::new(cmd!(sh, "{us} bench work store {archive} {path} {encrypted...}"));
        let (printed, cost) = measure::run(exec)?;
        Ok(Run::new(cost, printed).with("stored_bytes", stored_bytes(path)? as f64))
    };
    let sides = [
        Side::new("shell pipeline", || {
            let folder = ground.new_folder()?;
            let sh = shell_in(folder.path())?;
            let script = format!("set -euo pipefail\n{COPY}\n{PIPELINE}");
            let (_, cost) = measure::run(Exec::new(cmd!(sh, "bash -c {script} {archive}")))?;
            let unpacked = Exec::new(cmd!(
                sh,
                "bash -c 'tar xzOf backup.tar.gz dump/archive | sha256sum'"
            ))
            .read()?;
            ensure!(
                unpacked.starts_with(&recorded.sha256),
                "it stored another archive"
            );
            Ok(Run::new(cost, expected.clone()).with("stored_bytes", stored_bytes(folder.path())? as f64))
        }),
        Side::new("ours", || ours(&[])),
        Side::new("ours, encrypted", || ours(&["--encrypted"])),
    ];
    ground
        .grown("backup, replayed", recorded.text(), scale)
        .run(&sides)
}

/// The same archive with 1 % of its documents changed, scattered: all of it, and what the full backup before has not.
fn upon_a_base(ground: &Ground, scale: u32) -> Result<Vec<Row>> {
    let (folder, repository) = (ground.new_folder()?, ground.repository("http://127.0.0.1:1")?);
    let bytes = SMALLEST_BYTES * u64::from(scale);
    let base = &keep(&repository, &record(folder.path(), bytes)?.path)?;
    let changed = record_changed(folder.path(), bytes, 100)?;
    let (us, archive) = (&ground.us, &changed.path);
    let stored = |upon: Option<&Path>| -> Result<Run> {
        let folder = ground.new_folder()?;
        let (sh, path) = (shell_in(folder.path())?, folder.path());
        let command = match upon {
            Some(base) => cmd!(sh, "{us} bench work store-upon {base} {archive} {path}"),
            None => cmd!(sh, "{us} bench work store {archive} {path}"),
        };
        let (printed, cost) = measure::run(Exec::new(command))?;
        Ok(Run::new(cost, printed).with("stored_bytes", stored_bytes(path)? as f64))
    };
    let sides = [
        Side::new("full", || stored(None)),
        Side::new("differential", || stored(Some(base))),
    ];
    ground
        .grown("backup, differential", changed.text(), scale)
        .run(&sides)
}

fn through_a_server(ground: &Ground, scale: u32) -> Result<Vec<Row>> {
    let folder = ground.new_folder()?;
    let recorded = record(folder.path(), SMALLEST_BYTES * u64::from(scale))?;
    let documents = format!("{} documents", recorded.documents);
    with_server(ground, |server| {
        server.fill(&recorded.path)?;
        let sides = [
            Side::new("shell pipeline", || {
                let folder = ground.new_folder()?;
                let sh = shell_in(folder.path())?;
                let script = format!(
                    "set -euo pipefail\nmongodump --quiet --uri \"${URI_VARIABLE}\" --db {DATABASE} --out dump\n{PIPELINE}"
                );
                let (_, cost) = measure::run(server.client(cmd!(sh, "bash -c {script}")))?;
                let raw: u64 = dumped_bytes(&folder.path().join("dump").join(DATABASE))?;
                ensure!(raw > 0, "mongodump wrote nothing");
                Ok(Run::new(cost, documents.clone())
                    .with("stored_bytes", stored_bytes(folder.path())? as f64))
            }),
            Side::new("ours", || {
                let repository = ground.repository("http://127.0.0.1:1")?;
                let (printed, cost) = measure::run(server.reached_by(repository.xtask(&["backup"])?))?;
                let report: serde_json::Value = serde_json::from_str(&printed)?;
                Ok(
                    Run::new(cost, format!("{} documents", report["metadata"]["documents"]))
                        .with("stored_bytes", stored_bytes(&repository.root)? as f64),
                )
            }),
        ];
        ground
            .grown("backup, one server", recorded.text(), scale)
            .run(&sides)
    })
}

fn dumped_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in folder.read_dir()? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

/// The one backup below the folder.
fn stored_bytes(folder: &Path) -> Result<u64> {
    let mut open = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in folder.read_dir()? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                open.push(path);
            } else if name.ends_with(".tar.gz") || name.ends_with(".tar.gz.age") {
                found.push(path.metadata()?.len());
            }
        }
    }
    ensure!(
        found.len() == 1,
        "a run left {} backups instead of one",
        found.len()
    );
    Ok(found[0])
}
