//! The database itself, through the driver: reachable, writable, quick, with the roles and the room it needs.
//!
//! The driver has no time limit for a server that accepts a connection and then says nothing, so the questions are
//! asked on a thread of their own that is left behind when the time is over.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use mongodb::bson::{Bson, Document, doc};
use mongodb::error::ErrorKind;
use mongodb::sync;
use serde_json::json;

use super::{ProbeResult, RunContext};
use crate::database::{Live, Patience};
use crate::domain::spread::percentile;
use crate::domain::verdict::CheckResult;
use crate::health::file;
use crate::health::problem::Problem;
use crate::health::report::{RequestTimings, ms};
use crate::health::template::Missing;
use crate::secret::Secret;
use crate::tools::railway::database_uri;

/// The one marker document: overwritten by each run, so that it never grows.
const MARKER_ID: &str = "xtask-health";

#[derive(Debug, Clone)]
pub(in crate::health) struct DatabaseProbe {
    pub file: file::DatabaseSpec,
    pub filter: Document,
    pub timeout: Duration,
}

impl DatabaseProbe {
    pub(super) fn probe(&self, run: &RunContext<'_>) -> ProbeResult {
        let Some(mongodb) = &run.ctx.env().mongodb else {
            return ProbeResult::of(&Problem::Failed(
                "the environment has no database in pipeline.toml".into(),
            ));
        };
        if run.ctx.secret_if_set(&mongodb.uri).is_none() {
            return ProbeResult::missing(Missing::Secret(mongodb.uri.clone()));
        }
        let uri = match database_uri(run.ctx) {
            Ok(uri) => uri,
            Err(error) => return ProbeResult::of(&Problem::Failed(format!("{error:#}"))),
        };
        let timeout = run.timeout(self.timeout);
        let (sender, receiver) = mpsc::channel();
        let (probe, name) = (self.clone(), mongodb.database.clone());
        let started = Instant::now();
        std::thread::spawn(move || {
            let result = probe.ask(&uri, &name, timeout);
            // Nobody listens any more once the time is over.
            sender.send(result).ok();
        });
        let mut result = receiver.recv_timeout(timeout).unwrap_or_else(|_| {
            let limit_s = timeout.as_secs_f64();
            ProbeResult::of(&Problem::Failed(format!(
                "the database did not answer within {limit_s:.1} s"
            )))
        });
        result.timings = RequestTimings {
            total_ms: ms(started.elapsed()),
            ..result.timings
        };
        result.budget_ms = self.file.p95_ms.map(|ms| ms as f64);
        result
    }

    fn ask(&self, uri: &Secret, name: &str, timeout: Duration) -> ProbeResult {
        let mut result = ProbeResult::new(CheckResult::Passed, "");
        match self.questions(uri, name, timeout, &mut result) {
            Ok(()) => {}
            Err(problem) => {
                result.outcome = problem.outcome();
                problem.message().clone_into(&mut result.message);
            }
        }
        result
    }

    fn questions(
        &self,
        uri: &Secret,
        name: &str,
        timeout: Duration,
        result: &mut ProbeResult,
    ) -> Result<(), Problem> {
        let started = Instant::now();
        // Shorter than our own limit: the driver then says itself what stood in the way.
        let patience = Patience {
            selection: timeout * 3 / 4,
            connect: timeout / 2,
            answer: timeout,
        };
        let live =
            Live::open(uri, name, Some(patience)).map_err(|error| Problem::Unknown(format!("{error:#}")))?;
        let database = live.database();
        let hello = database
            .run_command(doc! {"hello": 1})
            .run()
            .map_err(|error| explain("cannot connect", &error))?;
        result.timings.connect_ms = Some(ms(started.elapsed()));
        let is_primary = hello.get_bool("isWritablePrimary").unwrap_or(false);
        result.fact("writable_primary", is_primary);
        result.fact("replica_set", hello.get_str("setName").unwrap_or_default());
        if self.file.primary && !is_primary {
            return Err(Problem::Failed(
                "the server that was reached takes no writes".into(),
            ));
        }
        self.check_latency(database, result)?;
        self.check_roles(database, result)?;
        self.check_storage(&live, result)?;
        self.check_marker(database)
    }

    fn check_latency(&self, database: &sync::Database, result: &mut ProbeResult) -> Result<(), Problem> {
        let collection = database.collection::<Document>(self.file.collection.get_ref());
        let wanted = self.file.min_documents;
        let mut times_ms = Vec::new();
        for _ in 0..self.file.samples {
            let started = Instant::now();
            let found = collection
                .find(self.filter.clone())
                .limit(i64::from(wanted.max(1)))
                .projection(doc! {"_id": 1})
                .run()
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| explain("the test query failed", &error))?;
            times_ms.push(ms(started.elapsed()));
            if found.len() < wanted as usize {
                return Err(Problem::Failed(format!(
                    "the test query finds {} documents in {} instead of at least {wanted}",
                    found.len(),
                    self.file.collection
                )));
            }
        }
        times_ms.sort_by(f64::total_cmp);
        let at = |percent| percentile(&times_ms, percent).unwrap_or_default();
        let (p50, p95) = (at(50), at(95));
        result.fact("samples", times_ms.len());
        result.fact("p50_ms", json!(p50));
        result.fact("p95_ms", json!(p95));
        result.measured_ms = Some(p95);
        result.message = format!("p95 {p95:.1} ms, p50 {p50:.1} ms over {} queries", times_ms.len());
        match self.file.p95_ms {
            Some(budget_ms) if p95 > budget_ms as f64 => Err(Problem::Failed(format!(
                "the query's p95 is {p95:.1} ms, at most {budget_ms} ms are allowed"
            ))),
            _ => Ok(()),
        }
    }

    fn check_roles(&self, database: &sync::Database, result: &mut ProbeResult) -> Result<(), Problem> {
        let status = database.run_command(doc! {"connectionStatus": 1}).run();
        let status = match status {
            Ok(status) => status,
            // Only told where it is asked for.
            Err(_) if self.file.roles.is_empty() => return Ok(()),
            Err(error) => return Err(explain("the roles cannot be read", &error)),
        };
        let roles: Vec<String> = status
            .get_document("authInfo")
            .and_then(|info| info.get_array("authenticatedUserRoles"))
            .map(|roles| {
                let name = |role: &Bson| role.as_document()?.get_str("role").ok().map(str::to_owned);
                roles.iter().filter_map(name).collect()
            })
            .unwrap_or_default();
        result.fact("roles", roles.clone());
        match self.file.roles.iter().find(|role| !roles.contains(role)) {
            Some(absent) => Err(Problem::Failed(format!(
                "the database's user lacks the role `{absent}`: it has {}",
                if roles.is_empty() {
                    "none".to_owned()
                } else {
                    roles.join(", ")
                }
            ))),
            None => Ok(()),
        }
    }

    fn check_storage(&self, live: &Live, result: &mut ProbeResult) -> Result<(), Problem> {
        // A server that does not let us ask is one that does not tell.
        let space = live.space().ok().flatten();
        let free_percent = space.map(|space| space.free_bytes as f64 / space.total_bytes as f64 * 100.0);
        if let Some(free_percent) = free_percent {
            result.fact("free_percent", json!((free_percent * 10.0).round() / 10.0));
        }
        match (self.file.min_free_percent, free_percent) {
            (Some(least), Some(free)) if free < least => Err(Problem::Failed(format!(
                "{free:.1} % of the storage are left, at least {least} % are wanted"
            ))),
            (Some(_), None) => Err(Problem::Unknown(
                "the server does not report how much storage is left".into(),
            )),
            _ => Ok(()),
        }
    }

    fn check_marker(&self, database: &sync::Database) -> Result<(), Problem> {
        let Some(name) = &self.file.marker_collection else {
            return Ok(());
        };
        let collection = database.collection::<Document>(name.get_ref());
        let written = chrono::Utc::now().to_rfc3339();
        collection
            .replace_one(doc! {"_id": MARKER_ID}, doc! {"_id": MARKER_ID, "at": &written})
            .upsert(true)
            .run()
            .map_err(|error| explain("the marker cannot be written", &error))?;
        let read = collection
            .find_one(doc! {"_id": MARKER_ID})
            .run()
            .map_err(|error| explain("the marker cannot be read", &error))?;
        match read.as_ref().and_then(|marker| marker.get_str("at").ok()) {
            Some(read) if read == written => Ok(()),
            // Two runs at once write the same marker: a later one is as good a proof.
            Some(read) if read > written.as_str() => Ok(()),
            _ => Err(Problem::Failed(
                "the marker that was written is not the one read back".into(),
            )),
        }
    }
}

/// No name, no TLS, no reachable server or a refused login leave it open whether the database works; a refused
/// connection and a failed command do not.
fn explain(what: &str, error: &mongodb::error::Error) -> Problem {
    let message = format!("{what}: {}", crate::health::expect::cut(&error.to_string()));
    match error.kind.as_ref() {
        ErrorKind::ServerSelection { message: detail, .. } if detail.contains("refused") => {
            Problem::Failed(message)
        }
        ErrorKind::ServerSelection { .. }
        | ErrorKind::Authentication { .. }
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::InvalidArgument { .. }
        | ErrorKind::InvalidTlsConfig { .. } => Problem::Unknown(message),
        _ => Problem::Failed(message),
    }
}
