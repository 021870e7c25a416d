//! The action that puts a released program on PATH: what `pack.sh` packs is what `install.sh` installs, from a server on
//! this machine and without a compiler; what has another checksum is not unpacked.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rehearsal::http::message::{Request, Response};
use rehearsal::http::server::serve_tcp;
use rehearsal::test_env::programs::repository;
use sha2::{Digest as _, Sha256};

/// In place of cargo: "builds" programs that print their name, as the real ones lie in the target folder and below --root.
const CARGO: &str = r#"#!/usr/bin/env bash
set -eu
program() {
  mkdir -p "$(dirname "$1")"
  cat > "$1" <<'EOF'
#!/usr/bin/env bash
if [ "${2:-}" = tools ]; then
  folder=$(mktemp -d "$TMPDIR/tools.XXXX")
  for name in mongodump mongorestore age age-keygen mongod; do cp "$0" "$folder/$name"; done
  echo "$folder"
else
  echo "$(basename "$0") $*"
fi
EOF
  chmod +x "$1"
}
case $1 in
  build) program target/made-up/release/cargo-xtask ;;
  install) program "${@: -1}/bin/railway" ;;
esac
"#;
const NOTHING: &str = "#!/bin/sh\nexit 0\n";
/// In place of npm: keeps its arguments, and a program where the real one would have it.
const NPM: &str = r#"#!/usr/bin/env bash
set -eu
echo "$*" > "$TMPDIR/npm"
folder=${@: -1}
test -s "$folder/package-lock.json"
mkdir -p "$folder/node_modules/.bin"
printf '#!/bin/sh\necho "vercel $*"\n' > "$folder/node_modules/.bin/vercel"
chmod +x "$folder/node_modules/.bin/vercel"
"#;

fn script(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(file, mode).unwrap();
}

/// Answers requests for the files of a folder, by their last part, until the process ends.
fn served(folder: PathBuf) -> String {
    let answer = move |request: &Request| {
        let name = request.path.rsplit('/').next().unwrap();
        std::fs::read(folder.join(name)).map_or_else(
            |_| Response::empty(404),
            |body| Response::bytes(200, "application/gzip", body),
        )
    };
    format!("http://{}", serve_tcp(Arc::new(answer)).unwrap())
}

struct Job {
    folder: tempfile::TempDir,
    downloads: String,
}

impl Job {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "bin",
            "checkout/infrastructure/tools/vercel",
            "checkout/setup-action",
            "dist",
            "tmp",
        ] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let bin = folder.path().join("bin");
        for (name, text) in [("cargo", CARGO), ("rustup", NOTHING), ("npm", NPM)] {
            script(&bin, name, text);
        }
        let files = [
            "setup-action/install.sh",
            "setup-action/pack.sh",
            "setup-action/version",
            "infrastructure/tools/vercel/package.json",
            "infrastructure/tools/vercel/package-lock.json",
        ];
        for file in files {
            std::fs::copy(repository().join(file), folder.path().join("checkout").join(file)).unwrap();
        }
        let downloads = served(folder.path().join("dist"));
        Self { folder, downloads }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Whether the script passed, and what it printed.
    fn run(&self, script: &str, arguments: &[&str]) -> (bool, String) {
        let system = "/usr/local/bin:/usr/bin:/bin";
        let mut command = Command::new("bash");
        command
            .arg(self.path("checkout/setup-action").join(script))
            .args(arguments)
            .current_dir(self.path("checkout"))
            .env_clear()
            .env("PATH", format!("{}:{system}", self.path("bin").display()))
            .env("HOME", self.path("tmp"))
            .env("TMPDIR", self.path("tmp"))
            .env("RUNNER_TEMP", self.path("tmp"))
            .env("RUNNER_TOOL_CACHE", self.path("kept"))
            .env("GITHUB_PATH", self.path("github-path"))
            .envs([
                ("DOWNLOADS", self.downloads.as_str()),
                ("PLATFORMS", "true"),
                ("SERVER", "true"),
            ]);
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.success(), text.concat())
    }
}

#[test]
fn a_job_gets_the_released_program_without_a_compiler_and_only_with_its_checksum() {
    let job = Job::start();
    let version = std::fs::read_to_string(repository().join("setup-action/version")).unwrap();
    assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"));
    let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    let dist = job.path("dist").display().to_string();
    let (passed, text) = job.run("pack.sh", &[&target, "made-up", &dist]);
    assert!(passed, "{text}");

    std::fs::write(job.path("checkout/setup-action/checksums"), "# none\n").unwrap();
    let (passed, text) = job.run("install.sh", &[]);
    assert!(
        !passed && text.contains("this commit has no checksum of cargo-xtask-"),
        "{text}"
    );

    let mut lines = String::new();
    for entry in std::fs::read_dir(job.path("dist")).unwrap() {
        let file = entry.unwrap().path();
        let digest = hex::encode(Sha256::digest(std::fs::read(&file).unwrap()));
        lines += &format!("{digest}  {}\n", file.file_name().unwrap().to_str().unwrap());
    }
    assert_eq!(lines.lines().count(), 3, "{lines}");
    std::fs::write(job.path("checkout/setup-action/checksums"), &lines).unwrap();
    // No compiler and no registry from here.
    for name in ["cargo", "rustup", "npm"] {
        std::fs::remove_file(job.path("bin").join(name)).unwrap();
    }
    let (passed, text) = job.run("install.sh", &[]);
    assert!(passed, "{text}");
    let paths = std::fs::read_to_string(job.path("github-path")).unwrap();
    let bin = PathBuf::from(paths.lines().next().unwrap());
    for name in [
        "xtask",
        "cargo-xtask",
        "mongodump",
        "mongorestore",
        "age",
        "railway",
        "mongod",
        "vercel",
    ] {
        let output = Command::new(bin.join(name)).arg("--version").output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(printed, format!("{name} --version\n"));
    }
    let npm = std::fs::read_to_string(job.path("tmp/npm")).unwrap();
    assert!(npm.starts_with("ci --ignore-scripts "), "{npm}");
    assert_eq!(paths.lines().count(), 1, "{paths}");

    // Somebody replaced the files on the server: a runner that has the right ones needs none of them, and unpacks no others.
    for entry in std::fs::read_dir(job.path("dist")).unwrap() {
        std::fs::write(entry.unwrap().path(), "another").unwrap();
    }
    let again = || {
        std::fs::remove_dir_all(&bin).unwrap();
        job.run("install.sh", &[])
    };
    let (passed, text) = again();
    assert!(passed && bin.join("xtask").exists(), "{text}");
    for entry in std::fs::read_dir(job.path("kept/cargo-xtask")).unwrap() {
        std::fs::write(entry.unwrap().path(), "another").unwrap();
    }
    let (passed, text) = again();
    assert!(
        !passed && text.contains("has the checksum") && !bin.exists(),
        "{text}"
    );
}

#[test]
fn a_program_that_is_too_large_or_starts_too_slowly_is_not_packed() {
    let job = Job::start();
    let dist = job.path("dist").display().to_string();
    let mark = "  chmod +x \"$1\"\n";
    for (change, refusal) in [
        ("  truncate -s 27M \"$1\"\n", "more than 26214400"),
        (
            "  sed -i '2i for ((i = 0; i < 40000; i++)); do :; done' \"$1\"\n",
            "ms to start, more than 15",
        ),
    ] {
        script(
            &job.path("bin"),
            "cargo",
            &CARGO.replacen(mark, &format!("{change}{mark}"), 1),
        );
        let (passed, text) = job.run("pack.sh", &["x86_64-linux", "made-up", &dist]);
        assert!(!passed && text.contains(refusal), "{text}");
    }
    assert_eq!(std::fs::read_dir(job.path("dist")).unwrap().count(), 0);
}

#[test]
fn both_ways_to_install_have_the_same_pins() {
    let pin = |file: &str| {
        let text = std::fs::read_to_string(repository().join(file)).unwrap();
        let (_, rest) = text.split_once("railwayapp --version ").expect("it installs it");
        rest.split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(
        pin("setup-action/pack.sh"),
        pin(".github/actions/xtask/action.yml")
    );
}
