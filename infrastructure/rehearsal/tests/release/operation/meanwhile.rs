//! What goes on beside a rollback: the release that it replaces starts anew after the swap; the shadow is filled while mongodump
//! starts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rehearsal::test_env::{DATABASE, Served};
use serde_json::{Value, json};
use xtask::database::Live;
use xtask::exec::Finished;
use xtask::secret::Secret;
use xtask::wait;

use super::case::{Case, OLD};
use super::fault::Library;

/// A command that waits until it is let go.
const GATE: &str = "#!/bin/sh
shift
touch \"$0.reached\"
while [ ! -e \"$0.open\" ]; do sleep 0.05; done
exec \"$@\"
";
const PATIENCE: Duration = Duration::from_secs(120);

struct Gate {
    script: PathBuf,
    library: Library,
}

impl Gate {
    fn in_folder(folder: &Path) -> Self {
        let script = folder.join("gate.sh");
        fs::write(&script, GATE).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let library = Library::compile(folder);
        Self { script, library }
    }

    /// Rolls back, and does something while the command at this moment waits.
    fn while_it_waits(&self, case: &Case, at: &str, act: impl FnOnce()) -> Finished {
        let how = format!("child:{}:wait", self.script.display());
        let env = self.library.env("/steps.jsonl", at, &how);
        std::thread::scope(|scope| {
            let args = [
                "rollback",
                &case.old_tag,
                "--reason",
                "prices",
                "--format",
                "json",
            ];
            let running = scope.spawn(move || case.run(&args, &env));
            until("the command", || {
                self.script.with_extension("sh.reached").exists()
            });
            act();
            fs::write(self.script.with_extension("sh.open"), "").unwrap();
            let ended = running.join().unwrap();
            fs::remove_file(self.script.with_extension("sh.open")).unwrap();
            fs::remove_file(self.script.with_extension("sh.reached")).unwrap();
            ended
        })
    }
}

fn until(what: &str, happens: impl Fn() -> bool) {
    wait::until(what, PATIENCE, |_| false, || Ok(happens().then_some(()))).unwrap();
}

/// The new release is live.
fn released() -> (Case, Gate) {
    let case = Case::new();
    case.env.commit_release("v3").unwrap();
    case.ok(&["deploy"]);
    let gate = Gate::in_folder(&case.env.folder);
    (case, gate)
}

#[test]
fn a_replaced_release_that_migrates_the_restored_data_is_found_and_the_named_command_puts_them_right() {
    let (case, gate) = released();
    let rolled_back = gate.while_it_waits(&case, r#"text:"event":"swapped""#, || {
        assert_eq!(
            case.data(),
            case.old_data,
            "restored, and the code is still the new one"
        );
        case.env.control("/railway/restart", &json!({})).unwrap();
        assert_ne!(case.data(), case.old_data, "migrated again");
    });
    assert_eq!(rolled_back.code, Some(4), "{}", rolled_back.error());
    let report: Value = serde_json::from_str(&rolled_back.stdout).unwrap();
    assert_eq!(report["release"]["health"], "unhealthy");
    let told = report["migrated"].as_array().unwrap();
    assert!(told[0].as_str().unwrap().contains("_migrations"), "{told:?}");
    assert_eq!(case.env.served().unwrap(), Served::both(OLD));

    let said = rolled_back.stderr_tail.join("\n");
    let next = said.split_once("next: cargo xtask restore ");
    let (_, next) = next.unwrap_or_else(|| panic!("{said}"));
    let backup = next.split(' ').next().unwrap();
    case.ok(&["restore", backup, "--reason", "the data were migrated again"]);
    assert_eq!(case.seen(), case.old());
}

#[test]
fn the_code_stays_where_the_data_could_not_be_put_in_place() {
    let (case, gate) = released();
    let new = case.env.served().unwrap();
    let data = case.data();
    // While the shadow was filled, a migration made a time-series collection of a name that the backup has.
    let changed = gate.while_it_waits(&case, r#"text:"entry":"begun","step":"swap database""#, || {
        case.proxy
            .becomes_timeseries(case.old_data.collections.keys().next().unwrap());
    });
    assert_eq!(changed.code, Some(3), "{}", changed.error());
    let told = changed.stderr_tail.join("\n");
    assert!(told.contains("is a time-series collection now"), "{told}");
    case.proxy.mend();
    assert_eq!((case.env.served().unwrap(), case.data()), (new.clone(), data));

    let env = gate
        .library
        .env("/steps.jsonl", r#"text:"event":"swap-begun""#, "term");
    let stopped = case.run(&["rollback", &case.old_tag, "--reason", "prices"], &env);
    assert_eq!(stopped.code, Some(4), "{}", stopped.error());
    assert_eq!(case.env.served().unwrap(), new);
    let id = case.last_operation()["id"].as_str().unwrap().to_owned();

    let second = case.run(&["rollback", &case.old_tag, "--reason", "me too"], &[]);
    assert_eq!(second.code, Some(3), "{}", second.error());
    let told = second.stderr_tail.join("\n");
    assert!(told.contains(&format!("rollback --resume {id}")), "{told}");
    assert!(!told.contains("restore --resume"), "{told}");

    case.ok(&["rollback", "--resume", &id]);
    assert_eq!(case.seen(), case.old());
}

#[test]
fn a_second_rollback_while_the_first_has_swapped_is_told_who_is_at_it() {
    let (case, gate) = released();
    let first = gate.while_it_waits(&case, r#"text:"event":"swapped""#, || {
        let second = case.run(&["rollback", &case.old_tag, "--reason", "me too"], &[]);
        assert_eq!(second.code, Some(3), "{}", second.error());
        let told = second.stderr_tail.join("\n");
        assert!(told.contains("is under way: "), "{told}");
        assert!(!told.contains("--resume"), "{told}");
    });
    assert_eq!(first.code, Some(0), "{}", first.error());
    assert_eq!(case.seen(), case.old());
}

/// mongodump lists the collections when it starts, after ours: what appears in between is in no list of exceptions.
#[test]
fn shadow_collections_that_appear_while_mongodump_starts_are_in_no_safety_backup() {
    let (case, gate) = released();
    let database = Live::connect(&Secret::new(&case.env.uri), DATABASE).unwrap();
    let rolled_back = gate.while_it_waits(&case, "start:1:*mongodump", || {
        until("a shadow collection", || {
            let listed = database.listed().unwrap();
            listed.keys().any(|name| name.starts_with("__new_"))
        });
    });
    assert_eq!(rolled_back.code, Some(0), "{}", rolled_back.error());
    assert_eq!(case.seen(), case.old());
}
