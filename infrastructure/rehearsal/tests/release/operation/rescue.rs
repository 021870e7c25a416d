//! What an operation takes out of the live data is counted by collection and kept in a rescue file: in its report, in what
//! people read, and in `restore --list`.

use std::path::Path;

use serde_json::Value;

use super::case::assert_no_drift;
use super::disturbed::{Disturbed, Kind};

/// Writes of users, all acknowledged.
const WRITES: u32 = 3;

impl Disturbed {
    /// Kills the operation when this step begins, and lets users write to what serves then. Gives the operation.
    fn killed_at(&self, kind: Kind, step: &str) -> String {
        let at = format!("text:\"entry\":\"begun\",\"step\":\"{step}\"");
        let killed = self.run(kind, &self.library.env("/steps.jsonl", &at, "after"));
        assert_eq!(killed.code, None, "{}", killed.error());
        self.users_write();
        self.case.last_operation()["id"].as_str().unwrap().to_owned()
    }

    fn users_write(&self) {
        assert_eq!(self.case.env.users_write(WRITES, 7).unwrap(), u64::from(WRITES));
    }

    /// Runs the command, which must report at least the documents that users wrote, where they are too.
    fn rescues(&self, args: &[&str]) -> Value {
        let done = self.case.ok(&[args, &["--format", "json"]].concat());
        let report: Value = serde_json::from_str(&done.stdout).unwrap();
        let rescue = &report["rescue"];
        let documents = rescue["documents"]
            .as_u64()
            .expect("the report names a rescue file");
        let by_collection = rescue["collections"].as_object().unwrap().values();
        assert_eq!(by_collection.filter_map(Value::as_u64).sum::<u64>(), documents);
        assert!(documents >= u64::from(WRITES), "{rescue}");
        let path = rescue["path"].as_str().unwrap();
        assert!(Path::new(path).is_file(), "{path}");
        let told = done.stderr_tail.join("\n");
        assert!(told.contains(path), "{args:?}: {told}");
        let ledger = self.case.last_operation();
        assert_eq!(
            ledger["ended"]["facts"]["rescue"]["path"], path,
            "{args:?}: {ledger}"
        );

        let listed = self.case.ok(&["restore", "--list", "--format", "json"]);
        let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
        let files = listed["restores"].as_array().unwrap().iter();
        let mut files = files.flat_map(|known| known["rescues"].as_array().unwrap());
        assert!(files.any(|one| one["path"] == path), "{args:?}: {listed:#}");
        let text = self.case.ok(&["restore", "--list"]).stdout;
        assert!(
            text.contains(&format!("rescue file: {documents} documents")),
            "{text}"
        );
        report
    }
}

#[test]
fn what_is_taken_out_of_the_live_data_is_counted_and_kept_and_its_place_reported() {
    let disturbed = Disturbed::new();
    let case = &disturbed.case;

    let deploy = disturbed.killed_at(Kind::Deploy, "check backend");
    let report = disturbed.rescues(&["deploy", "--undo", &deploy]);
    assert_eq!(report["data"]["action"], "restored", "{report}");
    assert_eq!(case.seen(), case.old());
    // What serves again has other ids than its record.
    assert_no_drift(case);

    case.env.commit_release("v3").unwrap();
    case.ok(&["deploy"]);
    let rollback = disturbed.killed_at(Kind::Rollback, "check release");
    let report = disturbed.rescues(&["rollback", "--undo", &rollback]);
    assert_eq!(report["data"]["action"], "renamed-back", "{report}");
    assert_no_drift(case);

    disturbed.users_write();
    disturbed.rescues(&["rollback", &case.old_tag, "--reason", "test"]);
    assert_eq!(case.seen(), case.old());
}
