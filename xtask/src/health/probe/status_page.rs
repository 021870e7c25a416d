//! A status page in the Statuspage format: only the components that matter to us count.

use std::time::Duration;

use serde::Deserialize;

use super::{Look, Scene};
use crate::domain::verdict::Outcome;
use crate::health::expect;
use crate::health::template::{Missing, Template};

const OPERATIONAL: &str = "operational";

#[derive(Debug)]
pub(in crate::health) struct StatusPage {
    pub url: Template,
    pub components: Vec<String>,
    pub timeout: Duration,
    pub body_limit_bytes: u64,
}

#[derive(Debug, Deserialize)]
struct Summary {
    page: Page,
    #[serde(default)]
    components: Vec<Component>,
    #[serde(default)]
    incidents: Vec<Incident>,
}

#[derive(Debug, Deserialize)]
struct Page {
    name: String,
    url: String,
}

#[derive(Debug, Deserialize)]
struct Component {
    name: String,
    status: String,
    #[serde(default)]
    group: bool,
}

#[derive(Debug, Deserialize)]
struct Incident {
    name: String,
    shortlink: Option<String>,
}

impl StatusPage {
    pub(super) fn look(&self, scene: &Scene<'_>) -> Result<Look, Missing> {
        let url = self.url.fill_url(scene.values)?;
        let answer = match scene.get(url, self.timeout, self.body_limit_bytes) {
            Ok(answer) => answer,
            Err(broken) => {
                // A status page that fails says nothing about the platform.
                let mut look = Look::of_broken(&broken);
                look.outcome = Outcome::Unknown;
                return Ok(look);
            }
        };
        let unknown = |message: String| Look::of_answer(Outcome::Unknown, message, &answer);
        if answer.status != 200 {
            return Ok(unknown(format!("the status page answers {}", answer.status)));
        }
        let summary: Summary = match expect::text(&answer).and_then(|text| {
            serde_json::from_str(text).map_err(|error| format!("not a status page: {error}"))
        }) {
            Ok(summary) => summary,
            Err(fault) => return Ok(unknown(fault)),
        };
        let mut look = self.judge(&summary);
        look.status = Some(answer.status);
        look.bytes = Some(answer.body.len() as u64);
        look.timings = answer.timings;
        Ok(look)
    }

    fn judge(&self, summary: &Summary) -> Look {
        let is_ours = |component: &&Component| {
            !component.group && (self.components.is_empty() || self.components.contains(&component.name))
        };
        let absent = self.components.iter().find(|name| {
            !summary
                .components
                .iter()
                .any(|component| &component.name == *name)
        });
        if let Some(absent) = absent {
            let mut look = Look::new(
                Outcome::Unknown,
                format!("the page of {} names no component `{absent}`", summary.page.name),
            );
            look.link = Some(summary.page.url.clone());
            return look;
        }
        let troubles: Vec<String> = summary
            .components
            .iter()
            .filter(is_ours)
            .filter(|component| component.status != OPERATIONAL)
            .map(|component| format!("{}: {}", component.name, component.status.replace('_', " ")))
            .collect();
        let incident = summary.incidents.first();
        let mut look = if troubles.is_empty() {
            Look::new(Outcome::Passed, format!("{} is operational", summary.page.name))
        } else {
            let name = incident
                .map(|incident| format!(" ({})", incident.name))
                .unwrap_or_default();
            Look::new(
                Outcome::Failed,
                format!("{} reports {}{name}", summary.page.name, troubles.join(", ")),
            )
        };
        let shortlink = incident.and_then(|incident| incident.shortlink.clone());
        look.link = Some(shortlink.unwrap_or_else(|| summary.page.url.clone()));
        look.fact("incidents", summary.incidents.len());
        look
    }
}
