//! Who is told, how often, and what happens when nobody listens.

use std::fs::File;
use std::process::Stdio;

use serde_json::json;

use rehearsal::test_env::github::{GithubEnv, TWO_PEOPLE, pipeline};
use rehearsal::test_env::platform::Addresses;

#[test]
fn slack_is_told_once_and_a_deaf_slack_fails_nothing() {
    let env = GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE));
    let url = format!("{}/slack/T/B/x", env.platform.addresses.services);
    let reason = "\"; rm -rf ~ #$(id)\n::set-output name=x::`y` <!channel>";
    let tell = |url: &str, args: &[&str]| {
        let output = env
            .command(&[&["notify"], args].concat())
            .env("SLACK_WEBHOOK_URL", url)
            .env("REASON", reason)
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!text.contains(url), "{text}");
        (output.status.code().unwrap(), text)
    };
    let failed = ["--event", "rollback", "--job-status", "failure"];
    assert_eq!(tell(&url, &failed), (0, "slack: delivered\n".into()));
    assert_eq!(tell(&url, &failed), (0, "slack: delivered before\n".into()));
    let messages = env.report()["slack"].clone();
    assert_eq!(messages.as_array().unwrap().len(), 1, "{messages}");
    assert_eq!(messages[0]["text"], "production: the rollback failed");
    let fields = messages[0]["blocks"][1]["fields"].to_string();
    assert!(fields.contains("rm -rf ~"), "{fields}");

    let deaf = "http://127.0.0.1:1/slack";
    let (code, text) = tell(deaf, &["--event", "success"]);
    assert!(
        code == 0 && text.contains("notification via slack failed"),
        "{text}"
    );
    assert_eq!(tell(deaf, &["--test"]).0, 1);
}

#[test]
fn a_message_that_was_delivered_is_so_whatever_is_behind_stdout() {
    let env = GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE));
    let url = format!("{}/slack/T/B/x", env.platform.addresses.services);
    let (_, closed) = std::io::pipe().unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let behind: [(&str, Stdio); 2] = [("started", full.into()), ("success", closed.into())];
    for (event, stdout) in behind {
        let mut command = env.command(&["notify", "--event", event]);
        let output = command
            .env("SLACK_WEBHOOK_URL", &url)
            .stdout(stdout)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{event}: {output:?}");
    }
    assert_eq!(env.report()["slack"].as_array().unwrap().len(), 2);
}

#[test]
fn a_busy_slack_is_asked_again_and_one_that_says_no_is_not() {
    let env = GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE));
    let url = format!("{}/slack/T/B/x", env.platform.addresses.services);
    let tell = || {
        let mut command = env.command(&["notify", "--test"]);
        command.env("SLACK_WEBHOOK_URL", &url).output().unwrap()
    };
    let answers = |status: u16, times: u32| {
        env.control(
            "faults",
            &json!({"id": status.to_string(), "platform": "services", "operation": "slack", "kind": "status",
                    "status": status, "times": times, "headers": [["retry-after", "0"]]}),
        );
    };
    let asked = || {
        let report = env.report();
        let requests = report["requests"].as_array().unwrap();
        requests.iter().filter(|one| one["operation"] == "slack").count()
    };
    answers(429, 2);
    assert!(tell().status.success());
    assert_eq!((asked(), env.report()["slack"].as_array().unwrap().len()), (3, 1));
    answers(503, 0);
    assert_eq!(tell().status.code(), Some(1));
    assert_eq!(asked(), 6, "three attempts are enough");
    env.control("faults/clear", &json!({}));
    answers(404, 0);
    assert_eq!(tell().status.code(), Some(1));
    assert_eq!(asked(), 7, "a webhook that is gone stays gone");
}

/// A test environment whose pipeline sends mail, and what `notify` with that did.
struct Mail {
    env: GithubEnv,
}

impl Mail {
    fn start() -> Self {
        Self {
            env: GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE)),
        }
    }

    fn send(&self, settings: &str, trusted: bool, args: &[&str]) -> (i32, String) {
        let settings = format!(
            "\n[notify.email]\nfrom = \"releases@example.com\"\nto = [\"Ann <ann@example.com>\", \"bob@example.com\"]\n\
             user = \"SMTP_USER\"\npassword = \"SMTP_PASSWORD\"\n{settings}\n"
        );
        let text = pipeline(TWO_PEOPLE).replace("slack = \"SLACK_WEBHOOK_URL\"", "") + &settings;
        std::fs::write(self.env.path("clone/infrastructure/pipeline.toml"), text).unwrap();
        let mut command = self.env.command(&[&["notify"], args].concat());
        command
            .env("SMTP_USER", "releases")
            .env("SMTP_PASSWORD", "mark-4712");
        if trusted {
            command.env("SSL_CERT_FILE", &self.env.platform.addresses.mail_ca);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!text.contains("mark-4712"), "{text}");
        (output.status.code().unwrap(), text)
    }

    fn addresses(&self) -> &Addresses {
        &self.env.platform.addresses
    }

    fn messages(&self) -> Vec<serde_json::Value> {
        self.env.report()["mail"].as_array().unwrap().clone()
    }
}

/// The settings of the mail server at this port.
fn server(port: u16) -> String {
    format!("server = \"localhost\"\nport = {port}")
}

#[test]
fn mail_is_encrypted_on_its_way_or_stays_on_this_machine() {
    let mail = Mail::start();
    let (starttls, tls, clear) = (
        server(mail.addresses().mail_starttls),
        server(mail.addresses().mail_tls) + "\nsecurity = \"tls\"",
        server(mail.addresses().mail_clear),
    );
    let failed = [
        "--event",
        "rollback",
        "--job-status",
        "failure",
        "--reason",
        "x\nBcc: eve@example.com",
    ];
    let (code, text) = mail.send(&starttls, true, &failed);
    assert!(code == 0 && text.contains("email: delivered"), "{text}");
    let (_, text) = mail.send(&starttls, true, &failed);
    assert!(text.contains("email: delivered before"), "{text}");
    let messages = mail.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    let first = &messages[0];
    assert_eq!(first["encrypted"], json!(true));
    assert_eq!(first["login"], json!("AHJlbGVhc2VzAG1hcmstNDcxMg=="));
    assert_eq!(first["to"].as_array().unwrap().len(), 2, "{first}");
    let data = first["data"].as_str().unwrap();
    assert!(
        data.contains("Subject: production: the rollback failed\r\n"),
        "{data}"
    );
    let (head, body) = data.split_once("\r\n\r\n").unwrap();
    assert!(
        !head.contains("eve@") && body.contains("why: x\r\nBcc: eve@example.com"),
        "{data}"
    );

    assert_eq!(mail.send(&tls, true, &["--test"]).0, 0);
    assert_eq!(mail.messages()[1]["encrypted"], json!(true));
    let none = "\nsecurity = \"none\"";
    assert_eq!(mail.send(&(clear.clone() + none), false, &["--test"]).0, 0);
    assert_eq!(mail.messages()[2]["encrypted"], json!(false));
    let (code, text) = mail.send(&format!("server = \"192.0.2.1\"{none}"), false, &["--test"]);
    assert!(
        code == 1 && text.contains("only for a mail server on this machine"),
        "{text}"
    );
    // Who cuts the upgrade out of the conversation gets neither password nor message.
    let (code, text) = mail.send(&clear, true, &["--test"]);
    assert!(code == 1 && text.contains("STARTTLS"), "{text}");
    let (code, text) = mail.send(&starttls, false, &["--test"]);
    assert!(code == 1 && text.contains("invalid peer certificate"), "{text}");
    assert_eq!(mail.messages().len(), 3);
}

#[test]
fn a_busy_mail_server_is_asked_again_and_a_release_never_fails_for_it() {
    let mail = Mail::start();
    let settings = server(mail.addresses().mail_starttls);
    let refuse = |answer: &str| mail.env.control("mail/refuse", &json!({"answer": answer}));
    refuse("451 later");
    let (code, text) = mail.send(&settings, true, &["--test"]);
    assert!(code == 0 && mail.messages().len() == 1, "{text}");
    refuse("550 no such sender");
    let (code, text) = mail.send(&settings, true, &["--event", "success"]);
    assert!(
        code == 0 && text.contains("notification via email failed"),
        "{text}"
    );
    assert!(text.contains("no such sender"), "{text}");
    assert_eq!(mail.messages().len(), 1);
}

#[test]
fn a_workflow_run_shows_it_as_text() {
    let env = GithubEnv::start(|_| {}, &pipeline(TWO_PEOPLE));
    let summary = env.path("summary");
    let output = env
        .command(&["notify", "--event", "rollback", "--format", "json"])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &summary)
        .env("REASON", "x\n::set-output name=a::b\n<script>")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let commands: Vec<&str> = said.lines().filter(|line| line.starts_with("::")).collect();
    assert_eq!(commands.len(), 1, "{said}");
    assert!(
        commands[0].starts_with("::warning title=production%3A rolled back::")
            && commands[0].contains("why: x%0A::set-output name=a::b%0A<script>"),
        "{said}"
    );
    let summary = std::fs::read_to_string(summary).unwrap();
    assert!(
        summary.contains("- why: x ::set-output name=a::b &lt;script\\>"),
        "{summary}"
    );
}
