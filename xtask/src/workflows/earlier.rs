//! The workflows of a repository beside what an earlier form of the templates, and what today's, make of its configuration:
//! what an upgrade merges. Before the program gets its next version, today's templates are copied to a folder with the name
//! of the version that they belong to, and [`EARLIER`] gets an entry.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use anyhow::Result;
use regex::Regex;

use super::difference::pinned;
use super::{MARK, TEMPLATES, WORKFLOWS_DIR, bodies, generate_from, read};
use crate::config::{Config, version};

/// Name of the file, and template.
pub type Templates = [(&'static str, &'static str)];

/// Version, and its templates; the oldest first.
pub const EARLIER: &[(&str, &Templates)] = &[
    (
        "0.0",
        &[
            (
                "production-deploy.yml",
                include_str!("templates/0.0/production-deploy.yml"),
            ),
            (
                "production-rollback.yml",
                include_str!("templates/0.0/production-rollback.yml"),
            ),
            (
                "approval-sweeper.yml",
                include_str!("templates/0.0/approval-sweeper.yml"),
            ),
            (
                "restore-drill.yml",
                include_str!("templates/0.0/restore-drill.yml"),
            ),
        ],
    ),
    (
        "0.1",
        &[
            (
                "production-deploy.yml",
                include_str!("templates/0.1/production-deploy.yml"),
            ),
            (
                "production-rollback.yml",
                include_str!("templates/0.1/production-rollback.yml"),
            ),
            (
                "approval-sweeper.yml",
                include_str!("templates/0.1/approval-sweeper.yml"),
            ),
            (
                "restore-drill.yml",
                include_str!("templates/0.1/restore-drill.yml"),
            ),
        ],
    ),
];

/// Secrets that the files of the first version had for everybody, whatever the configuration named.
const FIRST_SECRETS: &[&str] = &[
    "PROD_RAILWAY_TOKEN",
    "PROD_VERCEL_TOKEN",
    "PROD_MONGODB_URI",
    "PROD_JWT_SECRET",
    "PROD_SESSION_SECRET",
    "PROD_GOOGLE_CLIENT_ID",
    "PROD_GOOGLE_CLIENT_SECRET",
    "BACKUP_AGE_IDENTITY",
    "HEALTH_EMAIL",
    "HEALTH_PASSWORD",
    "SLACK_WEBHOOK_URL",
    "SMTP_USER",
    "SMTP_PASSWORD",
];

/// A line that gives a step a secret.
static SECRET_LINE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s+([A-Z_][A-Z0-9_]*): \$\{\{ secrets\.\w+ \}\}").expect("a valid pattern")
});

/// One workflow in three versions, without the first line of generated ones.
#[derive(Debug, Clone)]
pub struct WorkflowVersions {
    pub path: String,
    /// The version whose template the repository's file was made from.
    pub from: &'static str,
    /// What that template makes of the configuration.
    pub base: String,
    /// The file in the repository.
    pub ours: Option<String>,
    /// What today's template makes of the new configuration.
    pub theirs: Option<String>,
    /// The first line that today's file has.
    pub mark: String,
    /// The whole file in the repository.
    pub found: Option<String>,
    /// Whether no earlier version had such a workflow.
    pub is_new: bool,
}

/// The workflows of a repository whose configuration becomes `after`. `before` is what its workflows were made for.
pub fn versions(
    root: &Path,
    before: &Config,
    after: &Config,
    health_secrets: &[String],
) -> Result<Vec<WorkflowVersions>> {
    let now = (version::wanted(), TEMPLATES);
    versions_between(EARLIER, now, root, (before, after), health_secrets)
}

/// The same for these templates: those of earlier versions, and today's.
pub fn versions_between(
    earlier: &[(&'static str, &Templates)],
    now: (&'static str, &Templates),
    root: &Path,
    (before, after): (&Config, &Config),
    health_secrets: &[String],
) -> Result<Vec<WorkflowVersions>> {
    let theirs = generate_from(now.1, after, health_secrets)?;
    let mut forms = Vec::new();
    for (version, templates) in earlier.iter().copied().chain([now]) {
        let made = bodies(templates, before, health_secrets)?;
        forms.push((version, made.into_iter().collect::<BTreeMap<_, _>>()));
    }
    let mut all = Vec::new();
    for (name, _) in now.1 {
        let path = format!("{WORKFLOWS_DIR}/{name}");
        let file = root.join(&path);
        let found = file.symlink_metadata().is_ok().then(|| read(&file)).transpose()?;
        let wanted = theirs.iter().find(|workflow| workflow.path == path);
        let ours = found.as_deref().map(|text| without_mark(text).1);
        let (mark, theirs) = wanted
            .map(|workflow| without_mark(&workflow.text))
            .map_or((String::new(), None), |(mark, text)| (mark, Some(text)));
        let made: Vec<(&'static str, &String)> = forms
            .iter()
            .filter_map(|(version, made)| Some((*version, made.get(&path)?)))
            .collect();
        let Some((from, base)) = nearest(&made, ours.as_deref(), before.version.as_deref()) else {
            continue;
        };
        let is_first = from == EARLIER[0].0;
        let ours = ours.map(|text| with_secrets_in_order(&text, base, is_first));
        let theirs = theirs.map(|text| with_pins_of_team(&text, base, ours.as_deref()));
        let base = with_pins_of_team(base, base, ours.as_deref());
        all.push(WorkflowVersions {
            path,
            from,
            base,
            ours,
            theirs,
            mark,
            found,
            is_new: made.len() == 1,
        });
    }
    Ok(all)
}

/// First line of a generated file, and what follows it; all of another one.
fn without_mark(text: &str) -> (String, String) {
    match text.split_once('\n') {
        Some((first, rest)) if first.starts_with(MARK) => (format!("{first}\n"), rest.to_owned()),
        _ => (String::new(), text.to_owned()),
    }
}

/// The form that has most of its lines in common with the file; of several, the one of the version that pipeline.toml names, then the
/// newest: where the team edited just the lines that two versions have otherwise, its file is as near to both.
fn nearest<'a>(
    made: &[(&'static str, &'a String)],
    ours: Option<&str>,
    named: Option<&str>,
) -> Option<(&'static str, &'a String)> {
    let lines: BTreeSet<&str> = ours.unwrap_or_default().lines().collect();
    let alike_permille = |text: &str| {
        let made: BTreeSet<&str> = text.lines().collect();
        made.intersection(&lines).count() * 1_000 / made.union(&lines).count().max(1)
    };
    let is_named = |version: &str| {
        let rest = named.and_then(|named| named.strip_prefix(version));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let nearest = made
        .iter()
        .max_by_key(|(version, text)| (alike_permille(text), ours.is_some() && is_named(version)))?;
    Some(*nearest)
}

/// The text with the secrets of each step in the order of `base`. Of a file of the first version, without those that came
/// with it and that the configuration does not name: they are nobody's edit.
fn with_secrets_in_order(ours: &str, base: &str, is_first: bool) -> String {
    let order = order_of_secrets(base);
    let rank = |line: &&str| {
        let name = secret_of(line).unwrap_or_default();
        order
            .iter()
            .position(|known| *known == name)
            .unwrap_or(order.len())
    };
    let is_left_over = |name: &str| is_first && FIRST_SECRETS.contains(&name) && !order.contains(&name);
    let mut lines: Vec<&str> = Vec::new();
    let mut rest = ours.lines().peekable();
    while let Some(line) = rest.next() {
        if secret_of(line).is_none() {
            lines.push(line);
            continue;
        }
        let mut run = vec![line];
        run.extend(std::iter::from_fn(|| {
            rest.next_if(|line| secret_of(line).is_some())
        }));
        run.retain(|line| !secret_of(line).is_some_and(is_left_over));
        run.sort_by_key(rank);
        let is_last_of_env = run.is_empty()
            && lines.last().is_some_and(|line| line.trim() == "env:")
            && rest.peek().is_none_or(|next| indent(next) < indent(line));
        if is_last_of_env {
            lines.pop();
        }
        lines.extend(run);
    }
    lines.join("\n") + "\n"
}

/// Each secret of the text once. The steps with most of them come first: they have them in the order of the configuration.
fn order_of_secrets(text: &str) -> Vec<&str> {
    let lines: Vec<Option<&str>> = text.lines().map(secret_of).collect();
    let mut runs: Vec<Vec<&str>> = lines
        .split(Option::is_none)
        .map(|run| run.iter().flatten().copied().collect())
        .collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.len()));
    let mut order: Vec<&str> = Vec::new();
    for name in runs.concat() {
        if !order.contains(&name) {
            order.push(name);
        }
    }
    order
}

fn secret_of(line: &str) -> Option<&str> {
    Some(SECRET_LINE.captures(line)?.get(1)?.as_str())
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The text with the pins that the team chose: those that the file has and `base` has not. An action that the team pinned in
/// some lines only is merged line by line.
fn with_pins_of_team(text: &str, base: &str, ours: Option<&str>) -> String {
    let known: BTreeSet<(&str, &str)> = base.lines().filter_map(pinned).collect();
    let ours = ours.unwrap_or_default();
    let chosen: BTreeSet<&str> = ours
        .lines()
        .filter_map(pinned)
        .filter(|(action, pin)| {
            known.iter().any(|(other, _)| other == action) && !known.contains(&(*action, *pin))
        })
        .map(|(action, _)| action)
        .collect();
    let is_chosen = |line: &&str| pinned(line).is_some_and(|(action, _)| chosen.contains(action));
    let lines: String = ours
        .lines()
        .filter(is_chosen)
        .map(|line| format!("{line}\n"))
        .collect();
    super::kept_pins(text, &lines, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};

    /// The version that today's templates belong to, and the SHA-256 of their names and texts.
    const TODAY: (&str, &str) = (
        "0.2",
        "51acc721ce482025833feda4b3f5881c615020df05d5252ec4f1c8fb2beaf3f5",
    );

    #[test]
    fn templates_change_only_with_the_version_that_they_belong_to() {
        let mut sum = Sha256::new();
        for (name, text) in TEMPLATES {
            sum.update(format!("{name}\0{text}\0"));
        }
        assert_eq!(
            (version::wanted(), hex::encode(sum.finalize()).as_str()),
            TODAY,
            "a template has changed: where its version was released, copy the ones of that release to templates/, enter them in EARLIER \
             and raise the version (CONTRIBUTING.md); then enter version and sum in TODAY"
        );
    }

    #[test]
    fn each_version_before_this_one_has_its_templates() {
        let numbers = |text: &str| {
            let mut parts = text.split('.').map(|part| part.parse::<u32>().unwrap());
            (parts.next().unwrap(), parts.next().unwrap())
        };
        let (major, minor) = numbers(version::PROGRAM);
        let kept: Vec<_> = EARLIER.iter().map(|(version, _)| numbers(version)).collect();
        let before: Vec<_> = (0..minor).map(|minor| (major, minor)).collect();
        assert!(
            before.iter().all(|version| kept.contains(version)) && kept.is_sorted(),
            "copy templates/*.yml to a folder of the version that they belong to: {kept:?}"
        );
    }

    #[test]
    fn secrets_are_brought_into_one_order_and_those_that_nobody_named_are_dropped() {
        let base = "first:\n  B: ${{ secrets.B }}\nenv:\n  A: ${{ secrets.A }}\n  B: ${{ secrets.B }}\n";
        let ours = "x:\n  env:\n    MORE: ${{ secrets.MORE }}\n    B: ${{ secrets.B }}\n    A: ${{ secrets.OTHER }}\n    SMTP_USER: ${{ secrets.SMTP_USER }}\n\
                    y:\n  env:\n    SMTP_USER: ${{ secrets.SMTP_USER }}\nz: 1\n";
        assert_eq!(
            with_secrets_in_order(ours, base, true),
            "x:\n  env:\n    A: ${{ secrets.OTHER }}\n    B: ${{ secrets.B }}\n    MORE: ${{ secrets.MORE }}\ny:\nz: 1\n"
        );
        assert!(with_secrets_in_order(ours, base, false).contains("SMTP_USER"));
    }

    #[test]
    fn a_pin_that_the_team_chose_is_kept_and_one_that_came_with_the_template_is_renewed() {
        let base = "- uses: a/b@1\n- uses: c/d@1\n";
        let ours = "- uses: a/b@1\n- uses: c/d@main\n- uses: e/f@3\n";
        let theirs = "- uses: a/b@2\n- uses: c/d@2\n";
        assert_eq!(
            with_pins_of_team(theirs, base, Some(ours)),
            "- uses: a/b@2\n- uses: c/d@main\n"
        );
        let in_one_line = "- uses: c/d@1\n- uses: c/d@main\n";
        assert_eq!(with_pins_of_team(theirs, base, Some(in_one_line)), theirs);
    }
}
