//! Gate, setup, doctor and notify against the simulated GitHub and Slack, through the stand-in `gh`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use xtask::domain::release::hex;

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");
const TOKEN: &str = "token-of-github";
const SECRET: &str = "marked-secret-value-4711";

/// A clone with its remote, the simulator, and `gh` on PATH.
struct World {
    folder: tempfile::TempDir,
    platform: Child,
    addresses: Value,
}

/// A program of the workspace, built beside ours.
fn built(name: &str) -> PathBuf {
    let path = Path::new(XTASK).with_file_name(name);
    assert!(
        path.is_file(),
        "{} is not built: run `cargo build --workspace`, or the tests by `cargo xtask ci`",
        path.display()
    );
    path
}

fn git(dir: &Path, args: &[&str]) {
    let identity = ["-c", "user.name=Dev", "-c", "user.email=dev@example.com"];
    let output = Command::new("git")
        .args(identity)
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {output:?}");
}

impl World {
    fn start(change: impl FnOnce(&mut Value), pipeline: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = json!({
            "railway": {"project": "p", "environment": "e", "environment_name": "production", "service": "s", "token": "t", "variables": {}},
            "vercel": {"org": "team_x", "project": "prj_x", "token": "t", "domain": "www.example.com"},
            "github": {"owner": "example", "repo": "shop", "token": TOKEN, "user": "dev",
                       "collaborators": ["ann", "bob", "cleo"]},
        });
        change(&mut config);
        let file = folder.path().join("world.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let mut platform = Command::new(built("rehearsal"))
            .args(["platform", "--state"])
            .arg(folder.path().join("s"))
            .arg("--config")
            .arg(&file)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = platform.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let world = Self {
            folder,
            platform,
            addresses: serde_json::from_str(&line).expect("the simulator's addresses"),
        };
        world.prepare(pipeline);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn prepare(&self, pipeline: &str) {
        for dir in ["bin", "gh", "clone/infrastructure"] {
            std::fs::create_dir_all(self.path(dir)).unwrap();
        }
        symlink(built("standin-gh"), self.path("bin/gh")).unwrap();
        let socket = self.addresses["github_socket"].as_str().unwrap();
        std::fs::write(
            self.path("gh/config.yml"),
            format!("version: 1\nhttp_unix_socket: {socket}\n"),
        )
        .unwrap();
        let top = self.folder.path();
        git(
            top,
            &["init", "--quiet", "--bare", "--initial-branch=main", "remote.git"],
        );
        let clone = self.path("clone");
        git(&clone, &["init", "--quiet", "--initial-branch=main"]);
        git(&clone, &["remote", "add", "origin", "../remote.git"]);
        std::fs::write(clone.join("infrastructure/pipeline.toml"), pipeline).unwrap();
        git(&clone, &["add", "--all"]);
        git(&clone, &["commit", "--quiet", "--message", "first"]);
        git(&clone, &["push", "--quiet", "origin", "main"]);
    }

    fn xtask(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let system = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(self.path("bin")).chain(std::env::split_paths(&system));
        let mut command = Command::new(XTASK);
        command
            .args(args)
            .current_dir(self.path("clone"))
            .env_clear()
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("HOME", self.folder.path())
            .env("GH_CONFIG_DIR", self.path("gh"))
            .env("GH_TOKEN", TOKEN)
            .env("GITHUB_RUN_ID", "7")
            .env("GITHUB_ACTOR", "dev")
            .env("PROD_MONGODB_URI", SECRET)
            .stdin(Stdio::null());
        command
    }

    /// git as the user that `.gitconfig` of his home describes.
    fn git_as_user(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(args)
            .current_dir(self.path("clone"))
            .env("HOME", self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Tells the simulator what happens outside.
    fn control(&self, what: &str, body: &Value) {
        let url = format!("{}/{what}", self.addresses["control"].as_str().unwrap());
        ureq::post(&url).send_json(body).unwrap();
    }

    fn report(&self) -> Value {
        let url = format!("{}/report", self.addresses["control"].as_str().unwrap());
        let mut response = ureq::get(&url).call().unwrap();
        response.body_mut().read_json().unwrap()
    }

    fn plan(&self, file: &str, plan: &Value) {
        let sha = hex(&Sha256::digest(serde_json::to_vec(plan).unwrap()));
        let text = json!({"schema": "deploy-plan/1", "plan": plan, "plan_sha256": sha}).to_string();
        std::fs::write(self.path("clone").join(file), text).unwrap();
    }

    fn approve(&self, user: &str, environment: &str) {
        self.control(
            "github/approvals",
            &json!({"run": 7, "user": user, "environment": environment}),
        );
    }

    /// Exit code, and all that was said.
    fn said(&self, args: &[&str]) -> (i32, String) {
        let output = self.xtask(args);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(!text.contains(SECRET) && !text.contains(TOKEN), "{text}");
        (output.status.code().unwrap(), text)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.platform.stdin.take());
        self.platform.wait().ok();
    }
}

fn pipeline(approval: &str) -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../infrastructure/pipeline.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let (before, rest) = text.split_once("[approval]").unwrap();
    let (_, after) = rest.split_once("# The product's tests").unwrap();
    format!("{before}[approval]\n{approval}\n# The product's tests{after}")
}

const TWO_PEOPLE: &str = r#"
required = 2
[approval.reviewers]
production-approval-1 = ["ann", "bob"]
production-approval-2 = ["bob", "cleo"]
"#;

fn with_run(world: &World) {
    world.control(
        "github/runs",
        &json!({"id": 7, "actor": "dev", "triggering_actor": "dev"}),
    );
    world.plan("plan.json", &json!({"commit": "abc", "steps": ["one"]}));
    world.plan("other.json", &json!({"commit": "def", "steps": ["one"]}));
}

#[test]
fn two_others_approve_this_plan_of_this_run_or_nothing_goes_on() {
    let world = World::start(|_| {}, &pipeline(TWO_PEOPLE));
    with_run(&world);
    let refused = |plan: &str, why: &str| {
        let (code, text) = world.said(&["gate", "verify", plan]);
        assert_eq!(code, 3, "{text}");
        assert!(text.contains(why), "{why}: {text}");
    };
    refused("plan.json", "has put no plan before the approvers");
    let (code, text) = world.said(&["gate", "request", "plan.json"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = world.said(&["gate", "request", "other.json"]);
    assert!(code == 3 && text.contains("another plan"), "{text}");

    refused("plan.json", "0 of 2 approvals count");
    world.approve("dev", "production-approval-1");
    refused("plan.json", "dev is the author");
    world.approve("ann", "some-other-environment");
    refused("plan.json", "0 of 2 approvals count; dev is the author");
    world.approve("ann", "production-approval-1");
    world.approve("ann", "production-approval-2");
    refused(
        "plan.json",
        "1 of 2 approvals count (ann); dev is the author; ann counts once",
    );
    // Who wrote the commit is an author, whoever pushed it.
    world.control("github/commits", &json!({"commit": "0", "author": "cleo"}));
    world.approve("cleo", "production-approval-2");
    refused(
        "plan.json",
        "1 of 2 approvals count (ann); dev is the author; ann counts once; cleo is the author",
    );
    world.approve("bob", "production-approval-2");
    let (code, text) = world.said(&["gate", "verify", "plan.json", "--format", "json"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap()["approvers"],
        json!(["ann", "bob"])
    );
    refused("other.json", "bob approved another plan");

    world.control(
        "github/runs",
        &json!({"id": 7, "actor": "dev", "triggering_actor": "dev", "run_attempt": 2}),
    );
    refused("plan.json", "is a re-run");
    std::fs::write(
        world.path("gh/config.yml"),
        "version: 1\nhttp_unix_socket: /nowhere\n",
    )
    .unwrap();
    refused("plan.json", "it cannot be told who approved");
}

/// What `gate request` records, at another time.
fn request_at(world: &World, at: chrono::DateTime<chrono::Utc>) {
    let plan: Value =
        serde_json::from_str(&std::fs::read_to_string(world.path("clone/plan.json")).unwrap()).unwrap();
    let request = json!({"schema": "approval-request/1", "environment": "production", "run": 7,
                         "plan_sha256": plan["plan_sha256"], "requested_at": at, "requested_by": "dev"});
    let message = format!("x\n\n{request}");
    let identity = ["-c", "user.name=Dev", "-c", "user.email=dev@example.com"];
    let commit = ["commit-tree", "-m", &message, "HEAD^{tree}"];
    let commit = world.git_as_user(&[&identity[..], &commit].concat());
    let reference = format!("+{commit}:refs/xtask/gate/production/7");
    world.git_as_user(&["push", "--quiet", "origin", &reference]);
}

#[test]
fn approvals_count_for_a_day_and_not_a_second_longer() {
    let world = World::start(|_| {}, &pipeline(TWO_PEOPLE));
    with_run(&world);
    world.approve("ann", "production-approval-1");
    world.approve("bob", "production-approval-2");
    let day = chrono::TimeDelta::hours(24);
    request_at(&world, chrono::Utc::now() - day - chrono::TimeDelta::seconds(1));
    let (code, text) = world.said(&["gate", "verify", "plan.json"]);
    assert!(
        code == 3 && text.contains("the approval of ann is older than 24 h"),
        "{text}"
    );
    request_at(&world, chrono::Utc::now() - day + chrono::TimeDelta::minutes(2));
    let (code, text) = world.said(&["gate", "verify", "plan.json"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_plan_that_was_changed_by_hand_is_found() {
    let world = World::start(|_| {}, &pipeline(TWO_PEOPLE));
    with_run(&world);
    let file = world.path("clone/plan.json");
    let text = std::fs::read_to_string(&file).unwrap().replace("abc", "abd");
    std::fs::write(&file, text).unwrap();
    let (code, text) = world.said(&["gate", "request", "plan.json"]);
    assert!(
        code == 3 && text.contains("does not have the hash it claims"),
        "{text}"
    );
}

#[test]
fn the_sweeper_cancels_only_what_waited_for_more_than_a_day() {
    let world = World::start(|_| {}, &pipeline(TWO_PEOPLE));
    let at = |hours: i64| (chrono::Utc::now() - chrono::TimeDelta::hours(hours)).to_rfc3339();
    for (id, hours) in [(1, 25), (2, 23)] {
        world.control("github/runs", &json!({"id": id, "created_at": at(hours)}));
    }
    let (code, text) = world.said(&["gate", "sweep", "--format", "json"]);
    assert_eq!(code, 0, "{text}");
    let swept: Value = serde_json::from_str(text.split_inclusive("\n}\n").next().unwrap()).unwrap();
    assert_eq!(swept["cancelled"], json!([1]));
}

#[test]
fn setup_makes_what_doctor_misses_and_then_finds_nothing_to_do() {
    let world = World::start(
        |config| config["github"]["artifact_retention_days"] = json!(30),
        &pipeline(TWO_PEOPLE),
    );
    let (code, text) = world.said(&["doctor"]);
    assert_eq!(code, 1, "{text}");
    for named in [
        "PROBLEM  environment production-approval-1: does not exist",
        "PROBLEM  reviewers: 0 distinct, 2 approvals are required",
        "PROBLEM  artifacts: GitHub keeps them for 30 days instead of 90",
    ] {
        assert!(text.contains(named), "{named}: {text}");
    }
    let (code, text) = world.said(&["setup", "--plan"]);
    assert!(
        code == 0 && text.contains("would: protect the environment production-approval-2"),
        "{text}"
    );
    let (_, again) = world.said(&["setup", "--plan"]);
    assert_eq!(text, again, "a plan changed something");

    let secrets = [
        "PROD_RAILWAY_TOKEN",
        "PROD_VERCEL_TOKEN",
        "PROD_JWT_SECRET",
        "PROD_SESSION_SECRET",
        "PROD_GOOGLE_CLIENT_ID",
        "PROD_GOOGLE_CLIENT_SECRET",
    ];
    let (code, text) = world.said(&["setup", "--yes"]);
    assert!(
        code == 1 && text.contains("still to do: set the secret"),
        "{text}"
    );
    for name in secrets {
        let mut child = world
            .command(&["setup", "--secret", name])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"value\n").unwrap();
        assert!(child.wait().unwrap().success(), "{name}");
    }
    let (code, text) = world.said(&["setup", "--yes"]);
    assert_eq!(
        (code, text.as_str()),
        (0, "example/shop is set up as configured\n")
    );
    let (_, text) = world.said(&["doctor"]);
    assert!(
        text.contains("ok       github: example/shop is set up as configured"),
        "{text}"
    );
    assert_eq!(world.report()["unimplemented"], json!([]));
}

#[test]
fn a_gate_with_holes_is_named() {
    let world = World::start(|_| {}, &pipeline(TWO_PEOPLE));
    for name in ["production-approval-1", "production-approval-2"] {
        world.control(
            "github/environments",
            &json!({"name": name, "can_admins_bypass": true, "prevent_self_review": false,
                    "reviewers": [{"type": "User", "login": "ann"}]}),
        );
    }
    let (code, text) = world.said(&["doctor"]);
    assert_eq!(code, 1);
    for named in [
        "production-approval-1: lets people approve their own run",
        "production-approval-1: can be bypassed by administrators",
        "reviewers: 1 distinct, 2 approvals are required",
    ] {
        assert!(text.contains(named), "{named}: {text}");
    }
}

#[test]
fn a_clock_that_is_wrong_is_named() {
    let world = World::start(|_| {}, &pipeline(TWO_PEOPLE));
    assert!(world.said(&["doctor"]).1.contains("ok       clock"));
    world.control("clock", &json!({"advance_ms": 600_000}));
    let (code, text) = world.said(&["doctor"]);
    assert!(code == 1 && text.contains("PROBLEM  clock: "), "{text}");
}

#[test]
fn blanks_in_the_guide_are_named() {
    let world = World::start(|_| {}, &pipeline(TWO_PEOPLE));
    std::fs::create_dir(world.path("clone/docs")).unwrap();
    let guide = world.path("clone/docs/PRODUCTION-ROLLBACK-GUIDE.md");
    std::fs::write(&guide, "call <fill in>, then <fill in>").unwrap();
    let text = world.said(&["doctor", "--config-only"]).1;
    assert!(text.contains("warning  rollback guide: 2 places"), "{text}");
    std::fs::write(&guide, "call 112").unwrap();
    let text = world.said(&["doctor", "--config-only"]).1;
    assert!(text.contains("ok       rollback guide"), "{text}");
}

#[test]
fn where_github_has_no_reviewers_setup_says_what_to_do_instead() {
    let world = World::start(
        |config| config["github"]["private"] = json!(true),
        &pipeline(TWO_PEOPLE),
    );
    let (code, text) = world.said(&["setup", "--yes"]);
    assert!(
        code == 1 && text.contains("approval.method = \"signed-tag\""),
        "{text}"
    );
}

#[test]
fn signed_tags_of_known_keys_approve_and_no_others() {
    let world = World::start(|_| {}, &pipeline("method = \"signed-tag\"\nrequired = 2\n"));
    world.plan("plan.json", &json!({"commit": "abc"}));
    let mut approvers = String::new();
    for who in ["ann", "bob", "dev", "eve"] {
        let key = world.path(who);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .status()
            .unwrap();
        assert!(made.success());
        if who != "eve" {
            let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
            approvers += &format!("{who}@example.com {public}");
        }
    }
    std::fs::write(world.path("clone/infrastructure/approvers"), approvers).unwrap();
    let sign_as = |who: &str| {
        let config = format!(
            "[user]\n\tname = {who}\n\temail = {who}@example.com\n\tsigningKey = {}\n[gpg]\n\tformat = ssh\n",
            world.path(who).display()
        );
        std::fs::write(world.path(".gitconfig"), config).unwrap();
    };
    let approve = |who: &str| {
        sign_as(who);
        let (code, text) = world.said(&["gate", "approve", "plan.json", "--format", "json"]);
        assert_eq!(code, 0, "{text}");
        let tagged: Value = serde_json::from_str(&text).unwrap();
        tagged["tag"].as_str().unwrap().to_owned()
    };
    let refused = |why: &str| {
        let (code, text) = world.said(&["gate", "verify", "plan.json"]);
        assert!(code == 3 && text.contains(why), "{why}: {text}");
    };
    refused("0 of 2 approvals count");
    sign_as("eve");
    let (code, text) = world.said(&["gate", "approve", "plan.json"]);
    assert!(
        code == 3 && text.contains("by a key that is not in infrastructure/approvers"),
        "{text}"
    );
    let tags = world.git_as_user(&["tag", "--list"]);
    assert_eq!(tags, "", "a tag that never counts stays");

    approve("dev");
    refused("dev@example.com is the author");
    let of_ann = approve("ann");
    approve("ann");
    refused("1 of 2 approvals count (ann@example.com)");
    refused("ann@example.com counts once");
    // Tags that somebody who may push makes by hand.
    let prefix = of_ann.rsplit_once('-').unwrap().0;
    let push = |name: &str, object: &str| {
        world.git_as_user(&["push", "--quiet", "origin", &format!("{object}:refs/tags/{name}")]);
    };
    let signed = world.git_as_user(&["cat-file", "tag", &of_ann]);
    sign_as("eve");
    world.git_as_user(&["tag", "--sign", "--message", "mine", "by-eve"]);
    push(&format!("{prefix}-0000000e"), "refs/tags/by-eve");
    refused("is signed by a key that is not in infrastructure/approvers");
    let forged = signed.replace("Approval for production", "Approval for Production");
    assert_ne!(forged, signed);
    std::fs::write(world.path("forged"), forged).unwrap();
    let file = world.path("forged");
    let object = world.git_as_user(&["hash-object", "-t", "tag", "-w", file.to_str().unwrap()]);
    push(&format!("{prefix}-0000000f"), &object);
    refused("was changed after it was signed");
    world.git_as_user(&["tag", "--annotate", "--message", "no", "plain"]);
    push(&format!("{prefix}-00000010"), "refs/tags/plain");
    refused("is not signed");
    // The signature for one plan, under the name of another.
    world.plan("other.json", &json!({"commit": "def"}));
    sign_as("bob");
    let (_, text) = world.said(&["gate", "approve", "other.json", "--format", "json"]);
    let other: Value = serde_json::from_str(&text).unwrap();
    push(
        &format!("{prefix}-00000011"),
        &format!("refs/tags/{}", other["tag"].as_str().unwrap()),
    );
    refused("bob@example.com approved another plan");
    approve("bob");
    let (code, text) = world.said(&["gate", "verify", "plan.json"]);
    assert!(
        code == 0 && text.contains("ann@example.com, bob@example.com"),
        "{text}"
    );
}

#[test]
fn slack_is_told_once_and_a_deaf_slack_fails_nothing() {
    let world = World::start(|_| {}, &pipeline(TWO_PEOPLE));
    let url = format!("{}/slack/T/B/x", world.addresses["services"].as_str().unwrap());
    let reason = "\"; rm -rf ~ #$(id)\n::set-output name=x::`y` <!channel>";
    let tell = |url: &str, args: &[&str]| {
        let output = world
            .command(&[&["notify"], args].concat())
            .env("SLACK_WEBHOOK_URL", url)
            .env("REASON", reason)
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!text.contains(url), "{text}");
        (output.status.code().unwrap(), text)
    };
    let failed = ["--event", "rollback", "--job-status", "failure"];
    assert_eq!(tell(&url, &failed), (0, "slack: delivered\n".into()));
    assert_eq!(tell(&url, &failed), (0, "slack: delivered before\n".into()));
    let messages = world.report()["slack"].clone();
    assert_eq!(messages.as_array().unwrap().len(), 1, "{messages}");
    assert_eq!(messages[0]["text"], "production: the release failed");
    let fields = messages[0]["blocks"][1]["fields"].to_string();
    assert!(fields.contains("rm -rf ~"), "{fields}");

    let deaf = "http://127.0.0.1:1/slack";
    let (code, text) = tell(deaf, &["--event", "success"]);
    assert!(code == 0 && text.contains("nobody was told"), "{text}");
    assert_eq!(tell(deaf, &["--test"]).0, 1);
}
