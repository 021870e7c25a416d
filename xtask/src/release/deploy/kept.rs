//! Which parts of a release did not change since the live one: they keep their deployment.

use std::path::Path;

use anyhow::Result;

use crate::config::Schema;
use crate::context::Context;
use crate::domain::commit::CommitId;
use crate::domain::parts::ReleaseParts;
use crate::release::platforms::Serving;
use crate::release::releases::Releases;
use crate::release::variables::Variables;
use crate::tools::git::Git;

/// The parts whose files and variables are those of what is live, with the commit that each was built from; `None` where all are
/// deployed. A pipeline with one of each deploys both each time. Where the live release was never healthy, nothing is kept: to
/// deploy it again may be the repair.
pub(super) fn unchanged(
    ctx: &Context,
    git: &Git,
    commit: &CommitId,
    releases: &Releases,
    serving: &Serving,
) -> Result<Option<ReleaseParts>> {
    if ctx.config.schema == Schema::V1 {
        return Ok(None);
    }
    let (Some(last), Some(expected)) = (releases.newest(), releases.expected_live()) else {
        return Ok(None);
    };
    if !releases.is_good(ctx, last) {
        return Ok(None);
    }
    let variables = Variables::read(ctx)?;
    let live = expected.parts.built_from(&last.commit);
    let mut kept = ReleaseParts::default();
    let is_same = |part: &str, from: Option<&String>, folders: &[&Path], beside: bool| -> Result<bool> {
        let from = from.and_then(|from| git.resolve(from).ok());
        let Some(from) = from.filter(|_| !folders.is_empty()) else {
            return Ok(false);
        };
        let files_are_same = !is_changed(git, &from, commit, folders, beside)?;
        Ok(files_are_same && !variables.is_changed_for(part, last)?)
    };
    for backend in &ctx.env().backends {
        let recorded = live.backends.get(&backend.name);
        let Some(recorded) = recorded.filter(|recorded| serving.has_backend(&backend.name, recorded)) else {
            continue;
        };
        let folders = folders(&backend.folder, &backend.shares);
        if is_same(
            &backend.name,
            recorded.commit.as_ref(),
            &folders,
            backend.is_uploaded_whole(),
        )? {
            kept.backends.insert(backend.name.clone(), recorded.clone());
        }
    }
    for frontend in &ctx.env().frontends {
        let recorded = live.frontends.get(&frontend.name);
        let Some(recorded) = recorded.filter(|recorded| serving.has_frontend(&frontend.name, recorded))
        else {
            continue;
        };
        let folders = folders(&frontend.folder, &frontend.shares);
        if is_same(&frontend.name, recorded.commit.as_ref(), &folders, true)? {
            kept.frontends.insert(frontend.name.clone(), recorded.clone());
        }
    }
    Ok(Some(kept).filter(|kept| !kept.is_empty()))
}

fn folders<'a>(own: &'a Path, shares: &'a [std::path::PathBuf]) -> Vec<&'a Path> {
    let shares = shares.iter().map(std::path::PathBuf::as_path);
    std::iter::once(own).chain(shares).collect()
}

/// Whether a file of the folders differs; with `beside`, also one in the root of the repository: lock files and manifests of
/// workspaces are there.
fn is_changed(git: &Git, from: &CommitId, to: &CommitId, folders: &[&Path], beside: bool) -> Result<bool> {
    let paths: Vec<String> = folders
        .iter()
        .map(|folder| folder.to_string_lossy().into_owned())
        .collect();
    if !git.changed_paths(from, to, &paths)?.is_empty() {
        return Ok(true);
    }
    let in_root = |path: &String| !path.contains('/');
    Ok(beside && git.changed_paths(from, to, &[])?.iter().any(in_root))
}
