//! `[tests.NAME]`: suites, and the containers beside them. One job has those of all suites.

use std::collections::BTreeMap;

use super::Rules;
use super::forms::{is_command, is_part_name, is_variable};
use crate::config::{Config, ServiceConfig};

impl Rules<'_> {
    pub(super) fn suites(&mut self, config: &Config) {
        let (mut services, mut ports) = (BTreeMap::new(), BTreeMap::new());
        for (suite, of_suite) in &config.tests {
            self.folder(&["tests", suite, "dir"], &of_suite.dir);
            let keys = &["tests", suite, "command"];
            self.require(is_command(&of_suite.command), keys, "needs a program");
            self.seconds(&["tests", suite, "deadline_s"], of_suite.deadline_s);
            for variable in &of_suite.env {
                self.variable(&["tests", suite, "env"], variable);
            }
            for (name, service) in &of_suite.services {
                let keys = ["tests", suite, "services", name];
                self.beside_suite(&keys, name, service);
                if *services.entry(name).or_insert(service) != service {
                    self.mistake(
                        &keys,
                        format!("`{name}` is another service in another suite: one job has both"),
                    );
                }
                for port in &service.ports {
                    if *ports.entry(port).or_insert(name) != name {
                        self.mistake(&keys, format!("port {port} is that of another service too"));
                    }
                }
            }
        }
    }

    fn beside_suite(&mut self, keys: &[&str], name: &str, service: &ServiceConfig) {
        let message = "has lower-case letters, digits and `-` only, and begins with a letter";
        self.require(is_part_name(name), keys, message);
        let key = |key| [keys, &[key]].concat();
        let message = "is an image with its version or digest, as mongo:8.0";
        self.require(is_pinned_image(&service.image), &key("image"), message);
        let message = "needs the ports that the suite connects to on localhost, from 1";
        let are_ports = !service.ports.is_empty() && !service.ports.contains(&0);
        self.require(are_ports, &key("ports"), message);
        let is_value = |text: &str| !text.contains("${{") && !text.contains(char::is_control);
        let are_values = service
            .env
            .iter()
            .all(|(name, value)| is_variable(name) && is_value(value));
        let message = "has names of A-Z, 0-9 and _, and values without expressions and line breaks";
        self.require(are_values, &key("env"), message);
        if let Some(ready) = &service.ready {
            let message = "is a command without `\"`, `$`, `\\`, ` and line breaks";
            self.require(is_ready_command(ready), &key("ready"), message);
        }
    }
}

/// `latest`, which is another image every day, is none.
fn is_pinned_image(text: &str) -> bool {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || "._/:@-".contains(c);
    let name = text.rsplit('/').next().unwrap_or_default();
    let pin = name.split_once(['@', ':']).map(|(_, pin)| pin);
    let is_pin = |pin: &str| !pin.is_empty() && pin != "latest";
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(is_inside)
        && pin.is_some_and(is_pin)
}

/// It stands between double quotes in an option of docker, and a shell of the container reads it.
fn is_ready_command(text: &str) -> bool {
    let is_special = |c: char| c.is_control() || matches!(c, '"' | '\\' | '$' | '`');
    !text.trim().is_empty() && !text.contains(is_special)
}
