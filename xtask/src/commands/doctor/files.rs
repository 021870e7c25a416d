//! What the configuration names must be there: folders, migrations, keys, and values of the team in place of the template's.

use std::path::{Component, Path, PathBuf};

use super::Line;
use crate::archive::Recipients;
use crate::commands::generate;
use crate::config::Schema;
use crate::context::Context;
use crate::domain::migration::{MIGRATE_MONGO_FILES, MigrateMongo};
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
/// The id of a person, in .vercel/project.json of a personal account: letters and digits, 24 of them.
const USER_ID_CHARS: usize = 20;
/// Projects of before 2020 have `Qm` and 44 letters and digits as ids.
const EARLIER_PROJECT_CHARS: usize = 40;
/// No id of a platform, and none of its stand-ins, has fewer.
const FEWEST_CHARS: usize = 3;
const TEMPLATE_REPOSITORY: &str = "example/shop";

pub(super) fn files(ctx: &Context) -> Vec<Line> {
    let mut lines = Vec::new();
    lines.extend(left_from_the_template(ctx));
    lines.extend(folders(ctx));
    lines.extend(programs(ctx));
    lines.extend(paths_of_migrations(ctx));
    lines.extend(migrate_mongo(ctx));
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

/// What the environment has of its platforms: key and value.
fn of_platforms(ctx: &Context) -> Vec<(&'static str, &String)> {
    let environment = ctx.env();
    let mut values = Vec::new();
    for backend in &environment.backends {
        if let Some(railway) = backend.railway() {
            values.extend([
                ("railway.project", &railway.project),
                ("railway.environment", &railway.environment),
                ("railway.service", &railway.service),
            ]);
        }
        values.extend(backend.url.as_ref().map(|url| ("railway.url", url)));
    }
    for frontend in &environment.frontends {
        if let Some(vercel) = frontend.vercel() {
            values.extend([
                ("vercel.org", &vercel.org),
                ("vercel.project", &vercel.project),
                ("vercel.domain", &vercel.domain),
            ]);
        }
    }
    // Those of a project stand at each of its services.
    let mut known = Vec::new();
    values.retain(|value| {
        let is_new = !known.contains(value);
        known.push(*value);
        is_new
    });
    values
}

/// Ids that the platforms cannot have given. Where they are asked, they answer for themselves.
pub(super) fn ids(ctx: &Context) -> Vec<Line> {
    let lines = of_platforms(ctx).into_iter().filter_map(|(key, id)| {
        let is_sure = match key {
            "vercel.org" if !is_vercel_id(id, "team_", USER_ID_CHARS) => true,
            "vercel.project" if !is_vercel_id(id, "prj_", EARLIER_PROJECT_CHARS) => true,
            "railway.project" | "railway.environment" | "railway.service" if !is_uuid(id) => {
                id.len() < FEWEST_CHARS
            }
            _ => return None,
        };
        let form = match key {
            "vercel.org" => "team_…, or the id of a person",
            "vercel.project" => "prj_…",
            _ => "a UUID, in the address of its page",
        };
        let found = format!("{key}: {id} is no id: it is {form}");
        let fix = "write the id into infrastructure/pipeline.toml; `cargo xtask init --plan` shows those that it finds";
        Some(if is_sure {
            Line::problem("ids", found, fix)
        } else {
            Line::warning("ids", found, fix)
        })
    });
    lines.collect()
}

fn is_uuid(id: &str) -> bool {
    let parts: Vec<usize> = id.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && id.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

/// With this beginning, or with none and as long as ids were before there was one.
fn is_vercel_id(id: &str, start: &str, fewest_chars: usize) -> bool {
    let is_plain = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    match id.strip_prefix(start) {
        Some(rest) => !rest.is_empty() && is_plain(rest),
        None => id.len() >= fewest_chars && id.chars().all(|c| c.is_ascii_alphanumeric()),
    }
}

/// Values that the template has.
fn left_from_the_template(ctx: &Context) -> Option<Line> {
    let mut left: Vec<&str> = of_platforms(ctx)
        .iter()
        .filter(|(_, value)| TEMPLATE_VALUES.contains(&value.as_str()))
        .map(|(name, _)| *name)
        .collect();
    left.dedup();
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
    let key = |single: &str, part: &str, what: &str| {
        let is_single = ctx.config.schema == Schema::V1;
        if is_single {
            single.to_owned()
        } else {
            format!("{what} of {part}")
        }
    };
    let mut parts: Vec<(String, &Path)> = Vec::new();
    for backend in &environment.backends {
        parts.push((key("railway.source", &backend.name, "folder"), &backend.folder));
        let shares = backend.shares.iter();
        parts.extend(shares.map(|folder| (key("", &backend.name, "shares"), folder.as_path())));
    }
    for frontend in &environment.frontends {
        parts.push((key("vercel.source", &frontend.name, "folder"), &frontend.folder));
        let shares = frontend.shares.iter();
        parts.extend(shares.map(|folder| (key("", &frontend.name, "shares"), folder.as_path())));
    }
    let suites = ctx
        .config
        .tests
        .values()
        .map(|suite| ("tests".to_owned(), suite.dir.as_path()));
    let missing = |(_, folder): &(String, &Path)| !ctx.root.join(folder).is_dir();
    parts
        .into_iter()
        .chain(suites)
        .filter(missing)
        .map(|(key, folder)| {
            let found = format!("{key}: there is no folder {}", folder.display());
            Line::problem("folders", found, "correct the path in pipeline.toml")
        })
        .collect()
}

/// Programs of the team that are files of the repository; others are found where they run.
fn programs(ctx: &Context) -> Vec<Line> {
    let mut lines = Vec::new();
    for (part, _, adapter) in ctx.env().adapters() {
        for (action, command) in adapter.commands() {
            let missing = command
                .first()
                .filter(|program| program.contains('/') && !ctx.root.join(program).is_file());
            lines.extend(missing.map(|program| {
                let found = format!("{action} of {part}: there is no program {program}");
                Line::problem("programs", found, "correct the path in pipeline.toml")
            }));
        }
    }
    lines
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

/// What migrate-mongo's own configuration names must be in ours: else a rollback keeps a changed database.
fn migrate_mongo(ctx: &Context) -> Vec<Line> {
    let environment = ctx.env();
    let mut folders = vec![Path::new(".")];
    folders.extend(
        environment
            .backends
            .iter()
            .map(|backend| backend.folder.as_path()),
    );
    folders.dedup();
    let mut lines = Vec::new();
    for folder in folders {
        for name in MIGRATE_MONGO_FILES {
            let file = folder.join(name);
            if let Ok(text) = std::fs::read_to_string(ctx.root.join(&file)) {
                lines.extend(unlike_migrate_mongo(ctx, folder, &MigrateMongo::read(&text)));
            }
        }
    }
    lines
}

fn unlike_migrate_mongo(ctx: &Context, folder: &Path, named: &MigrateMongo) -> Option<Line> {
    let ours = &ctx.config.migrations;
    let mut missing = Vec::new();
    if let Some(wanted) = &named.folder {
        let wanted: PathBuf = folder
            .join(wanted)
            .components()
            .filter(|part| *part != Component::CurDir)
            .collect();
        let is_covered = ours.paths.iter().any(|path| wanted.starts_with(path));
        missing.extend((!is_covered).then(|| format!("paths has no {}", wanted.display())));
    }
    if let Some(changelog) = &named.changelog {
        let is_known = ours.records.contains(changelog);
        missing.extend((!is_known).then(|| format!("records has no {changelog}")));
    }
    let fix = "write what migrate-mongo's configuration names to `[migrations]` in pipeline.toml: a rollback would keep a changed \
               database";
    (!missing.is_empty()).then(|| Line::problem("migrations", missing.join("; "), fix))
}
