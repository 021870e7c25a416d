//! What Vercel does beside the happy way: settings of the project, values that it does not give back, a login before what
//! is staged; and on both platforms others who deploy.

use serde_json::{Value, json};
use xtask::exec::Finished;

use crate::operation::case::{Case, NEW};
use rehearsal::test_env::Served;

const BYPASS: (&str, &str) = ("VERCEL_BYPASS", "bypass-secret-of-this-test");
const KEY: (&str, &str) = ("PROD_JWT_SECRET", "public-key-of-this-test");

const NODE_CA: (&str, &str) = ("NODE_EXTRA_CA_CERTS", "/company/ca.pem");
const GIT_CA: (&str, &str) = ("GIT_SSL_CAINFO", "/company/git.pem");
const REGISTRY: (&str, &str) = ("NPM_TOKEN", "registry-token-of-this-test");
/// What tools are watched for.
const NEEDED: &str = "NODE_EXTRA_CA_CERTS|GIT_SSL_CAINFO|NPM_TOKEN";

struct Story(Case);

impl Story {
    fn control(&self, path: &str, body: &Value) {
        self.0.env.control(path, body).unwrap();
    }

    /// Changes pipeline.toml, and commits it with a release.
    fn commit(&self, release: &str, change: (&str, &str)) {
        let file = self.0.env.clone_dir().join("infrastructure/pipeline.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(change.0), "{}", change.0);
        std::fs::write(&file, text.replacen(change.0, change.1, 1)).unwrap();
        self.0.env.commit_release(release).unwrap();
    }

    fn run(&self, args: &[&str]) -> Finished {
        let env = [BYPASS, KEY, NODE_CA, GIT_CA, REGISTRY].map(|(name, value)| (name, value.to_owned()));
        self.0.run(args, &env)
    }

    fn refused(&self, why: &[&str]) {
        let refused = self.run(&["deploy", "--plan"]);
        let said = refused.stderr_tail.join("\n");
        assert_eq!(refused.code, Some(3), "{why:?}: {said}");
        for words in why {
            assert!(said.contains(words), "{words}: {said}");
        }
    }

    fn ok(&self, args: &[&str]) -> Finished {
        let done = self.run(args);
        assert_eq!(done.code, Some(0), "{args:?}: {}", done.error());
        done
    }

    /// Puts a program before the real one that writes down which of these variables it was given.
    fn watch(&self, program: &str, real: &std::path::Path) {
        use std::os::unix::fs::PermissionsExt as _;
        let place = self.0.env.folder.join("bin").join(program);
        std::fs::remove_file(&place).ok();
        let log = self.0.env.folder.join(format!("given-{program}"));
        let script = format!(
            "#!/bin/sh\nprintf '%s %s\\n' \"$1\" \"$(env | grep -E '^({NEEDED})=' | sort | tr '\\n' ' ')\" >> '{}'\n\
             exec '{}' \"$@\"\n",
            log.display(),
            real.display()
        );
        std::fs::write(&place, script).unwrap();
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What the calls of a program that begin with this word were given, of the variables that are watched.
    fn given(&self, program: &str, first: &str) -> Vec<String> {
        let log = std::fs::read_to_string(self.0.env.folder.join(format!("given-{program}"))).unwrap();
        let calls = log.lines().filter_map(|line| line.split_once(' '));
        let calls = calls.filter(|(word, _)| first.is_empty() || *word == first);
        let mut given: Vec<String> = calls.map(|(_, given)| given.trim().to_owned()).collect();
        given.sort();
        given.dedup();
        given
    }

    fn page(&self, path: &str) -> String {
        let url = format!("{}/{path}", self.0.env.addresses.frontend);
        ureq::get(url)
            .call()
            .unwrap()
            .body_mut()
            .read_to_string()
            .unwrap()
    }

    fn vercel(&self) -> Value {
        self.0.env.platform_report().unwrap()["vercel"].clone()
    }
}

#[test]
fn settings_of_the_project_are_met_or_refused_before_anything_is_changed() {
    let story = Story(Case::new());
    let page = story.0.env.clone_dir().join("frontend/config.js");
    std::fs::write(page, "key = \"%NEXT_PUBLIC_KEY%\";\n").unwrap();
    let mapped = "railway = \"JWT_SECRET\"";
    story.commit("v3", (mapped, &format!("{mapped}\nvercel = \"NEXT_PUBLIC_KEY\"")));

    story.control("/vercel/project", &json!({"rootDirectory": "web"}));
    story.refused(&["Root Directory of the project on Vercel is web"]);
    story.control(
        "/vercel/project",
        &json!({"rootDirectory": "frontend", "rollingRelease": {"target": "production"}}),
    );
    story.refused(&["rolling releases"]);
    let closed =
        json!({"rollingRelease": null, "ssoProtection": {"deploymentType": "all_except_custom_domains"}});
    story.control("/vercel/project", &closed);
    story.control("/vercel/protect", &json!({"secret": BYPASS.1}));
    story.refused(&["ask for a login"]);

    // Nothing tells of the protection: the login is met when the staged frontend is checked.
    story.control(
        "/vercel/project",
        &json!({"ssoProtection": null, "autoAssignCustomDomains": false}),
    );
    let stopped = story.run(&["deploy"]);
    assert_eq!(stopped.code, Some(3), "{}", stopped.error());
    assert!(
        stopped.stderr_tail.join("\n").contains("protection_bypass"),
        "{}",
        stopped.error()
    );
    let more = "protection_bypass = \"VERCEL_BYPASS\"\nbuild_env = [\"NPM_TOKEN\"]\nstaged_url";
    story.commit("v3", ("staged_url", more));
    let git = rehearsal::test_env::process::program(&["git"]);
    story.watch("git", &git);
    for name in ["vercel", "railway"] {
        let standin = std::fs::read_link(story.0.env.folder.join("bin").join(name)).unwrap();
        story.watch(name, &standin);
    }
    story.ok(&["deploy"]);
    let company = format!("{}={}", NODE_CA.0, NODE_CA.1);
    assert_eq!(
        story.given("vercel", "build"),
        [format!("{company} {}={}", REGISTRY.0, REGISTRY.1)]
    );
    assert_eq!(story.given("vercel", "promote"), [company]);
    assert_eq!(story.given("railway", ""), [""]);
    // The calls that `vercel` makes of git by itself have what `vercel` has.
    let of_git = story.given("git", "");
    assert!(
        of_git.contains(&format!("{}={}", GIT_CA.0, GIT_CA.1)),
        "{of_git:?}"
    );
    assert!(
        !of_git
            .iter()
            .any(|given| given.contains(REGISTRY.0) || given.contains(' ')),
        "{of_git:?}"
    );
    assert_eq!(story.0.env.served().unwrap(), Served::both(NEW));
    assert!(
        story.page("config.js").contains(KEY.1),
        "{}",
        story.page("config.js")
    );
    assert_eq!(
        story.vercel()["autoAssignCustomDomains"],
        false,
        "the promotion switched it on"
    );
}

#[test]
fn others_who_deploy_are_found_and_stop_a_deploy() {
    let story = Story(Case::new());
    story.0.env.commit_release("v3").unwrap();
    let link = json!({"type": "github", "org": "acme", "repo": "shop"});
    story.control("/vercel/project", &json!({"link": link}));
    story.control("/railway/service", &json!({"repo": "acme/api"}));
    story.refused(&[
        "Railway deploys each push to acme/api",
        "Vercel deploys each push to acme/shop",
    ]);
    let doctor = story.run(&["doctor"]);
    let seen = format!("{}{}", doctor.stdout, doctor.stderr_tail.join("\n"));
    for repository in ["each push to acme/api", "each push to acme/shop"] {
        assert!(seen.contains(repository), "{seen}");
    }
    let back = story.run(&["rollback", &story.0.old_tag, "--reason", "x", "--plan"]);
    assert!(
        back.error().to_string().contains("is live already"),
        "{}",
        back.error()
    );

    // Both pushed: what serves is nobody's release, with the settings back in order.
    story.control("/vercel/push", &json!({}));
    story.control("/railway/push", &json!({}));
    story.control("/vercel/project", &json!({"link": null}));
    story.control("/railway/service", &json!({}));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let live = || story.0.env.platform_report().unwrap()["railway"]["live"].clone();
    let before = story.0.newest_record().parts.backends["backend"]
        .deployment
        .clone();
    while live() == before.as_str() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    story.refused(&["drift: the backend serves", "drift: the frontend serves"]);
    let listed = story.ok(&["releases"]);
    assert!(listed.stdout.starts_with("drift: "), "{}", listed.stdout);

    // Accepted in words, it is told and no more.
    story.commit(
        "v3",
        (
            "protected = true",
            "protected = true\nothers_deploy = \"the support team does\"",
        ),
    );
    let plan = story.ok(&["deploy", "--plan"]);
    assert!(plan.stdout.contains("drift: "), "{}", plan.stdout);
    story.ok(&["deploy"]);
}
