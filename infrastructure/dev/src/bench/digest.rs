//! `bench digest`: content digests of an archive, beside `sha256sum` of the same file and a plain loop over its documents.

use anyhow::{Result, ensure};
use xshell::cmd;

use super::contest::{Run, Side};
use super::data::record;
use super::ground::Ground;
use super::measure;
use super::report::Row;
use super::work::told;
use xtask::exec::{Exec, shell_in};

const SMALLEST_BYTES: u64 = 32_000_000;

pub(super) fn run(ground: &Ground) -> Result<Vec<Row>> {
    ground.at_each_scale(|scale| at(ground, scale))
}

fn at(ground: &Ground, scale: u32) -> Result<Vec<Row>> {
    let folder = ground.new_folder()?;
    let recorded = record(folder.path(), SMALLEST_BYTES * u64::from(scale))?;
    let expected = told(recorded.digests.iter().copied());
    let (sh, us, archive) = (shell_in(folder.path())?, &ground.us, &recorded.path);
    let digests = |work: &str| {
        let (printed, cost) = measure::run(Exec::new(cmd!(sh, "{us} bench work {work} {archive}")))?;
        Ok(Run::new(cost, printed))
    };
    let sides = [
        Side::new("sha256sum", || {
            let (printed, cost) = measure::run(Exec::new(cmd!(sh, "sha256sum {archive}")))?;
            // It cannot know documents: that it read the whole file is what it can prove.
            ensure!(
                printed.starts_with(&recorded.sha256),
                "another file was hashed: {printed}"
            );
            Ok(Run::new(cost, expected.clone()))
        }),
        Side::new("plain loop", || digests("plain-digest")),
        Side::new("ours", || digests("digest")),
    ];
    ground.grown("digest", recorded.text(), scale).run(&sides)
}
