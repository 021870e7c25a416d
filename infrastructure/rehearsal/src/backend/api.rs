//! The backend's endpoints.

use std::time::Instant;

use anyhow::{Context as _, Result};
use mongodb::bson::{Binary, Document, doc};
use mongodb::sync::Database;
use serde_json::{Map, Value, json};

use super::listing::Listing;
use super::manifest::Manifest;
use super::{Settings, auth};
use crate::http::server::Handler;
use crate::http::{Request, Response};

/// Most items of one listing.
const MAX_ITEMS: u32 = 100;

/// One running release.
pub(super) struct Api {
    settings: Settings,
    manifest: Manifest,
    listing: Listing,
    database: Database,
}

impl Handler for Api {
    fn handle(&self, request: &Request) -> Response {
        let answer = match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/api/health") => Ok(self.health()),
            ("POST", "/api/auth/login") => self.login(request),
            ("GET", "/api/auth/profile") => self.profile(request),
            ("GET", "/api/properties") => self.properties(request),
            ("POST", "/api/properties") => self.add_property(request),
            ("GET", "/api/features") => Ok(self.features(request)),
            _ => Ok(problem(404, "there is no such endpoint")),
        };
        answer
            .unwrap_or_else(|error| {
                eprintln!("{} {}: {error:#}", request.method, request.path);
                problem(500, "internal error")
            })
            // The frontend is another origin.
            .header("access-control-allow-origin", "*")
    }
}

impl Api {
    pub(super) fn new(settings: Settings, manifest: Manifest, listing: Listing, database: Database) -> Self {
        Self {
            settings,
            manifest,
            listing,
            database,
        }
    }

    fn health(&self) -> Response {
        let started = Instant::now();
        let reached = self.database.run_command(doc! {"ping": 1}).run();
        let latency_ms = started.elapsed().as_secs_f64() * 1000.0;
        let (status, code, state) = if reached.is_ok() {
            ("ok", 200, "connected")
        } else {
            ("degraded", 503, "unreachable")
        };
        let report = json!({
            "status": status,
            "name": self.manifest.name,
            "version": self.manifest.version,
            "commit": self.settings.commit,
            "release": self.settings.release,
            "deployment": self.settings.deployment,
            "database": {"state": state, "latency_ms": latency_ms},
        });
        Response::json(code, &report)
    }

    fn login(&self, request: &Request) -> Result<Response> {
        let Ok(credentials) = request.json() else {
            return Ok(problem(400, "the body is not JSON"));
        };
        let (Some(email), Some(password)) = (credentials["email"].as_str(), credentials["password"].as_str())
        else {
            return Ok(problem(400, "email and password are needed"));
        };
        let Some(user) = self.user(email)? else {
            return Ok(problem(401, "wrong email or password"));
        };
        let stored = user
            .get_document("password")
            .context("a user without a password")?;
        let part = |name: &str| -> Result<&Binary> {
            stored
                .get(name)
                .and_then(as_binary)
                .with_context(|| format!("a password without {name}"))
        };
        if auth::hash_password(password, &part("salt")?.bytes)? != part("hash")?.bytes {
            return Ok(problem(401, "wrong email or password"));
        }
        let role = user.get_str("role").unwrap_or("user");
        let token = auth::issue_token(&self.settings.jwt_secret, email, role)?;
        Ok(Response::json(200, &json!({"token": token, "type": "Bearer"})))
    }

    fn profile(&self, request: &Request) -> Result<Response> {
        let Some(claims) = self.claims(request) else {
            return Ok(problem(401, "a valid token is needed"));
        };
        let Some(user) = self.user(claims["sub"].as_str().unwrap_or_default())? else {
            return Ok(problem(401, "the user is gone"));
        };
        let id = user
            .get_object_id("_id")
            .map(mongodb::bson::oid::ObjectId::to_hex)
            .unwrap_or_default();
        let text = |name: &str| user.get_str(name).unwrap_or_default().to_owned();
        Ok(Response::json(
            200,
            &json!({"id": id, "email": text("email"), "name": text("name"), "role": text("role")}),
        ))
    }

    fn properties(&self, request: &Request) -> Result<Response> {
        let limit = match request.param("limit").map(str::parse::<u32>) {
            None => 20,
            Some(Ok(limit)) if limit > 0 => limit.min(MAX_ITEMS),
            Some(_) => return Ok(problem(400, "limit is a number from 1")),
        };
        let (items, total) = self.listing.items(&self.database, limit)?;
        Ok(Response::json(200, &json!({"items": items, "total": total})))
    }

    fn add_property(&self, request: &Request) -> Result<Response> {
        let Some(claims) = self.claims(request) else {
            return Ok(problem(401, "a valid token is needed"));
        };
        let Ok(Value::Object(fields)) = request.json() else {
            return Ok(problem(400, "the body is not a JSON object"));
        };
        if let Some(missing) = ["title", "city", "price"]
            .into_iter()
            .find(|name| !fields.contains_key(*name))
        {
            return Ok(problem(400, &format!("{missing} is missing")));
        }
        let owner = claims["sub"].as_str().unwrap_or_default();
        let id = self.listing.insert(&self.database, &fields, owner)?;
        Ok(Response::json(201, &json!({"id": id})))
    }

    fn features(&self, request: &Request) -> Response {
        let claims = self.claims(request);
        let role = claims.as_ref().and_then(|claims| claims["role"].as_str());
        let flags: Map<String, Value> = self
            .manifest
            .features
            .iter()
            .map(|(name, feature)| (name.clone(), Value::from(feature.is_on_for(role))))
            .collect();
        Response::json(200, &json!({"features": flags}))
    }

    fn claims(&self, request: &Request) -> Option<Value> {
        auth::check_token(&self.settings.jwt_secret, request.bearer()?).ok()
    }

    fn user(&self, email: &str) -> Result<Option<Document>> {
        let users = self.database.collection::<Document>("users");
        users
            .find_one(doc! {"email": email})
            .run()
            .context("cannot read users")
    }
}

fn as_binary(value: &mongodb::bson::Bson) -> Option<&Binary> {
    if let mongodb::bson::Bson::Binary(binary) = value {
        Some(binary)
    } else {
        None
    }
}

fn problem(status: u16, message: &str) -> Response {
    Response::json(status, &json!({"error": message}))
}
