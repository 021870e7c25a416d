//! Which release answers.

use serde_json::Value;

use super::application::{NEW, OLD, RELEASE, release};
use super::server::{Repository, check, told};

#[test]
fn an_old_build_that_answers_is_not_the_new_release() {
    let old = format!("http://{}", release(OLD, "1.0"));
    let new = format!("http://{}", release(NEW, "2.0"));
    let table = [
        (
            &old,
            &old,
            None,
            "healthy",
            "backend 1.0 at 111111111111, frontend 1.0",
        ),
        (&old, &old, Some(OLD), "healthy", "backend 1.0"),
        (
            &old,
            &old,
            Some(NEW),
            "unhealthy",
            "the backend's commit is 1111111111111111111111111111111111111111 instead of 2222",
        ),
        (&new, &new, Some(NEW), "healthy", "backend 2.0"),
        (
            &new,
            &old,
            Some(NEW),
            "unhealthy",
            "the frontend's version is 1.0 instead of 2.0",
        ),
        (
            &new,
            &old,
            None,
            "unhealthy",
            "the frontend's version is 1.0 instead of 2.0",
        ),
    ];
    for (backend, frontend, wanted, verdict, message) in table {
        let repository = Repository::new(backend, frontend, RELEASE);
        let args: Vec<&str> = wanted.iter().flat_map(|wanted| ["--release", wanted]).collect();
        let (code, report) = repository.json(&args);
        let it = check(&report, "release");
        assert_eq!(report["verdict"], verdict, "{it:#}");
        assert_eq!(code, i32::from(verdict != "healthy"));
        assert!(it["message"].as_str().unwrap().contains(message), "{it:#}");
        assert_eq!(check(&report, "api")["outcome"], "passed");
    }
}

/// The page alone: the backend that belongs to it is not up yet, and the live one is another release.
const PAGE_AND_BACKEND: &str = r#"
schema = "health/1"
[check.api]
group = "api"
[check.api.http]
url = "${backend}/api/health"
expect = { status = [418] }
[check.page]
group = "performance"
[check.page.frontend]
url = "${frontend}/"
marker = "release"
"#;

#[test]
fn of_a_staged_frontend_only_the_page_is_looked_at() {
    use xtask::context::Context;
    use xtask::domain::verdict::HealthStatus;
    let old = format!("http://{}", release(OLD, "1.0"));
    let new = format!("http://{}", release(NEW, "2.0"));
    let repository = Repository::new(&old, &old, PAGE_AND_BACKEND);
    let config = xtask::config::Config::read(&repository.path("infrastructure/pipeline.toml")).unwrap();
    let ctx = Context {
        root: repository.path(""),
        config,
        env_name: "test".into(),
        format: xtask::report::Format::Json,
        yes: true,
        started: std::time::Instant::now(),
    };
    let request = xtask::health::HealthOptions {
        staged: Some(xtask::health::StagedFrontend {
            part: "frontend".into(),
            url: new.clone(),
        }),
        ..Default::default()
    };
    let report = xtask::health::run(&ctx, &request).unwrap();
    assert_eq!(report.verdict, HealthStatus::Healthy, "{}", report.summary);
    assert_eq!(report.frontend, new);
    let looked_at: Vec<&str> = report.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(looked_at, ["page"]);
}

fn git(repository: &Repository, args: &[&str]) {
    let output = std::process::Command::new("git")
        .args(["-c", "user.name=test", "-c", "user.email=test@example.com"])
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", repository.path(""))
        .current_dir(repository.path(""))
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", told(&output));
}

/// The tag's record says what both sides must be; without the platforms' tokens their own word stays unknown.
#[test]
fn a_release_is_asked_for_by_its_tag() {
    let backend = format!("http://{}", release(NEW, "2.0"));
    let serving = "[check.serving]\ngroup = \"release\"\n[check.serving.serving]\n";
    let repository = Repository::new(&backend, &backend, &format!("{RELEASE}{serving}"));
    let record = |commit: &str, deployment: &str| {
        format!(
            r#"Release

{{
"schema":"release/1","tag":"test-20260102-030405","environment":"test","operation":"20260102-030405-ab12",
"created":"2026-01-02T03:04:05Z","commit":"{commit}","railway":{{"deployment":"{deployment}","image_digest":null}},
"vercel":{{"deployment":"dpl_1"}},"backup":null,"approvers":[],"actor":"a","reason":null,"health":"healthy","variables":[],
"schema_fingerprint":null,"timings_ms":{{}}}}
"#
        )
    };
    git(&repository, &["init", "--quiet", "--bare", "origin.git"]);
    git(&repository, &["init", "--quiet"]);
    git(&repository, &["remote", "add", "origin", "origin.git"]);
    git(
        &repository,
        &["commit", "--quiet", "--allow-empty", "--message", "x"],
    );
    let table = [
        (record(NEW, "d1"), "unknown", "passed", "backend 2.0"),
        (
            record(OLD, "d1"),
            "unhealthy",
            "failed",
            "the backend's commit is 2222",
        ),
        (
            record(NEW, "d2"),
            "unhealthy",
            "failed",
            "the backend's deployment is d1 instead of d2",
        ),
    ];
    for (message, verdict, outcome, said) in table {
        git(
            &repository,
            &[
                "tag",
                "--force",
                "--annotate",
                "test-20260102-030405",
                "--message",
                &message,
            ],
        );
        git(
            &repository,
            &["push", "--quiet", "--force", "origin", "test-20260102-030405"],
        );
        let (code, report) = repository.json(&["--release", "test-20260102-030405"]);
        let it = check(&report, "release");
        assert_eq!(
            (code, &report["verdict"]),
            (1, &Value::from(verdict)),
            "{report:#}"
        );
        assert_eq!(it["outcome"], outcome);
        assert!(it["message"].as_str().unwrap().contains(said), "{it:#}");
        let serving = check(&report, "serving");
        assert!(
            serving["message"]
                .as_str()
                .unwrap()
                .contains("RAILWAY is not set"),
            "{serving:#}"
        );
    }
    let output = repository
        .health(&["--release", "test-20270102-030405"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(
        told(&output).contains("there is no release `test-20270102-030405`"),
        "{}",
        told(&output)
    );
}
