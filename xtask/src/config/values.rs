//! Values that would only fail later, in the middle of a release perhaps: refused when the file is read.

mod environment;
mod forms;
mod masks;
mod suites;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use toml::de::{DeTable, DeValue};

pub use forms::{is_action, is_variable};
use forms::{
    is_address, is_below, is_command, is_host, is_part_name, is_plain, is_reference, is_remote_path, is_word,
};

use crate::domain::parts::{BACKEND, FRONTEND};

use super::{ApprovalMethod, Config, S3Config, StorageConfig};

/// More than anybody waits, in seconds.
const LONGEST_S: u64 = 86_400;

/// Every mistake, with the byte offset of its value. No message shows a value that may be a secret.
pub(super) fn mistakes(config: &Config, text: &str) -> Vec<(usize, String)> {
    let mut rules = Rules {
        document: DeTable::parse(text).ok().map(toml::Spanned::into_inner),
        found: Vec::new(),
    };
    rules.whole(config);
    rules.suites(config);
    rules.approval(config);
    rules.backup(config);
    rules.notify(config);
    rules.masks(config);
    let mut prefixes = BTreeMap::new();
    for (name, environment) in &config.environments {
        rules.environment(name, environment, config.schema);
        if let Some(other) = prefixes.insert(environment.tag_prefix.as_str(), name) {
            let message =
                format!("`tag_prefix` is that of the environment `{other}` too: each needs its own");
            rules.mistake(&["environments", name, "tag_prefix"], message);
        }
    }
    rules.found
}

struct Rules<'a> {
    document: Option<DeTable<'a>>,
    found: Vec<(usize, String)>,
}

impl Rules<'_> {
    fn mistake(&mut self, keys: &[&str], message: impl Into<String>) {
        let offset = self
            .document
            .as_ref()
            .map_or(0, |document| offset_of(document, keys));
        self.found.push((offset, message.into()));
    }

    fn require(&mut self, holds: bool, keys: &[&str], message: &str) {
        if !holds {
            // The place in a list is no name.
            let named = keys.iter().rfind(|key| key.parse::<usize>().is_err());
            let key = named.copied().unwrap_or_default();
            self.mistake(keys, format!("`{key}` {message}"));
        }
    }

    /// A secret that stands in the place of a variable's name would be shown wherever the name is.
    fn variable(&mut self, keys: &[&str], name: &str) {
        let message = "is the name of an environment variable (A-Z, 0-9, _), which holds the secret: no secret belongs here";
        self.require(is_variable(name), keys, message);
    }

    fn folder(&mut self, keys: &[&str], path: &Path) {
        let message = "is a path below the root of the repository, without `..`";
        self.require(is_below(path), keys, message);
    }

    fn address(&mut self, keys: &[&str], text: &str) {
        let message =
            "is an address as https://www.example.com, without user, password, question mark and fragment";
        self.require(is_address(text), keys, message);
    }

    fn seconds(&mut self, keys: &[&str], value: u64) {
        self.require(
            (1..=LONGEST_S).contains(&value),
            keys,
            "is from 1 to 86400 seconds",
        );
    }

    fn whole(&mut self, config: &Config) {
        let known = config.environments.contains_key(&config.default_environment);
        self.require(known, &["default_environment"], "is no environment of this file");
        let state_fits = is_below(&config.state_dir)
            && config
                .state_dir
                .to_str()
                .is_some_and(|dir| dir.chars().all(is_plain));
        let message = "is a path below the root of the repository, of letters, digits, `-`, `_`, `.` and `/`";
        self.require(state_fits, &["state_dir"], message);
        if let Some(version) = &config.version {
            let message = "is a version of this program, as 0.1";
            self.require(super::version::is_version(version), &["version"], message);
        }
        let message = "is a folder of the repository (./…), or owner/repository/folder@commit";
        self.require(
            is_action(&config.workflows.setup),
            &["workflows", "setup"],
            message,
        );
        let labels = &config.workflows.runs_on;
        let is_label =
            |label: &String| !label.is_empty() && label.chars().all(is_plain) && !label.contains('/');
        self.require(
            !labels.is_empty() && labels.iter().all(is_label),
            &["workflows", "runs_on"],
            "are labels of a runner, of letters, digits, `-`, `_` and `.`",
        );
        for (key, name) in [("remote", &config.git.remote), ("branch", &config.git.branch)] {
            self.require(is_reference(name), &["git", key], "is no name that git takes");
        }
        if let Some(github) = &config.github {
            let parts: Vec<&str> = github.repository.split('/').collect();
            let two = parts.len() == 2 && parts.iter().all(|part| is_word(part));
            self.require(two, &["github", "repository"], "has the form owner/name");
        }
        for path in &config.migrations.paths {
            let fits = is_below(Path::new(path)) && !path.starts_with(':');
            let message = "are paths below the root of the repository, without `..`";
            self.require(fits, &["migrations", "paths"], message);
        }
        for (key, value) in [
            ("backup_s", config.budgets.backup_s),
            ("restore_s", config.budgets.restore_s),
            ("redeploy_s", config.budgets.redeploy_s),
            ("total_s", config.budgets.total_s),
        ] {
            self.seconds(&["budgets", key], value);
        }
        if let Some(hooks) = &config.restore.quiesce {
            for (key, command) in [("before", &hooks.before), ("after", &hooks.after)] {
                let keys = &["restore", "quiesce", key];
                self.require(is_command(command), keys, "needs a program");
            }
            self.seconds(&["restore", "quiesce", "deadline_s"], hooks.deadline_s);
        }
        let mut names = BTreeSet::new();
        for (list, commands) in [
            ("restore", &config.restore.after),
            ("rollback", &config.rollback.after),
        ] {
            for (at, after) in commands.iter().enumerate() {
                let at = at.to_string();
                let keys = |key| [list, "after", at.as_str(), key];
                // The names of single parts are left out of the names of steps.
                let is_name =
                    is_part_name(&after.name) && ![BACKEND, FRONTEND].contains(&after.name.as_str());
                let message = "has lower-case letters, digits and `-` only, begins with a letter, and is not `backend` or `frontend`";
                self.require(is_name, &keys("name"), message);
                let is_new = names.insert(&after.name);
                self.require(is_new, &keys("name"), "is that of another command too");
                self.require(is_command(&after.command), &keys("command"), "needs a program");
                self.seconds(&keys("deadline_s"), after.deadline_s);
                for variable in &after.env {
                    self.variable(&keys("env"), variable);
                }
            }
        }
    }

    fn approval(&mut self, config: &Config) {
        let approval = &config.approval;
        let names: BTreeSet<&String> = approval.environments.iter().collect();
        let once = names.len() == approval.environments.len()
            && names
                .iter()
                .all(|name| !name.trim().is_empty() && !name.contains("${{"));
        self.require(
            once,
            &["approval", "environments"],
            "names an environment twice, or none, or has an expression",
        );
        let reviewed = u32::try_from(names.len()).unwrap_or(u32::MAX);
        if approval.method == ApprovalMethod::Github && approval.required > reviewed {
            let message = format!(
                "`required` is {}, and `environments` has {reviewed}: each environment gives one approval",
                approval.required
            );
            self.mistake(&["approval", "required"], message);
        }
        self.require(
            approval.max_age_hours > 0,
            &["approval", "max_age_hours"],
            "is at least 1",
        );
        if let Some(name) = &approval.rollback {
            let is_own =
                !name.trim().is_empty() && !name.contains("${{") && !config.environments.contains_key(name);
            // Each job that names the environment with the secrets would wait for its reviewers.
            self.require(
                is_own,
                &["approval", "rollback"],
                "needs a GitHub environment other than the one with the secrets",
            );
        }
        for (environment, logins) in &approval.reviewers {
            let keys = &["approval", "reviewers", environment];
            let is_named = names.contains(environment) || approval.rollback.as_ref() == Some(environment);
            self.require(is_named, keys, "is neither among `environments` nor `rollback`");
            let logins_fit =
                !logins.is_empty() && logins.len() <= 6 && logins.iter().all(|login| is_word(login));
            self.require(logins_fit, keys, "needs one to six logins: GitHub takes no more");
        }
    }

    fn backup(&mut self, config: &Config) {
        let backup = &config.backup;
        self.require(
            backup.retention_days > 0,
            &["backup", "retention_days"],
            "is at least 1",
        );
        if let Some(identity) = &backup.identity {
            self.variable(&["backup", "identity"], identity);
        }
        if let Some(uri) = &backup.drill_uri {
            self.variable(&["backup", "drill_uri"], uri);
        }
        let is_somewhere = config.environments.values().any(|one| one.atlas.is_some());
        let message = "needs the table `[environments.NAME.atlas]` in one environment at least";
        let fits = !backup.engine.has_snapshot() || is_somewhere;
        self.require(fits, &["backup", "engine"], message);
        let keys = &["backup", "places"];
        self.require(!backup.storage.is_empty(), keys, "needs one storage at least");
        for (at, storage) in backup.storage.iter().enumerate() {
            let keys = &["backup", "places", &at.to_string()];
            match storage {
                StorageConfig::Directory { path, .. } => {
                    self.require(!path.as_os_str().is_empty(), keys, "has a folder without a path");
                }
                StorageConfig::Github { .. } => {}
                StorageConfig::Azure {
                    container,
                    connection,
                    ..
                } => {
                    self.require(!container.is_empty(), keys, "has Azure without a container");
                    self.variable(keys, connection);
                }
                StorageConfig::S3(s3) => self.bucket(keys, s3),
                StorageConfig::Rclone(rclone) => {
                    let message = "has an rclone remote whose name is not of letters, digits, `-` and `_`";
                    let is_name = is_word(&rclone.remote) && !rclone.remote.contains('.');
                    self.require(is_name, keys, message);
                    let message =
                        "has an rclone remote with a path that has empty parts, `..` or control characters";
                    self.require(is_remote_path(&rclone.path), keys, message);
                    if let Some(config) = &rclone.config {
                        self.variable(keys, config);
                    }
                }
            }
        }
    }

    fn bucket(&mut self, keys: &[&str], s3: &S3Config) {
        self.require(
            is_word(&s3.bucket),
            keys,
            "has S3 with a bucket that has no such name",
        );
        self.require(
            is_word(&s3.region),
            keys,
            "has S3 with a region that has no such name",
        );
        let message = "has S3 with a prefix that has empty parts, `..` or control characters";
        self.require(is_remote_path(&s3.prefix), keys, message);
        if let Some(endpoint) = &s3.endpoint {
            self.address(keys, endpoint);
        }
        if let Some(provider) = &s3.provider {
            self.require(
                is_word(provider),
                keys,
                "has S3 with a provider that has no such name",
            );
        }
        for name in [&s3.access_key, &s3.secret_key, &s3.session_token] {
            self.variable(keys, name);
        }
        if let Some(lock) = s3.object_lock {
            let message = "has S3 with `object_lock.days` that are not from 1 to 36500";
            self.require((1..=36_500).contains(&lock.days), keys, message);
        }
    }

    fn notify(&mut self, config: &Config) {
        if let Some(slack) = &config.notify.slack {
            self.variable(&["notify", "slack"], slack);
        }
        let Some(email) = &config.notify.email else { return };
        for (key, name) in [("user", &email.user), ("password", &email.password)] {
            if let Some(name) = name {
                self.variable(&["notify", "email", key], name);
            }
        }
        let both = email.user.is_some() == email.password.is_some();
        self.require(
            both,
            &["notify", "email"],
            "needs both of `user` and `password`, or none",
        );
        let server = &["notify", "email", "server"];
        self.require(is_host(&email.server), server, "is a host name");
        let is_mail = |text: &String| text.contains('@') && !text.contains(char::is_control);
        self.require(
            is_mail(&email.from),
            &["notify", "email", "from"],
            "is an e-mail address",
        );
        let to = !email.to.is_empty() && email.to.iter().all(is_mail);
        self.require(to, &["notify", "email", "to"], "needs e-mail addresses");
    }
}

/// Where the value of these keys is; where one of them is left out, the nearest table that holds it. A number is the place
/// in a list.
fn offset_of(document: &DeTable<'_>, keys: &[&str]) -> usize {
    let mut offset = 0;
    let mut keys = keys.iter();
    let Some(mut value) = keys.next().and_then(|key| document.get(*key)) else {
        return offset;
    };
    loop {
        offset = value.span().start;
        let Some(key) = keys.next() else { return offset };
        let inner = match value.get_ref() {
            DeValue::Table(table) => table.get(*key),
            DeValue::Array(items) => key.parse().ok().and_then(|at: usize| items.get(at)),
            _ => None,
        };
        let Some(inner) = inner else { return offset };
        value = inner;
    }
}

#[cfg(test)]
mod tests;
