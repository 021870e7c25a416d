//! Approvals: requesting them, and proving them from outside before a live change. Everything that cannot
//! be proved counts as not approved.

mod approvers;
mod authors;
mod later;
mod rules;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use chrono::{TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use approvers::Approvers;
pub use later::{ask_later, asked_later};

use crate::config::{ApprovalConfig, ApprovalMethod};
use crate::context::Context;
use crate::domain::approval::{ApprovalRequest, REQUEST_SCHEMA, Review, Rules, judge};
use crate::domain::checks::is_own;
use crate::domain::release::Release;
use crate::error::CliError;
use crate::error::catalogue::approval as errors;
use crate::operation::append::{self, Append};
use crate::report;
use crate::tools::gh::{GitHub, WorkflowRun};
use crate::tools::git::{Git, Signature};

/// Keys whose signatures approve, in the form of ssh's allowed signers.
pub const APPROVERS_FILE: &str = "infrastructure/approvers";
/// Schema of the message of a signed approval.
const APPROVAL_SCHEMA: &str = "approval/1";

/// How far the clock of an approver may be ahead of ours; `doctor` has it as a problem from there on.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(2);

/// Authors, reviews, and why other reviews do not count.
type Reviews = (Vec<String>, Vec<Review>, Vec<String>);

/// The message of a signed approval.
#[derive(Debug, Serialize, Deserialize)]
struct Signed {
    schema: String,
    environment: String,
    plan_sha256: String,
    at: chrono::DateTime<Utc>,
}

/// Records which plan this workflow run requests approval for. A run requests approval for one plan only.
pub fn request(ctx: &Context, plan_sha256: &str) -> Result<ApprovalRequest> {
    let request = ApprovalRequest {
        schema: REQUEST_SCHEMA.into(),
        environment: ctx.env_name.clone(),
        run: this_run()?,
        plan_sha256: plan_sha256.to_owned(),
        requested_at: Utc::now(),
        requested_by: ctx.actor(),
    };
    let git = Git::open(ctx);
    let text = format!(
        "approval of {} asked by run {}\n\n{}",
        request.environment,
        request.run,
        report::json_line(&request)?
    );
    let commit = git.commit_message(None, &text)?;
    let appended = append::push(&git, &reference(ctx, request.run), None, &commit)
        .context("the remote did not take the approval request")?;
    if appended == Append::Arrived {
        return Ok(request);
    }
    match recorded(ctx, request.run)? {
        Some(there) if there.plan_sha256 == request.plan_sha256 => Ok(there),
        Some(there) => Err(errors::other_plan_requested(request.run, there.plan_sha256).into()),
        None => bail!("the remote lost the approval request of run {}", request.run),
    }
}

/// The people who approved this plan: at least as many as the configuration demands, proved now. Refused (exit 3)
/// otherwise, also where it cannot be determined. `live` is the release that is live: its rules and approvers count.
pub fn verify(
    ctx: &Context,
    plan_sha256: &str,
    run: Option<u64>,
    live: Option<&Release>,
) -> Result<Vec<String>> {
    let counting = rules::counting(ctx, live).map_err(unknown)?;
    let approval = &counting.approval;
    if approval.required == 0 {
        return Ok(Vec::new());
    }
    let (authors, reviews, unusable) = match approval.method {
        ApprovalMethod::Github => on_github(ctx, approval, run, live),
        ApprovalMethod::SignedTag => signed(ctx, &counting.approvers, plan_sha256, live),
    }
    .map_err(unknown)?;
    let authors: Vec<&str> = authors.iter().map(String::as_str).collect();
    let people = counting.approvers.people();
    judge(
        &demanded(approval),
        people,
        plan_sha256,
        &authors,
        &reviews,
        Utc::now(),
    )
    .map_err(|refusal| {
        let why = [vec![refusal.to_string()], unusable].concat().join("; ");
        errors::not_approved(short(plan_sha256), why, next(approval)).into()
    })
}

/// Where people or rules cannot be determined, nothing is approved.
fn unknown(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<CliError>() {
        Ok(stop) => anyhow::Error::from(stop),
        Err(error) => errors::approvers_unknown(format!("{error:#}")).into(),
    }
}

/// How many people must approve the next release.
pub fn required(ctx: &Context, live: Option<&Release>) -> Result<u32> {
    Ok(rules::counting(ctx, live)?.approval.required)
}

/// What the plan says where the rules or approvers of the commit are not those that count.
pub fn notes(ctx: &Context, live: Option<&Release>) -> Result<Vec<String>> {
    rules::notes(ctx, live)
}

/// Cancels the runs that have waited for an approval longer than one counts.
pub fn sweep(ctx: &Context) -> Result<Vec<WorkflowRun>> {
    let github = GitHub::open(ctx)?;
    let oldest = Utc::now() - demanded(&ctx.config.approval).max_age;
    let mut cancelled = Vec::new();
    for run in github.waiting_runs()? {
        // Other workflows have gates of their own. Checked again: it may have been approved since the list was made.
        if is_own(&run.path) && run.created_at < oldest && github.run(run.id)?.status == "waiting" {
            github.cancel(run.id)?;
            cancelled.push(run);
        }
    }
    Ok(cancelled)
}

/// Approves a plan with a signed tag, as whoever git signs for.
pub fn approve(ctx: &Context, plan_sha256: &str, live: Option<&Release>) -> Result<String> {
    let git = Git::open(ctx);
    let approvers = rules::counting(ctx, live)?.approvers;
    let signed = Signed {
        schema: APPROVAL_SCHEMA.into(),
        environment: ctx.env_name.clone(),
        plan_sha256: plan_sha256.to_owned(),
        at: Utc::now(),
    };
    let name = format!("{}-{:08x}", tag_prefix(plan_sha256), rand::random::<u32>());
    let message = format!("Approval for {}\n\n{}", ctx.env_name, report::json_line(&signed)?);
    git.create_signed_tag(&name, &message, &git.head()?)?;
    let signature = approvers.judge(|file| git.own_signer(&name, file))?;
    if !matches!(signature, Signature::Of(_)) {
        // Kept here, it would be pushed with the next `git push --tags` and only confuse.
        git.delete_own_tag(&name)?;
        return Err(errors::own_signature_unusable(
            why_not(&signature),
            APPROVERS_FILE,
            &ctx.config.git.branch,
        )
        .into());
    }
    git.push_tag(&name)?;
    Ok(name)
}

fn on_github(
    ctx: &Context,
    approval: &ApprovalConfig,
    run: Option<u64>,
    live: Option<&Release>,
) -> Result<Reviews> {
    let id = run.map_or_else(this_run, Ok)?;
    let github = GitHub::open(ctx)?;
    let run = github.run(id)?;
    if run.run_attempt != 1 {
        // Reviews of the first attempt stay in the list, and nothing tells them from those of this one.
        return Err(errors::rerun(id).into());
    }
    let request = recorded(ctx, id)?.ok_or_else(|| errors::nothing_requested(id))?;
    let gates = &approval.environments;
    let reviews = github
        .approvals(id)?
        .iter()
        .filter(|approval| approval.state != "pending")
        .filter(|approval| {
            approval
                .environments()
                .any(|name| gates.iter().any(|gate| gate == name))
        })
        .map(|approval| Review {
            who: approval.login().to_owned(),
            approves: approval.state == "approved",
            plan_sha256: request.plan_sha256.clone(),
            // GitHub gives no time of a review: the request is the earliest that it can be.
            at: request.requested_at,
        })
        .collect();
    let mut authors: Vec<String> = run.authors().into_iter().map(str::to_owned).collect();
    // Who pushed or merged is not always who wrote it.
    authors.extend(github.commit_logins(&run.head_sha)?);
    authors.extend(authors::names(ctx, live, Some(&github))?);
    authors.push(request.requested_by);
    Ok((authors, reviews, Vec::new()))
}

/// Authors, reviews, and why other tags do not count.
fn signed(
    ctx: &Context,
    approvers: &Approvers,
    plan_sha256: &str,
    live: Option<&Release>,
) -> Result<Reviews> {
    let git = Git::open(ctx);
    let (mut reviews, mut unusable) = (Vec::new(), Vec::new());
    for (name, text) in git.tag_texts(&tag_prefix(plan_sha256))? {
        let review = text.and_then(|text| review(ctx, &git, approvers, &name, &text));
        match review {
            Ok(review) => reviews.push(review),
            Err(why) => unusable.push(format!("the tag {name} {why:#}")),
        }
    }
    let mut authors = authors::names(ctx, live, None)?;
    authors.push(ctx.actor());
    Ok((authors, reviews, unusable))
}

/// What one tag approves; the error ends the sentence that begins with the tag's name.
fn review(ctx: &Context, git: &Git, approvers: &Approvers, name: &str, text: &str) -> Result<Review> {
    let who = match approvers.judge(|file| git.signer(name, file))? {
        Signature::Of(who) => who,
        bad => bail!("{}", why_not(&bad)),
    };
    let record = text
        .lines()
        .find_map(|line| serde_json::from_str::<Signed>(line).ok())
        .filter(|record| record.schema == APPROVAL_SCHEMA && record.environment == ctx.env_name)
        .with_context(|| format!("approves nothing in {}", ctx.env_name))?;
    let ahead = record.at - Utc::now();
    if ahead > CLOCK_TOLERANCE {
        bail!(
            "was made by a clock that is {} s ahead of this one",
            ahead.num_seconds()
        );
    }
    Ok(Review {
        who,
        approves: true,
        plan_sha256: record.plan_sha256,
        at: record.at,
    })
}

fn why_not(signature: &Signature) -> String {
    match signature {
        Signature::Of(who) => format!("is signed by {who}"),
        Signature::UnknownKey => format!("is signed by a key that is not in {APPROVERS_FILE}"),
        Signature::OutOfTime => {
            format!("is signed by a key whose time in {APPROVERS_FILE} is over or has not begun")
        }
        Signature::Forged => "was changed after it was signed".into(),
        Signature::Absent => "is not signed".into(),
    }
}

/// How many people's keys may sign, by the file in the work tree.
pub fn known_signers(ctx: &Context) -> Result<usize> {
    let approvers = Approvers::parse(&rules::approvers_here(ctx)?, Utc::now())?;
    Ok(approvers.people().len())
}

/// Every plan that was put before approvers in this environment.
pub fn requests(ctx: &Context) -> Result<Vec<ApprovalRequest>> {
    let prefix = format!("refs/xtask/gate/{}/", ctx.env_name);
    let messages = Git::open(ctx).fetch_refs(&prefix)?;
    Ok(messages
        .iter()
        .filter_map(|message| parse_request(&message.text).ok())
        .filter(|request| request.environment == ctx.env_name && request.schema == REQUEST_SCHEMA)
        .collect())
}

fn recorded(ctx: &Context, run: u64) -> Result<Option<ApprovalRequest>> {
    let git = Git::open(ctx);
    let name = reference(ctx, run);
    let Some(commit) = git.remote_ref(&name)? else {
        return Ok(None);
    };
    git.fetch_chain(&name, None, &commit)?;
    let messages = git.messages(None, &commit)?;
    let text = messages
        .first()
        .map(|message| message.text.as_str())
        .unwrap_or_default();
    let request =
        parse_request(text).with_context(|| format!("the approval request {name} is not readable"))?;
    let right = request.run == run && request.environment == ctx.env_name && request.schema == REQUEST_SCHEMA;
    Ok(right.then_some(request))
}

/// The record is the message's last line.
fn parse_request(message: &str) -> serde_json::Result<ApprovalRequest> {
    serde_json::from_str(message.trim_end().lines().next_back().unwrap_or_default())
}

fn reference(ctx: &Context, run: u64) -> String {
    format!("refs/xtask/gate/{}/{run}", ctx.env_name)
}

fn tag_prefix(plan_sha256: &str) -> String {
    format!("approval-{}", short(plan_sha256))
}

fn short(plan_sha256: &str) -> &str {
    plan_sha256.get(..16).unwrap_or(plan_sha256)
}

fn demanded(approval: &ApprovalConfig) -> Rules {
    Rules {
        required: approval.required,
        max_age: TimeDelta::hours(approval.max_age_hours.into()),
    }
}

fn this_run() -> Result<u64> {
    std::env::var("GITHUB_RUN_ID")
        .ok()
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| errors::no_workflow_run().into())
}

fn next(approval: &ApprovalConfig) -> String {
    match approval.method {
        ApprovalMethod::Github => "ask the reviewers of a new run of the workflow".into(),
        ApprovalMethod::SignedTag => {
            format!("each approver runs `cargo xtask gate approve PLAN`; keys are in {APPROVERS_FILE}")
        }
    }
}

/// A plan as `--plan --format json` prints it.
#[derive(Debug, Clone, Deserialize)]
pub struct Planned {
    pub plan: serde_json::Value,
    pub plan_sha256: String,
    /// What it stands on; a deploy's is not kept.
    #[serde(default)]
    pub basis: serde_json::Value,
}

/// Reads a plan; its hash is computed again, so that what people see and what they approve agree.
pub fn read_plan(file: &Path) -> Result<Planned> {
    use sha2::Digest as _;

    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let planned: Planned = serde_json::from_str(&text)
        .with_context(|| format!("{} is not what `--plan --format json` prints", file.display()))?;
    let bytes = serde_json::to_vec(&planned.plan).context("cannot write the plan as JSON")?;
    let computed = hex::encode(sha2::Sha256::digest(bytes));
    if computed == planned.plan_sha256 {
        Ok(planned)
    } else {
        Err(errors::plan_hash_differs(file.display()).into())
    }
}

impl Planned {
    /// What it changes, for the approvers: its fields by name, empty ones left out.
    pub fn facts(&self) -> Vec<(String, String)> {
        let shown = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(items) => {
                let items = items
                    .iter()
                    .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
                items.collect::<Vec<_>>().join(", ")
            }
            serde_json::Value::Null => String::new(),
            other => other.to_string(),
        };
        let fields = self.plan.as_object().into_iter().flatten();
        fields
            .map(|(name, value)| (name.replace('_', " "), shown(value)))
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }
}
