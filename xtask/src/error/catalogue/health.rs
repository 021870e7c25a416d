//! Errors of health checks: mistakes in what was asked for. What a check observes is in its report, not here.

use super::catalogue;

catalogue! {
    "Health checks", "No check ran.";

    /// The file with the checks is missing.
    health_file_missing(file, cause) Usage
        "cannot open {file}: {cause}",
        live "nothing was changed",
        next "write it: the file of that name in the project's repository is a commented start";

    /// The file with the checks is no text.
    health_file_not_utf8(file) Usage
        "{file} is not UTF-8",
        live "nothing was changed",
        next "save {file} as UTF-8 and run the command again";

    /// `--only` names a group without a check.
    group_empty(file, group) Usage
        "{file} has no check in the group `{group}`",
        live "nothing was changed",
        next "add one to {file}, or leave --only out";

    /// A deploy would stop midway: it has no way to see whether what it made live works.
    release_unchecked(file, missing) Usage
        "{file} has no critical check {missing}, and a deploy needs one",
        live "nothing was changed",
        next "add one to {file}: the file of that name in the project's repository is a commented start";

    /// `--release` names a release that the git remote does not have.
    release_unknown(release) Usage
        "there is no release `{release}`",
        live "nothing was changed",
        next "see the releases: cargo xtask releases";

    /// `--compare` names a release whose record has no report.
    release_without_report(release) Usage
        "the record of {release} has no health report",
        live "nothing was changed",
        next "compare with a report that `cargo xtask health --format json` wrote";

    /// `--compare` names a file that is something else.
    not_a_report(file, cause) Usage
        "{file} is not a health report: {cause}",
        live "nothing was changed",
        next "write one with: cargo xtask health --format json > FILE";

    /// A proxy variable is unusable.
    proxy_invalid(variable) Usage
        "{variable} is not the address of an HTTP proxy",
        live "nothing was changed",
        next "correct {variable}, or unset it, and run the command again";
}
