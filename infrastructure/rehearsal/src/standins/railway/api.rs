//! Requests to Railway's API, as the real program sends them.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Map, Value, json};

use super::Target;
use crate::http::Response;
use crate::http::client::{Client, Route};
use crate::http::message::encode;
use crate::standins::variable;

const HOST: &str = "backboard.railway.com";

/// The API with its credentials.
pub(super) struct Api {
    client: Client,
    has_project_token: bool,
}

impl Api {
    /// Reached through `HTTPS_PROXY`: a stand-in never speaks to the real platform.
    pub(super) fn from_environment() -> Result<Self> {
        let proxy = variable("HTTPS_PROXY").context("stand-in: HTTPS_PROXY does not lead to a simulator")?;
        let proxy = proxy
            .strip_prefix("http://")
            .context("stand-in: HTTPS_PROXY is not an http:// address")?;
        let route = Route::Proxied {
            proxy: proxy.trim_end_matches('/').to_owned(),
            host: HOST.to_owned(),
        };
        let timeout_s = variable("RAILWAY_HTTP_TIMEOUT")
            .and_then(|text| text.parse().ok())
            .unwrap_or(90);
        let client = Client::new(route)
            .timeout(Duration::from_secs(timeout_s))
            .header("x-source", "CLI 5.71.0");
        // A project token beats the account token, even when it is set and empty.
        let has_project_token = std::env::var_os("RAILWAY_TOKEN").is_some();
        let client = match (std::env::var("RAILWAY_TOKEN"), variable("RAILWAY_API_TOKEN")) {
            (Ok(token), _) => client.header("project-access-token", &token),
            (_, Some(token)) => client.header("authorization", &format!("Bearer {token}")),
            _ => bail!("Unauthorized. Please login with `railway login`"),
        };
        Ok(Self {
            client,
            has_project_token,
        })
    }

    pub(super) fn post(&self, body: &Value) -> Result<Response> {
        self.client.send_json("POST", "/graphql/v2", body).map_err(|_| {
            anyhow!("Failed to fetch: error sending request for url (https://{HOST}/graphql/v2)")
        })
    }

    /// One named operation; a GraphQL error becomes its message.
    fn ask(&self, name: &str, document: &str, variables: &Value) -> Result<Value> {
        let response =
            self.post(&json!({"operationName": name, "query": document, "variables": variables}))?;
        if response.status == 401 || response.status == 403 {
            bail!("Unauthorized. Please login with `railway login`");
        }
        if response.status == 429 {
            bail!("You are being ratelimited. Please try again later");
        }
        let mut body = response
            .parse()
            .map_err(|_| anyhow!("Failed to fetch: error decoding response body"))?;
        if let Some(message) = body["errors"][0]["message"].as_str() {
            if message.to_lowercase().contains("not authorized") {
                let hint = if self.has_project_token {
                    "Unauthorized. Please check that your RAILWAY_TOKEN is valid and has access to the resource you're trying to use."
                } else {
                    "Unauthorized. Please login with `railway login`"
                };
                bail!("{hint}");
            }
            bail!("{message}");
        }
        if !(200..300).contains(&response.status) {
            bail!("Failed to fetch: HTTP status {}", response.status);
        }
        Ok(body["data"].take())
    }

    pub(super) fn me(&self) -> Result<Value> {
        Ok(self.ask("UserMeta", "query UserMeta { me { name email } }", &json!({}))?["me"].take())
    }

    /// As `list --json` prints them: each with its workspace.
    pub(super) fn user_projects(&self) -> Result<Vec<Value>> {
        let list = "id name createdAt updatedAt deletedAt environments { edges { node { id name canAccess } } } \
                    services { edges { node { id name } } }";
        let document = format!(
            "query UserProjects {{ externalWorkspaces {{ id name teamId projects {{ {list} }} }} me {{ workspaces {{ id \
             name team {{ id }} projects(first: 500) {{ edges {{ node {{ {list} }} }} }} }} }} }}"
        );
        let data = self.ask("UserProjects", &document, &json!({}))?;
        let mut all = Vec::new();
        for workspace in data["me"]["workspaces"].as_array().into_iter().flatten() {
            for edge in workspace["projects"]["edges"].as_array().into_iter().flatten() {
                let mut project = edge["node"].clone();
                project["workspace"] = json!({"id": workspace["id"], "name": workspace["name"]});
                all.push(project);
            }
        }
        Ok(all)
    }

    fn token(&self) -> Result<Value> {
        let document =
            "query ProjectToken { projectToken { id project { id name } environment { id name } } }";
        Ok(self.ask("ProjectToken", document, &json!({}))?["projectToken"].take())
    }

    pub(super) fn token_project(&self) -> Result<String> {
        self.token()?["project"]["id"]
            .as_str()
            .map(str::to_owned)
            .context("an unexpected answer")
    }

    pub(super) fn token_environment(&self) -> Result<String> {
        self.token()?["environment"]["id"]
            .as_str()
            .map(str::to_owned)
            .context("an unexpected answer")
    }

    pub(super) fn project(&self, id: &str) -> Result<Value> {
        let document = "query Project($id: String!) { project(id: $id) { id name workspaceId deletedAt \
                        workspace { name } buckets { edges { node { id name } } } \
                        environments { edges { node { id name canAccess deletedAt unmergedChangesCount } } } \
                        services { edges { node { id name } } } } }";
        Ok(self.ask("Project", document, &json!({"id": id}))?["project"].take())
    }

    /// As `deployment list --json` prints them.
    pub(super) fn deployments(&self, target: &Target, first: i64) -> Result<Vec<Value>> {
        let document = "query Deployments($input: DeploymentListInput!, $first: Int) { \
                        deployments(input: $input, first: $first) { edges { node { id createdAt status meta } } } }";
        let input = json!({
            "projectId": target.project, "environmentId": target.environment, "serviceId": target.service,
            "status": null, "includeDeleted": null,
        });
        let data = self.ask("Deployments", document, &json!({"input": input, "first": first}))?;
        let edges = data["deployments"]["edges"]
            .as_array()
            .context("an unexpected answer")?;
        let shape = |node: &Value| json!({"id": node["id"], "status": node["status"], "createdAt": node["createdAt"], "meta": node["meta"]});
        Ok(edges.iter().map(|edge| shape(&edge["node"])).collect())
    }

    /// The image of each service of the environment.
    pub(super) fn images(&self, target: &Target) -> Result<Vec<(String, Option<String>)>> {
        let document = "query EnvironmentInstances( $environmentId: String! $projectId: String! $serviceInstancesFirst: Int \
                        $serviceInstancesAfter: String $volumeInstancesFirst: Int $volumeInstancesAfter: String ) { \
                        environment(id: $environmentId, projectId: $projectId) { id name serviceInstances(first: \
                        $serviceInstancesFirst, after: $serviceInstancesAfter) { edges { node { id serviceId serviceName \
                        source { repo image } } } pageInfo { hasNextPage endCursor } } } }";
        let variables = json!({"environmentId": target.environment, "projectId": target.project,
                               "serviceInstancesFirst": 50, "volumeInstancesFirst": 50});
        let data = self.ask("EnvironmentInstances", document, &variables)?;
        let edges = data["environment"]["serviceInstances"]["edges"].as_array();
        let nodes = edges.into_iter().flatten().map(|edge| &edge["node"]);
        let image = |node: &Value| node["source"]["image"].as_str().map(str::to_owned);
        Ok(nodes
            .map(|node| {
                (
                    node["serviceId"].as_str().unwrap_or_default().to_owned(),
                    image(node),
                )
            })
            .collect())
    }

    /// Fingerprints of the ssh keys that are registered.
    pub(super) fn registered_keys(&self) -> Result<Vec<String>> {
        let document = "query SshPublicKeys($workspaceId: String) { sshPublicKeys(first: 100, workspaceId: $workspaceId) { \
                        edges { node { id name publicKey fingerprint userId workspaceId } } } }";
        let data = self.ask("SshPublicKeys", document, &json!({"workspaceId": null}))?;
        let edges = data["sshPublicKeys"]["edges"].as_array();
        let prints = edges
            .into_iter()
            .flatten()
            .filter_map(|edge| edge["node"]["fingerprint"].as_str());
        Ok(prints.map(str::to_owned).collect())
    }

    /// What the relay calls a service in an environment.
    pub(super) fn instance(&self, target: &Target) -> Result<String> {
        let document = "query ServiceInstance($environmentId: String!, $serviceId: String!) { \
                        serviceInstance(environmentId: $environmentId, serviceId: $serviceId) { id } }";
        let variables = json!({"environmentId": target.environment, "serviceId": target.service});
        let data = self.ask("ServiceInstance", document, &variables)?;
        let id = data["serviceInstance"]["id"].as_str();
        id.map(str::to_owned).context("an unexpected answer")
    }

    /// Sealed variables come without their value.
    pub(super) fn variables(&self, target: &Target) -> Result<Map<String, Value>> {
        let document = "query VariablesForServiceDeployment( $projectId: String! $environmentId: String! \
                        $serviceId: String! ) { variablesForServiceDeployment( projectId: $projectId \
                        environmentId: $environmentId serviceId: $serviceId ) }";
        let variables = json!({"environmentId": target.environment, "projectId": target.project, "serviceId": target.service});
        let mut data = self.ask("VariablesForServiceDeployment", document, &variables)?;
        match data["variablesForServiceDeployment"].take() {
            Value::Object(variables) => Ok(variables),
            _ => bail!("an unexpected answer"),
        }
    }

    pub(super) fn set_variable(
        &self,
        target: &Target,
        key: &str,
        value: &str,
        skip_deploys: bool,
    ) -> Result<()> {
        let document = "mutation VariableCollectionUpsert($projectId: String!, $serviceId: String!, \
                        $environmentId: String!, $variables: EnvironmentVariables!, $skipDeploys: Boolean) { \
                        variableCollectionUpsert( input: {projectId: $projectId, environmentId: $environmentId, \
                        serviceId: $serviceId, variables: $variables, skipDeploys: $skipDeploys} ) }";
        let variables = json!({
            "projectId": target.project,
            "environmentId": target.environment,
            "serviceId": target.service,
            "variables": {key: value},
            "skipDeploys": skip_deploys.then_some(true),
        });
        self.ask("VariableCollectionUpsert", document, &variables)?;
        Ok(())
    }

    pub(super) fn upload(&self, target: &Target, message: Option<&str>, archive: &[u8]) -> Result<Value> {
        let mut path = format!(
            "/project/{}/environment/{}/up?serviceId={}",
            target.project, target.environment, target.service
        );
        if let Some(message) = message {
            path.extend(["&message=", &encode(message)]);
        }
        let response = self
            .client
            .send("POST", &path, &[("content-type", "application/gzip")], archive)
            .map_err(|_| anyhow!("error sending request for url (https://{HOST}{path})"))?;
        match response.status {
            200 => response
                .parse()
                .map_err(|_| anyhow!("error decoding response body")),
            400 => bail!("{}", response.parse()?["message"].as_str().unwrap_or_default()),
            413 => bail!(
                "Failed to upload code. File too large ({} bytes): {}",
                archive.len(),
                String::from_utf8_lossy(&response.body)
            ),
            status => bail!("Failed to upload code with status code {status}"),
        }
    }
}
