//! What is backed up, as the server lists it: before the dump, and again after it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::error_hints;
use super::restorable::server_problems;
use crate::database::{Digests, Live, OplogAccess, SearchIndexes, refusal};
use crate::domain::inventory::{is_application, is_reserved};
use crate::domain::manifest::{ChangeStart, NamespaceKind};
use crate::secret::Secret;
use crate::tools::mongodump::Scope;

/// Databases of the server itself: of them mongodump takes what it thinks fit.
const OF_THE_SERVER: [&str; 3] = ["admin", "config", "local"];

/// The application's collections and views, by database and name.
pub(super) type NamespaceList = BTreeMap<(String, String), NamespaceKind>;

/// What the server lists at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) own: NamespaceList,
    /// What restores keep beside the live collections, by database and name.
    pub(super) beside: BTreeSet<(String, String)>,
}

/// The server, seen through the environment's database.
#[derive(Debug)]
pub(super) struct BackupSource {
    live: Live,
    everything: bool,
}

impl BackupSource {
    pub(super) fn connect(uri: &Secret, database: &str, everything: bool) -> Result<Self> {
        let live = Live::connect(uri, database)
            .map_err(|error| error_hints::explain_connection(error, &format!("`{database}`")))?;
        Ok(Self { live, everything })
    }

    /// The environment's database.
    pub(super) fn database(&self) -> &str {
        self.live.name()
    }

    pub(super) const fn live(&self) -> &Live {
        &self.live
    }

    pub(super) fn host(&self) -> &str {
        self.live.host()
    }

    /// Whether a backup of these hosts is of the same deployment.
    pub(super) fn is_at(&self, hosts: &str) -> bool {
        self.live.is_at(hosts)
    }

    /// The search indexes of these collections of the environment's database, which no dump has.
    pub(super) fn search_indexes(&self, listing: &Listing) -> Result<SearchIndexes> {
        self.live.search_indexes(self.collections(listing))
    }

    /// What the server, or the rights of the user, lack for a restore of so many bytes of these collections.
    pub(super) fn server_problems(&self, listing: &Listing, bytes: u64) -> Result<Vec<String>> {
        server_problems(&self.live, self.collections(listing), bytes)
    }

    /// The collections of the environment's database.
    fn collections<'a>(&'a self, listing: &'a Listing) -> impl Iterator<Item = &'a str> {
        let own = listing.own.iter().filter(|((database, _), kind)| {
            database == self.live.name() && **kind == NamespaceKind::Collection
        });
        own.map(|((_, name), _)| name.as_str())
    }

    /// What is backed up, for people.
    pub(super) fn name(&self) -> String {
        if self.everything {
            format!("all databases of {}", self.live.host())
        } else {
            format!("`{}`", self.live.name())
        }
    }

    pub(super) fn is_everything(&self) -> bool {
        self.everything
    }

    /// `left_out` are the collections of the one database that are not dumped, and how the names of others begin.
    pub(super) fn scope<'a>(
        &'a self,
        oplog: bool,
        left_out: &'a [String],
        left_out_prefix: Option<&'a str>,
    ) -> Scope<'a> {
        if self.everything {
            Scope::Everything { oplog }
        } else {
            let name = self.live.name();
            Scope::Database {
                name,
                left_out,
                left_out_prefix,
            }
        }
    }

    /// Whether mongodump could take the oplog too.
    pub(super) fn oplog(&self) -> Result<OplogAccess> {
        self.live.oplog()
    }

    /// Marks the moment from which on a change stream shows what has changed since this backup; otherwise why it does not.
    pub(super) fn mark_start(&self) -> Result<ChangeStart, String> {
        self.live.mark_start().map_err(|error| refusal(&error))
    }

    /// Databases of applications on the server; none where our user may not ask.
    pub(super) fn others(&self) -> Vec<String> {
        let all = self.live.databases().unwrap_or_default();
        all.into_iter().filter(|name| !is_of_the_server(name)).collect()
    }

    /// What the server lists now.
    pub(super) fn list(&self) -> Result<Listing> {
        let mut listing = Listing::default();
        for live in self.databases()? {
            for (name, listed) in live.listed()? {
                let key = (live.name().to_owned(), name);
                if is_reserved(&key.1) {
                    listing.beside.insert(key);
                } else if is_application(&key.1) {
                    listing.own.insert(key, listed.kind);
                }
            }
        }
        Ok(listing)
    }

    /// The size of all documents, for estimates: what our user may not ask for counts as 0.
    pub(super) fn size_bytes(&self) -> u64 {
        let size = |live: &Live| {
            let inventory = live.inventory(Digests::None);
            inventory.map_or(0, |inventory| {
                inventory.collections.values().map(|facts| facts.bytes).sum()
            })
        };
        self.databases()
            .map_or(0, |databases| databases.iter().map(size).sum())
    }

    fn databases(&self) -> Result<Vec<Live>> {
        if !self.everything {
            return Ok(vec![self.live.clone()]);
        }
        let names = self.live.all_databases()?;
        let own = names.iter().filter(|name| !is_of_the_server(name));
        Ok(own.map(|name| self.live.with_database(name)).collect())
    }
}

pub(super) fn is_of_the_server(database: &str) -> bool {
    OF_THE_SERVER.contains(&database)
}
