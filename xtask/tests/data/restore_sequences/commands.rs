//! Commands that run to their end, are killed, or run while the application writes.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use mongodb::bson::doc;
use rehearsal::test_env::process::{told, wait_until};
use serde_json::Value;

use super::places::in_database;
use super::{Sequence, application, places};

impl Sequence {
    /// Runs a command on one of the machines; sometimes it is killed, then there is no output.
    pub fn run(&mut self, args: &[&str]) -> Option<Output> {
        let lines =
            (self.random.range(0, 3) == 0).then(|| usize::try_from(self.random.range(0, 45)).unwrap());
        let machine = self.random.pick(&self.machines).clone();
        self.run_on(&machine, args, lines)
    }

    pub fn run_on(&mut self, machine: &Path, args: &[&str], lines: Option<usize>) -> Option<Output> {
        let before = in_database(&self.env);
        let (shown, output) = self.ended(machine, args, lines);
        match output.status.code() {
            Some(0) => Some(output),
            Some(3) => {
                assert!(
                    before == in_database(&self.env),
                    "refused, and something is changed: {}",
                    told(&output)
                );
                let words = String::from_utf8_lossy(&output.stderr).into_owned();
                self.told.done.push(format!("    {words}"));
                Some(output)
            }
            None => None,
            Some(_) => panic!("{shown}: {}", told(&output)),
        }
    }

    /// Runs a command to its end, or kills it after so many lines; with it comes how it is named.
    fn ended(&mut self, machine: &Path, args: &[&str], lines: Option<usize>) -> (String, Output) {
        let child = self.command(machine, args).spawn().unwrap();
        let output = end_of(child, machine, lines);
        let shown = format!("{} in {}, killed {lines:?}", args.join(" "), machine.display());
        self.told.done.push(format!("{shown}: {}", output.status));
        (shown, output)
    }

    fn command(&self, machine: &Path, args: &[&str]) -> Command {
        let mut command = self.env.xtask(&[args, &["--format", "json", "--yes"]].concat());
        command
            .current_dir(machine)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The same while the application inserts, into a collection that it may have to make anew.
    pub fn while_written(&mut self, args: &[&str]) -> Option<Output> {
        let collections = application::collections(&self.env);
        let name = collections.first().map_or("users", String::as_str).to_owned();
        let collection = self.env.collection(&name);
        let (stop, first) = (AtomicBool::new(false), self.writes);
        let (output, written) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut written = Vec::new();
                for number in first.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let document =
                        doc! { "_id": format!("w{number}"), "email": format!("w{number}"), "a": 5 };
                    if collection.insert_one(&document).run().is_ok() {
                        written.push(document);
                    }
                }
                written
            });
            // A panic must not leave the writer behind.
            let output = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.run_writing(args)));
            stop.store(true, Ordering::SeqCst);
            (output, writer.join().unwrap())
        });
        self.writes += 100_000;
        self.told.done.push(format!(
            "    {} were written into {name:?} meanwhile",
            written.len()
        ));
        self.expect_no_undo();
        for document in written {
            let raw = mongodb::bson::serialize_to_vec(&document).unwrap();
            places::add(&mut self.acknowledged, &name, &raw);
        }
        output.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn run_writing(&mut self, args: &[&str]) -> Option<Output> {
        let machine = self.random.pick(&self.machines).clone();
        let lines =
            (self.random.range(0, 3) == 0).then(|| usize::try_from(self.random.range(0, 45)).unwrap());
        let (shown, output) = self.ended(&machine, args, lines);
        let code = output.status.code()?;
        // Whoever inserts without a pause may be faster than a hundred renames: the restore then stops midway, and is resumed.
        if code == 4 && told(&output).contains("faster than it can be replaced: stop them") {
            return None;
        }
        assert!([0, 3].contains(&code), "{shown}: {}", told(&output));
        Some(output)
    }
}

/// Its end, or that of being killed after so many lines. What it prints is read all the time: a full pipe would stop it.
fn end_of(mut child: Child, machine: &Path, lines: Option<usize>) -> Output {
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    std::thread::scope(|scope| {
        let stdout = scope.spawn(|| all_of(stdout));
        let stderr = scope.spawn(|| all_of(stderr));
        if let Some(lines) = lines {
            kill_after(&mut child, machine, lines);
        }
        Output {
            status: child.wait().unwrap(),
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
        }
    })
}

fn all_of(mut pipe: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes).unwrap();
    bytes
}

/// SIGKILL as soon as the journals of the machine have so many more lines; it may have ended before.
fn kill_after(child: &mut Child, machine: &Path, more: usize) {
    let lines = || -> usize {
        let folders = machine
            .join(".xtask/operations")
            .read_dir()
            .into_iter()
            .flatten()
            .flatten();
        let journals = folders.filter_map(|entry| std::fs::read(entry.path().join("steps.jsonl")).ok());
        journals
            .map(|text| text.split(|byte| *byte == b'\n').count() - 1)
            .sum()
    };
    let enough = lines() + more;
    wait_until("enough lines", || {
        child.try_wait().unwrap().is_some() || lines() >= enough
    });
    child.kill().ok();
}

pub fn json(output: &Output) -> Option<Value> {
    output
        .status
        .success()
        .then(|| serde_json::from_slice(&output.stdout).unwrap())
}
