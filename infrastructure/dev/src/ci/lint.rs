//! Linters of what no compiler reads: the workflows, the composite action, the configuration and its schemas.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use xshell::{Cmd, Shell, cmd};

use rehearsal::test_env::programs::path_with;
use xtask::config::Config;
use xtask::context::PIPELINE_FILE;
use xtask::exec::Exec;
use xtask::report;
use xtask::workflows;

use crate::tools::{self, ToolStage};

/// A linter that takes longer hangs.
const DEADLINE: Duration = Duration::from_mins(3);
/// The action that installs a release.
const SETUP_ACTION: &str = "setup-action";
const SCHEMAS: &str = "infrastructure/schemas";
/// The configuration of a rehearsal has the same schema.
const REHEARSED_PIPELINE: &str = "infrastructure/rehearsal/pipeline.toml";

/// Runs every linter, so that one run shows everything; an error where one of them has found something.
pub(super) fn run(sh: &Shell, root: &Path) -> Result<()> {
    let path = path_with(&tools::resolve(root, ToolStage::Lint)?)?;
    let mut found = Vec::new();
    for command in linters(sh, root)? {
        let finished = Exec::new(command)
            .env("PATH", &path)
            .deadline(DEADLINE)
            .output()?;
        if finished.code != Some(0) {
            report::progress(&finished.stdout);
            found.push(finished.error().to_string());
        }
    }
    found.extend(ungenerated(root)?);
    ensure!(found.is_empty(), "{}", found.join("\n"));
    Ok(())
}

/// Where our own workflows do something else than pipeline.toml asks for.
fn ungenerated(root: &Path) -> Result<Vec<String>> {
    let config = Config::read(&root.join(PIPELINE_FILE))?;
    let health: Vec<String> = xtask::health::secret_names(root)?.into_iter().collect();
    let compared = workflows::compare(root, &config, &health)?;
    Ok(workflows::out_of_step(&compared))
}

fn linters<'sh>(sh: &'sh Shell, root: &Path) -> Result<Vec<Cmd<'sh>>> {
    let workflows = &files(&root.join(".github/workflows"), "yml")?;
    let actions = actions(root)?;
    let schemas = files(&root.join(SCHEMAS), "json")?;
    let pipeline_schema = root.join(SCHEMAS).join("pipeline.schema.json");
    Ok(vec![
        // What these two find inside `run:` would depend on whether they happen to be installed.
        cmd!(sh, "actionlint -no-color -shellcheck= -pyflakes= {workflows...}"),
        // actionlint does not see that an expression in `run:` is run as code; zizmor does. Offline: a verdict must not
        // depend on the network.
        cmd!(
            sh,
            "zizmor --offline --no-progress --color never --quiet .github {SETUP_ACTION}"
        ),
        cmd!(
            sh,
            "check-jsonschema --builtin-schema vendor.github-workflows {workflows...}"
        ),
        cmd!(
            sh,
            "check-jsonschema --builtin-schema vendor.github-actions {actions...}"
        ),
        cmd!(sh, "check-jsonschema --check-metaschema {schemas...}"),
        cmd!(
            sh,
            "check-jsonschema --schemafile {pipeline_schema} {PIPELINE_FILE} {REHEARSED_PIPELINE}"
        ),
    ])
}

/// The composite actions of this repository.
fn actions(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = files(&root.join(SETUP_ACTION), "yml")?;
    for folder in entries(&root.join(".github/actions"))? {
        found.extend(files(&folder, "yml")?);
    }
    Ok(found)
}

/// At least one: a linter without files would have nothing against anything.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = entries(folder)?;
    found.retain(|path| path.extension().is_some_and(|one| one == extension));
    ensure!(
        !found.is_empty(),
        "{} holds no .{extension} file",
        folder.display()
    );
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        std::fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    let mut found = read().with_context(|| format!("cannot read {}", folder.display()))?;
    found.sort();
    Ok(found)
}
