//! Whose approvals count, and how many: by the rules of the release that is live. A commit that changes who approves, or
//! how many must, does so from the release after it on; otherwise it could approve itself.

use anyhow::{Context as _, Result};
use chrono::Utc;
use serde::Deserialize;

use super::APPROVERS_FILE;
use super::approvers::Approvers;
use crate::config::{ApprovalConfig, ApprovalMethod};
use crate::context::{Context, PIPELINE_FILE};
use crate::domain::release::Release;
use crate::tools::git::Git;

/// The rules that count for the next release.
#[derive(Debug)]
pub(super) struct LiveRules {
    pub approval: ApprovalConfig,
    pub approvers: Approvers,
}

#[derive(Deserialize)]
struct OnlyApproval {
    #[serde(default)]
    approval: ApprovalConfig,
}

/// The rules of the release that is live, and no fewer approvals than the configuration here demands. Where nothing is
/// live, or what is live demanded no approval: those of here.
pub(super) fn counting(ctx: &Context, live: Option<&Release>) -> Result<LiveRules> {
    let here = &ctx.config.approval;
    let then = live.map(|live| of_release(ctx, live)).transpose()?.flatten();
    let Some((live, then)) = live.zip(then).filter(|(_, then)| then.required > 0) else {
        return Ok(LiveRules {
            approval: here.clone(),
            approvers: Approvers::parse(&approvers_here(ctx)?, Utc::now())?,
        });
    };
    let git = Git::open(ctx);
    let keys = git.file_at(&git.resolve(&live.commit)?, APPROVERS_FILE)?;
    Ok(LiveRules {
        approval: ApprovalConfig {
            required: then.required.max(here.required),
            max_age_hours: then.max_age_hours.min(here.max_age_hours),
            ..then
        },
        approvers: Approvers::parse(&keys.unwrap_or_default(), Utc::now())?,
    })
}

/// What the plan says where rules or approvers of the commit are not those that count.
pub(super) fn notes(ctx: &Context, live: Option<&Release>) -> Result<Vec<String>> {
    let Some(live) = live else {
        return Ok(Vec::new());
    };
    let Some(then) = of_release(ctx, live)?.filter(|then| then.required > 0) else {
        return Ok(Vec::new());
    };
    let git = Git::open(ctx);
    let mut notes = Vec::new();
    if then != ctx.config.approval {
        notes.push(format!(
            "the rules of approval in {PIPELINE_FILE} differ from those of {0}: for this release those of {0} count, and no \
             fewer approvals than now",
            live.tag
        ));
    }
    let of_live = git.file_at(&git.resolve(&live.commit)?, APPROVERS_FILE)?;
    if then.method == ApprovalMethod::SignedTag && of_live != git.file_at(&git.head()?, APPROVERS_FILE)? {
        notes.push(format!(
            "{APPROVERS_FILE} differs from that of {0}: for this release the keys of {0} approve",
            live.tag
        ));
    }
    Ok(notes)
}

/// The text of the file in the work tree; empty where there is none.
pub(super) fn approvers_here(ctx: &Context) -> Result<String> {
    let path = ctx.root.join(APPROVERS_FILE);
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        read => read.with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The rules in the commit of a release; `None` where it has no configuration that this version reads.
fn of_release(ctx: &Context, release: &Release) -> Result<Option<ApprovalConfig>> {
    let git = Git::open(ctx);
    let text = git.file_at(&git.resolve(&release.commit)?, PIPELINE_FILE)?;
    Ok(text.and_then(|text| {
        toml::from_str::<OnlyApproval>(&text)
            .ok()
            .map(|read| read.approval)
    }))
}
