//! The live database, through the official driver: facts, digests, and the few changes that a restore makes.

mod changes;
mod changes_during;
mod changes_since;
mod deadline;
mod emergency;
mod facts;
mod fence;
mod index_spec;
mod inventory;
mod kept_batches;
mod normal_form;
mod oplog;
mod put_back;
mod raw_id;
mod scan;
mod search_indexes;
mod stream;
mod unreachable;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mongodb::bson::{Document, doc};
use mongodb::options::{ServerAddress, Tls};
use mongodb::sync::{Client, Database};

use crate::connection::{ConnectionString, host_name, longest_silence, members_of};
use crate::error::catalogue::database as errors;
use crate::secret::Secret;

pub use changes::{Renamed, ViewDefinition};
pub use changes_during::{ChangesDuring, Following};
pub use changes_since::ChangesSince;
pub use facts::{Privileges, Server, Space};
pub use fence::Fence;
pub use index_spec::{Buildable, NEVER_S, index_problems, seconds};
pub use inventory::{Digests, Listed};
pub use kept_batches::KeptBatch;
pub use normal_form::{backup_inventory, document_of_json, listed_options, recorded_facts};
pub use oplog::{OplogAccess, refusal};
pub use put_back::{BatchState, DocumentChange, PutBack};
pub use raw_id::{RawId, shown_document};
pub use search_indexes::{SearchIndex, SearchIndexes};
pub use stream::PreImage;

/// How long a server may take to be found, where the connection string has no time for it.
const SELECTION_DEADLINE: Duration = Duration::from_secs(10);
/// How long one connection may take to be made, where the connection string has no time for it.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// The longest for both, whatever it has: somebody waits.
const LONGEST_DEADLINE: Duration = Duration::from_secs(30);
/// How long indexes may take to be built.
const BUILD_DEADLINE: Duration = Duration::from_hours(6);
/// How long a change may take to reach a majority of the servers.
const MAJORITY_DEADLINE_MS: i32 = 60_000;
/// How long a server that was reached may take for one answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(120);
/// The server's code `DuplicateKey`.
const DUPLICATE_KEY: i32 = 11000;
/// An option that the server does not have: `InvalidIndexSpecificationOption`, and `AtlasError` of Atlas's small tiers.
const OPTION_REFUSED: [i32; 2] = [197, 8_000];
const APP_NAME: &str = "cargo-xtask";

/// The longest that the driver looks for a server and for a connection, whatever the connection string says.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub selection: Duration,
    pub connect: Duration,
    /// For one answer of the server.
    pub answer: Duration,
}

/// One database on a server.
#[derive(Debug, Clone)]
pub struct Live {
    client: Client,
    database: Database,
    host: String,
    members: Vec<ServerAddress>,
    with_tls: bool,
    /// The longest that one answer is waited for: the driver itself has no such limit.
    answer: Duration,
    /// Set by an operation: each change needs its proof.
    fence: Option<Fence>,
    /// The collection with the fence's token.
    claimed: Option<String>,
}

impl Live {
    /// Connects and waits for an answer. Errors name the host, never the connection string.
    pub fn connect(uri: &Secret, database: &str) -> Result<Self> {
        let live = Self::open(uri, database, None)?;
        live.command(&doc! { "ping": 1 })
            .map_err(|error| unreachable::why(&live.host, &live.members, live.with_tls, &error))?;
        Ok(live)
    }

    /// Reads the connection string; the first question connects.
    pub fn open(uri: &Secret, database: &str, at_most: Option<Patience>) -> Result<Self> {
        let uri = ConnectionString::read(uri).map_err(errors::connection_string_unusable)?;
        uri.warn_once();
        let mut options = uri.for_client()?;
        let selection = options.server_selection_timeout.get_or_insert(SELECTION_DEADLINE);
        let connect = options.connect_timeout.get_or_insert(CONNECT_DEADLINE);
        let at_most_each = at_most.map_or((LONGEST_DEADLINE, LONGEST_DEADLINE), |patience| {
            (patience.selection, patience.connect)
        });
        *selection = at_most_each.0.min(*selection);
        *connect = at_most_each.1.min(*connect);
        options.app_name.get_or_insert_with(|| APP_NAME.to_owned());
        let hosts: Vec<String> = options.hosts.iter().map(host_name).collect();
        let members = options.hosts.clone();
        let with_tls = matches!(options.tls, Some(Tls::Enabled(_)));
        let client = Client::with_options(options).map_err(errors::connection_string_unusable)?;
        let answer = match at_most {
            Some(patience) => patience.answer,
            None => longest_silence(ANSWER_DEADLINE)?,
        };
        Ok(Self {
            database: client.database(database),
            client,
            host: hosts.join(","),
            members,
            with_tls,
            answer,
            fence: None,
            claimed: None,
        })
    }

    /// Another database of the same server.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Self {
        Self {
            database: self.client.database(name),
            ..self.clone()
        }
    }

    /// Name of the database.
    pub fn name(&self) -> &str {
        self.database.name()
    }

    /// The hosts of the connection string, without user and password.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether these hosts, from a backup, are of the same deployment: see [`members_of`].
    pub fn is_at(&self, hosts: &str) -> bool {
        !members_of(hosts).is_disjoint(&members_of(&self.host))
    }

    /// The driver's handle of the database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Runs a command on the database.
    fn command(&self, command: &Document) -> Result<Document> {
        let asked = deadline::ride_out(|| self.run_on(&self.database, command.clone(), self.answer));
        asked.with_context(|| failed(command, Some(self.name())))
    }

    /// One command, whose answer is waited for no longer than that.
    fn run_on(&self, database: &Database, command: Document, longest: Duration) -> Result<Document> {
        let database = database.clone();
        deadline::within(longest, &self.host, move || database.run_command(command).run())
    }

    /// The same for one that takes long: it is given up where the server does not answer another question meanwhile.
    fn run_long(&self, database: &Database, command: Document, longest: Duration) -> Result<Document> {
        let (started, asked) = (Instant::now(), database.clone());
        let alive = || {
            let ping = self.run_on(database, doc! { "ping": 1 }, self.answer);
            ping.and_then(|_| {
                let late = || errors::database_silent(&self.host, longest.as_secs_f32());
                ensure!(started.elapsed() < longest, late());
                Ok(())
            })
        };
        deadline::while_alive(self.answer, alive, move || asked.run_command(command).run())
    }

    /// What the driver asks by itself, within the deadline of one answer, and again where the connection broke: only for what is
    /// the same when done twice.
    fn ask<T: Send + 'static>(
        &self,
        call: impl Fn(&Client, &Database) -> mongodb::error::Result<T> + Clone + Send + 'static,
    ) -> Result<T> {
        deadline::ride_out(|| {
            let (client, database, call) = (self.client.clone(), self.database.clone(), call.clone());
            deadline::within(self.answer, &self.host, move || call(&client, &database))
        })
    }

    /// Runs a command that changes something; it counts only when a majority has it in its journal: a server that is
    /// killed afterwards must not come back without it. `renameCollection` is a command of `admin`.
    fn change(&self, mut command: Document) -> Result<Document> {
        let admin = command.contains_key("renameCollection");
        let name = command.keys().next().cloned().unwrap_or_default();
        command.insert(
            "writeConcern",
            doc! { "w": "majority", "j": true, "wtimeout": MAJORITY_DEADLINE_MS },
        );
        let (database, on) = if admin {
            (self.client.database("admin"), None)
        } else {
            (self.database.clone(), Some(self.name()))
        };
        // These tell themselves from the state whether they were done.
        let once = ["renameCollection", "create"].contains(&name.as_str());
        let ask = || {
            self.prove()?;
            if name == "createIndexes" {
                self.run_long(&database, command.clone(), BUILD_DEADLINE)
            } else {
                self.run_on(&database, command.clone(), self.answer)
            }
        };
        let answer = if once { ask() } else { deadline::ride_out(ask) };
        let answer = answer.with_context(|| failed(&command, on))?;
        // Done, but not everywhere: the server calls that a success.
        ensure!(
            !answer.contains_key("writeConcernError"),
            "`{name}` on `{}` did not reach a majority of the servers within {MAJORITY_DEADLINE_MS} ms",
            self.name()
        );
        Ok(answer)
    }

    /// Runs a command on the database `admin`.
    fn admin(&self, command: &Document) -> Result<Document> {
        let database = self.client.database("admin");
        let asked = deadline::ride_out(|| self.run_on(&database, command.clone(), self.answer));
        asked.with_context(|| failed(command, None))
    }
}

fn failed(command: &Document, database: Option<&str>) -> String {
    let name = command.keys().next().cloned().unwrap_or_default();
    match database {
        Some(database) => format!("the server refused `{name}` on `{database}`"),
        None => format!("the server refused `{name}`"),
    }
}

/// The server's error code, where the error is one of the server's.
pub(crate) fn server_code(error: &anyhow::Error) -> Option<i32> {
    let error = error.downcast_ref::<mongodb::error::Error>()?;
    match error.kind.as_ref() {
        mongodb::error::ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_members_of_a_deployment_are_recognised_in_any_order_and_another_one_is_not() {
        let uri = Secret::new("mongodb://a.example:27017,b.example,c.example/?replicaSet=rs0");
        let live = Live::open(&uri, "shop", None).unwrap();
        assert_eq!(live.host(), "a.example:27017,b.example:27017,c.example:27017");
        for (hosts, same) in [
            ("a.example:27017,b.example:27017,c.example:27017", true),
            ("c.example:27017,a.example:27017,b.example:27017", true),
            // One member was exchanged.
            ("d.example:27017,c.example:27017,b.example:27017", true),
            ("a.example:27018,b.example:27018,c.example:27018", false),
            ("A.EXAMPLE", true),
            ("b.example.:27017", true),
            ("a.example.test:27017", false),
            ("", false),
        ] {
            assert_eq!(live.is_at(hosts), same, "{hosts}");
        }
        let live = Live::open(&Secret::new("mongodb://localhost/"), "shop", None).unwrap();
        for (hosts, same) in [
            ("127.0.0.1:27017", true),
            ("[::1]:27017", true),
            ("::1", true),
            ("localhost:27018", false),
        ] {
            assert_eq!(live.is_at(hosts), same, "{hosts}");
        }
    }
}
