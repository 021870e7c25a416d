//! Whether a dump can include the oplog, and so be of one point in time.

use anyhow::Result;
use mongodb::bson::{Document, doc};
use mongodb::error::ErrorKind;

use super::Live;

/// What the deployment and our user's roles allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OplogAccess {
    /// A replica set of this name whose oplog our user reads.
    Readable(String),
    /// Why not, for people.
    No(String),
}

impl Live {
    /// Asks what mongodump would need: a member of a replica set, and the role to read `local`.
    pub fn oplog(&self) -> Result<OplogAccess> {
        let hello = self.hello()?;
        if hello.get_str("msg").is_ok_and(|message| message == "isdbgrid") {
            let why = "this is a sharded cluster, which has no oplog";
            return Ok(OplogAccess::No(why.to_owned()));
        }
        let Ok(set) = hello.get_str("setName") else {
            let why = "the server is no member of a replica set and has no oplog";
            return Ok(OplogAccess::No(why.to_owned()));
        };
        let entry = self.with_database("local").ask(|_, local| {
            let oplog = local.collection::<Document>("oplog.rs");
            oplog.find_one(doc! {}).run()
        });
        Ok(match entry {
            Ok(Some(_)) => OplogAccess::Readable(set.to_owned()),
            Ok(None) => OplogAccess::No("the oplog is empty".to_owned()),
            // Atlas's shared tiers, or a user without the role.
            Err(error) => OplogAccess::No(format!("our user cannot read the oplog: {}", refusal(&error))),
        })
    }
}

/// The server's word for why it refused, where it has one: all of its answer is a page.
pub fn refusal(error: &anyhow::Error) -> String {
    let refused = error.downcast_ref::<mongodb::error::Error>();
    match refused.map(|error| error.kind.as_ref()) {
        Some(ErrorKind::Command(command)) => command.code_name.clone(),
        _ => error.to_string(),
    }
}
