//! Marks that stand for what no file has.

use rehearsal::test_env::layouts::filled;

use super::made;
use crate::installed::xtask;

#[test]
fn marks_are_refused_until_they_are_filled_in_and_then_the_files_are_valid() {
    let folder = made("pnpm-folders");
    let (code, stdout, stderr) = xtask(folder.path(), &["init", "--offline"]);
    assert!(
        code == 0 && stdout.contains("written: infrastructure/pipeline.toml"),
        "{stdout}{stderr}"
    );
    let file = folder.path().join("infrastructure/pipeline.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (code, _, stderr) = xtask(folder.path(), &["doctor", "--config-only"]);
    let marks = text.matches("\"<fill in:").count();
    assert!(
        code == 2 && marks == 5 && stderr.matches("is not filled in").count() == marks,
        "{marks}: {stderr}"
    );
    let line = 1 + text
        .lines()
        .position(|line| line.starts_with("project = \"<fill in"))
        .unwrap();
    assert!(
        stderr.contains(&format!(
            "pipeline.toml:{line}:12: `project` is not filled in: the id of the project on Railway"
        )),
        "{stderr}"
    );
    // Workflows that would have a mark in them are made by nobody.
    let (code, stdout, stderr) = xtask(folder.path(), &["upgrade", "--plan"]);
    assert!(
        code == 0 && stdout.contains("fill in the marks") && !stdout.contains(".github/workflows"),
        "{stdout}{stderr}"
    );
    std::fs::write(&file, filled(&text)).unwrap();
    let (code, stdout, stderr) = xtask(folder.path(), &["doctor", "--config-only"]);
    assert!(
        code == 0 && stdout.contains("ok       health.toml: valid") && !stdout.contains("ids: "),
        "{stdout}{stderr}"
    );
    // What no platform gave as an id; the ids of accounts and projects of before there were beginnings are some.
    let text = std::fs::read_to_string(&file).unwrap();
    for (table, key, id, line) in [
        (
            "railway",
            "project",
            "x",
            "PROBLEM  ids: railway.project: x is no id",
        ),
        (
            "railway",
            "service",
            "my-backend",
            "warning  ids: railway.service: my-backend is no id",
        ),
        ("vercel", "org", "acme", "PROBLEM  ids: vercel.org: acme is no id"),
        (
            "vercel",
            "project",
            "my-site",
            "PROBLEM  ids: vercel.project: my-site is no id",
        ),
        ("vercel", "org", "kTbqFh3XvN8aZr2LwP0sYd4C", ""),
        (
            "vercel",
            "project",
            "QmRyEWfjzNEvmVuJVwpVnQZxDyeHBB5VnTSKxKJhwNVBZp",
            "",
        ),
    ] {
        let (before, after) = text
            .split_once(&format!("[environments.production.{table}]\n"))
            .unwrap();
        let at = after.find(&format!("{key} = ")).unwrap();
        let (_, rest) = after[at..].split_once('\n').unwrap();
        let changed = format!(
            "{before}[environments.production.{table}]\n{}{key} = \"{id}\"\n{rest}",
            &after[..at]
        );
        std::fs::write(&file, changed).unwrap();
        let (code, stdout, stderr) = xtask(folder.path(), &["doctor", "--config-only"]);
        assert_eq!(code, i32::from(line.starts_with("PROBLEM")), "{stdout}{stderr}");
        assert_eq!(stdout.contains("ids: "), !line.is_empty(), "{stdout}");
        assert!(stdout.contains(line), "{stdout}");
    }
}

#[test]
fn a_mark_in_the_health_checks_is_refused_too() {
    let folder = made("wrong-root-directory");
    let (code, ..) = xtask(
        folder.path(),
        &["init", "--offline", "--accept", "root-directory"],
    );
    assert_eq!(code, 0);
    let file = folder.path().join("infrastructure/pipeline.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, filled(&text)).unwrap();
    let (code, stdout, _) = xtask(folder.path(), &["doctor", "--config-only"]);
    assert!(
        code == 1 && stdout.contains("`url` is not filled in: the health route, as ${backend}/health"),
        "{stdout}"
    );
}
