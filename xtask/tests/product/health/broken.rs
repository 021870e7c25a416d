//! Broken servers: for each the verdict, the exit code and the message.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::server::{PASSWORD, Repository, always, check, endlessly, html, json, nobody, reply, serve, told};

/// A request to a server that answers slowly, or not, must end by then: the timeout is one second, the rest is for a
/// busy machine.
const LONGEST: Duration = Duration::from_secs(20);

struct Case {
    name: &'static str,
    server: SocketAddr,
    /// Lines of the check `it`.
    lines: String,
    verdict: &'static str,
    message: &'static str,
}

/// A check of one request with these expectations.
fn expect(name: &'static str, server: SocketAddr, expect: &str, message: &'static str) -> Case {
    case(
        name,
        server,
        &format!("expect = {{ {expect} }}"),
        "unhealthy",
        message,
    )
}

fn case(
    name: &'static str,
    server: SocketAddr,
    http: &str,
    verdict: &'static str,
    message: &'static str,
) -> Case {
    let url = if http.contains("url = ") {
        ""
    } else {
        "url = \"${backend}/x\"\n"
    };
    let lines = format!("[check.it.http]\n{url}{http}\n");
    Case {
        name,
        server,
        lines,
        verdict,
        message,
    }
}

fn run(case: &Case) {
    let backend = format!("http://{}", case.server);
    let health = format!(
        "schema = \"health/1\"\n[run]\ntimeout_ms = 1000\nbody_limit_bytes = 65536\n[check.it]\ngroup = \"api\"\n{}",
        case.lines
    );
    let repository = Repository::new(&backend, &backend, &health);
    let started = Instant::now();
    let output = repository.health(&["--format", "json"]).output().unwrap();
    let took = started.elapsed();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{}: {error}: {}", case.name, told(&output)));
    let it = check(&report, "it");
    let message = it["message"].as_str().unwrap();
    let code = i32::from(case.verdict != "healthy");
    assert_eq!(report["verdict"], case.verdict, "{}: {message}", case.name);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{}: {}",
        case.name,
        told(&output)
    );
    assert!(message.contains(case.message), "{}: {message}", case.name);
    assert!(
        !told(&output).contains(PASSWORD),
        "{}: {}",
        case.name,
        told(&output)
    );
    assert!(took < LONGEST, "{} took {took:?}", case.name);
}

#[rustfmt::skip]
fn expectations() -> Vec<Case> {
    let list = r#"{"status":"bad","n":5,"t":"abc","items":[{"id":"1","price":2},{"id":"2"}],"none":null}"#;
    let ok = || always(json(list));
    let path = |rest: &str| format!("json = [{{ {rest} }}]");
    vec![
        expect("status", always(reply(500, "", "it broke")), "", "status 500 instead of 200: it broke"),
        expect("statuses", always(reply(404, "", "")), "status = [200, 204]", "status 404 instead of 200 or 204"),
        expect("header missing", always(reply(200, "", "")), "headers = { x-a = \".\" }", "the header x-a is missing"),
        expect("header value", ok(), "headers = { content-type = \"html\" }", "the header content-type does not match `html`"),
        expect("body", ok(), "body = \"status\\\":\\\"ok\"", "the body does not match"),
        expect("not JSON", always(html("<p>hello")), &path("path = \"$\""), "the body is not JSON"),
        expect("empty", always(json("")), &path("path = \"$\""), "the body is not JSON"),
        expect("too deep", always(json(&"[".repeat(50_000))), &path("path = \"$\""), "the body is not JSON"),
        expect("nothing selected", ok(), &path("path = \"$.gone\", equals = 1"), "$.gone selects nothing"),
        expect("equals", ok(), &path("path = \"$.status\", equals = \"ok\""), "$.status is \"bad\" instead of \"ok\""),
        expect("type", ok(), &path("path = \"$.n\", type = \"string\""), "$.n is a number instead of a string"),
        expect("pattern", ok(), &path("path = \"$.t\", matches = \"^x\""), "$.t does not match `^x`: abc"),
        expect("least", ok(), &path("path = \"$.n\", min = 6"), "$.n is 5, outside of 6 to any"),
        expect("most", ok(), &path("path = \"$.n\", max = 4"), "$.n is 5, outside of any to 4"),
        expect("no number", ok(), &path("path = \"$.t\", min = 1"), "$.t is a string instead of a number"),
        expect("too few", ok(), &path("path = \"$.items[*]\", min_count = 3"), "$.items[*] selects 2 instead of at least 3"),
        expect("too many", ok(), &path("path = \"$.items[*]\", max_count = 1"), "$.items[*] selects 2 instead of at most 1"),
        expect("none wanted", ok(), &path("path = \"$.n\", max_count = 0"), "$.n selects 1 instead of at most 0"),
        expect("member", ok(), &path("path = \"$.items[*]\", shape = { price = \"number\" }"), "$.items[*] has no `price`"),
        expect("member's type", ok(), &path("path = \"$.items[*]\", shape = { id = \"number\" }"), "has a string as `id` instead of a number"),
        expect("no object", ok(), &path("path = \"$.none\", shape = { id = \"number\" }"), "$.none is null instead of an object"),
        expect("too slow", slow(300), "max_ms = 100", "at most 100 ms are allowed"),
        case("p95", slow(60), "samples = 5\nexpect = { p95_ms = 20 }", "unhealthy", "at most 20 ms are allowed"),
        case("no capture", ok(), "capture = { t = \"$.token\" }", "unhealthy", "nothing to capture as `t`: $.token selects nothing"),
        case("capture's type", ok(), "capture = { t = \"$.items\" }", "unhealthy", "neither a text nor a number"),
        case("captures", ok(), "capture = { t = \"$.items[*].id\" }", "unhealthy", "selects more than one"),
    ]
}

fn slow(ms: u64) -> SocketAddr {
    serve(move |_, stream| {
        std::thread::sleep(Duration::from_millis(ms));
        stream.write_all(&json("{}"))
    })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[rustfmt::skip]
fn network() -> Vec<Case> {
    let tick = Duration::from_millis(20);
    let head = b"HTTP/1.1 200 OK\r\n";
    let failed = |name, server, message| case(name, server, "", "unhealthy", message);
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let large = b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n";
    let packed = "content-encoding: gzip\r\n";
    let members = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 10000000000\r\n\r\n";
    let close = |bytes: &'static [u8]| serve(move |_, stream| stream.write_all(bytes));
    let silent = || {
        serve(|_, _| {
            loop {
                std::thread::park();
            }
        })
    };
    let secure = |server: SocketAddr| format!("url = \"https://{server}/\"");
    let plain = always(json("{}"));
    let mute = silent();
    vec![
        failed("refused", nobody(), "the connection was refused"),
        case("no such name", nobody(), "url = \"http://nobody.invalid/\"", "unknown", "resolved"),
        case("no TLS", plain, &secure(plain), "unknown", "no secure connection"),
        case("silent TLS", mute, &secure(mute), "unknown", "no secure connection"),
        failed("closed", serve(|_, _| Ok(())), "the connection was closed"),
        failed("silent", silent(), "no whole answer within 1.0 s"),
        failed("cut head", close(b"HTTP/1.1 200 OK\r\ncontent-le"), "the connection was closed"),
        failed("not HTTP", close(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "the answer is not proper HTTP"),
        failed("dripping head", endlessly(head, b"x", tick), "no whole answer within 1.0 s"),
        failed("dripping body", endlessly(large, b"x", tick), "no whole answer within 1.0 s"),
        failed("dripping chunks", endlessly(chunked, b"1\r\nx\r\n", tick), "no whole answer within 1.0 s"),
        failed("10 GB", endlessly(large, &[b'x'; 8192], Duration::ZERO), "the body is larger than 65536 bytes"),
        failed("endless chunks", endlessly(chunked, &[b"1000\r\n", [b'x'; 0x1000].as_slice(), b"\r\n"].concat(), Duration::ZERO), "the body is larger than 65536 bytes"),
        failed("endless body", endlessly(b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 4096], Duration::ZERO), "the body is larger than"),
        failed("gzip bomb", always(reply(200, packed, gzip(&vec![0; 50 << 20]))), "the body is larger than 65536 bytes"),
        failed("endless empty gzip", endlessly(members, &gzip(b""), Duration::ZERO), "no whole answer within 1.0 s"),
        failed("broken gzip", always(reply(200, packed, b"\x1f\x8b\x08\0\0\0\0\0\0\x03garbage")), "the body cannot be unpacked"),
        failed("content length too large", close(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"), "the connection was closed"),
        failed("content length is a word", close(b"HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\nabc"), "not proper HTTP"),
        failed("broken chunk", close(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n"), "not proper HTTP"),
        expect("not UTF-8", always(json_bytes(b"{\"a\":\"\xff\"}")), "json = [{ path = \"$\" }]", "the body is not UTF-8 from byte 6 on"),
        failed("huge head", endlessly(head, format!("a: {}\r\n", "x".repeat(4096)).as_bytes(), Duration::ZERO), "head is larger"),
        failed("endless provisional answers", endlessly(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", tick), ""),
        redirect("unexpected redirect", 0, |_| "/y".into(), "status 302 instead of 200"),
        redirect("redirect loop", 9, |path| if path == "/x" { "/y".into() } else { "/x".into() }, "in a loop at"),
        redirect("many redirects", 3, |path| format!("{path}x"), "more than 3 redirects"),
        redirect("redirect to a file", 3, |_| "file:///etc/passwd".into(), "leaves http for `file`"),
        case("redirect without place", always(reply(302, "", "")), "redirects = 1", "unhealthy", "status 302 without a location"),
        case("missing secret", plain, "headers = { a = \"${secret:NOT_SET}\" }", "unknown", "NOT_SET is not set"),
        case("secret in the answer", echo(), "method = \"POST\"\nbody = \"${secret:HEALTH_PASSWORD}\"", "unhealthy", "status 500 instead of 200: you sent [secret]"),
        case("healthy", plain, "expect = { json = [{ path = \"$\", type = \"object\" }] }", "healthy", "status 200"),
    ]
}

fn json_bytes(body: &[u8]) -> Vec<u8> {
    reply(200, "content-type: application/json\r\n", body)
}

fn echo() -> SocketAddr {
    serve(|seen, stream| stream.write_all(&reply(500, "", format!("you sent {}", seen.body))))
}

fn redirect(name: &'static str, limit: u8, to: fn(&str) -> String, message: &'static str) -> Case {
    let server = serve(move |seen, stream| {
        let location = format!("location: {}\r\n", to(seen.path()));
        stream.write_all(&reply(302, &location, ""))
    });
    case(
        name,
        server,
        &format!("redirects = {limit}"),
        "unhealthy",
        message,
    )
}

const PAGE: &str = "<!doctype html><title>Shop</title><meta name=release content=1.0><script src=a.js></script><link rel=stylesheet href=s.css>";

/// A frontend that is whole but for one path.
fn site(broken: &'static str, answer: Vec<u8>) -> SocketAddr {
    serve(move |seen, stream| {
        let bytes = match seen.path() {
            path if path == broken => answer.clone(),
            "/" => html(PAGE),
            "/a.js" => reply(200, "content-type: text/javascript\r\n", "1"),
            "/s.css" => reply(200, "content-type: text/css\r\n", "a{}"),
            _ => reply(404, "", ""),
        };
        stream.write_all(&bytes)
    })
}

#[rustfmt::skip]
fn frontends() -> Vec<Case> {
    let page = |name, server, verdict, message| {
        Case {
        name,
        server,
        lines: "[check.it.frontend]\nurl = \"${frontend}/\"\ntitle = \"Shop\"\nmarker = \"release\"\nload_ms = 900\n".into(),
        verdict,
        message,
    }
    };
    let replaced = |from: &str, to: &str| html(&PAGE.replace(from, to));
    vec![
        page("whole page", site("", vec![]), "healthy", "the document and 2 assets"),
        page("page gone", site("/", reply(404, "", "")), "unhealthy", "status 404 instead of 200"),
        page("page is JSON", site("/", json("{}")), "unhealthy", "instead of text/html"),
        page("no title", site("/", replaced("<title>Shop</title>", "")), "unhealthy", "the document has no title"),
        page("wrong title", site("/", replaced("Shop", "Parked")), "unhealthy", "the title does not match `Shop`: Parked"),
        page("no marker", site("/", replaced("release", "other")), "unhealthy", "no <meta name=\"release\">"),
        page("asset gone", site("/a.js", reply(404, "", "")), "unhealthy", "a.js: status 404 instead of 200"),
        page("asset is the start page", site("/a.js", html(PAGE)), "unhealthy", "a.js: is `text/html; charset=utf-8`, which is not a script"),
        page("asset empty", site("/s.css", reply(200, "content-type: text/css\r\n", "")), "unhealthy", "s.css: is empty"),
        page("asset never comes", site("/s.css", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n".to_vec()), "unhealthy", "s.css: the connection was closed"),
    ]
}

#[rustfmt::skip]
fn others() -> Vec<Case> {
    let other = |name, server, lines: &str, verdict, message| Case {
        name,
        server,
        lines: lines.into(),
        verdict,
        message,
    };
    let flapping =
        || serve(|seen, stream| stream.write_all(&reply(if seen.nth % 3 == 2 { 500 } else { 200 }, "", "")));
    let starting =
        serve(|seen, stream| stream.write_all(&reply(if seen.nth < 3 { 503 } else { 200 }, "", "")));
    let http = "[check.it.http]\nurl = \"${backend}/\"\n";
    vec![
        other("flapping", flapping(), &format!("consecutive = 3\n{http}"), "unhealthy", "status 500"),
        other("passes in time", starting, &format!("retry = {{ for_s = 30, first_ms = 1 }}\n{http}"), "healthy", "status 200"),
        other("gives up", always(reply(503, "", "")), &format!("retry = {{ for_s = 1, first_ms = 100 }}\n{http}"), "unhealthy", "status 503"),
        other("only a warning", always(reply(503, "", "")), &format!("severity = \"warning\"\n{http}[check.well]\ngroup = \"api\"\n[check.well.http]\nurl = \"${{backend}}/\"\nexpect = {{ status = [503] }}\n" ), "healthy", "status 503"),
        other("nothing but warnings", always(reply(200, "", "")), &format!("severity = \"warning\"\n{http}"), "unknown", "status 200"),
        other("skipped", always(reply(503, "", "")), &format!("depends_on = [\"first\"]\n{http}[check.first]\ngroup = \"api\"\n[check.first.http]\nurl = \"${{backend}}/\"\n" ), "unhealthy", "skipped because `first` failed"),
        other("incident elsewhere", always(json(INCIDENT)), &format!("[check.it.status_page]\nurl = \"${{backend}}/\"\ncomponents = [\"API\"]\n[check.well]\ngroup = \"api\"\n{}", http.replace("check.it", "check.well") ), "healthy", "Cloud reports API: partial outage (Slow)"),
        other("status page is gone", always(reply(500, "", "")), &format!("[check.it.status_page]\nurl = \"${{backend}}/\"\n[check.well]\ngroup = \"api\"\n{}expect = {{ status = [500] }}\n", http.replace("check.it", "check.well") ), "healthy", "the status page answers 500"),
        other("database's secret is missing", nobody(), "[check.it.database]\ncollection = \"c\"\n", "unknown", "MONGODB is not set"),
    ]
}

const INCIDENT: &str = r#"{"page":{"name":"Cloud","url":"https://status.example"},"components":[{"name":"API","status":"partial_outage"},
    {"name":"Other","status":"major_outage"}],"incidents":[{"name":"Slow","shortlink":"https://stspg.example/1"}]}"#;

#[test]
fn each_broken_server_gets_its_verdict_exit_code_and_message() {
    let cases: Vec<Case> = [expectations(), network(), frontends(), others()]
        .into_iter()
        .flatten()
        .collect();
    assert!(cases.len() >= 40, "there are {} cases", cases.len());
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(case)));
                    if ended.is_err() {
                        failures.lock().unwrap().push(case.name);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} of {} failed: {failures:?}",
        failures.len(),
        cases.len()
    );
}
