//! Who is an author, who is one person, and whose rules count: what would let a release approve itself.

use std::process::Command;
use std::time::Instant;

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use xtask::config::Config;
use xtask::context::{Context, PIPELINE_FILE};
use xtask::release::releases::Releases;
use xtask::report::Format;

use rehearsal::test_env::github::{GithubEnv, TWO_PEOPLE, pipeline, with_run};

const SIGNED: &str = "method = \"signed-tag\"\nrequired = 2\n";

/// git as this person.
fn git_as(env: &GithubEnv, who: &str, args: &[&str]) -> String {
    let (name, email) = (
        format!("user.name={who}"),
        format!("user.email={who}@example.com"),
    );
    env.git_as_user(&[&["-c", &name, "-c", &email][..], args].concat())
}

/// A commit of this person; gives its id.
fn commit_as(env: &GithubEnv, who: &str, message: &str) -> String {
    git_as(
        env,
        who,
        &["commit", "--quiet", "--allow-empty", "--message", message],
    );
    env.git_as_user(&["rev-parse", "HEAD"])
}

fn refused(env: &GithubEnv, why: &str) {
    let (code, text) = env.said(&["gate", "verify", "plan.json"]);
    assert!(code == 3 && text.contains(why), "{why}: {text}");
}

#[test]
fn whoever_wrote_since_the_live_release_is_an_author_also_under_a_merge_by_a_bot() {
    let env = GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE));
    with_run(&env);
    let before = commit_as(&env, "cleo", "long ago");
    env.live_release(&before);
    env.git_as_user(&["checkout", "--quiet", "-b", "side"]);
    let by_ann = commit_as(&env, "ann", "hers");
    let with_dan = "together\n\nCo-authored-by: Dan <7+Dan@users.noreply.github.com>";
    commit_as(&env, "renovate", with_dan);
    env.git_as_user(&["checkout", "--quiet", "main"]);
    git_as(&env, "bot", &["merge", "--quiet", "--no-ff", "--no-edit", "side"]);
    env.git_as_user(&["push", "--quiet", "origin", "main"]);
    // GitHub has the account behind an address, and writes it as its owner does.
    env.control("github/commits", &json!({"commit": by_ann, "author": "Ann"}));
    env.control("github/commits", &json!({"commit": before, "author": "cleo"}));
    assert_eq!(env.said(&["gate", "request", "plan.json"]).0, 0);
    env.approve("ann", "production-approval-1");
    env.approve("dan", "production-approval-1");
    refused(
        &env,
        "0 of 2 approvals count; ann is the author; dan is the author",
    );
    env.approve("bob", "production-approval-2");
    env.approve("cleo", "production-approval-2");
    let (code, text) = env.said(&["gate", "verify", "plan.json"]);
    assert!(code == 0 && text.contains("bob, cleo"), "{text}");
}

/// What a plan has of approvals, where this release is live.
fn notes_of_plan(env: &GithubEnv, live: &str) -> Vec<String> {
    let root = env.path("clone");
    let config = Config::read(&root.join(PIPELINE_FILE)).unwrap();
    let ctx = Context {
        env_name: config.default_environment.clone(),
        root,
        config,
        format: Format::Json,
        yes: true,
        started: Instant::now(),
    };
    let releases = Releases::read(&ctx).unwrap();
    xtask::approval::notes(&ctx, releases.find(live)).unwrap()
}

/// A team with a key each, its approvers' file in the clone.
struct Team {
    env: GithubEnv,
}

impl Team {
    /// Lines of the file: names and options, and whose key.
    fn start(lines: &[(&str, &str)]) -> Self {
        let env = GithubEnv::start(|_| {}, &pipeline(SIGNED));
        env.plan("plan.json", &json!({"commit": "abc"}));
        let team = Self { env };
        team.write(lines);
        team
    }

    fn write(&self, lines: &[(&str, &str)]) {
        let text: String = lines
            .iter()
            .map(|(names, key)| format!("{names} {}", self.public(key)))
            .collect();
        std::fs::write(self.env.path("clone/infrastructure/approvers"), text).unwrap();
    }

    fn public(&self, key: &str) -> String {
        let file = self.env.path(key);
        if !file.exists() {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(&file)
                .status();
            assert!(made.unwrap().success());
        }
        std::fs::read_to_string(file.with_extension("pub")).unwrap()
    }

    fn sign_as(&self, key: &str) {
        let config = format!(
            "[user]\n\tname = {key}\n\temail = {key}@example.com\n\tsigningKey = {}\n[gpg]\n\tformat = ssh\n",
            self.env.path(key).display()
        );
        std::fs::write(self.env.path(".gitconfig"), config).unwrap();
    }

    fn approve(&self, key: &str) -> (i32, String) {
        self.sign_as(key);
        self.env
            .said(&["gate", "approve", "plan.json", "--format", "json"])
    }

    /// What the names of this plan's approvals begin with.
    fn prefix(&self) -> String {
        let text = std::fs::read_to_string(self.env.path("clone/plan.json")).unwrap();
        let plan: Value = serde_json::from_str(&text).unwrap();
        format!("approval-{}", &plan["plan_sha256"].as_str().unwrap()[..16])
    }

    /// An approval by hand: at this time, by a tag that claims to be of that time.
    fn approve_at(&self, key: &str, number: u32, at: chrono::DateTime<Utc>, claimed: chrono::DateTime<Utc>) {
        self.sign_as(key);
        let text = std::fs::read_to_string(self.env.path("clone/plan.json")).unwrap();
        let plan: Value = serde_json::from_str(&text).unwrap();
        let record = json!({"schema": "approval/1", "environment": "production",
                            "plan_sha256": plan["plan_sha256"], "at": at});
        let name = format!("{}-{number:08x}", self.prefix());
        let made = Command::new("git")
            .args(["tag", "--sign", "--message", &format!("x\n\n{record}"), &name])
            .current_dir(self.env.path("clone"))
            .env("HOME", self.env.folder.path())
            .env("GIT_COMMITTER_DATE", claimed.to_rfc3339())
            .status();
        assert!(made.unwrap().success());
        self.env
            .git_as_user(&["push", "--quiet", "origin", &format!("refs/tags/{name}")]);
    }
}

#[test]
fn one_person_with_two_keys_or_names_counts_once_and_not_for_what_he_started() {
    let team = Team::start(&[
        ("ann@example.com,ann@work.example", "ann"),
        ("ann@work.example", "ann-laptop"),
        ("bob@example.com", "bob"),
        ("robert@example.com,octobob", "bob"),
        ("cleo@example.com", "cleo"),
    ]);
    assert_eq!(team.approve("ann").0, 0);
    assert_eq!(team.approve("ann-laptop").0, 0);
    refused(&team.env, "1 of 2 approvals count (ann@");
    refused(&team.env, "counts once");
    assert_eq!(team.approve("bob").0, 0);
    let (code, text) = team.env.said(&["gate", "verify", "plan.json"]);
    assert_eq!(code, 0, "{text}");
    // Known by a login here, by an address there.
    for starter in ["octobob", "Bob", "BOB@example.com"] {
        let mut command = team.env.command(&["gate", "verify", "plan.json"]);
        let output = command.env("GITHUB_ACTOR", starter).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(3) && text.contains("is the author"),
            "{starter}: {text}"
        );
    }
}

#[test]
fn a_bad_approval_costs_one_line_and_a_clock_a_little_ahead_costs_none() {
    let team = Team::start(&[
        ("ann@example.com", "ann"),
        ("bob@example.com", "bob"),
        ("cleo@example.com valid-before=\"20200101\"", "cleo"),
    ]);
    let env = &team.env;
    let expired = "is signed by a key whose time in infrastructure/approvers is over";
    let (code, text) = team.approve("cleo");
    assert!(code == 3 && text.contains(expired), "{text}");
    // git checks a key by the time that the tag claims.
    let long_ago = "2019-06-01T00:00:00Z".parse().unwrap();
    team.approve_at("cleo", 1, Utc::now(), long_ago);
    refused(env, expired);

    let prefix = team.prefix();
    let push = |object: &str, number: u32| {
        let spec = format!("{object}:refs/tags/{prefix}-{number:08x}");
        env.git_as_user(&["push", "--quiet", "origin", &spec]);
    };
    push("HEAD", 2);
    let blob = env.git_as_user(&["rev-parse", "HEAD:infrastructure/pipeline.toml"]);
    push(&blob, 3);
    let head = env.git_as_user(&["rev-parse", "HEAD"]);
    let odd = format!("object {head}\ntype commit\ntag x\ntagger x <x@x> 1 +0000\n\n");
    for (number, body) in [(4, vec![0xff, 0xfe, b'\n']), (5, vec![b'x'; 1 << 20])] {
        std::fs::write(env.path("tag"), [odd.as_bytes(), &body].concat()).unwrap();
        let file = env.path("tag");
        let object = env.git_as_user(&["hash-object", "-t", "tag", "-w", file.to_str().unwrap()]);
        push(&object, number);
    }
    refused(env, "0 of 2 approvals count");
    for (number, why) in [
        (2, "it has no message"),
        (3, "it has no message"),
        (4, "its message is not UTF-8"),
        (5, "more than 65536 bytes"),
    ] {
        refused(env, &format!("the tag {prefix}-{number:08x} "));
        refused(env, why);
    }

    team.approve_at("ann", 6, Utc::now() + TimeDelta::minutes(10), Utc::now());
    refused(env, "was made by a clock that is ");
    team.approve_at("ann", 7, Utc::now() + TimeDelta::seconds(20), Utc::now());
    refused(env, "1 of 2 approvals count (ann@example.com)");
    assert_eq!(team.approve("bob").0, 0);
    let (code, text) = env.said(&["gate", "verify", "plan.json"]);
    assert!(
        code == 0 && text.contains("ann@example.com, bob@example.com"),
        "{text}"
    );
}

#[test]
fn a_commit_that_adds_an_approver_or_asks_for_fewer_does_not_approve_itself() {
    let ours = [("ann@example.com", "ann"), ("bob@example.com", "bob")];
    let team = Team::start(&ours);
    let env = &team.env;
    env.git_as_user(&["add", "infrastructure"]);
    let live = commit_as(env, "dev", "the approvers");
    let tag = env.live_release(&live);
    assert_eq!(notes_of_plan(env, &tag), [] as [String; 0]);
    team.write(&[
        ours[0],
        ours[1],
        ("eve@example.com", "eve"),
        ("eva@example.com", "eva"),
    ]);
    let file = env.path("clone/infrastructure/pipeline.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("required = 2", "required = 1")).unwrap();
    env.git_as_user(&["add", "infrastructure"]);
    commit_as(env, "eve", "me too");
    env.git_as_user(&["push", "--quiet", "origin", "main"]);
    // The plan has it: who looks at the plan alone knows which keys approve.
    let notes = notes_of_plan(env, &tag);
    let changed =
        |what: &str| format!("{what} differs from that of {tag}: for this release the keys of {tag} approve");
    assert!(notes.contains(&changed("infrastructure/approvers")), "{notes:?}");
    assert!(
        notes
            .iter()
            .any(|note| note.starts_with("the rules of approval in ")),
        "{notes:?}"
    );

    let unknown = "is signed by a key that is not in infrastructure/approvers";
    let (code, text) = team.approve("eva");
    assert!(code == 3 && text.contains(unknown), "{text}");
    for (number, key) in [(1, "eve"), (2, "eva")] {
        team.approve_at(key, number, Utc::now(), Utc::now());
    }
    assert_eq!(team.approve("ann").0, 0);
    refused(env, "1 of 2 approvals count (ann@example.com)");
    refused(env, unknown);
    assert_eq!(team.approve("bob").0, 0);
    let (code, text) = env.said(&["gate", "verify", "plan.json"]);
    assert_eq!(code, 0, "{text}");
    // No approval at all, asked for by the commit that needs one.
    std::fs::write(&file, text_without_approvals(&file)).unwrap();
    env.plan("plan.json", &json!({"commit": "def"}));
    refused(env, "0 of 2 approvals count");
}

fn text_without_approvals(file: &std::path::Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    text.replace("method = \"signed-tag\"\nrequired = 1", "required = 0")
}
