//! Variables of the service on Railway.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};
use xshell::cmd;

use super::{Railway, answer_of, is_transient};
use crate::domain::parts::release_variables;
use crate::exec::shell_in;
use crate::secret::Secret;
use crate::wait;

/// One request sets all of them: one request each times out too often, and leaves the service with a part of them.
const UPSERT: &str =
    "mutation($input:VariableCollectionUpsertInput!){variableCollectionUpsert(input:$input)}";

impl Railway {
    /// The values of some of the service's variables; `None` for a sealed one. The others are ordinary words, and
    /// must not become secrets that are blanked out of every message.
    pub fn variables(&self, wanted: &[&str]) -> Result<BTreeMap<String, Option<Secret>>> {
        let sh = &shell_in(&self.root)?;
        let [project, environment, service] =
            [&self.place.project, &self.place.environment, &self.place.service];
        let listed: Map<String, Value> = wait::retry(is_transient, || {
            self.prepared(cmd!(
                sh,
                "railway variable list --project {project} --environment {environment} --service {service} --json"
            ))
            .json()
        })?;
        let ours = listed
            .into_iter()
            .filter(|(name, _)| wanted.contains(&name.as_str()));
        Ok(ours
            .map(|(name, value)| (name, value.as_str().map(Secret::new)))
            .collect())
    }

    /// Sets variables for the next deployment, all in one request and without starting a deployment. Others stay as they
    /// are. Twice is the same as once, so a request whose answer got lost is repeated.
    pub fn set_variables(&self, values: &BTreeMap<String, Secret>) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        let exposed = values.iter().map(|(name, value)| (name.as_str(), value.expose()));
        self.upsert(&exposed.collect())
    }

    /// Sets what the next deployment reports itself by.
    pub fn set_release(&self, release: &str, commit: &str) -> Result<()> {
        self.upsert(&BTreeMap::from(release_variables(release, commit)))
    }

    fn upsert(&self, values: &BTreeMap<&str, &str>) -> Result<()> {
        let input = json!({"input": {
            "projectId": self.place.project, "environmentId": self.place.environment, "serviceId": self.place.service,
            "variables": values,
            // Without it, every change starts a deployment.
            "skipDeploys": true,
        }});
        let (sh, input) = (&shell_in(&self.root)?, input.to_string());
        self.proof.check()?;
        let set = || {
            // The list of processes shows arguments: the values go through standard input.
            let request = self.prepared(cmd!(sh, "railway api {UPSERT} --variables @- --compact"));
            answer_of(request.stdin(input.as_str()))
        };
        let names = || values.keys().copied().collect::<Vec<_>>().join(", ");
        let answer = wait::retry(is_transient, set)
            .with_context(|| format!("cannot set the variables {} on Railway", names()))?;
        if answer["variableCollectionUpsert"] != true {
            bail!("railway did not set the variables {}", names());
        }
        Ok(())
    }
}
