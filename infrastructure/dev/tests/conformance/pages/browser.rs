//! A real headless Chromium, led over its own protocol through a pipe: pages as a telephone or a desk shows them, without
//! a network.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The pin's name.
const PROGRAM: &str = "chromium-headless-shell";
/// A browser that hangs ends after this.
const DEADLINE_S: &str = "120";

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub struct View {
    pub width: u32,
    pub mobile: bool,
    /// `light` or `dark`.
    pub scheme: &'static str,
}

/// What was seen of a page.
pub struct Seen {
    /// What the measuring script gave.
    pub measured: Value,
    /// The whole page.
    pub png: Vec<u8>,
    /// Every address that the page asked for, its own first.
    pub requests: Vec<String>,
}

/// Ends when dropped.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    calls: u64,
    events: Vec<Value>,
    _home: TempDir,
}

impl Browser {
    pub fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        // It reads from descriptor 3 and writes to 4. As root it runs only without its sandbox.
        let mut child = Command::new("timeout")
            .args(["--kill-after=5", DEADLINE_S, "sh", "-c"])
            .arg("exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1")
            .args([PROGRAM, "--headless", "--remote-debugging-pipe", "--no-sandbox"])
            .args(["--disable-gpu", "--hide-scrollbars", "about:blank"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            to: child.stdin.take().unwrap(),
            from: BufReader::new(child.stdout.take().unwrap()),
            child,
            calls: 0,
            events: Vec::new(),
            _home: home,
        }
    }

    /// Loads a file and looks at it.
    pub fn look(&mut self, page: &Path, view: View, measure: &str) -> Seen {
        let target = self.call(None, "Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.call(None, "Target.attachToTarget", &attach);
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        let height = if view.mobile { 844 } else { 900 };
        let offline =
            json!({ "offline": true, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        for (method, params) in [
            ("Page.enable", json!({})),
            ("Network.enable", json!({})),
            ("Network.emulateNetworkConditions", offline),
            (
                "Emulation.setDeviceMetricsOverride",
                json!({ "width": view.width, "height": height, "deviceScaleFactor": 1, "mobile": view.mobile }),
            ),
            (
                "Emulation.setEmulatedMedia",
                json!({ "features": [{ "name": "prefers-color-scheme", "value": view.scheme }] }),
            ),
        ] {
            self.call(Some(&session), method, &params);
        }
        self.events.clear();
        let url = format!("file://{}", page.display());
        self.call(Some(&session), "Page.navigate", &json!({ "url": url }));
        while !self
            .events
            .iter()
            .any(|event| event["method"] == "Page.loadEventFired")
        {
            let event = self.read();
            self.events.push(event);
        }
        let evaluate = json!({ "expression": measure, "returnByValue": true });
        let measured = self.call(Some(&session), "Runtime.evaluate", &evaluate);
        let capture = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.call(Some(&session), "Page.captureScreenshot", &capture);
        let png = base64::engine::general_purpose::STANDARD.decode(picture["data"].as_str().unwrap());
        Seen {
            measured: measured["result"]["value"].clone(),
            png: png.unwrap(),
            requests: self.requests(),
        }
    }

    fn requests(&self) -> Vec<String> {
        let sent = self
            .events
            .iter()
            .filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().unwrap().to_owned())
            .collect()
    }

    fn call(&mut self, session: Option<&str>, method: &str, params: &Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        write!(self.to, "{message}\0").unwrap();
        self.to.flush().unwrap();
        loop {
            let said = self.read();
            if said["id"] == id {
                assert!(said["error"].is_null(), "{method}: {said}");
                return said["result"].clone();
            }
            self.events.push(said);
        }
    }

    /// One message; they end with a zero byte.
    fn read(&mut self) -> Value {
        let mut message = Vec::new();
        self.from.read_until(0, &mut message).unwrap();
        assert_eq!(
            message.pop(),
            Some(0),
            "{PROGRAM} is not on PATH or ended: see `cargo xtask ci pages`"
        );
        serde_json::from_slice(&message).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // `timeout` passes it on; a kill would leave the browser behind.
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
        self.child.wait().ok();
    }
}
