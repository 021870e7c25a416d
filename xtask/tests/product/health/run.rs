//! One run: order, time, usage, and the report's form.

use std::io::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::application::{NEW, ONE, RELEASE, release};
use super::server::{Repository, always, check, json, serve, told};

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
    let schema = include_str!("../../../../infrastructure/schemas/health-report.schema.json");
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

#[test]
fn doctor_makes_each_check_once_and_shows_what_it_finds() {
    let server = serve(|seen, stream| {
        stream.write_all(&json(match seen.path() {
            "/good" => r#"{"ok":true}"#,
            "/down" => r#"{"status":"down"}"#,
            _ => "<html>",
        }))
    });
    let mut health = String::from("schema = \"health/1\"\n");
    for (name, more) in [("good", ""), ("down", ""), ("page", "severity = \"warning\"\n")] {
        health.push_str(&format!(
            "[check.{name}]\ngroup = \"api\"\nretry = {{ for_s = 600 }}\n{more}\
             [check.{name}.http]\nurl = \"${{backend}}/{name}\"\n[check.{name}.http.expect]\nhealthy = true\n"
        ));
    }
    let backend = format!("http://{server}");
    let repository = Repository::new(&backend, &backend, &health);
    let output = repository
        .xtask("doctor")
        .args(["--health", "--format", "json"])
        .output()
        .unwrap();
    let page: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
    let lines = page["lines"].as_array().unwrap();
    for (name, state, found) in [
        ("good", "ok", "(status 200)"),
        (
            "down",
            "problem",
            r#"the answer reports that not all is well: {"status":"down"}"#,
        ),
        ("page", "warning", "the answer is a page of HTML"),
    ] {
        let subject = format!("health check {name}");
        let line = lines.iter().find(|line| line["subject"] == subject.as_str());
        let line = line.unwrap_or_else(|| panic!("no line for {name}: {page:#}"));
        assert_eq!(line["state"], state, "{line}");
        assert!(line["found"].as_str().unwrap().contains(found), "{line}");
    }
}
