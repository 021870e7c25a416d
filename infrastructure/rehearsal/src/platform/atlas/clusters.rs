//! Clusters. None of them is of the kind Flex.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::{Endpoint, answer, config, error};

pub(super) const ENDPOINTS: &[(&str, Endpoint)] = &[
    ("GET /clusters/{clusterName}", |atlas, _, captures| {
        let state = atlas.state();
        let cluster = state.cluster(&captures[0])?;
        Ok(answer(200, &cluster.value(&atlas.config.project)))
    }),
    ("GET /flexClusters/{name}", |_, _, captures| {
        Err(not_flex(&captures[0]))
    }),
    ("GET /flexClusters/{name}/backup/snapshots", |_, _, captures| {
        Err(not_flex(&captures[0]))
    }),
    (
        "GET /flexClusters/{name}/backup/snapshots/{id}",
        |_, _, captures| Err(not_flex(&captures[0])),
    ),
    (
        "GET /flexClusters/{name}/backup/restoreJobs/{id}",
        |_, _, captures| Err(not_flex(&captures[0])),
    ),
];

fn not_flex(name: &str) -> crate::http::Response {
    let detail = format!("Cannot use non-flex cluster {name} in the flex API.");
    error(400, "CANNOT_USE_NON_FLEX_CLUSTER_IN_FLEX_API", &detail)
}

#[derive(Debug, Clone)]
pub(super) struct Cluster {
    pub(super) id: String,
    pub(super) name: String,
    /// The server behind it; the simulator reads its data there.
    pub(super) uri: String,
    standard: String,
    standard_srv: Option<String>,
    backup_enabled: bool,
    state: String,
}

impl Cluster {
    pub(super) fn new(config: &config::Cluster) -> Self {
        let standard = config.uri.split('?').next().unwrap_or_default();
        Self {
            id: config.id.clone(),
            name: config.name.clone(),
            uri: config.uri.clone(),
            standard: standard.to_owned(),
            standard_srv: None,
            backup_enabled: true,
            state: "IDLE".to_owned(),
        }
    }

    pub(super) fn set_up(&mut self, body: &Value) -> Result<()> {
        for (key, value) in body.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                ("name", _) => {}
                ("standard", Value::String(text)) => text.clone_into(&mut self.standard),
                ("standardSrv", Value::String(text)) => self.standard_srv = Some(text.clone()),
                ("backupEnabled", Value::Bool(enabled)) => self.backup_enabled = *enabled,
                ("stateName", Value::String(text)) => text.clone_into(&mut self.state),
                _ => bail!("a cluster has no setting {key}"),
            }
        }
        Ok(())
    }

    pub(super) fn value(&self, project: &str) -> Value {
        let mut strings = json!({"standard": self.standard});
        if let Some(srv) = &self.standard_srv {
            strings["standardSrv"] = srv.as_str().into();
        }
        json!({
            "id": self.id, "name": self.name, "groupId": project, "clusterType": "REPLICASET",
            "stateName": self.state, "mongoDBVersion": "8.0.29", "backupEnabled": self.backup_enabled,
            "pitEnabled": false, "connectionStrings": strings, "replicationSpecs": [],
        })
    }
}
