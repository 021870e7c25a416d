//! The values of one environment: its parts, its database and its variables.

mod parts;

use std::collections::{BTreeMap, BTreeSet};

use self::parts::lacks_table;
use super::Rules;
use super::forms::{is_reference, is_word};
use crate::config::Schema;
use crate::config::environment::{BackendConfig, EnvironmentConfig, MongodbConfig, PartPlace};
use crate::domain::database_name::database_name_problems;
use crate::domain::parts::RELEASE_VARIABLES;

impl Rules<'_> {
    pub(super) fn environment(&mut self, name: &str, environment: &EnvironmentConfig, schema: Schema) {
        let own = &["environments", name];
        self.require(is_word(name), own, "has letters, digits, `-`, `_` and `.` only");
        let keys = &["environments", name, "tag_prefix"];
        self.require(
            is_reference(&environment.tag_prefix),
            keys,
            "has letters, digits, `-`, `_`, `.` and `/` only, as git takes them",
        );
        let is_empty = environment.backends.is_empty()
            && environment.frontends.is_empty()
            && environment.mongodb.is_none();
        self.require(!is_empty, own, "has no backend, no frontend and no database");
        for backend in &environment.backends {
            self.backend(name, schema, backend);
        }
        for frontend in &environment.frontends {
            self.frontend(name, schema, frontend);
        }
        for list in ["backends", "frontends"] {
            self.keys_of_platform(name, list);
        }
        self.platform_tables(name, environment);
        self.each_once(name, environment);
        self.order(name, &environment.backends);
        self.database(name, environment);
        self.atlas(name, environment);
        self.external(name, environment);
        self.variables(name, environment);
    }

    /// Two parts of one name, or of one service, would be taken for each other.
    fn each_once(&mut self, name: &str, environment: &EnvironmentConfig) {
        let (backends, frontends) = (&environment.backends, &environment.frontends);
        let names = backends.iter().map(|part| (part.listed, part.name.as_str()));
        let names = names.chain(frontends.iter().map(|part| (part.listed, part.name.as_str())));
        let services = backends
            .iter()
            .filter_map(|part| Some((part.listed, &*part.railway()?.service)));
        let projects = frontends
            .iter()
            .filter_map(|part| Some((part.listed, part.vercel()?)));
        let domains = projects
            .clone()
            .map(|(listed, project)| (listed, project.domain.as_str()));
        let projects = projects.map(|(listed, project)| (listed, project.project.as_str()));
        for (what, values) in [
            ("name", names.collect::<Vec<_>>()),
            ("service", services.collect()),
            ("project", projects.collect()),
            ("domain", domains.collect()),
        ] {
            let mut seen: BTreeSet<&str> = BTreeSet::new();
            for (listed, value) in values {
                if !seen.insert(value) {
                    let keys = &["environments", name, listed.list, &listed.at.to_string(), what];
                    self.mistake(keys, format!("`{what}` is that of another part too: {value}"));
                }
            }
        }
    }

    /// `after` names other backends, and no circle of them.
    fn order(&mut self, name: &str, backends: &[BackendConfig]) {
        let known: BTreeMap<&str, &BackendConfig> = backends
            .iter()
            .map(|backend| (backend.name.as_str(), backend))
            .collect();
        for backend in backends {
            let PartPlace { list, at } = backend.listed;
            let keys = &["environments", name, list, &at.to_string(), "after"];
            for before in &backend.after {
                if !known.contains_key(before.as_str()) {
                    self.mistake(
                        keys,
                        format!("`after` has `{before}`, which is no backend of this environment"),
                    );
                }
            }
            if comes_after_itself(backend, &known) {
                let message = format!("`after` leads from `{}` back to it", backend.name);
                self.mistake(keys, message);
            }
        }
    }

    fn database(&mut self, name: &str, environment: &EnvironmentConfig) {
        let Some(mongodb) = &environment.mongodb else {
            return;
        };
        self.variable(&["environments", name, "mongodb", "uri"], &mongodb.uri);
        self.require(
            database_name_problems(&mongodb.database).is_empty(),
            &["environments", name, "mongodb", "database"],
            "is the name of a database: at most 63 bytes, without `/`, `\\`, `.`, `$`, quotes and spaces",
        );
        self.way(name, mongodb);
    }

    /// The cluster that the database is on.
    fn atlas(&mut self, name: &str, environment: &EnvironmentConfig) {
        let Some(atlas) = &environment.atlas else { return };
        let keys = |key| ["environments", name, "atlas", key];
        let table = ["environments", name, "atlas"];
        self.require(
            environment.mongodb.is_some(),
            &table,
            "is of a database, and the environment has none",
        );
        let is_id = atlas.project.len() == 24 && atlas.project.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.require(
            is_id,
            &keys("project"),
            "is the id of a project: 24 hexadecimal digits",
        );
        // Atlas takes letters, digits and hyphens (API, "Create one cluster").
        let is_name = is_word(&atlas.cluster) && !atlas.cluster.contains(['.', '_']);
        self.require(
            is_name,
            &keys("cluster"),
            "is the name of a cluster: letters, digits and `-`",
        );
        let message = "needs `public_key` and `private_key`, or `client_id` and `client_secret`";
        self.require(atlas.has_one_pair(), &table, message);
        for (key, variable) in [
            ("public_key", &atlas.public_key),
            ("private_key", &atlas.private_key),
            ("client_id", &atlas.client_id),
            ("client_secret", &atlas.client_secret),
        ] {
            if let Some(variable) = variable {
                self.variable(&keys(key), variable);
            }
        }
        self.seconds(&keys("snapshot_s"), atlas.snapshot_s);
    }

    /// How the database is reached.
    fn way(&mut self, name: &str, mongodb: &MongodbConfig) {
        let keys = |key| ["environments", name, "mongodb", key];
        if let Some(token) = &mongodb.via_token {
            self.variable(&keys("via_token"), token);
            self.require(
                mongodb.tunnel().is_some(),
                &keys("via_token"),
                "opens a tunnel, and `via` has none",
            );
        }
        let Some(place) = mongodb.tunnel() else { return };
        if lacks_table(&[&place.project, &place.environment, &place.token]) {
            let message = format!(
                "a tunnel needs the table `[environments.{name}.railway]` with `project`, `environment` and `token`"
            );
            return self.mistake(&keys("via"), message);
        }
        for (key, value) in [("project", &place.project), ("environment", &place.environment)] {
            let keys = ["environments", name, "railway", key];
            self.require(is_word(value), &keys, "is an id of the platform");
        }
        self.variable(&["environments", name, "railway", "token"], &place.token);
    }

    /// The name is typed by who confirms.
    fn external(&mut self, name: &str, environment: &EnvironmentConfig) {
        let mut names = BTreeSet::new();
        for (at, external) in environment.external.iter().enumerate() {
            let at = at.to_string();
            let keys = |key| ["environments", name, "external", at.as_str(), key];
            let is_line = |text: &str| !text.trim().is_empty() && !text.contains(char::is_control);
            self.require(is_line(&external.name), &keys("name"), "is one line of text");
            self.require(
                is_line(&external.on_rollback),
                &keys("on_rollback"),
                "is one line of text",
            );
            let is_new = names.insert(external.name.trim());
            self.require(is_new, &keys("name"), "is that of another system too");
        }
    }

    fn variables(&mut self, name: &str, environment: &EnvironmentConfig) {
        // Programs of the team get none: what they deploy to has variables of its own.
        let backends: Vec<&str> = environment
            .backends
            .iter()
            .filter(|part| part.railway().is_some())
            .map(|part| part.name.as_str())
            .collect();
        let frontends: Vec<&str> = environment
            .frontends
            .iter()
            .filter(|part| part.vercel().is_some())
            .map(|part| part.name.as_str())
            .collect();
        let mut known = BTreeSet::new();
        for (at, variable) in environment.variables.iter().enumerate() {
            let at = at.to_string();
            let keys = &["environments", name, "variables", &at];
            self.variable(keys, &variable.secret);
            let sides = [
                ("railway", &variable.railway, &backends),
                ("vercel", &variable.vercel, &frontends),
            ];
            let is_somewhere = sides.iter().any(|(_, name, _)| name.is_some());
            self.require(
                is_somewhere,
                keys,
                "has one without `railway` and `vercel`: nothing gets it",
            );
            for part in &variable.parts {
                let gets_it = sides
                    .iter()
                    .any(|(_, name, parts)| name.is_some() && parts.contains(&part.as_str()));
                if !gets_it {
                    let message = format!(
                        "`parts` has `{part}`, which is no part on a platform that the variable has a name for"
                    );
                    self.mistake(&["environments", name, "variables", &at, "parts"], message);
                }
            }
            for (platform, name, parts) in sides {
                let Some(name) = name else { continue };
                let is_name = is_word(name) && !name.starts_with(|c: char| c.is_ascii_digit());
                self.require(is_name, keys, "has a name that no platform takes");
                let is_ours = RELEASE_VARIABLES.contains(&name.as_str());
                self.require(!is_ours, keys, "has a name that `deploy` sets itself");
                self.require(
                    !parts.is_empty(),
                    keys,
                    &format!("has one for {platform}, where the environment has no part"),
                );
                for part in parts.iter().filter(|part| variable.is_for(part)) {
                    self.require(known.insert((*part, name)), keys, "has a name twice");
                }
            }
        }
    }
}

/// Whether a backend is among those that it comes after, and those that these come after.
fn comes_after_itself(backend: &BackendConfig, known: &BTreeMap<&str, &BackendConfig>) -> bool {
    let mut found = BTreeSet::new();
    let mut ahead: Vec<&str> = backend.after.iter().map(String::as_str).collect();
    while let Some(name) = ahead.pop() {
        if name == backend.name {
            return true;
        }
        if let Some(before) = known.get(name).filter(|_| found.insert(name)) {
            ahead.extend(before.after.iter().map(String::as_str));
        }
    }
    false
}

#[cfg(test)]
mod tests;
