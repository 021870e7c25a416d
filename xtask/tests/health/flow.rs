//! Whole runs: credentials, releases, order, watching, comparing, files.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::server::{PASSWORD, Repository, Seen, always, check, html, json, reply, serve, told};

const OLD: &str = "1111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222";
const TOKEN: &str = "token-of-the-test-user";

/// A backend of the sample's form.
fn application(seen: &Seen, commit: &str, version: &str) -> Vec<u8> {
    match seen.path() {
        "/api/health" => json(&format!(
            r#"{{"status":"ok","commit":"{commit}","version":"{version}","deployment":"d1"}}"#
        )),
        "/api/auth/login" if seen.body.contains(PASSWORD) => json(&format!(r#"{{"token":"{TOKEN}"}}"#)),
        "/api/auth/login" => reply(401, "", ""),
        // It shows what it was given, as a careless server may.
        "/api/auth/profile" if seen.head.contains(TOKEN) => reply(500, "", format!("bad token {TOKEN}")),
        "/" => html(&format!(
            "<title>Shop</title><meta name=release content={version}>"
        )),
        _ => reply(404, "", ""),
    }
}

fn release(commit: &'static str, version: &'static str) -> SocketAddr {
    serve(move |seen, stream| stream.write_all(&application(seen, commit, version)))
}

const RELEASE: &str = r#"
schema = "health/1"
[check.api]
group = "api"
[check.api.http]
url = "${backend}/api/health"
[check.release]
group = "release"
[check.release.release]
backend = "${backend}/api/health"
commit = "$.commit"
version = "$.version"
deployment = "$.deployment"
frontend = "${frontend}/"
marker = "release"
marker_is = "version"
"#;

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

#[test]
fn a_token_is_used_but_never_shown() {
    let server = format!("http://{}", release(OLD, "1.0"));
    let health = r#"
schema = "health/1"
[check.login]
group = "api"
[check.login.http]
method = "POST"
url = "${backend}/api/auth/login"
json = { password = "${secret:HEALTH_PASSWORD}" }
capture = { token = "$.token" }
[check.profile]
group = "api"
depends_on = ["login"]
[check.profile.http]
url = "${backend}/api/auth/profile"
headers = { authorization = "Bearer ${token}" }
"#;
    let repository = Repository::new(&server, &server, health);
    let junit = repository.path("junit.xml");
    let summary = repository.path("summary.md");
    let output = repository
        .health(&["--verbose", "--junit", junit.to_str().unwrap()])
        .env("GITHUB_STEP_SUMMARY", &summary)
        .output()
        .unwrap();
    let (junit, summary) = (
        std::fs::read_to_string(junit).unwrap(),
        std::fs::read_to_string(summary).unwrap(),
    );
    let all = format!("{}{junit}{summary}", told(&output));
    assert!(!all.contains(TOKEN) && !all.contains(PASSWORD), "{all}");
    assert!(
        junit.contains("<failure message=\"status 500 instead of 200: bad token [secret]\"/>"),
        "{junit}"
    );
    assert!(
        summary.contains("### Health of test: unhealthy") && summary.contains("| ✅ | api | login |"),
        "{summary}"
    );
    assert_eq!(output.status.code(), Some(1));
}

/// Another host must get neither the header nor the body of a redirected request.
#[test]
fn redirects_to_another_host_carry_no_credentials() {
    let leaked = Arc::new(AtomicBool::new(false));
    let noticed = Arc::clone(&leaked);
    let other = serve(move |seen, stream| {
        if seen.head.contains(PASSWORD) || seen.body.contains(PASSWORD) {
            noticed.store(true, Ordering::SeqCst);
        }
        stream.write_all(&json("{}"))
    });
    for (status, method, verdict) in [
        (302, "GET", "healthy"),
        (307, "GET", "healthy"),
        (303, "POST", "healthy"),
        (307, "POST", "unhealthy"),
    ] {
        let location = format!("location: http://{other}/\r\n");
        let first = serve(move |_, stream| stream.write_all(&reply(status, &location, "")));
        let body = if method == "POST" {
            "body = \"${secret:HEALTH_PASSWORD}\""
        } else {
            ""
        };
        let health = format!(
            "schema = \"health/1\"\n[check.it]\ngroup = \"api\"\n[check.it.http]\nmethod = \"{method}\"\nurl = \"${{backend}}/\"\n\
             redirects = 2\nheaders = {{ authorization = \"${{secret:HEALTH_PASSWORD}}\", x-key = \"${{secret:HEALTH_PASSWORD}}\" }}\n{body}\n"
        );
        let backend = format!("http://{first}");
        let (_, report) = Repository::new(&backend, &backend, &health).json(&[]);
        assert_eq!(report["verdict"], verdict, "{status} {method}: {report:#}");
    }
    assert!(
        !leaked.load(Ordering::SeqCst),
        "a credential reached the other host"
    );
}

#[test]
fn a_run_takes_no_longer_than_its_slowest_chain() {
    let server = serve(|_, stream| {
        std::thread::sleep(Duration::from_millis(400));
        stream.write_all(&json("{}"))
    });
    let mut health = String::from("schema = \"health/1\"\n");
    for (name, needs) in [
        ("a", ""),
        ("b", "\"a\""),
        ("c", "\"b\""),
        ("d", ""),
        ("e", ""),
        ("f", "\"d\", \"e\""),
        ("g", ""),
    ] {
        let check = format!("[check.{name}]\ngroup = \"api\"\ndepends_on = [{needs}]\n");
        health.push_str(&check);
        let http = format!("[check.{name}.http]\nurl = \"${{backend}}/\"\n");
        health.push_str(&http);
    }
    let backend = format!("http://{server}");
    let (_, report) = Repository::new(&backend, &backend, &health).json(&[]);
    let (took, chain) = (
        report["duration_ms"].as_f64().unwrap(),
        report["slowest_chain_ms"].as_f64().unwrap(),
    );
    assert_eq!(report["verdict"], "healthy");
    assert!(chain >= 1_200.0, "{chain}");
    assert!(took <= chain * 1.2, "{took} ms for a chain of {chain} ms");
}

#[test]
fn the_time_for_all_checks_is_kept() {
    let server = serve(|_, _| {
        loop {
            std::thread::park();
        }
    });
    let backend = format!("http://{server}");
    let health = "schema = \"health/1\"\n[run]\ndeadline_s = 1\ntimeout_ms = 60000\nparallel = 1\n\
                  [check.a]\ngroup = \"api\"\nretry = { for_s = 600 }\n[check.a.http]\nurl = \"${backend}/\"\n\
                  [check.b]\ngroup = \"api\"\n[check.b.http]\nurl = \"${backend}/\"\n";
    let (code, report) = Repository::new(&backend, &backend, health).json(&[]);
    assert_eq!((code, &report["verdict"]), (1, &Value::from("unhealthy")));
    assert!(
        check(&report, "b")["message"]
            .as_str()
            .unwrap()
            .contains("the time for all checks was over")
    );
    assert!(report["duration_ms"].as_f64().unwrap() < 30_000.0);
}

const ONE: &str =
    "schema = \"health/1\"\n[check.it]\ngroup = \"api\"\n[check.it.http]\nurl = \"${backend}/\"\n";

#[test]
fn a_watch_says_changes_only_and_ends_with_a_summary() {
    let server = serve(|seen, stream| {
        stream.write_all(&reply(
            if (5..10).contains(&seen.nth) { 500 } else { 200 },
            "",
            "",
        ))
    });
    let backend = format!("http://{server}");
    let repository = Repository::new(&backend, &backend, ONE);
    let mut child = repository
        .health(&["--watch", "--every", "0.01"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let seen: Vec<String> = lines.by_ref().take(5).collect();
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let rest: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success());
    let wanted = [
        "healthy: 1",
        "unhealthy: `it`",
        "it FAILS: status 500",
        "healthy: 1",
        "it passes",
    ];
    for (line, wanted) in seen.iter().zip(wanted) {
        assert!(line.contains(wanted), "{seen:#?}");
    }
    let rest = rest.join("\n");
    assert!(
        rest.contains("availability") && rest.contains("5 unhealthy") && rest.contains("p99"),
        "{rest}"
    );
}

#[test]
fn what_broke_and_what_got_slower_is_said() {
    let report = |delay_ms: u64, extra: u16| {
        serve(move |seen, stream| {
            let status = if seen.path() == "/extra" { extra } else { 200 };
            std::thread::sleep(Duration::from_millis(if seen.path() == "/" {
                delay_ms
            } else {
                0
            }));
            stream.write_all(&reply(status, "", ""))
        })
    };
    let health =
        format!("{ONE}[check.extra]\ngroup = \"api\"\n[check.extra.http]\nurl = \"${{backend}}/extra\"\n");
    let before = format!("http://{}", report(0, 200));
    let output = Repository::new(&before, &before, &health)
        .health(&["--format", "json"])
        .output()
        .unwrap();
    let after = format!("http://{}", report(2_000, 500));
    let repository = Repository::new(&after, &after, &health);
    let earlier = repository.path("earlier.json");
    std::fs::write(&earlier, output.stdout).unwrap();
    let output = repository
        .health(&["--compare", earlier.to_str().unwrap()])
        .output()
        .unwrap();
    let text = told(&output);
    assert!(
        text.contains("slower   it:") && text.contains("broke    extra: status 500"),
        "{text}"
    );
    let (_, shown) = repository.json(&["--compare", earlier.to_str().unwrap()]);
    assert_eq!(shown["comparison"]["earlier_verdict"], "healthy");
    std::fs::write(&earlier, "{\"schema\":\"plan/1\"}").unwrap();
    let output = repository
        .health(&["--compare", earlier.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
}

#[test]
fn wrong_usage_is_told_before_anything_is_sent() {
    let backend = format!("http://{}", always(json("{}")));
    let repository = Repository::new(&backend, &backend, ONE);
    let table: [(&[&str], i32, &str); 3] = [
        (&["--only", "database"], 2, "no check in the group `database`"),
        (&["--only", "speed"], 2, "possible values"),
        (&["--every", "1"], 2, "--watch"),
    ];
    for (args, code, message) in table {
        let output = repository.health(args).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", told(&output));
        assert!(told(&output).contains(message), "{}", told(&output));
    }
    let wrong = Repository::new(&backend, &backend, &ONE.replace("group", "grop"));
    let output = wrong.health(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        told(&output).contains("infrastructure/health.toml:3:1: unknown field `grop`"),
        "{}",
        told(&output)
    );
}

#[test]
fn the_report_is_as_its_schema_says() {
    let schema = include_str!("../../../infrastructure/schemas/health-report.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let backend = format!("http://{}", release(NEW, "2.0"));
    let health = format!(
        "{RELEASE}[check.page]\ngroup = \"performance\"\n[check.page.frontend]\nurl = \"${{frontend}}/\"\nload_ms = 3000\n"
    );
    let (_, report) = Repository::new(&backend, &backend, &health).json(&["--release", NEW]);
    conforms(&schema, &schema, &report, "$");
}

/// As much of JSON Schema as that file uses.
fn conforms(root: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|name| name.strip_prefix("#/$defs/"))
    {
        return conforms(root, &root["$defs"][name], value, at);
    }
    if let Some(wanted) = schema.get("const") {
        assert_eq!(value, wanted, "{at}");
    }
    if let Some(allowed) = schema["enum"].as_array() {
        assert!(allowed.contains(value), "{at}: {value}");
    }
    match schema["type"].as_str() {
        Some("object") => {
            let object = value.as_object().unwrap_or_else(|| panic!("{at} is no object"));
            for name in schema["required"].as_array().into_iter().flatten() {
                assert!(object.contains_key(name.as_str().unwrap()), "{at} has no {name}");
            }
            for (name, member) in object {
                match schema["properties"].get(name) {
                    Some(schema) => conforms(root, schema, member, &format!("{at}.{name}")),
                    None => assert_ne!(
                        schema["additionalProperties"], false,
                        "{at}.{name} is not in the schema"
                    ),
                }
            }
        }
        Some("array") => {
            for (index, item) in value.as_array().unwrap().iter().enumerate() {
                conforms(root, &schema["items"], item, &format!("{at}[{index}]"));
            }
        }
        Some("string") => assert!(value.is_string(), "{at}"),
        Some("number") => assert!(value.is_number(), "{at}"),
        Some("integer") => assert!(value.is_u64(), "{at}"),
        _ => {}
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
    use xtask::domain::verdict::Verdict;
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
    };
    let request = xtask::health::Request {
        frontend_url: Some(new.clone()),
        ..Default::default()
    };
    let report = xtask::health::run(&ctx, &request).unwrap();
    assert_eq!(report.verdict, Verdict::Healthy, "{}", report.summary);
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
