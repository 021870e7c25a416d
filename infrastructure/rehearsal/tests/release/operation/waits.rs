//! A confirmation waits on a terminal while others act: what the plan stands on is looked at again under the lock.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use mongodb::bson::doc;
use mongodb::sync::Client;
use rehearsal::test_env::DATABASE;
use rehearsal::test_env::process::program;
use serde_json::Value;

use super::disturbed::Disturbed;

const PROMPT: &str = "to confirm: ";

impl Disturbed {
    /// Runs the command on a terminal, where `change` happens before `name` is typed. Gives what was shown.
    fn confirmed_late(&self, args: &[&str], change: impl FnOnce(), name: &str) -> String {
        let env = &self.case.env;
        let command = format!("'{}' {}", env.program().display(), args.join(" "));
        let mut terminal = Command::new(program(&["script"]))
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .current_dir(env.clone_dir())
            .env_clear()
            .envs(env.environment())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut shown = Vec::new();
        let mut screen = terminal.stdout.take().unwrap();
        let mut part = [0; 4096];
        while !String::from_utf8_lossy(&shown).ends_with(PROMPT) {
            let count = screen.read(&mut part).unwrap();
            assert!(count > 0, "no prompt: {}", String::from_utf8_lossy(&shown));
            shown.extend_from_slice(&part[..count]);
        }
        change();
        let mut keyboard = terminal.stdin.take().unwrap();
        writeln!(keyboard, "{name}").unwrap();
        shown.clear();
        screen.read_to_end(&mut shown).unwrap();
        let shown = String::from_utf8_lossy(&shown).into_owned();
        assert_eq!(terminal.wait().unwrap().code(), Some(3), "{args:?}: {shown}");
        assert!(
            shown.contains("this changed after the plan was made"),
            "{args:?}: {shown}"
        );
        self.case.assert_settled("refused");
        shown
    }
}

#[test]
fn what_changed_while_a_confirmation_waited_is_named_and_refused() {
    let disturbed = Disturbed::new();
    let (case, tag) = (&disturbed.case, disturbed.case.old_tag.as_str());
    case.env.commit_release("v3").unwrap();
    let deploy = || drop(case.ok(&["deploy"]));
    let shown = disturbed.confirmed_late(&["deploy"], deploy, "production");
    let newest = case.newest_record().tag;
    assert!(
        shown.contains(&format!("the newest release is {newest}")),
        "{shown}"
    );
    assert_eq!(case.seen(), disturbed.new);

    let rollback = ["rollback", tag, "--reason", "late"];
    let restored = || {
        let listed = case.ok(&["backup", "list", "--format", "json"]);
        let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
        let newest = listed["backups"].as_array().unwrap().iter();
        let newest = newest.filter_map(|backup| backup["id"].as_str()).max().unwrap();
        case.ok(&["restore", newest]);
    };
    let shown = disturbed.confirmed_late(&rollback, restored, tag);
    assert!(shown.contains("the last operation of the ledger is "), "{shown}");

    let database = Client::with_uri_str(&case.env.uri).unwrap().database(DATABASE);
    let index = || {
        let index = doc! { "key": { "waited": 1 }, "name": "waited" };
        let command = doc! { "createIndexes": "properties", "indexes": [index] };
        database.run_command(command).run().unwrap();
    };
    let shown = disturbed.confirmed_late(&rollback, index, tag);
    assert!(shown.contains("the schema of the data"), "{shown}");
}
