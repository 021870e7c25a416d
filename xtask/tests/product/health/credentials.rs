//! Tokens and passwords are used, and never shown or given to others.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::application::{OLD, TOKEN, release};
use super::server::{PASSWORD, Repository, json, reply, serve, told};

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
