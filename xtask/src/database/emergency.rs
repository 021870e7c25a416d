//! The lock of an operation that runs without the ledger, and what is left of it until the ledger has it: the database is what
//! two people who cannot reach the git remote still share.

use anyhow::{Context as _, Result};
use mongodb::bson::{Document, doc};
use mongodb::options::{Acknowledgment, CollectionOptions, ReturnDocument, WriteConcern};
use mongodb::sync::{Collection, Database};

use super::Live;
use crate::domain::inventory::EMERGENCY_COLLECTION;

const ID: &str = "lock";

impl Live {
    /// Takes the lock where nobody has it, or where this token has it; gives what stands there now.
    pub fn take_emergency_lock(&self, token: &str, note: &str) -> Result<(String, String)> {
        let ours = doc! { "_id": ID };
        let first = doc! { "$setOnInsert": { "token": token, "note": note } };
        let found = self.ask(move |_, database| {
            let locks = emergencies(database);
            let asked = locks.find_one_and_update(ours.clone(), first.clone());
            asked.upsert(true).return_document(ReturnDocument::After).run()
        });
        let found =
            found.with_context(|| format!("cannot write `{}.{EMERGENCY_COLLECTION}`", self.name()))?;
        read(&found.context("the server has lost the lock")?)
    }

    /// Token and note of the lock; `None` where nobody has it.
    pub fn emergency_lock(&self) -> Result<Option<(String, String)>> {
        let found = self.ask(|_, database| emergencies(database).find_one(doc! { "_id": ID }).run());
        let found = found.with_context(|| format!("cannot read `{}.{EMERGENCY_COLLECTION}`", self.name()))?;
        found.as_ref().map(read).transpose()
    }

    /// Writes another note beside the token.
    pub fn note_emergency(&self, token: &str, note: &str) -> Result<()> {
        let (ours, note) = (
            doc! { "_id": ID, "token": token },
            doc! { "$set": { "note": note } },
        );
        let noted = self.ask(move |_, database| {
            let locks = emergencies(database);
            locks.update_one(ours.clone(), note.clone()).run()
        });
        noted
            .map(drop)
            .with_context(|| format!("cannot write `{}.{EMERGENCY_COLLECTION}`", self.name()))
    }

    /// Lets go of the lock.
    pub fn drop_emergency_lock(&self) -> Result<()> {
        self.drop_own(EMERGENCY_COLLECTION)
    }
}

fn emergencies(database: &Database) -> Collection<Document> {
    let majority = WriteConcern::builder()
        .w(Acknowledgment::Majority)
        .journal(true)
        .build();
    let durable = CollectionOptions::builder().write_concern(majority).build();
    database.collection_with_options(EMERGENCY_COLLECTION, durable)
}

fn read(found: &Document) -> Result<(String, String)> {
    let text = |name: &str| found.get_str(name).map(str::to_owned);
    Ok((text("token")?, text("note")?))
}
