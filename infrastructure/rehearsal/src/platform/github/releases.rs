//! Releases and their assets.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Endpoint, GitHub, list, message, not_found, user_value};
use crate::http::router::Captures;
use crate::http::{Request, Response};
use crate::platform::graphql::Field;

pub(super) const ENDPOINTS: &[(&str, Endpoint)] = &[
    ("GET /repos/{owner}/{repo}/releases", GitHub::list_releases),
    ("POST /repos/{owner}/{repo}/releases", GitHub::create_release),
    (
        "GET /repos/{owner}/{repo}/releases/tags/{tag*}",
        GitHub::release_by_tag,
    ),
    ("GET /repos/{owner}/{repo}/releases/{release}", GitHub::release),
    (
        "PATCH /repos/{owner}/{repo}/releases/{release}",
        GitHub::change_release,
    ),
    (
        "DELETE /repos/{owner}/{repo}/releases/{release}",
        GitHub::delete_release,
    ),
    (
        "POST /repos/{owner}/{repo}/releases/{release}/assets",
        GitHub::upload_asset,
    ),
    ("GET /repos/{owner}/{repo}/releases/assets/{asset}", GitHub::asset),
];

/// One release.
#[derive(Debug, Clone)]
pub(super) struct Release {
    id: u64,
    fields: Value,
    assets: Vec<Asset>,
}

/// One file of a release.
#[derive(Debug, Clone)]
struct Asset {
    id: u64,
    name: String,
    content_type: String,
    bytes: Vec<u8>,
    created: String,
}

impl GitHub {
    fn base(&self) -> String {
        format!(
            "https://api.github.com/repos/{}/{}/releases",
            self.config.owner, self.config.repo
        )
    }

    pub(super) fn release_value(&self, release: &Release) -> Value {
        let mut value = release.fields.clone();
        let base = self.base();
        value["assets"] = release
            .assets
            .iter()
            .map(|asset| self.asset_value(asset))
            .collect();
        value["url"] = Value::from(format!("{base}/{}", release.id));
        // The real host is uploads.github.com; over a unix socket the host does not matter.
        value["upload_url"] = Value::from(format!("{base}/{}/assets{{?name,label}}", release.id));
        value
    }

    fn asset_value(&self, asset: &Asset) -> Value {
        let digest = hex::encode(Sha256::digest(&asset.bytes));
        json!({"id": asset.id, "name": asset.name, "size": asset.bytes.len(), "content_type": asset.content_type,
               "state": "uploaded", "digest": format!("sha256:{digest}"),
               "url": format!("{}/assets/{}", self.base(), asset.id), "created_at": asset.created,
               "updated_at": asset.created, "browser_download_url": format!("https://github.com/assets/{}", asset.id)})
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn list_releases(&self, request: &Request, _: &Captures) -> Result<Response> {
        let state = self.state();
        let all: Vec<Value> = state
            .releases
            .iter()
            .rev()
            .map(|one| self.release_value(one))
            .collect();
        Ok(list(request, &all))
    }

    fn create_release(&self, request: &Request, _: &Captures) -> Result<Response> {
        let body = request.json()?;
        let tag = body["tag_name"].as_str().context("tag_name is missing")?;
        let now = self.now();
        let mut state = self.state();
        if state
            .releases
            .iter()
            .any(|one| one.fields["tag_name"] == tag && one.fields["draft"] == false)
        {
            return Ok(message(422, "Validation Failed: tag_name already_exists"));
        }
        let id = state.id();
        let draft = body["draft"].as_bool().unwrap_or(false);
        let fields = json!({
            "id": id, "tag_name": tag, "name": body["name"], "body": body["body"], "draft": draft,
            "prerelease": body["prerelease"].as_bool().unwrap_or(false),
            "target_commitish": body["target_commitish"].as_str().unwrap_or("main"),
            "created_at": now, "published_at": if draft { Value::Null } else { Value::from(now.as_str()) },
            "author": user_value(&self.config.user),
            "html_url": format!("https://github.com/{}/{}/releases/tag/{tag}", self.config.owner, self.config.repo),
        });
        let release = Release {
            id,
            fields,
            assets: Vec::new(),
        };
        let value = self.release_value(&release);
        state.releases.push(release);
        Ok(Response::json(201, &value))
    }

    fn find_release(&self, id: &str) -> Option<Release> {
        self.state()
            .releases
            .iter()
            .find(|one| one.id.to_string() == id)
            .cloned()
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn release(&self, _: &Request, captures: &Captures) -> Result<Response> {
        let found = self.find_release(&captures[0]);
        Ok(found.map_or_else(not_found, |one| Response::json(200, &self.release_value(&one))))
    }

    /// The release of a tag as GraphQL shows it, drafts included.
    pub(super) fn draft_release(&self, fields: &[Field]) -> Value {
        let asked = fields.iter().find(|field| field.name == "release");
        let tag = asked
            .and_then(|field| field.arguments.get("tagName"))
            .and_then(Value::as_str);
        let state = self.state();
        let found = state
            .releases
            .iter()
            .find(|one| one.fields["tag_name"].as_str() == tag);
        found.map_or(
            Value::Null,
            |one| json!({"databaseId": one.id, "isDraft": one.fields["draft"]}),
        )
    }

    /// Drafts cannot be found by their tag.
    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn release_by_tag(&self, _: &Request, captures: &Captures) -> Result<Response> {
        let state = self.state();
        let found = state
            .releases
            .iter()
            .find(|one| one.fields["tag_name"] == captures[0].as_str() && one.fields["draft"] == false);
        Ok(found.map_or_else(not_found, |one| Response::json(200, &self.release_value(one))))
    }

    fn change_release(&self, request: &Request, captures: &Captures) -> Result<Response> {
        let body = request.json()?;
        let now = self.now();
        let mut state = self.state();
        let Some(release) = state
            .releases
            .iter_mut()
            .find(|one| one.id.to_string() == captures[0])
        else {
            return Ok(not_found());
        };
        for (name, value) in body.as_object().context("not an object")? {
            release.fields[name] = value.clone();
        }
        if release.fields["draft"] == false && release.fields["published_at"].is_null() {
            release.fields["published_at"] = Value::from(now);
        }
        let value = release.clone();
        drop(state);
        Ok(Response::json(200, &self.release_value(&value)))
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn delete_release(&self, _: &Request, captures: &Captures) -> Result<Response> {
        let mut state = self.state();
        let before = state.releases.len();
        state.releases.retain(|one| one.id.to_string() != captures[0]);
        Ok(if state.releases.len() < before {
            Response::empty(204)
        } else {
            not_found()
        })
    }

    fn upload_asset(&self, request: &Request, captures: &Captures) -> Result<Response> {
        let name = request.param("name").context("name is missing")?.to_owned();
        let content_type = request
            .headers
            .get("content-type")
            .unwrap_or("application/octet-stream")
            .to_owned();
        let now = self.now();
        let mut state = self.state();
        let id = state.id();
        let Some(release) = state
            .releases
            .iter_mut()
            .find(|one| one.id.to_string() == captures[0])
        else {
            return Ok(not_found());
        };
        if release.assets.iter().any(|asset| asset.name == name) {
            return Ok(message(422, "Validation Failed: name already_exists"));
        }
        let asset = Asset {
            id,
            name,
            content_type,
            bytes: request.body.clone(),
            created: now,
        };
        release.assets.push(asset.clone());
        drop(state);
        Ok(Response::json(201, &self.asset_value(&asset)))
    }

    /// The file itself, or its description, as `Accept` says.
    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn asset(&self, request: &Request, captures: &Captures) -> Result<Response> {
        let state = self.state();
        let mut assets = state.releases.iter().flat_map(|release| &release.assets);
        let Some(asset) = assets.find(|asset| asset.id.to_string() == captures[0]) else {
            return Ok(not_found());
        };
        let raw = request
            .headers
            .get("accept")
            .is_some_and(|accept| accept.contains("octet-stream"));
        Ok(if raw {
            Response::bytes(200, "application/octet-stream", asset.bytes.clone())
        } else {
            Response::json(200, &self.asset_value(asset))
        })
    }
}
