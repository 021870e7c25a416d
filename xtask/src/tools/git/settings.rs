//! What each call of git is set to: how people and workflows reach the remote passes, what would change an answer or run
//! a program of theirs does not.

use std::ffi::OsString;

/// Variables by which users and workflows reach and authenticate to a remote.
pub(super) const AUTHENTICATION: &[&str] = &[
    "SSH_AUTH_SOCK",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_ASKPASS",
    "SSH_ASKPASS",
    "GIT_PROXY_COMMAND",
    "GIT_PROXY_SSL_CAINFO",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
    "GIT_SSL_KEY",
    "GIT_SSL_NO_VERIFY",
];

/// Configuration by the environment: `GIT_CONFIG_COUNT` with any number of keys and values, `GIT_CONFIG_PARAMETERS` (what
/// `git -c` leaves to its children), `GIT_CONFIG_GLOBAL` and the like. A part of it would be worse than none: git refuses
/// a count whose keys are missing.
const CONFIGURATION: &str = "GIT_CONFIG_";

/// Stronger than every configuration file and variable, as they come on the command line.
const SETTINGS: &[&str] = &[
    // Housekeeping in the background would outlive the command, and be killed with its group.
    "gc.auto=0",
    "maintenance.auto=false",
    // Hooks and the monitor of files are programs of the user's: they fail where nothing is installed, and change files.
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    // A commit is what it is on every machine, whatever this clone replaces.
    "core.useReplaceRefs=false",
    // Answers that are read.
    "core.quotePath=false",
    "color.ui=false",
    "log.showSignature=false",
    "i18n.commitEncoding=UTF-8",
    "i18n.logOutputEncoding=UTF-8",
    // What is pushed is named, and nothing beside it; our own references are not signed.
    "push.followTags=false",
    "push.gpgSign=false",
    "push.recurseSubmodules=no",
    "push.pushOption=",
    "submodule.recurse=false",
    "tag.gpgSign=false",
    "commit.gpgSign=false",
];

/// For what writes files and compares them: only what is committed decides how they look.
pub(super) const EXACT: &[&str] = &[
    "core.attributesFile=/dev/null",
    "core.autocrlf=false",
    "core.eol=lf",
    "core.fileMode=true",
    "core.ignoreCase=false",
    "core.protectHFS=false",
    "core.protectNTFS=false",
    "core.safecrlf=false",
    "core.sparseCheckout=false",
    "core.splitIndex=false",
    "core.symlinks=true",
    "core.untrackedCache=false",
    "index.sparse=false",
];

/// The settings as arguments of `git`.
pub(super) fn arguments(remote: &str) -> Vec<String> {
    // A mirror takes no reference by name.
    let not_a_mirror = format!("remote.{remote}.mirror=false");
    let all = SETTINGS.iter().copied().chain([not_a_mirror.as_str()]);
    all.flat_map(|setting| ["-c".to_owned(), setting.to_owned()])
        .collect()
}

/// Names of the variables in our environment that configure git.
pub(super) fn configuration() -> Vec<OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names
        .filter(|name| name.as_encoded_bytes().starts_with(CONFIGURATION.as_bytes()))
        .collect()
}
