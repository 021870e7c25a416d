//! The projects that whoever is logged in can see: by `vercel login`, or by `VERCEL_TOKEN`. Only asks.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;
use xshell::cmd;

use super::VercelProject;
use crate::exec::{Exec, OF_NODE, shell_in};

/// One question; the program itself needs some seconds to start.
const DEADLINE: Duration = Duration::from_secs(30);
/// More teams than these are not asked.
const TEAMS_ASKED: usize = 10;

/// A project and the team that it belongs to.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedProject {
    pub id: String,
    pub name: String,
    /// The team.
    pub account_id: String,
    #[serde(flatten)]
    pub settings: VercelProject,
}

#[derive(Deserialize)]
struct Teams {
    teams: Vec<Team>,
}

#[derive(Deserialize)]
struct Team {
    id: String,
}

#[derive(Deserialize)]
struct Projects {
    projects: Vec<ListedProject>,
}

#[derive(Deserialize)]
struct Domains {
    domains: Vec<Domain>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Domain {
    name: String,
    redirect: Option<String>,
    git_branch: Option<String>,
}

/// All projects of this team, or of every team where it is not known.
pub fn listed_projects(root: &Path, team: Option<&str>) -> Result<Vec<ListedProject>> {
    let sh = shell_in(root)?;
    let teams = match team {
        Some(team) => vec![team.to_owned()],
        None => {
            let listed: Teams = question(cmd!(sh, "vercel api /v2/teams?limit=100 --raw")).json()?;
            let teams = listed.teams.into_iter().take(TEAMS_ASKED);
            teams.map(|team| team.id).collect()
        }
    };
    let mut found = Vec::new();
    for team in teams {
        let listed: Projects =
            question(cmd!(sh, "vercel api /v9/projects?limit=100 --scope {team} --raw")).json()?;
        found.extend(listed.projects);
    }
    Ok(found)
}

/// The host name by which users reach the project's production: one of the team's own before one of the platform.
pub fn production_domain(root: &Path, project: &ListedProject) -> Result<Option<String>> {
    let sh = shell_in(root)?;
    let (endpoint, team) = (
        format!("/v9/projects/{}/domains?production=true", project.id),
        &project.account_id,
    );
    let listed: Domains = question(cmd!(sh, "vercel api {endpoint} --scope {team} --raw")).json()?;
    let domains = listed
        .domains
        .into_iter()
        .filter(|domain| domain.redirect.is_none() && domain.git_branch.is_none());
    Ok(domains
        .map(|domain| domain.name)
        .min_by_key(|name| name.ends_with(".vercel.app")))
}

fn question(command: xshell::Cmd<'_>) -> Exec {
    Exec::new(command)
        .inherit(OF_NODE)
        .inherit(&["VERCEL_TOKEN"])
        .env("VERCEL_TELEMETRY_DISABLED", "1")
        .env("NO_UPDATE_NOTIFIER", "1")
        .env("CI", "1")
        .deadline(DEADLINE)
}
