//! The action that installs the program, used as teams use it: by a commit, with the archives of a release on a server of this
//! machine. `SETUP_ARCHIVES` names a folder that `setup-action/pack.sh` filled; without it the archives have the programs of this
//! machine, which are larger than those of a release.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rehearsal::http::message::{Request, Response};
use rehearsal::http::server::serve_tcp;
use rehearsal::test_env::git::{commit_first, write_files};
use rehearsal::test_env::programs::{built, repository};
use sha2::{Digest as _, Sha256};
use xtask::tools::toolchain::resolve;

use super::runner::{Ran, act, copy_folder};
use crate::real;

const ACTION: &str = "o/r@0123456789abcdef0123456789abcdef01234567";
const PROGRAMS: [&str; 8] = [
    "cargo-xtask",
    "xtask",
    "mongodump",
    "mongorestore",
    "age",
    "age-keygen",
    "railway",
    "vercel",
];

/// A job that starts from nothing, and one step for each program: where it is, and that it runs.
fn workflow() -> String {
    let action = ACTION.replace('@', "/setup-action@");
    let mut text = format!(
        "on: workflow_dispatch\njobs:\n  ready:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: {action}\n        with:\n          \
         platforms: \"true\"\n          server: \"true\"\n"
    );
    for program in PROGRAMS {
        text +=
            &format!("      - run: echo \"{program} is $(command -v {program})\" && {program} --version\n");
    }
    text
}

/// A release and the folder of the action that has its checksums.
struct Published {
    archives: PathBuf,
    action: PathBuf,
}

impl Published {
    fn new(folder: &Path) -> Self {
        let archives = std::env::var_os("SETUP_ARCHIVES").map_or_else(|| packed(folder), PathBuf::from);
        let action = folder.join("action");
        copy_folder(&repository().join("setup-action"), &action.join("setup-action"));
        let mut checksums = String::new();
        for entry in std::fs::read_dir(&archives).unwrap() {
            let file = entry.unwrap().path();
            let digest = hex::encode(Sha256::digest(std::fs::read(&file).unwrap()));
            checksums += &format!("{digest}  {}\n", file.file_name().unwrap().display());
        }
        std::fs::write(action.join("setup-action/checksums"), checksums).unwrap();
        Self { archives, action }
    }

    /// In place of the repository's releases; with `changed`, one archive is another than when the checksums were made.
    fn serve(&self, changed: Option<&'static str>) -> String {
        let archives = self.archives.clone();
        let answer = move |request: &Request| {
            let name = request.path.rsplit('/').next().unwrap();
            let is_changed = changed.is_some_and(|changed| name.starts_with(changed));
            match std::fs::read(archives.join(name)) {
                Ok(_) if is_changed => Response::text(200, "another"),
                Ok(body) => Response::bytes(200, "application/gzip", body),
                Err(_) => Response::empty(404),
            }
        };
        format!("http://{}", serve_tcp(Arc::new(answer)).unwrap())
    }
}

fn packed(folder: &Path) -> PathBuf {
    let archives = folder.join("archives");
    std::fs::create_dir(&archives).unwrap();
    let version = std::fs::read_to_string(repository().join("setup-action/version")).unwrap();
    let work = folder.join("work");
    let bin = |archive: &str| {
        let bin = work.join(archive).join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        bin
    };
    let of_release = bin("cargo-xtask");
    std::fs::copy(built("cargo-xtask"), of_release.join("cargo-xtask")).unwrap();
    symlink("cargo-xtask", of_release.join("xtask")).unwrap();
    std::fs::copy(real("railway"), of_release.join("railway")).unwrap();
    for tool in resolve(repository(), &[]).unwrap() {
        let target = if tool.name == "mongodb-server" {
            bin("mongodb-server")
        } else {
            of_release.clone()
        };
        std::fs::copy(&tool.path, target.join(tool.path.file_name().unwrap())).unwrap();
    }
    let vercel = real("vercel");
    let packages = vercel.ancestors().nth(2).unwrap().join("node_modules");
    std::fs::create_dir_all(work.join("vercel/lib")).unwrap();
    symlink("../lib/node_modules/.bin/vercel", bin("vercel").join("vercel")).unwrap();
    let copied = Command::new("cp")
        .arg("-a")
        .args([packages, work.join("vercel/lib")])
        .status();
    assert!(copied.unwrap().success());
    for name in ["cargo-xtask", "mongodb-server", "vercel"] {
        let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
        let archive = archives.join(format!("{name}-{}-{target}.tar.gz", version.trim()));
        let tar = Command::new("tar")
            .arg("-czf")
            .arg(archive)
            .arg("-C")
            .arg(work.join(name))
            .arg(".")
            .status();
        assert!(tar.unwrap().success());
    }
    archives
}

/// The workflow on a machine that has neither a compiler nor any of the programs on PATH; how long it took.
fn run(folder: &Path, name: &str, published: &Published, downloads: &str) -> (Ran, Duration) {
    let team = folder.join(name);
    if !team.exists() {
        let text = workflow();
        write_files(&team, [(".github/workflows/ready.yml", text.as_str())]);
        commit_first(&team, "work");
    }
    let home = folder.join(format!("{name}-home"));
    std::fs::create_dir_all(home.join("tmp")).unwrap();
    let mut command = act("workflow_dispatch", "ready");
    command
        .args(["--env", &format!("GITHUB_SERVER_URL={downloads}")])
        .arg("--local-repository")
        .arg(format!("{ACTION}={}", published.action.display()))
        .current_dir(&team)
        .env_clear()
        .envs(BTreeMap::from([
            ("PATH", "/usr/bin:/bin".as_ref()),
            ("HOME", home.as_os_str()),
        ]))
        .env("TMPDIR", home.join("tmp"))
        .stdin(Stdio::null());
    let began = Instant::now();
    let output = command.output().expect("act starts");
    let took = began.elapsed();
    let text = [output.stdout, output.stderr].concat();
    (
        Ran::read(output.status.success(), &String::from_utf8_lossy(&text)),
        took,
    )
}

#[test]
#[ignore = "runs act with the real programs of the platforms: cargo xtask ci --conformance"]
fn a_job_has_all_programs_from_the_action_alone_its_next_one_without_a_server_and_none_with_another_checksum()
{
    let folder = tempfile::Builder::new().prefix("xa").tempdir().unwrap();
    let published = Published::new(folder.path());
    let (ready, took) = run(folder.path(), "ready", &published, &published.serve(None));
    assert!(ready.passed, "{}", ready.tail());
    for program in PROGRAMS {
        let is_of_action = |line: &str| {
            let place = line.trim().strip_prefix(&format!("{program} is "));
            place.is_some_and(|place| place.ends_with(&format!("/cargo-xtask/bin/{program}")))
        };
        assert!(ready.log.lines().any(is_of_action), "{program}: {}", ready.tail());
    }
    println!(
        "from nothing to ready, each program run once: {:.1} s",
        took.as_secs_f64()
    );

    // A runner that had a job with the action already: nobody answers, and nothing is missing.
    let (again, took) = run(folder.path(), "ready", &published, "http://127.0.0.1:1");
    assert!(again.passed, "{}", again.tail());
    println!(
        "from the archives that the runner kept: {:.1} s",
        took.as_secs_f64()
    );

    for archive in ["cargo-xtask", "vercel"] {
        let downloads = published.serve(Some(archive));
        let (refused, _) = run(folder.path(), archive, &published, &downloads);
        assert!(
            !refused.passed
                && refused.log.contains(&format!("setup-action: {archive}-"))
                && refused.log.contains("has the checksum")
                && !refused.log.contains("xtask is /"),
            "{}",
            refused.tail()
        );
    }
}
