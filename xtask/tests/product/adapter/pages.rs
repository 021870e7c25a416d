//! Pages that programs of the team stage and promote, on a web server of their own.

use std::process::{Child, Command, Stdio};

use rehearsal::test_env::process::wait_until;

use super::team::{Team, example, python, told};

const PIPELINE: &str = r#"schema = "pipeline/2"
default_environment = "production"

[git]
require_ci = false

[approval]
required = 0

[environments.production]
tag_prefix = "prod"
protected = true

[[environments.production.frontends]]
name = "web"
platform = "command"
folder = "web"
url = "http://127.0.0.1:{{port}}/live"
deploy_s = 40
[environments.production.frontends.command]
current = ["python3", "{{adapter}}", "current", "{{state}}", "http://127.0.0.1:{{port}}"]
stage = ["python3", "{{adapter}}", "stage", "{{state}}", "http://127.0.0.1:{{port}}"]
promote = ["python3", "{{adapter}}", "promote", "{{state}}", "http://127.0.0.1:{{port}}"]
wait = ["python3", "{{adapter}}", "wait", "{{state}}", "http://127.0.0.1:{{port}}"]
env = ["DEPLOY_KEY"]
"#;
const HEALTH: &str = r#"schema = "health/1"
[check.page]
group = "performance"
[check.page.frontend]
url = "${frontend.web}/"
title = "Orders"
load_ms = 30000
[check.serving]
group = "release"
[check.serving.serving]
"#;

/// A web server that shows the folder of the pages.
struct Site {
    team: Team,
    server: Child,
}

impl Site {
    fn new() -> Self {
        let team = Team::new(PIPELINE, HEALTH, "pages.py");
        std::fs::create_dir(team.state()).unwrap();
        let port = team.port.to_string();
        let server = Command::new(python())
            .args(["-m", "http.server", &port, "--bind", "127.0.0.1", "--directory"])
            .arg(team.state())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let site = Self { team, server };
        wait_until("the web server answers", || site.get("").is_some());
        site
    }

    fn commit(&self, title: &str, text: &str) {
        let page = format!("<!doctype html><title>{title}</title>{text}\n");
        self.team.write("web/index.html", &page);
        self.team.push();
    }

    fn get(&self, path: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:{}/{path}", self.team.port);
        ureq::get(&url).call().ok()?.body_mut().read_to_string().ok()
    }

    /// What users see.
    fn page(&self) -> String {
        let page = self.get("live/").unwrap_or_default();
        page.rsplit('>').next().unwrap().trim().to_owned()
    }

    /// The folders that were staged.
    fn staged(&self) -> usize {
        let entries = std::fs::read_dir(self.team.state()).unwrap();
        let records = entries.filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .path()
                .extension()
                .is_some_and(|kind| kind == "json")
        });
        records.count()
    }

    /// The newest operation.
    fn newest_operation(&self) -> String {
        let operations = std::fs::read_dir(self.team.clone().join(".xtask/operations")).unwrap();
        let names = operations.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.max().unwrap()
    }

    /// An adapter that does something else at this action, and what the example does at the others.
    fn with(&self, action: &str, script: &str) {
        let file = self.team.dir.path().join("other.py");
        let example = example("pages.py").display().to_string();
        let text = format!(
            "import os, subprocess, sys\nreal = [sys.executable, '{example}', *sys.argv[1:]]\nif sys.argv[1] == '{action}':\n    {script}\nsys.exit(subprocess.run(real).returncode)\n"
        );
        std::fs::write(&file, text).unwrap();
        self.team.configure(&file);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

#[test]
fn pages_elsewhere_are_staged_and_checked_before_users_see_them_and_rolled_back() {
    let site = Site::new();
    site.commit("Orders", "first");
    let first = site.team.json(&["deploy", "--yes"]);
    assert_eq!(
        (site.page().as_str(), &first["release"]["health"]),
        ("first", &"healthy".into())
    );

    // What is wrong is found before a user sees it.
    site.commit("Error", "broken");
    let broken = site.team.xtask(&["deploy", "--yes"]);
    let text = told(&broken);
    assert_eq!(
        (broken.status.code(), site.page().as_str()),
        (Some(1), "first"),
        "{text}"
    );
    assert!(text.contains("the staged frontend web is unhealthy"), "{text}");
    assert_eq!(site.staged(), 2);

    site.commit("Orders", "second");
    let second = site.team.json(&["deploy", "--yes"]);
    assert_eq!(site.page(), "second");
    let [first, second] = [&first, &second].map(|one| one["release"]["tag"].as_str().unwrap());
    let why = ["--reason", "the second one is wrong", "--yes"];
    let back = site.team.json(&[&["rollback", first][..], &why].concat());
    assert_eq!(
        (site.page().as_str(), &back["release"]["restores"]),
        ("first", &first.into())
    );
    assert_eq!(site.staged(), 3, "a rollback makes no deployment");

    // Somebody promotes past the program: that is drift, and refused.
    std::fs::remove_file(site.team.state().join("live")).unwrap();
    let drift = told(&site.team.xtask(&["rollback", second, "--plan"]));
    assert!(
        drift.contains("the frontend web serves nothing") && drift.contains("recorded"),
        "{drift}"
    );
}

#[test]
fn a_promotion_is_proved_by_what_users_see_and_one_that_was_cut_off_is_resumed() {
    let site = Site::new();
    // It does its work, and its answer gets lost.
    site.with("promote", "subprocess.run(real); sys.exit(1)");
    site.commit("Orders", "first");
    site.team.json(&["deploy", "--yes"]);
    assert_eq!(site.page(), "first");

    site.with("promote", "os.kill(os.getppid(), 9); sys.exit(1)");
    site.commit("Orders", "second");
    let killed = site.team.xtask(&["deploy", "--yes"]);
    assert_eq!(
        (killed.status.code(), site.page().as_str()),
        (None, "first"),
        "{}",
        told(&killed)
    );
    let id = site.newest_operation();
    site.team.configure(&example("pages.py"));
    let resumed = site.team.json(&["deploy", "--resume", &id]);
    assert_eq!(
        (site.page().as_str(), &resumed["release"]["health"]),
        ("second", &"healthy".into())
    );
    assert_eq!(
        site.staged(),
        2,
        "what was staged is promoted, and not staged again"
    );
}

#[test]
fn programs_that_show_users_what_they_were_to_stage_are_found_out() {
    let site = Site::new();
    site.commit("Orders", "first");
    site.team.json(&["deploy", "--yes"]);
    let cases = [
        (
            "wait",
            "print(subprocess.run(real, stdin=sys.stdin, capture_output=True).stdout.decode().replace('http', 'mailto')); sys.exit(0)",
            "needs a `url`",
        ),
        (
            "wait",
            "print(subprocess.run(real, stdin=sys.stdin, capture_output=True).stdout.decode().replace('staged', 'failed')); sys.exit(0)",
            "it is \"failed\"",
        ),
        (
            "stage",
            "answer = subprocess.run(real, stdin=sys.stdin, capture_output=True).stdout.decode(); id = answer.split('\"')[3]; \
             os.remove(sys.argv[2] + '/live'); os.symlink(id, sys.argv[2] + '/live'); print(answer); sys.exit(0)",
            "it is \"serves\"",
        ),
    ];
    let checked = site.team.xtask(&["doctor", "--adapter", "web"]);
    assert!(checked.status.success(), "{}", told(&checked));
    for (action, script, expected) in cases {
        site.with(action, script);
        site.commit("Orders", expected);
        let refused = site.team.xtask(&["deploy", "--yes"]);
        let text = told(&refused);
        assert!(
            !refused.status.success() && text.contains(expected),
            "{expected}: {text}"
        );
    }
}
