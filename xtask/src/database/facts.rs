//! What a preflight asks of the server.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use mongodb::bson::{Bson, Document, doc};
use serde::Serialize;

use super::inventory::whole;
use super::{Live, server_code};

/// The server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Server {
    pub host: String,
    pub version: String,
    /// Whether it is a member of a replica set, and so has an oplog.
    pub replica_set: Option<String>,
}

/// Room on the server's disk, where it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Space {
    pub total_bytes: u64,
    pub free_bytes: u64,
}

/// What our user may do with the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Privileges {
    /// The server does not check users, or does not tell.
    Unknown,
    Actions(BTreeSet<String>),
}

impl Live {
    /// Asks for versions and topology.
    pub fn server(&self) -> Result<Server> {
        let build = self.command(&doc! { "buildInfo": 1 })?;
        let hello = self.hello()?;
        Ok(Server {
            host: self.host.clone(),
            version: build
                .get_str("version")
                .context("the server does not report its version")?
                .to_owned(),
            replica_set: hello.get_str("setName").ok().map(str::to_owned),
        })
    }

    /// What the server reports of itself and of its replica set.
    pub fn hello(&self) -> Result<Document> {
        self.command(&doc! { "hello": 1 })
    }

    /// Whether it is a router of a sharded cluster.
    pub fn is_router(&self) -> Result<bool> {
        Ok(self.hello()?.get_str("msg").is_ok_and(|msg| msg == "isdbgrid"))
    }

    /// Whether a router has this collection on several shards.
    pub fn is_sharded(&self, collection: &str) -> Result<bool> {
        let stats = self.command(&doc! { "collStats": collection })?;
        Ok(stats.get_bool("sharded").unwrap_or(false))
    }

    /// Names of the databases that our user may see.
    pub fn databases(&self) -> Result<Vec<String>> {
        let names = self.ask(|client, _| client.list_database_names().run());
        names.context("the server does not list its databases")
    }

    /// Names of all databases; an error where our user may see only some of them.
    pub fn all_databases(&self) -> Result<Vec<String>> {
        let names = self.ask(|client, _| client.list_database_names().authorized_databases(false).run());
        names.context("the server does not list all of its databases")
    }

    /// Room on the disk; `None` where the server does not tell, or refuses (Atlas's small tiers).
    pub fn space(&self) -> Result<Option<Space>> {
        let stats = match self.command(&doc! { "dbStats": 1 }) {
            Ok(stats) => stats,
            Err(error) if server_code(&error).is_some() => return Ok(None),
            Err(error) => return Err(error),
        };
        let number = |name: &str| stats.get(name).map(whole).filter(|n| *n > 0);
        Ok(number("fsTotalSize")
            .zip(number("fsUsedSize"))
            .map(|(total, used)| Space {
                total_bytes: total,
                free_bytes: total.saturating_sub(used),
            }))
    }

    /// The collections on which an index is being built now; `None` where our user may not ask.
    pub fn index_builds(&self) -> Option<Vec<String>> {
        let stages = vec![
            doc! { "$currentOp": { "allUsers": true } },
            doc! { "$match": { "$or": [
                { "command.createIndexes": { "$exists": true } }, { "msg": { "$regex": "^Index Build" } },
            ] } },
        ];
        let pipeline = doc! { "aggregate": 1, "pipeline": stages, "cursor": {} };
        let answer = self.admin(&pipeline).ok()?;
        let batch = answer.get_document("cursor").ok()?.get_array("firstBatch").ok()?;
        let prefix = format!("{}.", self.name());
        let found = batch
            .iter()
            .filter_map(|operation| operation.as_document()?.get_str("ns").ok())
            .filter(|namespace| namespace.starts_with(&prefix));
        Some(found.map(str::to_owned).collect())
    }

    /// What our user may do with this database.
    pub fn privileges(&self) -> Privileges {
        let Ok(status) = self.admin(&doc! { "connectionStatus": 1, "showPrivileges": true }) else {
            return Privileges::Unknown;
        };
        self.actions(&status)
            .map_or(Privileges::Unknown, Privileges::Actions)
    }

    fn actions(&self, status: &Document) -> Option<BTreeSet<String>> {
        let info = status.get_document("authInfo").ok()?;
        if info.get_array("authenticatedUsers").ok()?.is_empty() {
            return None;
        }
        let privileges = info.get_array("authenticatedUserPrivileges").ok()?;
        if privileges.is_empty() {
            return self.actions_of_roles(info);
        }
        let mine = privileges.iter().filter_map(Bson::as_document).filter(|p| {
            p.get_document("resource")
                .is_ok_and(|resource| self.covers(resource))
        });
        let actions = mine
            .filter_map(|p| p.get_array("actions").ok())
            .flatten()
            .filter_map(Bson::as_str);
        Some(actions.map(str::to_owned).collect())
    }

    /// Some servers name the user's roles but not what these allow: known for the roles that every server has.
    fn actions_of_roles(&self, info: &Document) -> Option<BTreeSet<String>> {
        let mut actions = BTreeSet::new();
        for role in info.get_array("authenticatedUserRoles").ok()? {
            let role = role.as_document()?;
            let (name, database) = (role.get_str("role").ok()?, role.get_str("db").ok()?);
            if database != self.name() && database != "admin" {
                continue;
            }
            let read = ["find", "listCollections"].as_slice();
            let write = [
                "insert",
                "createCollection",
                "createIndex",
                "dropCollection",
                "renameCollectionSameDB",
            ];
            let allowed: Vec<&str> = match name {
                "read" | "readAnyDatabase" => read.to_vec(),
                "readWrite" | "readWriteAnyDatabase" => [read, &write].concat(),
                "dbAdmin" | "dbAdminAnyDatabase" => [&["listCollections", "collMod"], &write[1..]].concat(),
                "dbOwner" | "root" => [read, &write, &["collMod"]].concat(),
                // One that somebody made.
                _ => return None,
            };
            actions.extend(allowed.into_iter().map(str::to_owned));
        }
        Some(actions)
    }

    /// Whether a privilege's resource is all of this database: its ordinary collections, or everything.
    fn covers(&self, resource: &Document) -> bool {
        if resource.get_bool("anyResource").unwrap_or(false) {
            return true;
        }
        let text = |name| resource.get_str(name).ok();
        let database = text("db").is_some_and(|db| db.is_empty() || db == self.name());
        database && text("collection") == Some("")
    }
}
