//! A platform or a remote that does not answer: what is waited for is named before the answer comes, also where no bar is drawn, and a
//! plan asks a platform everything at once.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use rehearsal::test_env::process::wait_until;
use serde_json::{Value, json};

use super::case::Case;

/// What a plan asks Railway before it knows any answer: what serves, the token, the service, the image, and whether it may roll back.
const QUESTIONS_OF_ROLLBACK: u64 = 5;
/// The token, the service, what serves, the variables.
const QUESTIONS_OF_DEPLOY: u64 = 4;
fn command(case: &Case, args: &[&str]) -> Command {
    let env = &case.env;
    let mut command = Command::new(env.program());
    command
        .args(args)
        .current_dir(env.clone_dir())
        .env_clear()
        .envs(env.environment())
        .env("TERM", "dumb")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Reads what it prints up to the line that names what is waited for, lets the answer come, and reads the rest; it succeeds.
fn named_before_the_answer(mut command: Command, waited: &str, waits: impl FnOnce(), answer: impl FnOnce()) {
    let mut running = command.spawn().unwrap();
    waits();
    let mut lines = BufReader::new(running.stderr.take().unwrap()).lines();
    let expected = format!("waiting for `{waited}");
    let mut told = String::new();
    for line in lines.by_ref() {
        told += &(line.unwrap() + "\n");
        if told.contains(&expected) {
            break;
        }
    }
    assert!(told.contains(&expected), "it ended without {expected}: {told}");
    answer();
    told.extend(lines.map(|line| line.unwrap() + "\n"));
    assert_eq!(running.wait().unwrap().code(), Some(0), "{told}");
}

/// How many requests to Railway are held.
fn held(case: &Case) -> u64 {
    let report = case.env.platform_report().unwrap();
    let faults = report["faults"].as_array().unwrap().iter();
    faults.filter_map(|fault| fault["hit"].as_u64()).sum()
}

/// Holds the answers of Railway from now on.
fn hold(case: &Case) {
    let fault: Value =
        json!({"id": "hold", "platform": "railway", "operation": "*", "kind": "hold-before", "times": 0});
    case.env.control("/faults", &fault).unwrap();
}

/// PATH with a git that asks its remote only once the file `answers` is there.
fn path_with_slow_git(case: &Case, answers: &Path) -> OsString {
    let script = format!(
        "case \" $* \" in *' fetch '*|*' ls-remote '*) while [ ! -e '{}' ]; do sleep 0.05; done ;; esac\nexec \"$REAL\" \"$@\"",
        answers.display()
    );
    case.path_with("git", &script)
}

#[test]
fn what_is_waited_for_is_named_and_a_plan_asks_a_platform_everything_at_once() {
    let case = Case::new();
    case.env.commit_release("v3").unwrap();
    let answers = || case.env.control("/faults/clear", &json!({})).unwrap();

    hold(&case);
    let mut plan = command(&case, &["deploy", "--plan"]);
    let asked = || {
        wait_until("all questions of a deploy", || held(&case) == QUESTIONS_OF_DEPLOY);
    };
    let mut running = plan.spawn().unwrap();
    asked();
    answers();
    assert_eq!(running.wait().unwrap().code(), Some(0));

    case.ok(&["deploy"]);
    let answered = case.env.folder.join("answers");
    let mut ledger = command(&case, &["ledger"]);
    ledger.env("PATH", path_with_slow_git(&case, &answered));
    hold(&case);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            named_before_the_answer(ledger, "git ", || (), || std::fs::write(&answered, "").unwrap());
        });
        let plan = command(&case, &["rollback", &case.old_tag, "--plan"]);
        let asked = || {
            wait_until("all questions of a rollback", || {
                held(&case) == QUESTIONS_OF_ROLLBACK
            });
        };
        named_before_the_answer(plan, "railway ", asked, answers);
    });
}
