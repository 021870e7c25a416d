//! Runs one after the other: watching, and comparing with an earlier report.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::Duration;

use super::application::ONE;
use super::server::{Repository, reply, serve, told};

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
