//! Requests with digest authentication: each goes out twice.

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use crate::http::digest::{self, Challenge, Login};
use crate::http::{Response, client};
use crate::standins::variable;

/// Refused by the API for other clusters; nothing else means that a cluster is one of its own.
const NOT_FLEX: &str = "CANNOT_USE_NON_FLEX_CLUSTER_IN_FLEX_API";

#[derive(Debug, Clone)]
pub(super) struct Client {
    base: String,
    project: String,
    user: String,
    password: String,
}

impl Client {
    pub(super) fn from_environment(project: Option<&str>) -> Result<Self> {
        let address = variable("MONGODB_ATLAS_OPS_MANAGER_URL");
        let address =
            address.context("stand-in: MONGODB_ATLAS_OPS_MANAGER_URL does not lead to a simulator")?;
        let keys = variable("MONGODB_ATLAS_PUBLIC_API_KEY").zip(variable("MONGODB_ATLAS_PRIVATE_API_KEY"));
        let Some((user, password)) = keys else {
            bail!("this action requires authentication");
        };
        let project = project.unwrap_or_default().to_owned();
        if project.len() != 24 || !project.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            bail!("'{project}' is not a valid ID");
        }
        Ok(Self {
            base: address.trim_end_matches('/').to_owned(),
            project,
            user,
            password,
        })
    }

    pub(super) fn of_project(&self, project: &str) -> Self {
        Self {
            project: project.to_owned(),
            ..self.clone()
        }
    }

    pub(super) fn get(&self, version: &str, path: &str) -> Result<Value> {
        self.judged("GET", path, &self.ask("GET", version, path, None)?)
    }

    pub(super) fn post(&self, version: &str, path: &str, body: &Value) -> Result<Value> {
        self.judged("POST", path, &self.ask("POST", version, path, Some(body))?)
    }

    /// The program asks the API of Flex clusters first; what it does next follows from how that is refused.
    pub(super) fn is_not_flex(&self, cluster: &str, rest: &str) -> Result<()> {
        let path = format!("/flexClusters/{cluster}{rest}");
        let answered = self.ask("GET", "2024-11-13", &path, None)?;
        let code = answered.parse().unwrap_or(Value::Null)["errorCode"].clone();
        if code == NOT_FLEX || code == "CLUSTER_NOT_FOUND" {
            return Ok(());
        }
        self.judged("GET", &path, &answered).map(drop)
    }

    fn judged(&self, method: &str, path: &str, answered: &Response) -> Result<Value> {
        if (200..300).contains(&answered.status) {
            return answered.parse();
        }
        let body = answered.parse().unwrap_or(Value::Null);
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        bail!(
            "{}{} {method}: HTTP {} (Error code: {:?}) Detail: {} Reason: {}. Params: [], BadRequestDetail: ",
            self.base,
            self.target(path),
            answered.status,
            text("errorCode"),
            text("detail"),
            text("reason")
        )
    }

    fn target(&self, path: &str) -> String {
        format!("/api/atlas/v2/groups/{}{path}", self.project)
    }

    pub(super) fn ask(
        &self,
        method: &str,
        version: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response> {
        let target = self.target(path);
        let accept = format!("application/vnd.atlas.{version}+json");
        let text = body.map(Value::to_string).unwrap_or_default();
        let mut fields = vec![("accept", accept.as_str())];
        if body.is_some() {
            fields.push(("content-type", accept.as_str()));
        }
        let client = client::Client::for_url(&self.base)?;
        let send = |fields: &[(&str, &str)]| {
            let sent = client.send(method, &target, fields, text.as_bytes());
            sent.map_err(|error| {
                // As Go words what happened to the connection.
                let verb = if method == "POST" { "Post" } else { "Get" };
                let cause = format!("{error:#}");
                let cause = match cause.split_once("cannot connect to ") {
                    Some((_, address)) => format!("dial tcp {address}: connect: connection refused"),
                    None => "EOF".to_owned(),
                };
                anyhow!("{verb} \"{}{target}\": {cause}", self.base)
            })
        };
        let first = send(&fields)?;
        let Some(challenge) = first.headers.get("www-authenticate") else {
            if first.status == 401 {
                bail!("(401 Unauthorized) failed to read response body: http: read on closed response body");
            }
            return Ok(first);
        };
        let challenge = challenge
            .strip_prefix("Digest ")
            .context("another way to log in")?;
        let field = |name: &str| digest::field(challenge, name).unwrap_or_default();
        let (realm, nonce) = (field("realm"), field("nonce"));
        let login = Login {
            user: &self.user,
            password: &self.password,
        };
        let asked = Challenge {
            realm: &realm,
            nonce: &nonce,
        };
        let (count, own) = ("00000001", "6f776e");
        let response = digest::answer(&login, &asked, (method, &target), (count, own));
        let authorization = format!(
            "Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{target}\", response=\"{response}\", \
             algorithm=MD5, cnonce=\"{own}\", qop=auth, nc={count}",
            self.user
        );
        fields.push(("authorization", &authorization));
        send(&fields)
    }
}
