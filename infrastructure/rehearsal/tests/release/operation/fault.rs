//! What goes wrong in the middle of a step: the columns of every table of steps, and the preloaded library that does it.

use std::path::{Path, PathBuf};
use std::process::Command;

use rehearsal::test_env::proxy::{Fault, Proxy};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/release/operation/disturb.sh");
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/release/operation/disturb.c");
const HOUR_S: i64 = 3600;

pub const COLUMNS: [&str; 11] = [
    "killed",
    "hangs, then Ctrl-C",
    "fails",
    "answers garbage",
    "answer lost",
    "disk full",
    "clock an hour ahead",
    "clock an hour back",
    "network cut",
    "connection breaks for 5 s",
    "silent",
];

/// Where the database is silent, this is how long it is waited for.
const SILENCE_S: u32 = 3;

/// What the step is about to ask: this is what fails, and whose answer is garbage or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    Command,
    /// The system, to do something to a file.
    File,
    Database,
}

/// How the preloaded library calls the fault of a column; the network is that to the database.
pub fn how(column: usize, asks: Asks, proxy: &Proxy) -> String {
    let command = |mode: &str| format!("child:{SCRIPT}:{mode}");
    let network = |fault: Fault| format!("proxy:{}:{}", proxy.control_port(), fault.name());
    match (COLUMNS[column], asks) {
        ("killed", _) => "after".to_owned(),
        ("hangs, then Ctrl-C", Asks::Command) => command("hangs"),
        ("hangs, then Ctrl-C", _) => "term".to_owned(),
        ("fails", Asks::Command) => command("fails"),
        ("fails", Asks::File) => "error".to_owned(),
        ("fails", Asks::Database) => network(Fault::NotSent),
        ("answers garbage", Asks::Command) => command("garbage"),
        ("answers garbage", Asks::File) => "garbage".to_owned(),
        ("answers garbage", Asks::Database) => network(Fault::Garbage),
        ("answer lost", Asks::Command) => command("lost"),
        ("answer lost", Asks::File) => "lost".to_owned(),
        ("answer lost", Asks::Database) => network(Fault::AnswerLost),
        ("disk full", _) => "full".to_owned(),
        ("clock an hour ahead", _) => format!("clock:{HOUR_S}"),
        ("clock an hour back", _) => format!("clock:-{HOUR_S}"),
        ("network cut", _) => network(Fault::Cut),
        ("connection breaks for 5 s", _) => network(Fault::Breaks),
        ("silent", _) => network(Fault::Silent),
        (column, _) => panic!("no fault is called {column}"),
    }
}

/// The library that is preloaded.
pub struct Library(PathBuf);

impl Library {
    /// Compiled into this folder.
    pub fn compile(folder: &Path) -> Self {
        let library = folder.join("disturb.so");
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&library)
            .args([SOURCE, "-ldl"])
            .status()
            .expect("a C compiler");
        assert!(made.success());
        Self(library)
    }

    /// The environment in which it does its work; `journal` is the end of the path of the one whose lines are read.
    pub fn env(&self, journal: &str, at: &str, how: &str) -> Vec<(&'static str, String)> {
        let mut env = vec![
            ("LD_PRELOAD", self.0.to_str().unwrap().to_owned()),
            ("DISTURB_FILE", journal.to_owned()),
            ("DISTURB_AT", at.to_owned()),
            ("DISTURB_HOW", how.to_owned()),
        ];
        if how.ends_with(Fault::Silent.name()) {
            env.push(("XTASK_DATABASE_SILENCE_S", SILENCE_S.to_string()));
        }
        env
    }
}
