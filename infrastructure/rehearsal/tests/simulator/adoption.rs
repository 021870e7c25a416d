//! What `init` asks the platforms where somebody is logged in.

use std::path::Path;
use std::process::{Command, Output};

use rehearsal::test_env::git::{commit_first, git, write_files};
use rehearsal::test_env::programs::{PRODUCT, built};
use serde_json::{Value, json};

use crate::env::{ACCOUNT, SimulatorEnv, text};

const VERCEL_TOKEN: &str = "tokenofvercel";
const FILES: &[(&str, &str)] = &[
    (
        "backend/package.json",
        r#"{"name":"api","scripts":{"start":"node ."},"dependencies":{"express":"4","mongoose":"8"}}"#,
    ),
    (
        "backend/server.js",
        "app.get('/healthz', (request, response) => response.json({status: 'ok'}));\nmongoose.connect(process.env.MONGODB_URI, { dbName: 'orchard' });\n",
    ),
    (
        "frontend/package.json",
        r#"{"name":"web","scripts":{"build":"vite build"},"devDependencies":{"vite":"5"}}"#,
    ),
    ("frontend/vercel.json", "{}\n"),
];

/// The team's repository, which the simulated GitHub has under the name `o/r`.
fn repository(folder: &Path) {
    write_files(folder, FILES.iter().copied());
    commit_first(folder, "work");
    git(folder, &["remote", "add", "origin", "git@github.com:o/r.git"]);
}

/// `init` by somebody who is logged in everywhere, but for what `change` takes away.
fn init(env: &SimulatorEnv, folder: &Path, args: &[&str], change: impl FnOnce(&mut Command)) -> Output {
    let bin = env.folder.path().join("bin");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let mut command = Command::new(built(PRODUCT));
    command
        .arg("init")
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .env("HOME", env.folder.path())
        .env("HTTPS_PROXY", &env.platform.addresses.railway_proxy)
        .env("SSL_CERT_FILE", &env.platform.addresses.railway_ca)
        .env("RAILWAY_API_TOKEN", ACCOUNT)
        .env("XDG_DATA_HOME", env.folder.path().join("data"))
        .env("VERCEL_TOKEN", VERCEL_TOKEN)
        .env("GH_CONFIG_DIR", env.folder.path().join("gh"))
        .env("GH_TOKEN", "token-of-github");
    change(&mut command);
    command.output().unwrap()
}

fn planned(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(output)))
}

/// The line of each program.
fn asked(plan: &Value) -> Vec<&str> {
    let lines = plan["asked"].as_array().unwrap().iter();
    lines.map(|line| line.as_str().unwrap()).collect()
}

fn names(plan: &Value) -> Vec<&str> {
    let findings = plan["findings"].as_array().unwrap().iter();
    findings.map(|one| one["name"].as_str().unwrap()).collect()
}

/// Everything that the platforms know is proposed, each with its origin.
fn all_is_proposed(found: &Value) {
    let keys = found["keys"].as_array().unwrap().iter();
    let values: std::collections::BTreeMap<&str, (&Value, &str)> = keys
        .map(|key| {
            (
                key["key"].as_str().unwrap(),
                (&key["value"], key["origin"].as_str().unwrap()),
            )
        })
        .collect();
    let production = "environments.production";
    for (key, value, origin) in [
        ("git.branch", "main", "gh: the default branch"),
        ("github.repository", "o/r", "gh"),
        (
            &format!("{production}.railway.project"),
            "prj",
            "railway: the service backend of sample",
        ),
        (
            &format!("{production}.railway.environment"),
            "env",
            "railway: the service backend of sample",
        ),
        (
            &format!("{production}.railway.service"),
            "svc",
            "railway: the service backend of sample",
        ),
        (
            &format!("{production}.railway.url"),
            "https://backend.up.railway.example",
            "railway: the service backend of sample",
        ),
        (
            &format!("{production}.vercel.org"),
            "team_x",
            "vercel: the project sample",
        ),
        (
            &format!("{production}.vercel.project"),
            "prj_x",
            "vercel: the project sample",
        ),
        (
            &format!("{production}.vercel.domain"),
            "www.rehearsal.example",
            "vercel: the project sample",
        ),
        // The route of the code does not answer: one that does takes its place.
        (
            "check.api-health.http.url",
            "${backend}/api/health",
            "answers well now",
        ),
    ] {
        assert_eq!(
            values.get(key),
            Some(&(&Value::from(value), origin)),
            "{key}: {found}"
        );
    }
}

#[test]
fn where_the_team_is_logged_in_ids_addresses_and_a_health_route_that_answers_now_are_found() {
    // The real `vercel` takes no token with a hyphen.
    let env = SimulatorEnv::with(|config| config["vercel"]["token"] = json!(VERCEL_TOKEN));
    env.seed(10);
    assert_eq!(env.settled(&env.up("v1", "release=a sha=1")), "SUCCESS");
    let team = tempfile::tempdir().unwrap();
    repository(team.path());
    let connected = json!({"repo": "o/r", "root_directory": "/backend"});
    env.control("/railway/service", &connected);
    let link = json!({"type": "github", "org": "o", "repo": "r", "productionBranch": "main"});
    env.control("/vercel/project", &json!({"link": link, "rootDirectory": "web"}));

    let plan = ["--plan", "--format", "json"];
    let found = planned(&init(&env, team.path(), &plan, |_| {}));
    all_is_proposed(&found);
    assert_eq!(
        names(&found),
        [
            "automatic-deploys",
            "root-directory",
            "automatic-deploys",
            "health-now"
        ],
        "{}",
        found["findings"]
    );
    let refused = init(&env, team.path(), &[], |_| {});
    assert!(
        refused.status.code() == Some(3) && !team.path().join("infrastructure").exists(),
        "{}",
        text(&refused)
    );

    // Disconnected, as the finding wants it: the project is found by its name, or by the link of the folder.
    env.control("/railway/service", &json!({"root_directory": "/backend"}));
    env.control(
        "/vercel/project",
        &json!({"link": null, "rootDirectory": "frontend"}),
    );
    git(
        team.path(),
        &["remote", "set-url", "origin", "https://github.com/o/sample.git"],
    );
    let found = planned(&init(&env, team.path(), &plan, |_| {}));
    assert_eq!(names(&found), ["health-now"], "{}", found["findings"]);
    let lines = asked(&found);
    assert!(
        lines.len() == 3 && lines[0].starts_with("gh: this account sees no such repository"),
        "{lines:?}"
    );

    // A project's token is enough for Railway; the others are not logged in, and nothing fails.
    let found = planned(&init(&env, team.path(), &plan, |command| {
        command
            .env_remove("RAILWAY_API_TOKEN")
            .env("RAILWAY_TOKEN", crate::env::TOKEN)
            .env_remove("VERCEL_TOKEN")
            .env_remove("GH_TOKEN");
    }));
    assert_eq!(
        asked(&found),
        [
            "gh: nobody is logged in; files only",
            "railway: the service backend of sample",
            "vercel: nobody is logged in; files only"
        ]
    );
    let found = planned(&init(&env, team.path(), &plan, |command| {
        command.env("PATH", "/usr/bin:/bin");
    }));
    let lines = asked(&found);
    assert!(
        lines
            .iter()
            .all(|line| line.ends_with("is not on PATH; files only")),
        "{lines:?}"
    );
    assert!(env.report()["unimplemented"].as_array().unwrap().is_empty());
}

/// What git prints in a folder.
fn git_prints(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The clone of somebody, on the branch that is released.
fn belongs_to_ann(clone: &Path) {
    git(clone, &["branch", "--move", "main"]);
    git(clone, &["config", "user.name", "Ann"]);
    git(clone, &["config", "user.email", "ann@example.com"]);
}

fn stage_a_note(clone: &Path) {
    std::fs::write(clone.join("note.txt"), "mine").unwrap();
    git(clone, &["add", "note.txt"]);
}

/// GitHub takes no pull request.
fn no_pull_requests() -> Value {
    json!({"id": "down", "platform": "github", "operation": "POST /repos/{owner}/{repo}/pulls",
                       "kind": "status", "status": 503, "body": "{\"message\": \"No server is available\"}", "times": 0})
}

#[test]
fn the_files_come_as_a_pull_request_and_nothing_half_done_is_left() {
    let env = SimulatorEnv::start();
    // Only `gh` is there: the values of the platforms are not what this is about.
    let bin = env.folder.path().join("only-gh");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_standin-gh"), bin.join("gh")).unwrap();
    let team = tempfile::tempdir().unwrap();
    repository(team.path());
    belongs_to_ann(team.path());
    let remotes = tempfile::tempdir().unwrap();
    let remote = remotes.path().join("github.com/o/r.git");
    git(
        remotes.path(),
        &["init", "--quiet", "--bare", remote.to_str().unwrap()],
    );
    let pull = |args: &[&str]| {
        let args = [&["--pull-request"], args].concat();
        let output = init(&env, team.path(), &args, |command| {
            command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        });
        (output.status.code(), text(&output))
    };
    let is_untouched = || {
        git_prints(&remote, &["branch", "--list"])
            .trim()
            .trim_start_matches("* ")
            == "main"
            && git_prints(team.path(), &["status", "--porcelain"]).is_empty()
            && git_prints(team.path(), &["branch", "--list"]).trim() == "* main"
    };
    let refused = |why: &str| {
        let (code, shown) = pull(&[]);
        assert!(
            code == Some(3) && shown.contains("error[no-pull-request]") && shown.contains(why),
            "{shown}"
        );
    };

    git(team.path(), &["remote", "remove", "origin"]);
    refused("the repository has no remote");
    git(
        team.path(),
        &["remote", "add", "origin", "git@gitlab.example:o/r.git"],
    );
    refused("the remote origin is no repository on GitHub");
    git(
        team.path(),
        &["remote", "set-url", "origin", remote.to_str().unwrap()],
    );
    git(team.path(), &["push", "--quiet", "origin", "main"]);
    stage_a_note(team.path());
    refused("changes are staged: note.txt");
    git(team.path(), &["rm", "--quiet", "--cached", "note.txt"]);
    std::fs::remove_file(team.path().join("note.txt")).unwrap();
    git(team.path(), &["branch", "cargo-xtask-init"]);
    refused("this clone has a branch cargo-xtask-init already");
    git(team.path(), &["branch", "--quiet", "-D", "cargo-xtask-init"]);
    git(
        team.path(),
        &["push", "--quiet", "origin", "main:cargo-xtask-init"],
    );
    refused("origin has a branch cargo-xtask-init already");
    git(
        team.path(),
        &["push", "--quiet", "origin", "--delete", "cargo-xtask-init"],
    );
    assert!(is_untouched());

    // GitHub refuses after the push: the branch goes again.
    env.control("/faults", &no_pull_requests());
    let (code, shown) = pull(&[]);
    assert!(
        code == Some(1)
            && shown.contains("error[pull-request-failed]")
            && shown.contains("no branch is left")
            && is_untouched(),
        "{shown}"
    );
    env.control("/faults/clear", &json!({}));

    let (code, shown) = pull(&["--plan"]);
    assert!(code == Some(0) && is_untouched(), "{shown}");
    let (code, shown) = pull(&[]);
    assert!(
        code == Some(0) && shown.contains("pull request: https://github.com/o/r/pull/1"),
        "{shown}"
    );
    let changed = git_prints(&remote, &["diff", "--name-only", "main", "cargo-xtask-init"]);
    let listed = shown
        .lines()
        .filter_map(|line| line.strip_prefix("in the pull request: "));
    let mut listed: Vec<&str> = listed.collect();
    listed.sort_unstable();
    assert_eq!(changed.lines().collect::<Vec<_>>(), listed);
    assert!(listed.contains(&"infrastructure/pipeline.toml"), "{shown}");
    let people = git_prints(
        &remote,
        &["log", "-1", "--format=%an <%ae> %cn", "cargo-xtask-init"],
    );
    assert_eq!(people.trim(), "Ann <ann@example.com> Ann");
    assert!(
        git_prints(team.path(), &["status", "--porcelain"]).is_empty(),
        "the work tree stays as it is"
    );
    git(team.path(), &["switch", "--quiet", "cargo-xtask-init"]);
    refused("every file is there already");
}
