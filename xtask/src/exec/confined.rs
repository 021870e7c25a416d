//! Programs of others: a build runs those of the frontend and of all that it depends on, while a backup and the ledger's heartbeat
//! have children with secrets beside it.

use std::io;

use duct::{Expression, Handle};

/// Starts the child. A foreign one is started by a thread that has given its rights up: what a thread may do is what its children
/// may (landlock(7), prctl(2) `PR_SET_NO_NEW_PRIVS`), and theirs, also when they have left the process group.
pub(super) fn start(expression: &Expression, is_foreign: bool) -> io::Result<Handle> {
    if !is_foreign {
        return expression.start();
    }
    let confined = std::thread::scope(|scope| {
        let started = scope.spawn(|| {
            give_up();
            expression.start()
        });
        started.join()
    });
    confined.unwrap_or_else(|_| Err(io::Error::other("the thread that starts the child panicked")))
}

/// A process in a domain of Landlock cannot trace one outside of it, and to read the environment, memory or open files of another
/// process is to trace it. The domain needs something that it forbids: nobody makes block devices in a build. Best effort: older
/// kernels and other systems have no such thing.
#[cfg(target_os = "linux")]
fn give_up() {
    use landlock::{AccessFs, Ruleset, RulesetAttr as _};

    let domain = Ruleset::default()
        .handle_access(AccessFs::MakeBlock)
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self);
    match domain {
        Ok(status) if status.ruleset == landlock::RulesetStatus::NotEnforced => {
            crate::report::trace(
                "the kernel has no Landlock: a build can inspect other processes of this user",
            );
        }
        Ok(_) => {}
        Err(error) => crate::report::trace(&format!(
            "a build can inspect other processes of this user: {error}"
        )),
    }
}

#[cfg(not(target_os = "linux"))]
fn give_up() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Read as _;

    use xshell::{Shell, cmd};

    use crate::exec::Exec;

    #[test]
    fn a_build_reads_the_environment_of_no_other_process_whoever_started_that() {
        let sh = Shell::new().unwrap();
        // Root may inspect everything by other rights: it does without them here.
        let is_root = rustix::process::geteuid().is_root();
        let rights = "--bounding-set=-sys_ptrace,-sys_admin,-perfmon";
        let as_user: &[&str] = if is_root { &["setpriv", rights] } else { &["env"] };
        let mut other = std::process::Command::new(as_user[0])
            .args(&as_user[1..])
            .args(["sh", "-c", "echo; exec sleep 60"])
            .env("OF_ANOTHER_STEP", "token-5d1b")
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // Until then it has the rights that it gives up.
        other.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        // As a program does that has left its group, and outlives the build.
        let look = format!("{} setsid cat /proc/{}/environ", as_user.join(" "), other.id());
        let read = |exec: Exec| exec.output().unwrap();
        let open = read(Exec::new(cmd!(sh, "sh -c {look}")));
        let closed = read(Exec::new(cmd!(sh, "sh -c {look}")).foreign());
        let own = read(Exec::new(cmd!(sh, "cat /proc/self/environ")).foreign());
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(open.stdout.contains("token-5d1b"), "nothing is tested: {open:?}");
        assert!(
            !closed.stdout.contains("token") && closed.code != Some(0),
            "{closed:?}"
        );
        assert!(own.stdout.contains("PATH="), "{own:?}");
    }
}
