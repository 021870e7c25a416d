//! A confirmation waits on a terminal while others act: what the plan stands on is looked at again under the lock.

use std::process::Command;

use mongodb::bson::doc;
use mongodb::sync::Client;
use rehearsal::test_env::DATABASE;
use rehearsal::test_env::process::confirmed_late;
use serde_json::Value;

use super::disturbed::Disturbed;

impl Disturbed {
    /// Runs the command on a terminal, where `change` happens before `name` is typed. Gives what was shown.
    fn confirmed_late(&self, args: &[&str], change: impl FnOnce(), name: &str) -> String {
        let env = &self.case.env;
        let mut command = Command::new(env.program());
        command
            .args(args)
            .current_dir(env.clone_dir())
            .env_clear()
            .envs(env.environment());
        let (code, shown) = confirmed_late(&command, change, name);
        assert_eq!(code, Some(3), "{args:?}: {shown}");
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

    let listed = case.ok(&["backup", "list", "--format", "json"]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let newest = listed["backups"].as_array().unwrap().iter();
    let newest = newest.filter_map(|backup| backup["id"].as_str()).max().unwrap();
    let restored = || drop(case.ok(&["restore", newest]));
    let database = Client::with_uri_str(&case.env.uri).unwrap().database(DATABASE);
    let indexed = |name: &str| {
        let index = doc! { "key": { name: 1 }, "name": name };
        let command = doc! { "createIndexes": "properties", "indexes": [index] };
        database.run_command(command).run().unwrap();
    };
    case.env.commit_release("v3").unwrap();
    for (args, name) in [
        (&["rollback", tag, "--reason", "late"][..], tag),
        (&["deploy"], "production"),
    ] {
        let shown = disturbed.confirmed_late(args, restored, name);
        assert!(
            shown.contains("the last operation of the ledger is "),
            "{args:?}: {shown}"
        );
        let shown = disturbed.confirmed_late(args, || indexed(args[0]), name);
        assert!(shown.contains("the schema of the data"), "{args:?}: {shown}");
    }
}
