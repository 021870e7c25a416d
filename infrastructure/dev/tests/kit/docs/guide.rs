//! The blocks of the guide's sections 3 to 5, typed in their order by a person who practises: `rehearse --practise`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{read, root};

/// A test environment in which a faulty release is live.
struct Practice {
    rehearsal: Child,
    first_release: String,
    shell: PathBuf,
}

impl Practice {
    fn begin() -> Self {
        let mut rehearsal = Command::new(env!("CARGO_BIN_EXE_xtask-dev"))
            .args(["rehearse", "--practise", "--documents", "300"])
            .args(["--platform-s", "0", "--format", "json"])
            .current_dir(root())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        for line in BufReader::new(rehearsal.stdout.as_mut().unwrap()).lines() {
            said += &line.unwrap();
            if said.ends_with('}') {
                break;
            }
        }
        let Ok(said) = serde_json::from_str::<Value>(&said) else {
            let mut why = String::new();
            rehearsal.stderr.take().unwrap().read_to_string(&mut why).unwrap();
            panic!("{said:?}, and {why}");
        };
        Self {
            first_release: said["first_release"].as_str().unwrap().to_owned(),
            shell: said["shell"].as_str().unwrap().into(),
            rehearsal,
        }
    }

    /// Types a command into a terminal of the team; gives what it printed.
    fn types(&self, command: &str) -> String {
        let ran = Command::new("sh")
            .args(["-c", ". \"$0\" && eval \"$1\""])
            .arg(&self.shell)
            .arg(command)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (said, stderr) = (
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr),
        );
        assert!(
            ran.status.success(),
            "{command}: {}\n{said}\n{stderr}",
            ran.status
        );
        said.into_owned()
    }

    /// Ctrl-C: the rehearsal ends well, and leaves nothing behind.
    fn end(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.rehearsal.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        let ended = self.rehearsal.wait().unwrap();
        assert_eq!(ended.code(), Some(0));
        assert!(!self.shell.exists(), "the folder is gone");
    }
}

impl Drop for Practice {
    fn drop(&mut self) {
        self.rehearsal.kill().ok();
    }
}

/// The commands of one section's blocks, without their comments.
fn commands(section: &str) -> Vec<String> {
    let guide = read(&root().join("docs/PRODUCTION-ROLLBACK-GUIDE.md"));
    let (_, from) = guide.split_once(&format!("\n## {section}. ")).unwrap();
    let section = from.split("\n## ").next().unwrap();
    let blocks = section.split("```").skip(1).step_by(2);
    let lines = blocks
        .flat_map(str::lines)
        .filter(|line| line.starts_with("cargo xtask "));
    lines
        .map(|line| line.split(" #").next().unwrap().trim().to_owned())
        .collect()
}

/// The last word of the last line that has this in it.
fn last_with<'a>(text: &'a str, what: &str) -> &'a str {
    let line = text.lines().rfind(|line| line.contains(what)).unwrap();
    line.split_whitespace().next_back().unwrap()
}

#[test]
fn a_person_who_types_what_the_guide_prints_gets_through() {
    let practice = Practice::begin();
    let types = |printed: &str, stands_for: &[(&str, &str)]| {
        let filled = stands_for.iter().fold(printed.to_owned(), |text, (word, value)| {
            assert!(!value.is_empty());
            text.replace(word, value)
        });
        // Nobody is there to type a name, and nobody waits for ten minutes.
        practice.types(&format!("{} --yes", filled.replace("--for 600", "--for 1")))
    };
    let step_by_step = commands("3");
    assert!(step_by_step.len() >= 4, "{step_by_step:?}");
    for command in &step_by_step {
        types(command, &[("TAG", &practice.first_release)]);
    }

    let listed: Value =
        serde_json::from_str(&practice.types("cargo xtask backup list --format json")).unwrap();
    // A rescue file is in the list too, and is not verified as a backup.
    let mut listed = listed["backups"].as_array().unwrap().iter();
    let newest = listed.rfind(|backup| !backup["verified"].is_null()).unwrap();
    let id = newest["id"].as_str().unwrap();
    let restoring = commands("4");
    assert!(restoring.len() >= 5, "{restoring:?}");
    let mut operation = String::new();
    for command in &restoring {
        let said = types(
            command,
            &[
                ("ID", id),
                (
                    "OPERATION",
                    if operation.is_empty() { "none" } else { &operation },
                ),
            ],
        );
        if said.contains("to undo it:") {
            operation = last_with(&said, "to undo it:").to_owned();
        }
    }

    let listed: Value = serde_json::from_str(&practice.types("cargo xtask releases --format json")).unwrap();
    let own = listed["releases"][0]["release"]["tag"].as_str().unwrap();
    let afterwards = commands("5");
    assert!(afterwards.len() >= 5, "{afterwards:?}");
    for command in &afterwards {
        let said = types(command, &[("TAG", own)]);
        if command.ends_with("releases") {
            assert!(
                said.contains(&format!(" live  {own}")) && !said.contains("drift"),
                "{said}"
            );
        }
    }
    practice.end();
}

#[test]
fn the_walk_reads_the_guides_commands_without_their_comments() {
    let read = commands("5");
    assert!(
        read.contains(&"cargo xtask ledger --last 3".to_owned()),
        "{read:?}"
    );
}
