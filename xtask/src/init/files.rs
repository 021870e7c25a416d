//! The texts of the proposed files: each value with its origin as a comment, what was not found marked.

mod lists;

use super::platforms::PlatformFacts;
use super::services::Services;
use super::{Known, ProposedKey, RepositoryFacts};
use crate::report::one_line;

/// Column of the comments.
const COMMENT_COLUMN: usize = 44;

/// A file under construction, and its keys.
#[derive(Debug, Default)]
pub struct Draft {
    pub text: String,
    pub keys: Vec<ProposedKey>,
    section: String,
}

impl Draft {
    fn section(&mut self, name: &str) {
        self.text.push_str(&format!("\n[{name}]\n"));
        self.section = name.to_owned();
    }

    fn raw(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A line with a comment behind it.
    fn commented(&mut self, line: &str, comment: &str) {
        let comment = one_line(comment);
        if comment.is_empty() {
            self.raw(line);
        } else {
            self.raw(&format!("{line:<COMMENT_COLUMN$} # {comment}"));
        }
    }

    /// A key whose value was found, or a mark that `doctor --config-only` refuses.
    fn known(&mut self, key: &str, known: &Known) {
        let blank = format!("{} {}>", crate::config::BLANK, known.origin);
        let value = known.value.as_ref().unwrap_or(&blank);
        let comment = if known.value.is_some() {
            known.origin.as_str()
        } else {
            ""
        };
        self.commented(&format!("{key} = {}", quoted(value)), comment);
        self.keys.push(ProposedKey {
            key: format!("{}.{key}", self.section),
            value: known.value.clone(),
            origin: one_line(&known.origin),
        });
    }
}

/// A string of TOML on one line.
fn quoted(text: &str) -> String {
    toml::Value::String(one_line(text)).to_string()
}

/// `infrastructure/pipeline.toml`.
pub fn pipeline(facts: &RepositoryFacts) -> Draft {
    let mut draft = Draft::default();
    draft.raw("# Written by `cargo xtask init`: behind each value, where it was found. Check them all, and replace each mark.");
    draft.raw("# Secrets are never here: the file names the environment variables that hold them.");
    let lists = if facts.services.is_one_of_each() { 1 } else { 2 };
    draft.raw(&format!("schema = \"pipeline/{lists}\""));
    draft.commented(
        &format!("version = {}", quoted(crate::config::version::wanted())),
        "of this program: another one deploys nothing",
    );
    draft.raw("default_environment = \"production\"");
    draft.section("git");
    draft.known("remote", &facts.remote);
    draft.known("branch", &facts.branch);
    draft.section("github");
    draft.known("repository", &facts.repository);
    draft.section("backup");
    draft.commented(
        "identity = \"BACKUP_AGE_IDENTITY\"",
        "`cargo xtask setup` makes the key",
    );
    draft.section("approval");
    draft.commented(
        "rollback = \"production-rollback\"",
        "the environment one of whose reviewers approves a rollback of normal urgency",
    );
    draft.raw("# Two people at least, who are not the author: `cargo xtask setup` makes them the reviewers.");
    draft.raw("# [approval.reviewers]\n# production-approval-1 = [\"login\", \"login\"]\n# production-approval-2 = [\"login\", \"login\"]");
    draft.raw("\n[[backup.places]]");
    draft.raw("kind = \"directory\"\npath = \"backups\"\nrequired = true");
    draft.section("migrations");
    let paths: Vec<String> = facts
        .database
        .migrations
        .iter()
        .map(|(path, _)| quoted(path))
        .collect();
    let origins: Vec<&str> = facts
        .database
        .migrations
        .iter()
        .map(|(_, origin)| origin.as_str())
        .collect();
    let origin = if paths.is_empty() {
        "none found".to_owned()
    } else {
        origins.join(", ")
    };
    draft.commented(&format!("paths = [{}]", paths.join(", ")), &origin);
    if !paths.is_empty() {
        draft.keys.push(ProposedKey {
            key: "migrations.paths".into(),
            value: Some(paths.join(", ")),
            origin,
        });
    }
    for (name, dir, command, origin) in &facts.suites {
        draft.section(&format!("tests.{name}"));
        draft.known("dir", &Known::found(dir, origin.clone()));
        draft.raw(&format!("command = [\"sh\", \"-c\", {}]", quoted(command)));
    }
    draft.section("workflows");
    draft.known("setup", &facts.setup);
    environment(&mut draft, facts);
    draft
}

fn environment(draft: &mut Draft, facts: &RepositoryFacts) {
    let (services, platforms) = (&facts.services, &facts.platforms);
    draft.section("environments.production");
    draft.raw("tag_prefix = \"prod\"\nprotected = true");
    if services.is_one_of_each() {
        one_of_each(draft, services, platforms);
    } else {
        lists::tables(draft, services, platforms);
    }
    draft.section("environments.production.mongodb");
    let connection = &facts.database.connection;
    let uri = Known {
        value: connection.value.as_ref().map(|name| secret_of(name)),
        origin: connection.value.as_ref().map_or_else(
            || connection.origin.clone(),
            |name| format!("the application reads {name}: {}", connection.origin),
        ),
    };
    draft.known("uri", &uri);
    draft.known("database", &facts.database.name);
    variables(draft, facts);
}

/// The tables of `pipeline/1`.
fn one_of_each(draft: &mut Draft, services: &Services, platforms: &PlatformFacts) {
    draft.section("environments.production.railway");
    draft.known("project", &platforms.railway_project);
    draft.known("environment", &platforms.railway_environment);
    draft.known("service", &platforms.railway_service);
    draft.raw("token = \"PROD_RAILWAY_TOKEN\"");
    draft.known("source", &services.backend_source);
    draft.known("url", &platforms.backend_url);
    draft.section("environments.production.vercel");
    draft.known("org", &platforms.vercel_org);
    draft.known("project", &platforms.vercel_project);
    draft.raw("token = \"PROD_VERCEL_TOKEN\"");
    draft.known("source", &services.frontend_source);
    draft.known("domain", &platforms.domain);
    if let Some(bypass) = &platforms.protection_bypass {
        draft.known("protection_bypass", bypass);
    }
}

/// The secret of the pipeline for a variable of the application.
fn secret_of(name: &str) -> String {
    format!("PROD_{}", name.trim_start_matches("PROD_"))
}

fn variables(draft: &mut Draft, facts: &RepositoryFacts) {
    let (secrets, others): (Vec<_>, Vec<_>) = facts.variables.iter().partition(|variable| variable.is_secret);
    let list = |draft: &mut Draft, mark: &str, variable: &super::variables::AppVariable| {
        draft.raw(&format!("\n{mark}[[environments.production.variables]]"));
        draft.commented(
            &format!("{mark}secret = {}", quoted(&secret_of(&variable.name))),
            &variable.origin,
        );
        if variable.for_backend {
            draft.raw(&format!("{mark}railway = {}", quoted(&variable.name)));
        }
        if variable.for_frontend {
            draft.raw(&format!("{mark}vercel = {}", quoted(&variable.name)));
        }
    };
    for variable in secrets {
        list(draft, "", variable);
        draft.keys.push(ProposedKey {
            key: format!("environments.production.variables.{}", variable.name),
            value: Some(secret_of(&variable.name)),
            origin: variable.origin.clone(),
        });
    }
    if !others.is_empty() {
        draft.raw("\n# No secrets by their names: they stay as they are on the platforms, unless these lines are uncommented.");
    }
    for variable in others {
        list(draft, "# ", variable);
    }
}

/// `infrastructure/health.toml`.
pub fn health(facts: &RepositoryFacts) -> Draft {
    let mut draft = Draft::default();
    draft.raw("# Written by `cargo xtask init`. What must hold for the system to count as healthy: add a check for each feature that");
    draft.raw(
        "# must never be broken. `cargo xtask health` runs them; a mistake is shown with line and column.",
    );
    draft.raw("schema = \"health/1\"");
    if facts.services.is_one_of_each() {
        api_check(
            &mut draft,
            "api-health",
            "${backend}",
            &facts.health_route,
            facts.reads_health,
        );
        page_check(&mut draft, "frontend", "${frontend}");
    } else {
        lists::checks(&mut draft, facts);
    }
    draft.section("check.vercel-status");
    draft.raw("group = \"external\"");
    draft.section("check.vercel-status.status_page");
    draft.raw("url = \"https://www.vercel-status.com/api/v2/summary.json\"");
    draft.section("check.railway-status");
    draft.raw("group = \"external\"");
    draft.section("check.railway-status.status_page");
    draft.raw("url = \"https://status.railway.com/api/v2/summary.json\"");
    draft.section("check.serving");
    draft.raw("group = \"release\"\nretry = { for_s = 30 }");
    draft.section("check.serving.serving");
    draft.raw("timeout_ms = 60_000");
    draft
}

/// The check of the health route below an address.
fn api_check(draft: &mut Draft, name: &str, address: &str, route: &Known, reads_body: bool) {
    draft.section(&format!("check.{name}"));
    draft.commented(
        "group = \"features\"",
        "a deploy needs a critical check of this group; add those of your own",
    );
    draft.raw("retry = { for_s = 30 }");
    draft.section(&format!("check.{name}.http"));
    let path = |route: &String| format!("{address}/{}", route.trim_start_matches('/').replace('$', "$$"));
    let url = match &route.value {
        Some(route_found) => Known::found(&path(route_found), route.origin.as_str()),
        None => Known::missing(format!("the health route, as {address}/health")),
    };
    draft.known("url", &url);
    draft.section(&format!("check.{name}.http.expect"));
    if reads_body {
        draft.commented(
            "healthy = true",
            "what health routes usually answer: {\"status\":\"ok\"}, a line of text, or nothing",
        );
    } else {
        draft.commented("status = 200", "its body does not report whether all is well");
    }
}

/// The check of a frontend's page.
fn page_check(draft: &mut Draft, name: &str, address: &str) {
    draft.section(&format!("check.{name}"));
    draft.raw("group = \"performance\"\nretry = { for_s = 10 }");
    draft.section(&format!("check.{name}.frontend"));
    draft.raw(&format!("url = \"{address}/\"\nload_ms = 3000"));
}
