//! `init`: what it finds in repositories of many forms, what it refuses, and that it writes over nothing.

mod layouts;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use layouts::{LAYOUTS, Layout, RAILWAY};
use rehearsal::test_env::git::{git, write_files};
use serde_json::Value;

use crate::installed::xtask;

/// What git always has.
const OF_GIT: [(&str, &str); 3] = [
    ("git.remote", "origin"),
    ("git.branch", "main"),
    ("github.repository", "orchard/shop"),
];

/// The layout as a clone with one commit; links of platforms are ignored there, as the platforms' programs do it.
fn made(layout: &Layout) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path(), layout.files.iter().copied());
    git(folder.path(), &["init", "--quiet", "--initial-branch=main"]);
    git(
        folder.path(),
        &["remote", "add", "origin", "git@github.com:orchard/shop.git"],
    );
    std::fs::write(folder.path().join(".git/info/exclude"), ".vercel\n").unwrap();
    let paths: Vec<&str> = layout
        .files
        .iter()
        .map(|(path, _)| *path)
        .filter(|path| !path.contains(".vercel/"))
        .collect();
    git(folder.path(), &[&["add", "--force"][..], &paths].concat());
    git(folder.path(), &["commit", "--quiet", "--message=all"]);
    folder
}

fn layout(name: &str) -> &'static Layout {
    LAYOUTS.iter().find(|layout| layout.name.contains(name)).unwrap()
}

fn planned(folder: &Path) -> Value {
    let (_, stdout, stderr) = xtask(folder, &["init", "--offline", "--plan", "--format", "json"]);
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"))
}

/// The file with something valid in the place of each mark.
const A_UUID: &str = "11111111-2222-3333-4444-55555555abcd";

fn filled(text: &str) -> String {
    let mut is_of_vercel = false;
    let line = |line: &str| {
        if line.starts_with('[') {
            is_of_vercel = line.ends_with(".vercel]");
        }
        let Some((key, _)) = line.split_once("\"<fill in:") else {
            return format!("{line}\n");
        };
        let value = match key.trim_end_matches([' ', '=']) {
            "org" => "team_x",
            "project" if is_of_vercel => "prj_x",
            "project" | "environment" | "service" => A_UUID,
            "url" => "https://x.example.com",
            "domain" => "x.example.com",
            "uri" => "PROD_X",
            "repository" => "x/y",
            "setup" => "x/y/setup-action@0000000000000000000000000000000000000000",
            _ => "x",
        };
        format!("{key}\"{value}\"\n")
    };
    text.lines().map(line).collect()
}

#[test]
fn what_the_files_of_a_repository_hold_is_found_and_nothing_wrong_is_proposed() {
    let (mut needed, mut found, mut questions, mut problems) = (0, 0, Vec::new(), Vec::new());
    for layout in LAYOUTS {
        let folder = made(layout);
        let plan = planned(folder.path());
        let keys = plan["keys"].as_array().unwrap().iter();
        questions.push(keys.clone().filter(|key| key["value"].is_null()).count());
        let mut proposed: BTreeMap<&str, &str> = keys
            .filter_map(|key| Some((key["key"].as_str()?, key["value"].as_str()?)))
            .collect();
        for (key, value) in OF_GIT.iter().chain(layout.keys) {
            needed += 1;
            match proposed.remove(key) {
                Some(is) if is == *value => found += 1,
                is => problems.push(format!("{}: {key} is {is:?}, not {value}", layout.name)),
            }
        }
        problems.extend(
            proposed
                .iter()
                .map(|(key, value)| format!("{}: {key} = {value} is wrong", layout.name)),
        );
        let mut names: Vec<&str> = plan["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        names.sort_unstable();
        names.dedup();
        if names != layout.findings {
            problems.push(format!("{}: {}", layout.name, plan["findings"]));
        }
    }
    println!(
        "keys that files hold: {found} of {needed} found in {} layouts; marks to fill in: {questions:?}",
        LAYOUTS.len()
    );
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn marks_are_refused_until_they_are_filled_in_and_then_the_files_are_valid() {
    let folder = made(layout("two folders with pnpm"));
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
fn what_the_documents_write_in_the_place_of_a_name_is_no_action() {
    let folder = made(layout("two folders with pnpm"));
    let (code, _, stderr) = xtask(
        folder.path(),
        &[
            "init",
            "--offline",
            "--setup",
            "OWNER/REPOSITORY/setup-action@COMMIT",
        ],
    );
    assert!(
        code == 2
            && stderr.contains("error[setup-action-unusable]")
            && !folder.path().join("infrastructure").exists(),
        "{stderr}"
    );
}

#[test]
fn a_mark_in_the_health_checks_is_refused_too() {
    let folder = made(layout("Root Directory is wrong"));
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
        code == 1 && stdout.contains("`url` is not filled in: the health route of the backend"),
        "{stdout}"
    );
}

#[test]
fn what_would_hurt_stops_it_before_anything_is_written_unless_accepted_by_name() {
    let folder = made(layout("committed secrets"));
    let (code, stdout, stderr) = xtask(folder.path(), &["init", "--offline"]);
    assert!(
        code == 3
            && stdout.contains("STOP     committed-but-ignored: 1 committed files are ignored by .gitignore: backend/root.pem")
            && stderr.contains("error[init-blocked]")
            && !folder.path().join("infrastructure").exists(),
        "{stdout}{stderr}"
    );
    let (code, stdout, _) = xtask(folder.path(), &["init", "--offline", "--plan"]);
    assert!(
        code == 0 && !folder.path().join("infrastructure").exists(),
        "{stdout}"
    );
    let (code, ..) = xtask(
        folder.path(),
        &[
            "init",
            "--offline",
            "--accept",
            "cargo-manifest",
            "--accept",
            "committed-but-ignored",
        ],
    );
    assert_eq!(code, 0);
}

#[test]
fn a_file_that_exists_is_left_alone_even_as_a_link_to_nowhere() {
    let folder = made(layout("two folders with pnpm"));
    let infrastructure = folder.path().join("infrastructure");
    std::fs::create_dir(&infrastructure).unwrap();
    std::fs::create_dir_all(folder.path().join(".github/workflows")).unwrap();
    let workflow = folder.path().join(".github/workflows/production-deploy.yml");
    std::fs::write(&workflow, "mine: too").unwrap();
    std::fs::write(infrastructure.join("pipeline.toml"), "mine").unwrap();
    std::os::unix::fs::symlink("/nonexistent/health.toml", infrastructure.join("health.toml")).unwrap();
    let (code, stdout, _) = xtask(folder.path(), &["init", "--offline"]);
    assert!(
        code == 0 && stdout.matches("exists, left alone").count() == 2,
        "{stdout}"
    );
    assert_eq!(
        std::fs::read_to_string(infrastructure.join("pipeline.toml")).unwrap(),
        "mine"
    );
    assert_eq!(std::fs::read_to_string(workflow).unwrap(), "mine: too");
}

const ACTION: &str = "x/y/setup-action@0000000000000000000000000000000000000000";

#[test]
fn a_repository_gets_all_that_a_pipeline_needs_in_at_most_eight_files_of_which_none_is_edited_by_hand() {
    let folder = made(layout("two folders with pnpm"));
    let (code, stdout, stderr) = xtask(folder.path(), &["init", "--offline", "--setup", ACTION]);
    let written = stdout
        .lines()
        .filter(|line| line.starts_with("written: "))
        .count();
    assert!(code == 0 && (1..=8).contains(&written), "{stdout}{stderr}");
    assert!(!stdout.contains("cargo xtask generate"), "{stdout}");
    let file = folder.path().join("infrastructure/pipeline.toml");
    std::fs::write(&file, filled(&std::fs::read_to_string(&file).unwrap())).unwrap();
    // The guide has what was filled in, and below its last comment it is the team's.
    let guide = folder.path().join("docs/PRODUCTION-ROLLBACK-GUIDE.md");
    let read = || std::fs::read_to_string(&guide).unwrap();
    std::fs::write(
        &guide,
        read().replace("| on duty | `<fill in>`", "| on duty | Ann"),
    )
    .unwrap();
    let (code, _, stderr) = xtask(folder.path(), &["generate", "--check"]);
    assert!(
        code == 1 && stderr.contains("PRODUCTION-ROLLBACK-GUIDE.md: its text is of an earlier"),
        "{stderr}"
    );
    let (code, stdout, stderr) = xtask(folder.path(), &["generate"]);
    assert!(
        code == 0 && stdout.contains("written: docs/PRODUCTION-ROLLBACK-GUIDE.md"),
        "{stdout}{stderr}"
    );
    assert!(
        read().contains("| https://x.example.com |")
            && read().contains("| on duty | Ann |")
            && !read().contains("fill in:"),
        "{}",
        read()
    );
    let mine = read();
    std::fs::write(&guide, mine.replace("any hour", "every hour")).unwrap();
    let (code, _, stderr) = xtask(folder.path(), &["generate"]);
    assert!(
        code == 3 && stderr.contains("error[workflows-edited]"),
        "{stderr}"
    );
    std::fs::write(&guide, mine).unwrap();
    // The marks are ids and addresses: no workflow has them.
    let (code, stdout, stderr) = xtask(folder.path(), &["generate", "--check"]);
    assert!(
        code == 0 && stdout.matches("up to date").count() == 4,
        "{stdout}{stderr}"
    );
    let deploy = folder.path().join(".github/workflows/production-deploy.yml");
    let text = std::fs::read_to_string(&deploy).unwrap();
    assert!(
        text.contains("MONGODB_URI: ${{ secrets.PROD_MONGODB_URI }}") && text.contains(ACTION),
        "{text}"
    );
    // Backups and state are no part of the work tree.
    std::fs::write(folder.path().join("backups/a"), "x").unwrap();
    // The folder for state ignores itself, as soon as it is there.
    xtask(folder.path(), &["backup", "list"]);
    assert!(folder.path().join(".xtask/.gitignore").is_file());
    let mut status = Command::new("git");
    status
        .args(["status", "--porcelain", "--untracked-files=all"])
        .current_dir(folder.path());
    let status = String::from_utf8(status.output().unwrap().stdout).unwrap();
    assert_eq!(status.lines().count(), written, "{status}");

    // Whoever edits a workflow keeps it.
    std::fs::write(
        &deploy,
        text.replace("timeout-minutes: 60", "timeout-minutes: 90"),
    )
    .unwrap();
    let (code, _, stderr) = xtask(folder.path(), &["generate", "--check"]);
    assert!(
        code == 1 && stderr.contains("production-deploy.yml: jobs.deploy.timeout-minutes is 90, not 60"),
        "{stderr}"
    );
    let (code, _, stderr) = xtask(folder.path(), &["generate"]);
    assert!(
        code == 3 && stderr.contains("error[workflows-edited]"),
        "{stderr}"
    );
    let (code, stdout, _) = xtask(folder.path(), &["generate", "--force"]);
    assert!(
        code == 0 && stdout.contains("written: .github/workflows/production-deploy.yml"),
        "{stdout}"
    );
    assert_eq!(std::fs::read_to_string(&deploy).unwrap(), text);
}

#[test]
fn a_file_of_another_version_deploys_nothing_and_is_enough_for_a_rollback() {
    let folder = made(layout("two folders with pnpm"));
    xtask(folder.path(), &["init", "--offline", "--setup", ACTION]);
    let file = folder.path().join("infrastructure/pipeline.toml");
    let text = filled(&std::fs::read_to_string(&file).unwrap());
    let later = text.replace("version = \"0.1\"", "version = \"7.2\"");
    let later = later.replace(
        "[environments.production.railway]",
        "[environments.production.railway]\nregion = \"x\"",
    );
    std::fs::write(&file, format!("{later}\n[canary]\npercent = 5\n")).unwrap();
    let refused = "is meant for version 7.2 of this program, and this is 0.1.0";
    for args in [&["deploy", "--plan"][..], &["generate"]] {
        let (code, _, stderr) = xtask(folder.path(), args);
        assert!(
            code == 3 && stderr.contains("error[version-other]") && stderr.contains(refused),
            "{stderr}"
        );
    }
    for args in [
        &["rollback", "prod-20260102-030405", "--plan"][..],
        &["restore", "--list"],
        &["doctor", "--config-only"],
    ] {
        let (_, _, stderr) = xtask(folder.path(), args);
        assert!(
            stderr.contains("warning: ")
                && stderr.contains(refused)
                && !stderr.contains("error[version-other]"),
            "{stderr}"
        );
        assert!(
            stderr.contains("unknown keys of infrastructure/pipeline.toml: ") && stderr.contains("canary"),
            "{stderr}"
        );
        assert!(
            stderr.contains("environments.production.railway.region"),
            "{stderr}"
        );
        assert!(!stderr.contains("error[file-invalid]"), "{stderr}");
    }
    // The same keys in a file of this version are mistakes.
    std::fs::write(&file, format!("{text}\n[canary]\npercent = 5\n")).unwrap();
    let (code, _, stderr) = xtask(folder.path(), &["rollback", "prod-20260102-030405", "--plan"]);
    assert!(code == 2 && stderr.contains("unknown field `canary`"), "{stderr}");
}

#[test]
fn a_folder_without_git_is_inspected_as_well() {
    let folder = made(layout("two folders with pnpm"));
    std::fs::remove_dir_all(folder.path().join(".git")).unwrap();
    let (code, stdout, stderr) = xtask(
        Path::new("/"),
        &["init", folder.path().to_str().unwrap(), "--offline", "--plan"],
    );
    assert!(
        code == 0 && stdout.contains("repository = \"<fill in: the repository on GitHub, owner/name>\""),
        "{stdout}{stderr}"
    );
    assert!(
        stdout.contains(&format!("[{RAILWAY}]")) && stdout.contains("source = \"backend\""),
        "{stdout}"
    );
    let (code, _, stderr) = xtask(Path::new("/"), &["init", "/nonexistent"]);
    assert!(code == 2 && stderr.contains("error[init-no-folder]"), "{stderr}");
}

#[test]
fn a_thin_crate_builds_the_program_from_its_sources_and_no_manifest_comes_into_the_root() {
    let folder = made(layout("two folders with pnpm"));
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let init = |source: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(["init", "--offline", "--from-source", source])
            .env("CARGO_NET_OFFLINE", "true")
            .current_dir(folder.path());
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code(), text.concat())
    };
    let (code, shown) = init("/nonexistent");
    assert!(
        code == Some(1)
            && !folder.path().join("xtask").exists()
            && !folder.path().join("infrastructure").exists(),
        "{shown}"
    );
    let (code, shown) = init(sources.to_str().unwrap());
    assert!(
        code == Some(0) && !folder.path().join("Cargo.toml").exists(),
        "{shown}"
    );
    let pipeline = std::fs::read_to_string(folder.path().join("infrastructure/pipeline.toml")).unwrap();
    assert!(
        pipeline.contains("setup = \"./.github/actions/xtask\""),
        "{pipeline}"
    );
    let action = std::fs::read_to_string(folder.path().join(".github/actions/xtask/action.yml")).unwrap();
    assert!(
        action.contains("cargo build --release --locked --manifest-path xtask/Cargo.toml")
            && action.matches("target/release").count() == action.matches("xtask/target/release").count()
            && !action.contains("'Cargo.lock'"),
        "{action}"
    );
    for name in ["package.json", "package-lock.json"] {
        let file = format!(".github/actions/xtask/{name}");
        assert!(
            action.contains(&file) && folder.path().join(&file).is_file(),
            "{action}"
        );
    }
    // The lock file is what the crate needs, with the versions of this repository.
    let mut resolve = Command::new("cargo");
    resolve.args([
        "tree",
        "--offline",
        "--locked",
        "--prefix",
        "none",
        "--manifest-path",
        "xtask/Cargo.toml",
    ]);
    let resolved = resolve.current_dir(folder.path()).output().unwrap();
    let tree = String::from_utf8_lossy(&resolved.stdout);
    assert!(
        resolved.status.success() && tree.starts_with("xtask-here v0.0.0") && tree.contains("\nmongodb v"),
        "{tree}{}",
        String::from_utf8_lossy(&resolved.stderr)
    );
    let ours = std::fs::read_to_string(sources.join("Cargo.lock")).unwrap();
    let theirs = std::fs::read_to_string(folder.path().join("xtask/Cargo.lock")).unwrap();
    let lines: std::collections::BTreeSet<&str> = ours.lines().collect();
    let others = theirs
        .lines()
        .filter(|line| line.starts_with("checksum") && !lines.contains(line));
    assert_eq!(others.count(), 0);
    assert!(theirs.len() < ours.len() && theirs.matches("checksum").count() > 100);
}
