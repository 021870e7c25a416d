//! The database that is backed up, as the server lists it: before the dump, and again after it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use mongodb::results::CollectionType;
use mongodb::sync::{Client, Database};

use crate::domain::manifest::NamespaceKind;
use crate::secret::Secret;
use crate::tools::mongodump::OWN_PREFIXES;

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// A server that answered, and one database of it.
pub(super) struct Source {
    client: Client,
    database: Database,
}

/// What a collection is, as the server states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stated {
    pub kind: NamespaceKind,
    pub bytes: u64,
}

impl Source {
    pub(super) fn connect(uri: &Secret, database: &str) -> Result<Self> {
        let connect = || -> mongodb::error::Result<Self> {
            let mut options = ClientOptions::parse(uri.expose()).run()?;
            options.server_selection_timeout.get_or_insert(CONNECT_DEADLINE);
            options.connect_timeout.get_or_insert(CONNECT_DEADLINE);
            let client = Client::with_options(options)?;
            let database = client.database(database);
            database.run_command(doc! { "ping": 1 }).run()?;
            Ok(Self { client, database })
        };
        Ok(connect()?)
    }

    /// The application's collections and views.
    pub(super) fn collections(&self) -> Result<BTreeMap<String, Stated>> {
        self.listed()
            .with_context(|| format!("cannot list the collections of `{}`", self.database.name()))
    }

    fn listed(&self) -> Result<BTreeMap<String, Stated>> {
        let mut found = BTreeMap::new();
        for specification in self.database.list_collections().run()? {
            let specification = specification?;
            if !is_application(&specification.name) {
                continue;
            }
            let kind = match specification.collection_type {
                CollectionType::View => NamespaceKind::View,
                CollectionType::Timeseries => NamespaceKind::Timeseries,
                _ => NamespaceKind::Collection,
            };
            let bytes = if kind == NamespaceKind::View {
                0
            } else {
                self.size_bytes(&specification.name)
            };
            found.insert(specification.name, Stated { kind, bytes });
        }
        Ok(found)
    }

    /// The size of all documents, for estimates: 0 where our user may not ask.
    fn size_bytes(&self, collection: &str) -> u64 {
        let stats = self.database.run_command(doc! { "collStats": collection }).run();
        stats.map_or(0, |stats: Document| {
            let size = stats.get("size").and_then(|size| {
                size.as_i64()
                    .or_else(|| size.as_i32().map(i64::from))
                    .or_else(|| {
                        size.as_f64()
                            .map(|size| size.round().to_string().parse().unwrap_or(0))
                    })
            });
            size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0)
        })
    }

    /// Names of the databases that our user may see.
    pub(super) fn databases(&self) -> Vec<String> {
        self.client.list_database_names().run().unwrap_or_default()
    }
}

/// Whether a collection is data of the application: neither the server's nor what a restore left.
pub(super) fn is_application(collection: &str) -> bool {
    !collection.starts_with("system.") && !OWN_PREFIXES.iter().any(|prefix| collection.starts_with(prefix))
}
