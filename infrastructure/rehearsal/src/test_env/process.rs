//! Processes of a test environment: none outlives its owner.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process_group};

/// A server that is not ready by then never will be.
const START_DEADLINE: Duration = Duration::from_mins(1);
/// How long a process has to end once its standard input is closed, before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// How long a program on a terminal may show nothing.
const ANSWER_DEADLINE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(2);

/// Runs the command on a terminal, where `change` happens while it asks for a confirmation, before `name` is typed. Gives the exit
/// code and what was shown after that.
pub fn confirmed_late(command: &Command, change: impl FnOnce(), name: &str) -> (Option<i32>, String) {
    const PROMPT: &str = "to confirm: ";
    let mut terminal = terminal(command);
    let mut shown = Vec::new();
    let mut screen = terminal.stdout.take().expect("a screen");
    let mut part = [0; 4096];
    while !String::from_utf8_lossy(&shown).ends_with(PROMPT) {
        let count = screen.read(&mut part).expect("the screen is read");
        assert!(count > 0, "no prompt: {}", String::from_utf8_lossy(&shown));
        shown.extend_from_slice(&part[..count]);
    }
    change();
    let mut keyboard = terminal.stdin.take().expect("a keyboard");
    writeln!(keyboard, "{name}").expect("the name is typed");
    shown.clear();
    screen.read_to_end(&mut shown).expect("the screen is read");
    let code = terminal.wait().expect("the terminal ends").code();
    (code, String::from_utf8_lossy(&shown).into_owned())
}

/// Types these lines into a shell on a terminal, each when the shell asks for one. Gives its exit code and what was shown.
pub fn typed(shell: &Command, lines: &str) -> (Option<i32>, String) {
    const PROMPTS: [(&str, &str); 2] = [("PS1", "[next]"), ("PS2", "[more]")];
    let mut shell_with_prompts = Command::new(shell.get_program());
    shell_with_prompts
        .args(shell.get_args())
        .current_dir(shell.get_current_dir().expect("a folder"))
        .envs(shell.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .envs(PROMPTS);
    let mut terminal = terminal(&shell_with_prompts);
    let mut keyboard = terminal.stdin.take().expect("a keyboard");
    let mut screen = terminal.stdout.take().expect("a screen");
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut part = [0; 4096];
        while let Ok(count @ 1..) = screen.read(&mut part) {
            tell.send(part[..count].to_vec()).ok();
        }
    });
    let mut shown = Vec::new();
    let mut lines = lines.lines().chain(["exit"]);
    loop {
        match told.recv_timeout(ANSWER_DEADLINE) {
            Ok(part) => shown.extend_from_slice(&part),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                terminal.kill().ok();
                panic!("it waits for somebody: {}", String::from_utf8_lossy(&shown));
            }
        }
        if PROMPTS
            .iter()
            .any(|(_, prompt)| shown.ends_with(prompt.as_bytes()))
            && let Some(line) = lines.next()
        {
            writeln!(keyboard, "{line}").expect("a line is typed");
        }
    }
    let code = terminal.wait().expect("the terminal ends").code();
    (code, String::from_utf8_lossy(&shown).into_owned())
}

/// The command on a terminal that shows nothing of what is typed.
fn terminal(command: &Command) -> Child {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted: Vec<String> = words.map(|word| format!("'{}'", word.display())).collect();
    let environment = command
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    Command::new(program(&["script"]))
        .args(["--quiet", "--return", "--echo", "never"])
        .args(["--command", &quoted.join(" "), "/dev/null"])
        .current_dir(command.get_current_dir().expect("a folder"))
        .env_clear()
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a terminal")
}

/// A process that ends, with all that it started, when this value goes.
#[derive(Debug)]
pub struct Owned {
    pub child: Child,
    /// A process that ends by itself when this is closed.
    stdin: Option<ChildStdin>,
}

impl Owned {
    /// Starts the command as the leader of its own process group.
    pub fn start(command: &mut Command) -> Self {
        Self::try_start(command).unwrap_or_else(|error| panic!("{error:#}"))
    }

    fn try_start(command: &mut Command) -> Result<Self> {
        let child = command.process_group(0).spawn();
        Ok(Self {
            child: child.with_context(|| format!("cannot start {}", command.get_program().display()))?,
            stdin: None,
        })
    }

    /// Starts a server whose output goes to `log`, and waits for the line of its standard output that `ready` recognises. A
    /// server that `ends_with_stdin` is asked to end before it is killed.
    pub fn serve<T: Send + 'static>(
        command: &mut Command,
        log: &Path,
        ends_with_stdin: bool,
        ready: impl Fn(&str) -> Option<T> + Send + 'static,
    ) -> Result<(Self, T)> {
        let stdin = if ends_with_stdin {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        let open = || File::options().create(true).append(true).open(log);
        let open = || open().with_context(|| format!("cannot open {}", log.display()));
        let mut file = open()?;
        command.stdin(stdin).stdout(Stdio::piped()).stderr(open()?);
        let mut server = Self::try_start(command)?;
        server.stdin = server.child.stdin.take();
        let stdout = server
            .child
            .stdout
            .take()
            .context("its standard output is a pipe")?;
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                writeln!(file, "{line}").ok();
                if let Some(answer) = ready(&line) {
                    tell.send(answer).ok();
                }
            }
        });
        let answer = told.recv_timeout(START_DEADLINE);
        let answer = answer.with_context(|| {
            let program = command.get_program().display();
            format!("{program} did not start; its log is {}", log.display())
        })?;
        Ok((server, answer))
    }

    /// Leads the process group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Closes its standard input and waits until it has ended; kills it where it does not.
    pub fn end(&mut self) {
        if self.stdin.take().is_some() {
            let deadline = Instant::now() + GRACE;
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(POLL);
            }
        }
        self.kill();
    }

    /// SIGKILL to the whole group.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().ok();
    }

    /// Signals the whole group.
    pub fn signal(&self, signal: Signal) {
        kill_process_group(Pid::from_child(&self.child), signal).ok();
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.end();
    }
}

/// A program on PATH; its absence fails the test, which would otherwise prove nothing.
pub fn program(names: &[&str]) -> PathBuf {
    let found = names.iter().find_map(|name| which::which(name).ok());
    found.unwrap_or_else(|| panic!("none of {names:?} is on PATH: run the tests by `cargo xtask ci`"))
}

/// What a program printed and how it ended, for a failed assertion.
pub fn told(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{} {}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    )
}

/// Waits until `done`; a deadline instead of a sleep of a guessed length.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !done() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        std::thread::sleep(POLL);
    }
}

/// The program with no more rights over other processes and files than a user has: root may look into all of them and write to
/// all, and a job's user may not.
pub fn as_user(program: &Path) -> Command {
    let is_root = cfg!(target_os = "linux") && rustix::process::geteuid().is_root();
    let words: &[&str] = if is_root {
        &["setpriv", "--bounding-set=-sys_ptrace,-dac_override", "--"]
    } else {
        &["env", "--"]
    };
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(program);
    command
}
