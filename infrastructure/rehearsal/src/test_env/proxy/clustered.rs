//! The expiry of a clustered collection, an option of it that its index is listed with too. The local server takes `collMod` of it, answers that all went well, and changes nothing.

use std::collections::BTreeMap;

use mongodb::bson::{Bson, Document, deserialize_from_slice};

use super::before::{DOCUMENT_AT, with_document};
use super::command;

/// What was set by collection, where something was; nothing where it was switched off.
#[derive(Debug, Default)]
pub(super) struct ClusteredExpiry(BTreeMap<String, Option<Bson>>);

impl ClusteredExpiry {
    /// Takes in what a request sets; it is asked of the local server too.
    pub(super) fn note(&mut self, message: &[u8]) {
        if ![&b"collMod"[..], b"renameCollection", b"drop"].contains(&command(message)) {
            return;
        }
        let asked = message.get(DOCUMENT_AT..).map(deserialize_from_slice::<Document>);
        if let Some(Ok(asked)) = asked {
            self.set(&asked);
        }
    }

    fn set(&mut self, asked: &Document) -> Option<()> {
        let (name, value) = asked.iter().next()?;
        let collection = value.as_str()?;
        let without_database = |name: &str| name.split_once('.').map(|(_, name)| name.to_owned());
        match name.as_str() {
            "collMod" => {
                let expiry = asked.get("expireAfterSeconds")?.clone();
                let set = (expiry.as_str() != Some("off")).then_some(expiry);
                self.0.insert(collection.to_owned(), set);
            }
            "renameCollection" => {
                let set = self.0.remove(&without_database(collection)?)?;
                self.0.insert(without_database(asked.get_str("to").ok()?)?, set);
            }
            _ => drop(self.0.remove(collection)),
        }
        Some(())
    }

    /// The same answer where collections, or indexes of one, are listed with what was set.
    pub(super) fn listed(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut answer: Document = deserialize_from_slice(message.get(DOCUMENT_AT..)?).ok()?;
        let cursor = answer.get_document_mut("cursor").ok()?;
        let (_, of) = cursor.get_str("ns").ok()?.split_once('.')?;
        let of = of.strip_prefix("$cmd.listIndexes.").unwrap_or(of).to_owned();
        for listed in cursor.get_array_mut("firstBatch").ok()? {
            let listed = listed.as_document_mut()?;
            let is_index = listed.get_bool("clustered").unwrap_or(false);
            let name = if is_index {
                Ok(of.as_str())
            } else {
                listed.get_str("name")
            };
            let Some(set) = name.ok().and_then(|name| self.0.get(name)).cloned() else {
                continue;
            };
            let options = if is_index {
                Ok(listed)
            } else {
                listed.get_document_mut("options")
            };
            match (options, set) {
                (Ok(options), Some(expiry)) => drop(options.insert("expireAfterSeconds", expiry)),
                (Ok(options), None) => drop(options.remove("expireAfterSeconds")),
                (Err(_), _) => {}
            }
        }
        with_document(message, &answer)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
