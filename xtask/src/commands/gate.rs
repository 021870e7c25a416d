//! `cargo xtask gate`: nothing is released before enough other people have approved exactly this plan.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use super::Common;
use crate::approval;
use crate::context::Context;
use crate::notify::{self, Delivery, Notification, NotifyEvent};
use crate::release::releases::Releases;
use crate::report;

/// The end of `--help`.
pub const AFTER_HELP: &str = "\
Exit codes:
  0  done, or approved
  1  failed
  2  wrong usage or configuration
  3  not approved

Example:
  cargo xtask gate verify plan.json";

/// Options of `gate`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Record the plan that this workflow run asks approval for, and notify the approvers
    Request {
        /// What `deploy --plan --format json` printed
        plan: PathBuf,
        /// The backup that was taken for it, in words
        #[arg(long, env = "BACKUP", value_name = "TEXT")]
        backup: Option<String>,
        /// Where that backup can be downloaded
        #[arg(long, env = "BACKUP_URL", value_name = "URL")]
        backup_url: Option<String>,
    },
    /// Prove that enough people other than the author approved this plan in time; exit 3 if not
    Verify {
        /// What `deploy --plan --format json` printed
        plan: PathBuf,
        /// The workflow run; this one unless given
        #[arg(long)]
        run: Option<u64>,
    },
    /// Approve a plan with a signed tag
    Approve {
        /// What `deploy --plan --format json` printed
        plan: PathBuf,
    },
    /// Open the issue that asks for the review of a rollback which did not wait for one
    ReviewLater {
        /// The release that was rolled back to
        #[arg(long)]
        tag: String,
        /// Why it was rolled back
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Cancel the runs that have waited for an approval for too long
    Sweep,
}

#[derive(Serialize)]
struct Requested {
    plan_sha256: String,
    run: u64,
    notified: Vec<Delivery>,
}

#[derive(Serialize)]
struct Approved {
    plan_sha256: String,
    approvers: Vec<String>,
}

#[derive(Serialize)]
struct Tagged {
    plan_sha256: String,
    tag: String,
}

#[derive(Serialize)]
struct Swept {
    cancelled: Vec<u64>,
    notified: Vec<Delivery>,
}

/// Does what the subcommand says.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = common.context()?;
    match &args.command {
        Command::Request {
            plan,
            backup,
            backup_url,
        } => {
            let backup = [("backup", backup), ("backup at", backup_url)];
            let backup = backup
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
            request(&ctx, &approval::read_plan(plan)?, backup.collect())
        }
        Command::Verify { plan, run } => verify(&ctx, approval::read_plan(plan)?.plan_sha256, *run),
        Command::Approve { plan } => {
            let plan_sha256 = approval::read_plan(plan)?.plan_sha256;
            let tag = approval::approve(&ctx, &plan_sha256, Releases::read(&ctx)?.newest())?;
            let tagged = Tagged { plan_sha256, tag };
            report::emit_done(ctx.format, "gate-approve/1", &tagged, || {
                format!("approved: tag {} was signed and pushed\n", tagged.tag)
            });
            Ok(())
        }
        Command::ReviewLater { tag, reason } => {
            let issue = approval::ask_later(&ctx, tag, reason)?;
            report::emit_done(ctx.format, "gate-review-later/1", &issue, || {
                format!("review asked for: {}\n", issue.html_url)
            });
            Ok(())
        }
        Command::Sweep => sweep(&ctx),
    }
}

fn request(ctx: &Context, planned: &approval::Planned, backup: Vec<(String, String)>) -> Result<()> {
    let request = approval::request(ctx, &planned.plan_sha256)?;
    let mut facts = vec![
        ("asked by".into(), request.requested_by.clone()),
        (
            "approvals needed".into(),
            ctx.config.approval.required.to_string(),
        ),
    ];
    facts.extend(planned.facts());
    facts.extend(backup);
    facts.push(("plan".into(), request.plan_sha256.clone()));
    let notice = Notification {
        event: NotifyEvent::ApprovalWaiting,
        title: format!("A release to {} waits for approval", ctx.env_name),
        facts,
        link: notify::run_link(),
        next: None,
    };
    let requested = Requested {
        plan_sha256: request.plan_sha256,
        run: request.run,
        notified: notify::send(ctx, &notice),
    };
    let summary = format!(
        "Approval asked for plan `{}`: {} people other than {} within {} h.\n",
        requested.plan_sha256,
        ctx.config.approval.required,
        request.requested_by.replace(['`', '<', '\n'], " "),
        ctx.config.approval.max_age_hours,
    );
    if let Err(error) = report::step_summary(&summary) {
        report::warn_done(&error);
    }
    report::emit_done(ctx.format, "gate-request/1", &requested, || {
        format!(
            "run {} asks approval for plan {}\n",
            requested.run, requested.plan_sha256
        )
    });
    Ok(())
}

fn verify(ctx: &Context, plan_sha256: String, run: Option<u64>) -> Result<()> {
    let approved = Approved {
        approvers: approval::verify(ctx, &plan_sha256, run, Releases::read(ctx)?.newest())?,
        plan_sha256,
    };
    report::emit(ctx.format, "gate-verify/1", &approved, || {
        format!(
            "plan {} is approved by {}\n",
            approved.plan_sha256,
            if approved.approvers.is_empty() {
                "nobody: none is required".into()
            } else {
                approved.approvers.join(", ")
            }
        )
    })
}

fn sweep(ctx: &Context) -> Result<()> {
    let cancelled = approval::sweep(ctx)?;
    let mut notified = Vec::new();
    for run in &cancelled {
        notified.extend(notify::send(
            ctx,
            &Notification {
                event: NotifyEvent::ApprovalExpired,
                title: format!("A release to {} was not approved in time", ctx.env_name),
                facts: vec![("started by".into(), run.authors().join(", "))],
                link: Some(run.html_url.clone()),
                next: Some("start the workflow again".into()),
            },
        ));
    }
    let swept = Swept {
        cancelled: cancelled.iter().map(|run| run.id).collect(),
        notified,
    };
    report::emit_done(ctx.format, "gate-sweep/1", &swept, || {
        let mut text = format!("{} runs cancelled\n", swept.cancelled.len());
        for run in &cancelled {
            writeln!(text, "  {}", run.html_url).expect("writing to a string");
        }
        text
    });
    Ok(())
}
