//! A status page in the Statuspage format: only the components that matter to us count.

use std::time::Duration;

use serde::Deserialize;

use super::{ProbeResult, RunContext};
use crate::domain::verdict::CheckResult;
use crate::health::expect;
use crate::health::template::{Missing, Template};

const OPERATIONAL: &str = "operational";

#[derive(Debug)]
pub(in crate::health) struct StatusPageProbe {
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

impl StatusPageProbe {
    pub(super) fn probe(&self, run: &RunContext<'_>) -> Result<ProbeResult, Missing> {
        let url = self.url.fill_url(run.values)?;
        let answer = match run.get(url, self.timeout, self.body_limit_bytes) {
            Ok(answer) => answer,
            Err(broken) => {
                // A status page that fails says nothing about the platform.
                let mut result = ProbeResult::of_broken(&broken);
                result.outcome = CheckResult::Unknown;
                return Ok(result);
            }
        };
        let unknown = |message: String| ProbeResult::of_answer(CheckResult::Unknown, message, &answer);
        if answer.status != 200 {
            return Ok(unknown(format!("the status page answers {}", answer.status)));
        }
        let summary: Summary = match expect::text(&answer).and_then(|text| {
            serde_json::from_str(text).map_err(|error| format!("not a status page: {error}"))
        }) {
            Ok(summary) => summary,
            Err(fault) => return Ok(unknown(fault)),
        };
        let mut result = self.judge(&summary);
        result.status = Some(answer.status);
        result.bytes = Some(answer.body.len() as u64);
        result.timings = answer.timings;
        Ok(result)
    }

    fn judge(&self, summary: &Summary) -> ProbeResult {
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
            let mut result = ProbeResult::new(
                CheckResult::Unknown,
                format!("the page of {} names no component `{absent}`", summary.page.name),
            );
            result.link = Some(summary.page.url.clone());
            return result;
        }
        let troubles: Vec<String> = summary
            .components
            .iter()
            .filter(is_ours)
            .filter(|component| component.status != OPERATIONAL)
            .map(|component| format!("{}: {}", component.name, component.status.replace('_', " ")))
            .collect();
        let incident = summary.incidents.first();
        let mut result = if troubles.is_empty() {
            ProbeResult::new(
                CheckResult::Passed,
                format!("{} is operational", summary.page.name),
            )
        } else {
            let name = incident
                .map(|incident| format!(" ({})", incident.name))
                .unwrap_or_default();
            ProbeResult::new(
                CheckResult::Failed,
                format!("{} reports {}{name}", summary.page.name, troubles.join(", ")),
            )
        };
        let shortlink = incident.and_then(|incident| incident.shortlink.clone());
        result.link = Some(shortlink.unwrap_or_else(|| summary.page.url.clone()));
        result.fact("incidents", summary.incidents.len());
        result
    }
}
