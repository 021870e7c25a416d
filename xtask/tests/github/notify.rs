//! Who is told, how often, and what happens when nobody listens.

use crate::world::{TWO_PEOPLE, World, pipeline};

#[test]
fn slack_is_told_once_and_a_deaf_slack_fails_nothing() {
    let world = World::start(|_| {}, &pipeline(TWO_PEOPLE));
    let url = format!("{}/slack/T/B/x", world.addresses["services"].as_str().unwrap());
    let reason = "\"; rm -rf ~ #$(id)\n::set-output name=x::`y` <!channel>";
    let tell = |url: &str, args: &[&str]| {
        let output = world
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
    let messages = world.report()["slack"].clone();
    assert_eq!(messages.as_array().unwrap().len(), 1, "{messages}");
    assert_eq!(messages[0]["text"], "production: the release failed");
    let fields = messages[0]["blocks"][1]["fields"].to_string();
    assert!(fields.contains("rm -rf ~"), "{fields}");

    let deaf = "http://127.0.0.1:1/slack";
    let (code, text) = tell(deaf, &["--event", "success"]);
    assert!(code == 0 && text.contains("nobody was told"), "{text}");
    assert_eq!(tell(deaf, &["--test"]).0, 1);
}
