//! What the configuration names must be there: folders, migrations, keys, and values of the team in place of the template's.

use std::path::Path;

use super::Line;
use crate::archive::Recipients;
use crate::commands::generate;
use crate::context::Context;
use crate::release::migrations;
use crate::tools::git::Git;

/// The values of the template, which are nobody's.
const TEMPLATE_VALUES: &[&str] = &[
    "00000000-0000-0000-0000-000000000000",
    "team_example",
    "prj_example",
    "https://api.example.com",
    "www.example.com",
];
const TEMPLATE_REPOSITORY: &str = "example/shop";

pub(super) fn files(ctx: &Context) -> Vec<Line> {
    let mut lines = Vec::new();
    lines.extend(left_from_the_template(ctx));
    lines.extend(folders(ctx));
    lines.extend(paths_of_migrations(ctx));
    lines.extend(
        generate::warnings(ctx)
            .into_iter()
            .map(|found| Line::warning("workflows", found, "cargo xtask generate")),
    );
    if let Err(error) = Recipients::parse(&ctx.config.backup.recipients) {
        let fix = "write public keys (age1…, ssh-ed25519 …, ssh-rsa …) to backup.recipients in pipeline.toml";
        lines.extend(
            (!ctx.config.backup.recipients.is_empty()).then(|| Line::error("recipients", &error, fix)),
        );
    }
    lines
}

/// Ids that no platform has.
fn left_from_the_template(ctx: &Context) -> Option<Line> {
    let environment = ctx.env();
    let (railway, vercel) = (&environment.railway, &environment.vercel);
    let values = [
        ("railway.project", &railway.project),
        ("railway.environment", &railway.environment),
        ("railway.service", &railway.service),
        ("railway.url", &railway.url),
        ("vercel.org", &vercel.org),
        ("vercel.project", &vercel.project),
        ("vercel.domain", &vercel.domain),
    ];
    let mut left: Vec<&str> = values
        .iter()
        .filter(|(_, value)| TEMPLATE_VALUES.contains(&value.as_str()))
        .map(|(name, _)| *name)
        .collect();
    let repository = ctx
        .config
        .github
        .as_ref()
        .map(|github| github.repository.as_str());
    left.extend((repository == Some(TEMPLATE_REPOSITORY)).then_some("github.repository"));
    (!left.is_empty()).then(|| {
        let found = format!("values of the template: {}", left.join(", "));
        Line::problem(
            "pipeline.toml",
            found,
            "write those of your project (docs/SETUP.md)",
        )
    })
}

fn folders(ctx: &Context) -> Vec<Line> {
    let environment = ctx.env();
    let platforms = [
        ("railway.source", environment.railway.source.as_path()),
        ("vercel.source", environment.vercel.source.as_path()),
    ];
    let suites = ctx
        .config
        .tests
        .values()
        .map(|suite| ("tests", suite.dir.as_path()));
    let missing = |(_, folder): &(&str, &Path)| !ctx.root.join(folder).is_dir();
    platforms
        .into_iter()
        .chain(suites)
        .filter(missing)
        .map(|(key, folder)| {
            let found = format!("{key}: there is no folder {}", folder.display());
            Line::problem("folders", found, "correct the path in pipeline.toml")
        })
        .collect()
}

fn paths_of_migrations(ctx: &Context) -> Option<Line> {
    let git = Git::open(ctx);
    let unmatched = git
        .head()
        .and_then(|head| migrations::unmatched(ctx, &git, &head));
    match unmatched {
        Ok(paths) if paths.is_empty() => None,
        Ok(paths) => Some(Line::problem(
            "migrations",
            format!("no commit has anything at {}", paths.join(", ")),
            "correct `[migrations] paths` in pipeline.toml, or commit the folder: a rollback would keep a changed database",
        )),
        Err(error) => Some(Line::warning(
            "migrations",
            format!("cannot determine whether `[migrations] paths` match: {error:#}"),
            "run this in a clone with a commit",
        )),
    }
}
