//! Environments and their protection, secrets by name, retention, rules for tags.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use xshell::cmd;

use super::{GitHub, query};
use crate::secret::Secret;

/// How an environment is protected.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Protection {
    #[serde(default)]
    pub can_admins_bypass: bool,
    #[serde(default, rename = "protection_rules")]
    rules: Vec<Rule>,
    deployment_branch_policy: Option<BranchPolicy>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Rule {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    reviewers: Vec<Reviewer>,
    #[serde(default)]
    prevent_self_review: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Reviewer {
    reviewer: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct BranchPolicy {
    custom_branch_policies: bool,
    protected_branches: bool,
}

impl Protection {
    /// Logins of people and slugs of teams, any one of whom lets a job go on.
    pub fn reviewers(&self) -> Vec<String> {
        let name = |one: &Reviewer| {
            let text = one.reviewer["login"].as_str().or(one.reviewer["slug"].as_str());
            text.map(str::to_owned)
        };
        let rules = self.rules.iter();
        rules
            .flat_map(|rule| rule.reviewers.iter().filter_map(name))
            .collect()
    }

    /// Whether nobody approves his own run.
    pub fn prevents_self_review(&self) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.kind == "required_reviewers" && rule.prevent_self_review)
    }

    /// Whether only some branches may use the environment.
    pub fn limits_branches(&self) -> bool {
        self.deployment_branch_policy
            .is_some_and(|policy| policy.custom_branch_policies || policy.protected_branches)
    }
}

/// How long artifacts are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct ArtifactRetention {
    pub days: u32,
    #[serde(default)]
    pub maximum_allowed_days: Option<u32>,
}

/// A rule for tags or branches.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Ruleset {
    pub name: String,
    #[serde(default)]
    pub target: String,
    pub enforcement: String,
}

#[derive(Deserialize)]
struct Person {
    id: u64,
}

#[derive(Deserialize)]
struct Secrets {
    secrets: Vec<Named>,
}

#[derive(Deserialize)]
struct Policies {
    branch_policies: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// What GitHub itself holds about a repository.
#[derive(Debug, Clone, Deserialize)]
pub struct RepositoryPage {
    /// `owner/name` of today: an earlier name leads here too.
    pub full_name: String,
    pub default_branch: String,
}

impl GitHub {
    /// The repository, by whoever is logged in; `None` where there is none, or none that they may see.
    pub fn page(&self) -> Result<Option<RepositoryPage>> {
        self.get("")
    }

    /// Whether a file is on the default branch.
    pub fn has_file(&self, path: &str) -> Result<bool> {
        let found: Option<serde::de::IgnoredAny> = self.get(&format!("contents/{path}"))?;
        Ok(found.is_some())
    }

    /// An environment; `None` where there is none (a job that names it would make one without any protection).
    pub fn environment(&self, name: &str) -> Result<Option<Protection>> {
        self.get(&format!("environments/{name}"))
    }

    /// Makes the environment, or changes it to this.
    pub fn put_environment(&self, name: &str, reviewers: &[String]) -> Result<()> {
        let people = reviewers
            .iter()
            .map(|login| Ok(json!({"type": "User", "id": self.user_id(login)?})))
            .collect::<Result<Vec<Value>>>()?;
        let body = json!({
            "wait_timer": 0,
            "prevent_self_review": !people.is_empty(),
            "can_admins_bypass": false,
            "reviewers": people,
            "deployment_branch_policy": {"protected_branches": false, "custom_branch_policies": true},
        });
        self.send("PUT", &format!("environments/{name}"), &body)
    }

    /// Branches that may use an environment.
    pub fn environment_branches(&self, name: &str) -> Result<Vec<String>> {
        let found: Option<Policies> = self.get(&format!("environments/{name}/deployment-branch-policies"))?;
        let policies = found.map(|found| found.branch_policies).unwrap_or_default();
        Ok(policies.into_iter().map(|policy| policy.name).collect())
    }

    pub fn add_environment_branch(&self, name: &str, branch: &str) -> Result<()> {
        let path = format!("environments/{name}/deployment-branch-policies");
        self.send("POST", &path, &json!({"name": branch, "type": "branch"}))
    }

    fn user_id(&self, login: &str) -> Result<u64> {
        let person: Option<Person> = self.get_absolute(&format!("users/{login}"))?;
        Ok(person.with_context(|| format!("GitHub has no user {login}"))?.id)
    }

    /// `None` where the token may not ask: only administrators may, and never a job's own token.
    pub fn retention(&self) -> Result<Option<ArtifactRetention>> {
        match self.get("actions/permissions/artifact-and-log-retention") {
            Err(error) if format!("{error:#}").contains("(HTTP 403)") => Ok(None),
            answer => answer,
        }
    }

    pub fn set_retention(&self, days: u32) -> Result<()> {
        let path = "actions/permissions/artifact-and-log-retention";
        self.send("PUT", path, &json!({"days": days}))
    }

    pub fn rulesets(&self) -> Result<Vec<Ruleset>> {
        Ok(self.get("rulesets?per_page=100")?.unwrap_or_default())
    }

    /// Forbids to move or delete tags of this pattern.
    pub fn protect_tags(&self, name: &str, pattern: &str) -> Result<()> {
        let body = json!({
            "name": name, "target": "tag", "enforcement": "active",
            "conditions": {"ref_name": {"include": [format!("refs/tags/{pattern}")], "exclude": []}},
            "rules": [{"type": "update"}, {"type": "deletion"}],
        });
        self.send("POST", "rulesets", &body)
    }

    /// Names of the secrets of an environment. GitHub never gives a value.
    pub fn environment_secrets(&self, environment: &str) -> Result<Vec<String>> {
        self.secret_names(&format!("environments/{environment}/secrets?per_page=100"))
    }

    /// Names of the repository's own secrets, which a workflow of any branch can read. `None` where the token may not
    /// ask: a job's own never may.
    pub fn repository_secrets(&self) -> Result<Option<Vec<String>>> {
        match self.secret_names("actions/secrets?per_page=100") {
            Err(error) if format!("{error:#}").contains("(HTTP 403)") => Ok(None),
            answer => answer.map(Some),
        }
    }

    fn secret_names(&self, path: &str) -> Result<Vec<String>> {
        let found: Vec<Secrets> = match self.pages(path) {
            Err(error) if format!("{error:#}").contains("(HTTP 404)") => Vec::new(),
            answer => answer?,
        };
        let secrets = found.into_iter().flat_map(|page| page.secrets);
        Ok(secrets.map(|secret| secret.name).collect())
    }

    /// Sets a secret of an environment; the value goes through standard input.
    pub fn set_secret(&self, environment: &str, name: &str, value: &Secret) -> Result<()> {
        let (sh, repository) = (self.shell()?, &self.repository);
        query(cmd!(
            sh,
            "gh secret set {name} --repo {repository} --env {environment}"
        ))
        .stdin(value.expose())
        .run()
    }

    /// Removes a secret of the repository itself.
    pub fn delete_repository_secret(&self, name: &str) -> Result<()> {
        self.send("DELETE", &format!("actions/secrets/{name}"), &json!({}))
    }
}
