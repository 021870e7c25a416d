//! The values of a part: where it runs, its folder, its address.

use std::path::PathBuf;

use crate::config::Schema;
use crate::config::environment::{
    AdapterConfig, BackendConfig, BackendPlatform, EnvironmentConfig, FrontendConfig, FrontendPlatform,
    KEYS_OF_PARTS, PartPlatform, RailwayConfig, VercelConfig,
};
use crate::config::values::Rules;
use crate::config::values::forms::{is_command, is_host, is_part_name, is_word};

/// Where the keys of a part stand in the file.
#[derive(Debug, Clone, Copy)]
struct PartKeys<'a> {
    environment: &'a str,
    schema: Schema,
    /// The table of the platform.
    platform: &'a str,
    /// The list of such parts.
    list: &'a str,
    /// The place in the list.
    at: &'a str,
}

impl<'a> PartKeys<'a> {
    /// A key of the part itself.
    fn own(&self, key: &'a str) -> Vec<&'a str> {
        match self.schema {
            Schema::V1 => self.shared(if key == "folder" { "source" } else { key }),
            Schema::V2 => vec!["environments", self.environment, self.list, self.at, key],
        }
    }

    /// A key that all parts of the platform share.
    fn shared(&self, key: &'a str) -> Vec<&'a str> {
        vec!["environments", self.environment, self.platform, key]
    }
}

impl Rules<'_> {
    pub(super) fn backend(&mut self, name: &str, schema: Schema, backend: &BackendConfig) {
        let at = &backend.listed.at.to_string();
        let keys = PartKeys {
            environment: name,
            schema,
            platform: "railway",
            list: backend.listed.list,
            at,
        };
        self.part(
            keys,
            &backend.name,
            (&backend.folder, &backend.shares),
            (backend.deploy_s, backend.url.as_ref()),
        );
        match &backend.platform {
            BackendPlatform::Railway(service) => self.service(keys, service),
            BackendPlatform::Command(adapter) => self.adapter(keys, adapter),
        }
    }

    /// What every part has.
    fn part(
        &mut self,
        keys: PartKeys<'_>,
        name: &str,
        (folder, shares): (&PathBuf, &[PathBuf]),
        (deploy_s, url): (u64, Option<&String>),
    ) {
        let message = "has lower-case letters, digits and `-` only, and begins with a letter";
        self.require(is_part_name(name), &keys.own("name"), message);
        self.folder(&keys.own("folder"), folder);
        for folder in shares {
            self.folder(&keys.own("shares"), folder);
        }
        self.seconds(&keys.own("deploy_s"), deploy_s);
        if let Some(url) = url {
            self.address(&keys.own("url"), url);
        }
    }

    fn service(&mut self, keys: PartKeys<'_>, railway: &RailwayConfig) {
        let message = "is an id of the platform";
        self.require(is_word(&railway.service), &keys.own("service"), message);
        if !lacks_table(&[&railway.project, &railway.environment, &railway.token]) {
            self.require(is_word(&railway.project), &keys.shared("project"), message);
            let environment = is_word(&railway.environment);
            self.require(environment, &keys.shared("environment"), message);
            self.variable(&keys.shared("token"), &railway.token);
        }
    }

    fn adapter(&mut self, keys: PartKeys<'_>, adapter: &AdapterConfig) {
        let within = |key| [keys.own("command"), vec![key]].concat();
        let unused = [("deploy", &adapter.deploy), ("rollback", &adapter.rollback)];
        for (action, command) in unused.into_iter().filter(|_| adapter.is_staged()) {
            let message = "is for a part that is live when it is uploaded: it has `stage` and `promote` in the place of both";
            self.require(command.is_empty(), &within(action), message);
        }
        for (action, command) in adapter.commands() {
            let message = "is a program and its arguments, each a text";
            self.require(is_command(command), &within(action), message);
        }
        for variable in &adapter.env {
            self.variable(&within("env"), variable);
        }
    }

    /// A key of another platform does nothing, and one that is missing would be found late.
    pub(super) fn keys_of_platform(&mut self, name: &str, list: &str) {
        let document = self.document.as_ref();
        let environments = document.and_then(|document| document.get("environments"));
        let environment = environments.and_then(|all| all.get_ref().get(name));
        let parts = environment.and_then(|environment| environment.get_ref().get(list));
        let parts = parts.and_then(|parts| parts.get_ref().as_array());
        let mut found = Vec::new();
        for (at, part) in parts.into_iter().flatten().enumerate() {
            let Some(table) = part.get_ref().as_table() else {
                continue;
            };
            let platform = table
                .get("platform")
                .and_then(|platform| platform.get_ref().as_str());
            let Some(platform) = platform else { continue };
            let keys = PartPlatform::named(platform).map_or(&[][..], PartPlatform::keys);
            let command = table
                .get("command")
                .and_then(|command| command.get_ref().as_table());
            let is_staged = command.is_some_and(|command| command.contains_key("stage"));
            for key in table.keys() {
                let key = key.get_ref().as_ref();
                if key == "after" && is_staged {
                    let message =
                        "`after` is no key of a part that is staged: it is promoted when all backends serve";
                    found.push((at, key.to_owned(), message.to_owned()));
                } else if !KEYS_OF_PARTS.contains(&key) && !keys.contains(&key) {
                    let message = format!("`{key}` is no key of a part with platform = \"{platform}\"");
                    found.push((at, key.to_owned(), message));
                }
            }
        }
        for (at, key, message) in found {
            self.mistake(&["environments", name, list, &at.to_string(), &key], message);
        }
    }

    pub(super) fn frontend(&mut self, name: &str, schema: Schema, frontend: &FrontendConfig) {
        let at = &frontend.listed.at.to_string();
        let keys = PartKeys {
            environment: name,
            schema,
            platform: "vercel",
            list: frontend.listed.list,
            at,
        };
        self.part(
            keys,
            &frontend.name,
            (&frontend.folder, &frontend.shares),
            (frontend.deploy_s, frontend.url.as_ref()),
        );
        match &frontend.platform {
            FrontendPlatform::Vercel(project) => self.project(keys, project),
            FrontendPlatform::Command(adapter) => {
                self.adapter(keys, adapter);
                let message = "is the address that users reach, which no platform knows here";
                self.require(frontend.url.is_some(), &keys.own("url"), message);
            }
        }
    }

    fn project(&mut self, keys: PartKeys<'_>, vercel: &VercelConfig) {
        let message = "is an id of the platform";
        self.require(is_word(&vercel.project), &keys.own("project"), message);
        if !lacks_table(&[&vercel.org, &vercel.token]) {
            self.require(is_word(&vercel.org), &keys.shared("org"), message);
            self.variable(&keys.shared("token"), &vercel.token);
        }
        let staged = keys.own("staged_url");
        self.address(&staged, &vercel.staged_url("host.example"));
        self.require(vercel.staged_url.contains("{host}"), &staged, "needs `{host}`");
        self.require(
            is_host(&vercel.domain),
            &keys.own("domain"),
            "is a host name, without https:// and path",
        );
        for variable in &vercel.build_env {
            self.variable(&keys.own("build_env"), variable);
        }
        if let Some(variable) = &vercel.protection_bypass {
            self.variable(&keys.own("protection_bypass"), variable);
        }
    }

    /// What all parts of a platform share stands in a table of its own.
    pub(super) fn platform_tables(&mut self, name: &str, environment: &EnvironmentConfig) {
        let mut services = environment.backends.iter().filter_map(BackendConfig::railway);
        if services.any(|one| lacks_table(&[&one.project, &one.environment, &one.token])) {
            let message = format!(
                "parts on Railway need the table `[environments.{name}.railway]` with `project`, `environment` and `token`"
            );
            self.mistake(&["environments", name, "backends"], message);
        }
        let mut projects = environment.frontends.iter().filter_map(FrontendConfig::vercel);
        if projects.any(|one| lacks_table(&[&one.org, &one.token])) {
            let message = format!(
                "parts on Vercel need the table `[environments.{name}.vercel]` with `org` and `token`"
            );
            self.mistake(&["environments", name, "frontends"], message);
        }
    }
}

/// Whether the table that holds these values is not there.
pub(super) fn lacks_table(values: &[&String]) -> bool {
    values.iter().all(|value| value.is_empty())
}
