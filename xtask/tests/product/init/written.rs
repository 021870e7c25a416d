//! What is written, what is left alone, and what stops it.

use std::path::Path;
use std::process::Command;

use rehearsal::test_env::layouts::{ACTION, filled};

use super::made;
use crate::installed::xtask;

#[test]
fn what_would_hurt_stops_it_before_anything_is_written_unless_accepted_by_name() {
    let folder = made("committed-secrets");
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
    let folder = made("pnpm-folders");
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

#[test]
fn a_repository_gets_all_that_a_pipeline_needs_in_at_most_eight_files_of_which_none_is_edited_by_hand() {
    let folder = made("pnpm-folders");
    // What follows is what can be done now.
    let (_, planned, _) = xtask(folder.path(), &["init", "--offline", "--plan"]);
    assert!(
        planned.contains("  1. cargo xtask init   (writes the files") && !planned.contains("  2. "),
        "{planned}"
    );
    let (code, stdout, stderr) = xtask(folder.path(), &["init", "--offline", "--setup", ACTION]);
    assert!(stdout.contains("cargo xtask rehearse --repository /"), "{stdout}");
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
        read().contains(".example.com |")
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
fn a_folder_without_git_is_inspected_as_well() {
    let folder = made("pnpm-folders");
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
        stdout.contains("[environments.production.railway]") && stdout.contains("source = \"backend\""),
        "{stdout}"
    );
    let (code, _, stderr) = xtask(Path::new("/"), &["init", "/nonexistent"]);
    assert!(code == 2 && stderr.contains("error[init-no-folder]"), "{stderr}");
}

#[test]
fn what_the_documents_write_in_the_place_of_a_name_is_no_action() {
    let folder = made("pnpm-folders");
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
