//! What can be checked on this machine: files, programs, secrets, the clone, backups, leftovers.

use chrono::{TimeDelta, Utc};

use super::{Asked, Line};
use crate::backup::encryption;
use crate::config::Unencrypted;
use crate::context::Context;
use crate::domain::status_record::StatusResult;
use crate::operation::ledger::Ledger;
use crate::report;
use crate::setup;
use crate::tools::git::Git;
use crate::workflows::{GUIDE_BLANK, GUIDE_FILE};

/// A program that commands run, how it comes onto a machine, and whether pipeline.toml needs it.
type Program = (&'static str, &'static str, fn(&Context) -> bool);

const PROGRAMS: &[Program] = &[
    ("git", "install git", |_| true),
    ("gh", "install GitHub's gh", |ctx| ctx.config.github.is_some()),
    ("railway", "cargo install railwayapp --locked", |ctx| {
        let tunnel = ctx.env().mongodb.iter().any(|mongodb| mongodb.tunnel().is_some());
        tunnel
            || ctx
                .env()
                .backends
                .iter()
                .any(|backend| backend.railway().is_some())
    }),
    ("vercel", "npm install --global vercel", |ctx| {
        ctx.env()
            .frontends
            .iter()
            .any(|frontend| frontend.vercel().is_some())
    }),
    ("mongodump", "cargo xtask tools", has_database),
    ("mongorestore", "cargo xtask tools", has_database),
    ("az", "install the package azure-cli", |ctx| {
        has_storage(ctx, "az")
    }),
    ("rclone", "install the package rclone", |ctx| {
        has_storage(ctx, "rclone")
    }),
];
/// A backup older than this deserves a word.
const OLD_BACKUP: TimeDelta = TimeDelta::days(8);
/// A drill is made each week: after this time two are missing.
const OLD_DRILL: TimeDelta = TimeDelta::days(15);
/// Free room that a warning starts at.
const LITTLE_ROOM_BYTES: u64 = 2_000_000_000;

pub(super) fn configuration(ctx: &Context) -> Vec<Line> {
    let names: Vec<&str> = ctx.config.environments.keys().map(String::as_str).collect();
    let mut lines = vec![Line::ok(
        "pipeline.toml",
        format!("environments: {}", names.join(", ")),
    )];
    lines.push(match crate::health::check_for_release(ctx) {
        Ok(()) => Line::ok("health.toml", "valid"),
        Err(error) => Line::error("health.toml", &error, "fix infrastructure/health.toml"),
    });
    lines.extend(encryption(ctx));
    lines.extend(guide(ctx));
    if ctx.config.approval.required < 2 && ctx.env().protected {
        lines.push(Line::warning(
            "approvals",
            format!("{} required", ctx.config.approval.required),
            "set approval.required = 2 in pipeline.toml",
        ));
    }
    lines
}

/// Backups in the clear: a problem where others can read them, which the workflows and the storages refuse.
fn encryption(ctx: &Context) -> Option<Line> {
    let config = &ctx.config.backup;
    if encryption::is_configured(config) {
        return None;
    }
    let mut places = encryption::elsewhere(config);
    if ctx.config.github.is_some() {
        places.push("GitHub (artifacts of workflow runs)".into());
    }
    let fix =
        "write identity = \"BACKUP_AGE_IDENTITY\" to [backup] in pipeline.toml, then: cargo xtask setup";
    Some(match config.unencrypted {
        Unencrypted::Refuse if !places.is_empty() => Line::problem(
            "backups",
            format!("not encrypted, which is refused for {}", places.join(", ")),
            fix,
        ),
        Unencrypted::LetOthersReadThem if !places.is_empty() => Line::warning(
            "backups",
            format!("not encrypted: others can read them in {}", places.join(", ")),
            fix,
        ),
        _ => Line::warning("backups", "not encrypted", fix),
    })
}

/// In an emergency nobody looks for a telephone number.
fn guide(ctx: &Context) -> Option<Line> {
    let text = std::fs::read_to_string(ctx.root.join(GUIDE_FILE)).ok()?;
    let blanks = text.matches(GUIDE_BLANK).count();
    Some(if blanks == 0 {
        Line::ok("rollback guide", "is filled in")
    } else {
        Line::warning(
            "rollback guide",
            format!("{blanks} blanks of {GUIDE_FILE} are not filled in"),
            format!("replace each `{GUIDE_BLANK}` there: who is called, and where"),
        )
    })
}

fn has_database(ctx: &Context) -> bool {
    ctx.env().mongodb.is_some()
}

fn has_storage(ctx: &Context, program: &str) -> bool {
    let mut storages = ctx.config.backup.storage.iter();
    storages.any(|storage| storage.program() == Some(program))
}

pub(super) fn tools(ctx: &Context) -> Vec<Line> {
    let needed = PROGRAMS.iter().filter(|(_, _, is_needed)| is_needed(ctx));
    needed
        .map(|(name, install, _)| match which::which(name) {
            Ok(path) => Line::ok(*name, path.display().to_string()),
            Err(_) => Line::problem(*name, "not on PATH", *install),
        })
        .collect()
}

fn notifications(ctx: &Context) -> Line {
    let notify = &ctx.config.notify;
    let names = notify.secret_names().into_iter();
    let missing: Vec<String> = names.filter(|name| ctx.secret_if_set(name).is_none()).collect();
    if notify.slack.is_none() && notify.email.is_none() {
        return Line::warning(
            "notifications",
            "no notification channel configured",
            "set notify.slack or [notify.email] in pipeline.toml",
        );
    }
    if missing.is_empty() {
        return Line::ok(
            "notifications",
            "notifications configured (test: cargo xtask notify --test)",
        );
    }
    Line::warning(
        "notifications",
        format!("not set here: {}", missing.join(", ")),
        "set these environment variables, or secrets of the repository",
    )
}

pub(super) fn secrets(ctx: &Context) -> Vec<Line> {
    let missing: Vec<String> = setup::required_secrets(ctx)
        .into_iter()
        .filter(|name| ctx.secret_if_set(name).is_none())
        .collect();
    if missing.is_empty() {
        return vec![Line::ok("secrets", "all are set here"), notifications(ctx)];
    }
    let problem = Line::problem(
        "secrets",
        format!("not set here: {}", missing.join(", ")),
        "set these environment variables",
    );
    vec![problem, notifications(ctx)]
}

pub(super) fn repository(asked: &Asked<'_>) -> Vec<Line> {
    let ctx = asked.ctx;
    let git = Git::open(ctx);
    let mut lines = Vec::new();
    let branch = &ctx.config.git.branch;
    lines.push(match git.is_pushed(branch) {
        Ok(true) => Line::ok("commit", format!("is on the remote's {branch}")),
        Ok(false) => Line::warning("commit", format!("is not on the remote's {branch}"), "git push"),
        Err(error) => Line::error("commit", &error, "check the git remote and its credentials"),
    });
    lines.push(match Ledger::open(ctx).state() {
        Err(error) => Line::error("ledger", &error, "check the git remote and its credentials"),
        Ok(state) => match state.unfinished() {
            None => Line::ok(
                "ledger",
                format!("{} operations, none unfinished", state.operations.len()),
            ),
            Some(left) => Line::warning(
                "ledger",
                format!(
                    "{} {} of {} is unfinished, last heartbeat {} UTC",
                    left.started.kind,
                    left.id,
                    left.holder,
                    left.last_seen.format("%F %T")
                ),
                format!(
                    "if nobody works on it: cargo xtask {0} --resume {1}, or cargo xtask {0} --undo {1}",
                    left.started.kind, left.id
                ),
            ),
        },
    });
    lines.extend(records(asked));
    lines.extend(room(ctx));
    lines
}

/// The records of the releases, as far as the ledger can be read.
fn records(asked: &Asked<'_>) -> Vec<Line> {
    let Ok(releases) = asked.releases() else {
        return Vec::new();
    };
    let problems = releases.links.iter().flat_map(|link| &link.problems);
    let mut lines: Vec<Line> = problems
        .map(|problem| Line::problem("releases", problem, "cargo xtask ledger --repair"))
        .collect();
    if lines.is_empty() && releases.ledger.is_some() {
        lines.push(Line::ok(
            "releases",
            format!("{} are recorded as the ledger has them", releases.links.len()),
        ));
    }
    let others = releases.unrecorded.iter().map(|release| release.tag.as_str());
    let others: Vec<&str> = others
        .chain(releases.unreadable.iter().map(|(tag, _)| tag.as_str()))
        .collect();
    if !others.is_empty() {
        lines.push(Line::warning(
            "tags",
            format!("do not count, as no operation made them: {}", others.join(", ")),
            "find out who pushed them; delete them on the remote where its rules allow it",
        ));
    }
    lines
}

fn room(ctx: &Context) -> Option<Line> {
    let stat = rustix::fs::statvfs(&ctx.root).ok()?;
    let free = stat.f_bavail * stat.f_frsize;
    let found = format!("{} free", report::bytes(free));
    Some(if free < LITTLE_ROOM_BYTES {
        Line::warning("disk", found, "make room: a backup and its check must fit")
    } else {
        Line::ok("disk", found)
    })
}

pub(super) fn backups(asked: &Asked<'_>) -> Vec<Line> {
    let ctx = asked.ctx;
    if !has_database(ctx) {
        return Vec::new();
    }
    let all = match crate::backup::list(ctx) {
        Ok(all) => all,
        Err(error) => {
            return vec![Line::error(
                "backups",
                &error,
                "check the backup storage in pipeline.toml",
            )];
        }
    };
    let verified = all
        .iter()
        .filter(|one| one.environment == ctx.env_name)
        .filter_map(|one| Some((one, one.verified?)))
        .max_by_key(|(one, _)| one.timestamp);
    let last = match verified {
        None => Line::warning("last verified backup", "none", "cargo xtask backup"),
        Some((one, _)) if Utc::now() - one.timestamp > OLD_BACKUP => Line::warning(
            "last verified backup",
            format!(
                "{} is {} days old",
                one.id,
                (Utc::now() - one.timestamp).num_days()
            ),
            "cargo xtask backup",
        ),
        Some((one, _)) => Line::ok("last verified backup", one.id.clone()),
    };
    vec![last, last_drill(asked)]
}

/// Whether a backup was restored and compared lately: one that nobody ever restored is a hope.
fn last_drill(asked: &Asked<'_>) -> Line {
    const DRILL: &str = "cargo xtask backup drill --record";
    let subject = "last drill";
    let records = match asked.releases().and_then(|releases| releases.checks(asked.ctx)) {
        Ok(records) => records,
        Err(error) => return Line::error(subject, error, "check the git remote and its credentials"),
    };
    let drills = records.iter().filter_map(|record| match &record.result {
        StatusResult::Drill { backup, good, .. } => Some((record.at, backup, *good)),
        StatusResult::Health { .. } => None,
    });
    match drills.max_by_key(|(at, ..)| *at) {
        None => Line::warning(subject, "none is recorded", DRILL),
        Some((_, backup, false)) => Line::problem(
            subject,
            format!("what was restored of {backup} is not what was backed up"),
            "take a new backup and drill again; if it fails again, do not deploy",
        ),
        Some((at, backup, true)) if Utc::now() - at > OLD_DRILL => {
            let days = (Utc::now() - at).num_days();
            Line::warning(subject, format!("{backup}, {days} days ago"), DRILL)
        }
        Some((at, backup, true)) => Line::ok(subject, format!("{backup}, on {}", at.format("%F"))),
    }
}
