//! A command that runs beside us until it is let go, and ends with us, however we end.

use std::ffi::OsStr;
use std::io::PipeWriter;
use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result};

use super::group::check_interrupted;
use super::output::collect_stderr;
use super::{Exec, TAIL_LINES};

/// Runs its arguments until its input ends, which it does with whoever started it. It asks the command to end by SIGINT, as a person
/// would: one that has children of its own in other process groups ends them then. It asks more than once, because a shell lets
/// commands beside it ignore SIGINT until they handle it.
const KEEPER: &str = r#"
"$@" </dev/null >/dev/null &
child=$!
exec 2>/dev/null
trap "" INT TERM HUP
read -r line
tries=0
while kill -INT "$child" && [ "$tries" -lt 20 ]; do
    sleep 1
    tries=$((tries + 1))
done
kill -KILL "$child"
"#;

/// The command; it ends soon after this is dropped.
#[derive(Debug)]
pub struct Held {
    _lease: PipeWriter,
    _keeper: duct::Handle,
}

impl Exec {
    /// Starts it; each line of its standard error goes to `on_stderr`, whose callback is dropped when there are no more. A signal to
    /// us does not reach it: what ends because of the signal may need it still.
    pub fn hold(self) -> Result<Held> {
        check_interrupted()?;
        let command = self.display();
        let (input, lease) = std::io::pipe().context("cannot make a pipe")?;
        let (stderr, stderr_writer) = std::io::pipe().context("cannot make a pipe")?;
        let own = ["-c", KEEPER, "keeper"].map(OsStr::new);
        let given = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        let mut expression = duct::cmd("sh", own.into_iter().chain(given))
            .unchecked()
            .stdin_file(input)
            .stdout_null()
            .stderr_file(stderr_writer)
            .full_env(self.environment())
            .before_spawn(|command| {
                command.process_group(0);
                Ok(())
            });
        if let Some(dir) = self.command.get_current_dir() {
            expression = expression.dir(dir);
        }
        let keeper = expression
            .start()
            .with_context(|| format!("cannot start `{command}`"))?;
        let on_stderr = self.on_stderr;
        std::thread::spawn(move || collect_stderr(stderr, TAIL_LINES, on_stderr.as_ref()));
        Ok(Held {
            _lease: lease,
            _keeper: keeper,
        })
    }
}
