//! Ids and addresses on the platforms, as far as files have them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::Known;
use super::services::Services;
use super::tree::{SourceTree, is_aside, join, name};
use super::variables::example_lines;

const UUID: &str = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
static RAILWAY_HOST: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"https?://([a-z0-9-]+\.up\.railway\.app)\b"));
static VERCEL_HOST: LazyLock<Regex> = LazyLock::new(|| pattern(r"https?://([a-z0-9-]+\.vercel\.app)\b"));
static HTTPS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^https://([a-z0-9-]+(?:\.[a-z0-9-]+)+)(?:/[\w/.-]*)?$"));
static RAILWAY_ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"railway\.(?:app|com)/project/({UUID})(?:/service/({UUID}))?(?:[^\s)]*environmentId=({UUID}))?"
    ))
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant")
}

/// What the sections `railway` and `vercel` of an environment need.
#[derive(Debug)]
pub struct PlatformFacts {
    pub railway_project: Known,
    pub railway_environment: Known,
    pub railway_service: Known,
    pub backend_url: Known,
    pub vercel_org: Known,
    pub vercel_project: Known,
    pub domain: Known,
    /// The variable with the secret that lets requests past a login on staged addresses, where there is one.
    pub protection_bypass: Option<Known>,
}

/// Reads links, workflows, and every address in the texts.
pub fn platforms(tree: &SourceTree, services: &Services) -> PlatformFacts {
    let railway = |what: &str, kind: usize| {
        named_id(tree, &format!("(?i:RAILWAY_{what}(?:_ID)?|--{what})"), UUID)
            .or_else(|| addressed_id(tree, kind))
            .unwrap_or_else(|| {
                Known::missing(format!(
                    "the id of the {what} on Railway: it is in the address of the service's page"
                ))
            })
    };
    let link = |key: &str| {
        let dirs = [services.frontend.as_deref().unwrap_or_default(), ""];
        dirs.iter().find_map(|dir| {
            let file = join(dir, ".vercel/project.json");
            let link: Value = serde_json::from_str(tree.text(&file)?).ok()?;
            Some(Known::found(link[key].as_str()?, file))
        })
    };
    let vercel = |key: &str, name: &str, form: &str, what: &str| {
        link(key)
            .or_else(|| named_id(tree, name, form))
            .unwrap_or_else(|| {
                Known::missing(format!("{what}; `vercel link` writes it to .vercel/project.json"))
            })
    };
    PlatformFacts {
        railway_project: railway("project", 1),
        railway_environment: railway("environment", 3),
        railway_service: railway("service", 2),
        backend_url: backend_url(tree, services),
        vercel_org: vercel(
            "orgId",
            "VERCEL_ORG_ID",
            "team_[A-Za-z0-9]+",
            "the id of the team on Vercel, team_…",
        ),
        vercel_project: vercel(
            "projectId",
            "VERCEL_PROJECT_ID",
            "prj_[A-Za-z0-9]+",
            "the id of the project on Vercel, prj_…",
        ),
        domain: domain(tree, services),
        protection_bypass: None,
    }
}

/// The one id that follows a name, wherever; nothing where there are several.
fn named_id(tree: &SourceTree, name: &str, form: &str) -> Option<Known> {
    let pattern = pattern(&format!(r#"{name}["']?\s*[:= ]\s*["']?({form})\b"#));
    let mut found = BTreeMap::new();
    for (file, text) in tree.texts.iter().filter(|(file, _)| !is_aside(file)) {
        found.extend(pattern.captures_iter(text).map(|hit| (hit[1].to_owned(), file)));
    }
    only(found)
}

fn addressed_id(tree: &SourceTree, group: usize) -> Option<Known> {
    let mut found = BTreeMap::new();
    for (file, text) in tree.texts.iter().filter(|(file, _)| !is_aside(file)) {
        let ids = RAILWAY_ADDRESS
            .captures_iter(text)
            .filter_map(|hit| hit.get(group));
        found.extend(ids.map(|id| (id.as_str().to_owned(), file)));
    }
    only(found)
}

fn only(found: BTreeMap<String, &String>) -> Option<Known> {
    let mut all = found.into_iter();
    match (all.next(), all.next()) {
        (Some((id, file)), None) => Some(Known::found(&id, file.clone())),
        _ => None,
    }
}

/// Hosts of one platform in all texts, with the first file that has each.
fn hosts<'a>(tree: &'a SourceTree, pattern: &Regex) -> BTreeMap<String, &'a String> {
    let mut found = BTreeMap::new();
    for (file, text) in tree.texts.iter().filter(|(file, _)| !is_aside(file)) {
        for hit in pattern.captures_iter(text).filter(|hit| !is_stand_in(&hit[1])) {
            found.entry(hit[1].to_owned()).or_insert(file);
        }
    }
    found
}

fn is_stand_in(host: &str) -> bool {
    let words = [
        "your",
        "example",
        "my-app",
        "myapp",
        "xxx",
        "placeholder",
        "localhost",
        "project-name",
        "app-name",
        "some-",
        "foo",
    ];
    words.iter().any(|word| host.contains(word))
}

fn backend_url(tree: &SourceTree, services: &Services) -> Known {
    let found = hosts(tree, &RAILWAY_HOST);
    let several: Vec<String> = found.keys().map(|host| format!("https://{host}")).collect();
    if let Some(one) = only(found) {
        return Known {
            value: one.value.map(|host| format!("https://{host}")),
            ..one
        };
    }
    let what = "the address of the backend that users reach, https://…";
    if several.is_empty() {
        let rewritten = tree.named(|name| name == "vercel.json").find_map(|(file, text)| {
            let config: Value = serde_json::from_str(text).ok()?;
            let rewrites = config["rewrites"].as_array()?.iter();
            let hit = rewrites
                .filter(|rule| {
                    rule["source"]
                        .as_str()
                        .is_some_and(|source| source.starts_with("/api"))
                })
                .find_map(|rule| {
                    HTTPS
                        .captures(
                            rule["destination"]
                                .as_str()?
                                .split(['$', ':'])
                                .take(2)
                                .collect::<Vec<_>>()
                                .join(":")
                                .as_str(),
                        )
                        .map(|hit| hit[1].to_owned())
                })?;
            (!is_stand_in(&hit))
                .then(|| Known::found(&format!("https://{hit}"), format!("{file}: rewrites of /api")))
        });
        return rewritten
            .or_else(|| {
                // `CMS_URL` where the folder is `cms`.
                let folder = services
                    .backend
                    .as_deref()
                    .map(name)
                    .filter(|name| !name.is_empty());
                let own = folder.map(|name| format!("{}_URL", name.to_ascii_uppercase().replace('-', "_")));
                let usual = ["API_URL", "BACKEND_URL", "API_BASE_URL", "SERVER_URL", "API_BASE"];
                let ends: Vec<&str> = usual.into_iter().chain(own.as_deref()).collect();
                from_examples(tree, &ends)
                    .map(|(host, origin)| Known::found(&format!("https://{host}"), origin))
            })
            .unwrap_or_else(|| Known::missing(what));
    }
    Known::missing(format!("{what}: one of {}", several.join(", ")))
}

/// A public address in a file of examples, by the end of its name.
fn from_examples(tree: &SourceTree, ends: &[&str]) -> Option<(String, String)> {
    let lines = example_lines(tree).into_iter();
    lines
        .filter(|line| ends.iter().any(|end| line.name.ends_with(end)))
        .find_map(|line| {
            let host = HTTPS.captures(&line.value)?[1].to_owned();
            (!is_stand_in(&host)).then_some((host, line.origin))
        })
}

fn domain(tree: &SourceTree, services: &Services) -> Known {
    if let Some((host, origin)) = from_examples(
        tree,
        &[
            "FRONTEND_URL",
            "CLIENT_URL",
            "SITE_URL",
            "APP_URL",
            "WEB_URL",
            "CORS_ORIGIN",
            "PUBLIC_URL",
        ],
    ) {
        return Known::found(&host, origin);
    }
    let manifest = services.frontend.as_ref().map(|dir| join(dir, "package.json"));
    let homepage = manifest.as_ref().and_then(|file| {
        let manifest: Value = serde_json::from_str(tree.text(file)?).ok()?;
        let host = HTTPS.captures(manifest["homepage"].as_str()?)?[1].to_owned();
        (!host.contains("github") && !is_stand_in(&host))
            .then(|| Known::found(&host, format!("{file}: homepage")))
    });
    let found = hosts(tree, &VERCEL_HOST);
    let several: Vec<String> = found.keys().cloned().collect();
    let what = "the production domain of the frontend, without https://";
    homepage.or_else(|| only(found)).unwrap_or_else(|| {
        Known::missing(if several.is_empty() {
            what.to_owned()
        } else {
            format!("{what}: one of {}", several.join(", "))
        })
    })
}
