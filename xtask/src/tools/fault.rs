//! Faults of outside programs told by their words: none of them has exit codes or a JSON form for errors.

use crate::error::CliError;
use crate::error::catalogue::tools as errors;

/// Whether the error may be gone at the next attempt: a lost connection, a rate limit or a fault of the platform may, a
/// refusal is not. `refusals` are words in small letters that the tool writes with a refusal.
pub fn is_transient(error: &anyhow::Error, refusals: &[&str]) -> bool {
    !mentions(error, refusals) && !mentions(error, OUR_OWN)
}

/// Whether the error, or one of its causes, has one of these words; in small letters.
pub fn mentions(error: &anyhow::Error, words: &[&str]) -> bool {
    has(&format!("{error:#}").to_lowercase(), words)
}

fn has(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

/// Errors of `exec`: the program is missing, or a signal came.
const OUR_OWN: &[&str] = &["cannot start", "interrupted"];

/// A platform behind a program, and how it says no.
struct Behind {
    program: &'static str,
    name: &'static str,
    /// What it writes where it does not accept who we are, or what we may.
    denied: &'static [&'static str],
    /// What is to be renewed.
    access: &'static str,
}

const PLATFORMS: [Behind; 4] = [
    Behind {
        program: "gh",
        name: "GitHub",
        denied: &[
            "gh auth login",
            "http 401",
            "http 403",
            "bad credentials",
            "not accessible",
        ],
        access: "the token (`gh auth status`; in a workflow, GH_TOKEN and the job's permissions)",
    },
    Behind {
        program: "az",
        name: "Azure",
        denied: &[
            "authenticationfailed",
            "authorizationfailure",
            "failed to authenticate",
            "authorizationpermissionmismatch",
            "containernotfound",
            "connection string",
            "nocredentials",
        ],
        access: "the connection string in the variable that `connection` in pipeline.toml names, and the container",
    },
    Behind {
        program: "railway",
        name: "Railway",
        denied: &[
            "unauthorized",
            "not authorized",
            "invalid railway_token",
            "invalid token",
            "token not found",
        ],
        access: "the project token in the variable that `railway.token` in pipeline.toml names",
    },
    Behind {
        program: "vercel",
        name: "Vercel",
        denied: &[
            "not authorized",
            "not valid",
            "forbidden",
            "no existing credentials",
        ],
        access: "the token in the variable that `vercel.token` in pipeline.toml names",
    },
];

/// What git writes where the remote does not accept who we are.
const REMOTE_DENIED: &[&str] = &[
    "authentication failed",
    "permission denied",
    "could not read username",
    "could not read password",
    "terminal prompts disabled",
    "host key verification failed",
    "returned error: 401",
    "returned error: 403",
    "permission to ",
    "invalid username or",
];
/// The same where there is no repository at the address, or no remote of the name.
const REMOTE_UNKNOWN: &[&str] = &[
    "does not appear to be a git repository",
    "repository not found",
    "' not found",
    "no such remote",
];
/// The same where a rule of the remote forbids the reference.
const PUSH_REFUSED: &[&str] = &[
    "hook declined",
    "remote rejected",
    "protected",
    "gh006",
    "gh013",
    "denied by",
    "deny updating",
    "unpack failed",
];
/// Signs of a network, or of a server, that does not answer.
const UNREACHABLE: &[&str] = &[
    "could not resolve host",
    "couldn't connect",
    "could not connect",
    "failed to connect",
    "error connecting",
    "connection refused",
    "connection reset",
    "connection timed out",
    "network is unreachable",
    "no route to host",
    "name or service not known",
    "could not read from remote repository",
    "unable to access",
    "the remote end hung up",
    "early eof",
    "did not end within",
    "error: 5",
    "http 5",
    "dial tcp",
    "timed out",
    "timeout",
    "econn",
    "enotfound",
    "fetch failed",
];

/// What an error of an outside program means, and what the operator does about it; `None` for an error with a next command of its own,
/// and for one that is of no program here.
pub fn explained(error: &anyhow::Error) -> Option<CliError> {
    let own = error.downcast_ref::<CliError>();
    if own.is_some_and(|stop| stop.next.is_some()) {
        return None;
    }
    let cause = format!("{error:#}");
    let text = cause.to_lowercase();
    let at = text.find("cannot start `");
    if let Some(program) = at.and_then(|at| text[at..].split('`').nth(1)?.split(' ').next()) {
        return Some(errors::program_missing(program, &cause));
    }
    if let Some((_, command)) = cause.split_once("`git ") {
        let command = command.split('`').next().unwrap_or_default();
        return of_git(command, &text, &cause);
    }
    let behind = PLATFORMS.iter();
    let behind = behind
        .filter_map(|behind| Some((text.find(&format!("`{} ", behind.program))?, behind)))
        .min_by_key(|(at, _)| *at);
    let (_, behind) = behind?;
    if has(&text, behind.denied) {
        return Some(errors::platform_denied(behind.name, behind.access, &cause));
    }
    has(&text, UNREACHABLE).then(|| errors::platform_unreachable(behind.name, &cause))
}

/// `command` is what follows `git`.
fn of_git(command: &str, text: &str, cause: &str) -> Option<CliError> {
    let words = command.split(' ').map(|word| word.trim_matches('\''));
    let mut words = words.filter(|word| !word.starts_with('-'));
    let verb = words.next().unwrap_or_default();
    if !matches!(verb, "push" | "fetch" | "ls-remote") {
        return None;
    }
    let remote = words.next().unwrap_or_default();
    if has(text, REMOTE_DENIED) {
        return Some(errors::git_remote_denied(remote, cause));
    }
    if has(text, REMOTE_UNKNOWN) {
        return Some(errors::git_remote_unknown(remote, cause));
    }
    if verb == "push" && has(text, PUSH_REFUSED) {
        let reference = words.next().and_then(|spec| spec.rsplit(':').next());
        return Some(errors::git_push_refused(
            remote,
            reference.unwrap_or_default(),
            cause,
        ));
    }
    has(text, UNREACHABLE).then(|| errors::git_remote_unreachable(remote, cause))
}

#[cfg(test)]
mod tests;
