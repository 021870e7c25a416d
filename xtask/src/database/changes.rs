//! The few changes that a restore makes. Each first asks whether it was made already: all can be repeated.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use mongodb::bson::{
    Bson, Document, RawDocumentBuf, cstr, deserialize_from_slice, doc, rawdoc, serialize_to_vec,
};
use mongodb::error::ErrorKind;
use mongodb::options::{Acknowledgment, CollectionOptions, WriteConcern};
use serde::{Deserialize, Serialize};

use super::deadline::{PAUSE, RIDE_OUT, is_broken, within};
use super::index_spec::{Buildable, NEVER_S};
use super::put_back::write_command;
use super::{DUPLICATE_KEY, Live, OPTION_REFUSED, RawId, server_code};
use crate::domain::inventory::is_reserved;
use crate::domain::manifest::NamespaceKind;
use crate::{report, wait};

/// More lines than any restore keeps.
const MAX_LINES: i64 = 64;
/// `NamespaceNotFound`, `NamespaceExists`.
const NOT_FOUND: i32 = 26;
const EXISTS: i32 = 48;
/// `DocumentValidationFailure`.
const INVALID: i32 = 121;

/// How a renaming ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renamed {
    Done,
    /// There is nothing of the old name.
    NotThere,
    /// There is something of the new name; nothing was changed.
    Taken,
}

/// What a view is made of. In journals it stands as BSON in hexadecimal: JSON would change the types of numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ViewDefinition {
    pub options: Document,
}

impl From<ViewDefinition> for String {
    fn from(definition: ViewDefinition) -> Self {
        // A document that came from the server can be written again.
        let bytes = serialize_to_vec(&definition.options).unwrap_or_default();
        hex::encode(bytes)
    }
}

impl TryFrom<String> for ViewDefinition {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        let bytes = (0..text.len()).step_by(2).map(|at| {
            let digits = text.get(at..at + 2).context("half a byte")?;
            u8::from_str_radix(digits, 16).context("not hexadecimal")
        });
        let bytes = bytes.collect::<Result<Vec<u8>>>()?;
        Ok(Self {
            options: deserialize_from_slice(&bytes).context("a view's definition is damaged")?,
        })
    }
}

impl Live {
    /// Renames a collection within the database. Never replaces anything.
    pub fn rename(&self, from: &str, to: &str) -> Result<Renamed> {
        let full = |name: &str| format!("{}.{name}", self.name());
        let command = doc! { "renameCollection": full(from), "to": full(to), "dropTarget": false };
        let renamed = self.change_once(&command, || {
            let there = self.listed()?;
            Ok(!there.contains_key(from) && there.contains_key(to))
        });
        match renamed {
            Ok(()) => Ok(Renamed::Done),
            Err(error) => match server_code(&error) {
                Some(NOT_FOUND) => Ok(Renamed::NotThere),
                Some(EXISTS) => Ok(Renamed::Taken),
                _ => Err(error.context(format!("cannot rename `{from}` to `{to}`"))),
            },
        }
    }

    /// A change that fails where it was done before: where the connection broke, `done` decides before it is asked for again.
    fn change_once(&self, command: &Document, done: impl Fn() -> Result<bool>) -> Result<()> {
        let started = Instant::now();
        loop {
            match self.change(command.clone()) {
                Err(error) if is_broken(&error) && started.elapsed() < RIDE_OUT => wait::pause(PAUSE),
                answer => return answer.map(drop),
            }
            if done()? {
                return Ok(());
            }
        }
    }

    /// Drops a collection that a restore made or moved aside; no other name is accepted.
    pub fn drop_own(&self, collection: &str) -> Result<()> {
        ensure!(
            is_reserved(collection),
            "`{collection}` is not a collection that a restore made: it is not dropped"
        );
        self.drop_unchecked(collection)
    }

    /// Drops a collection that a drill restored into a database that was empty before.
    pub fn drop_of_drill(&self, collection: &str) -> Result<()> {
        self.drop_unchecked(collection)
    }

    /// The definition of a view; `None` where there is nothing of this name.
    pub fn view(&self, name: &str) -> Result<Option<ViewDefinition>> {
        let Some(listed) = self.listed()?.remove(name) else {
            return Ok(None);
        };
        ensure!(listed.kind == NamespaceKind::View, "`{name}` is not a view");
        Ok(Some(ViewDefinition {
            options: listed.options,
        }))
    }

    /// Makes a collection with these options.
    pub fn create_collection(&self, name: &str, options: &Document) -> Result<()> {
        let mut command = doc! { "create": name };
        command.extend(options.clone());
        self.change_once(&command, || Ok(self.listed()?.contains_key(name)))
            .with_context(|| format!("cannot create the collection `{name}`"))
    }

    /// Makes a view; one of the same definition is left as it is.
    pub fn create_view(&self, name: &str, definition: &ViewDefinition) -> Result<()> {
        if self.view(name)?.as_ref() == Some(definition) {
            return Ok(());
        }
        let mut command = doc! { "create": name };
        command.extend(definition.options.clone());
        self.change_once(&command, || Ok(self.view(name)?.as_ref() == Some(definition)))
            .with_context(|| format!("cannot create the view `{name}`"))
    }

    /// Drops a view, whose definition the caller has; a collection of that name is refused.
    pub fn drop_view(&self, name: &str) -> Result<()> {
        if self.view(name)?.is_some() {
            self.drop_unchecked(name)?;
        }
        Ok(())
    }

    /// Inserts documents whose `_id` and unique keys are free; gives the place and the reason of each one refused.
    pub fn insert_where_free(
        &self,
        collection: &str,
        documents: &[RawDocumentBuf],
    ) -> Result<Vec<(usize, String)>> {
        // The driver reads each `_id`, and those only that are UTF-8.
        let is_read = |at: &usize| documents[*at].get("_id").is_ok();
        let (read, raw): (Vec<usize>, Vec<usize>) = (0..documents.len()).partition(is_read);
        let batch: Vec<RawDocumentBuf> = read.iter().map(|at| documents[*at].clone()).collect();
        let refused = self.insert_batch(collection, batch)?.into_iter();
        let mut refused: Vec<(usize, String)> = refused.map(|(at, why)| (read[at], why)).collect();
        for at in raw {
            refused.extend(self.insert_raw(collection, &documents[at])?.map(|why| (at, why)));
        }
        Ok(refused)
    }

    /// One document as it is; gives the reason where it is refused.
    fn insert_raw(&self, collection: &str, document: &RawDocumentBuf) -> Result<Option<String>> {
        let inserting = || format!("cannot insert into `{}.{collection}`", self.name());
        let statements = [document.as_bytes().to_vec()];
        let mut command = write_command("insert", "documents", collection, &statements, false)?;
        command.append(cstr!("writeConcern"), rawdoc! { "w": "majority", "j": true });
        let database = self.database.clone();
        let inserted = within(self.answer, &self.host, move || {
            database.run_raw_command(command).run()
        });
        let answer = match inserted {
            Ok(answer) => answer,
            // Only a refusal has words, which repeat the key.
            Err(error) if is_not_readable(&error) => {
                return Ok(Some("the server refuses it, in words that are not UTF-8".into()));
            }
            Err(error) => return Err(error).with_context(inserting),
        };
        let errors = answer.get_array("writeErrors").ok();
        if let Some(error) = errors.and_then(|errors| errors.first()?.as_document()) {
            let message = error.get_str("errmsg").unwrap_or_default();
            return Ok(Some(refusal(error.get_i32("code").unwrap_or_default(), message)));
        }
        ensure!(
            !answer.contains_key("writeConcernError"),
            "{}: {answer}",
            inserting()
        );
        Ok(None)
    }

    /// The same of documents whose ids the driver reads.
    fn insert_batch(&self, collection: &str, documents: Vec<RawDocumentBuf>) -> Result<Vec<(usize, String)>> {
        if documents.is_empty() {
            return Ok(Vec::new());
        }
        let inserting = || format!("cannot insert into `{}.{collection}`", self.name());
        let target = self.database.collection::<RawDocumentBuf>(collection);
        // Not again where the connection broke: what was inserted would be refused as taken.
        let inserted = within(self.answer, &self.host, move || {
            target.insert_many(documents).ordered(false).run()
        });
        let Err(error) = inserted else {
            return Ok(Vec::new());
        };
        let failed = error.downcast_ref::<mongodb::error::Error>();
        let Some(ErrorKind::InsertMany(failed)) = failed.map(|error| error.kind.as_ref()) else {
            return Err(error).with_context(inserting);
        };
        if failed.write_concern_error.is_some() {
            return Err(error).with_context(inserting);
        }
        let refused = failed.write_errors.iter().flatten();
        Ok(refused.map(|e| (e.index, refusal(e.code, &e.message))).collect())
    }

    /// Keeps numbered lines of text under a name of a restore's own: what another machine needs to go on.
    pub fn keep_lines(&self, collection: &str, lines: &[(i64, String)]) -> Result<()> {
        let durable = CollectionOptions::builder()
            .write_concern(
                WriteConcern::builder()
                    .w(Acknowledgment::Majority)
                    .journal(true)
                    .build(),
            )
            .build();
        self.prove()?;
        for (number, line) in lines {
            let kept = (collection.to_owned(), durable.clone());
            let line = doc! { "_id": *number, "line": line };
            let number = *number;
            self.ask(move |_, database| {
                let target = database.collection_with_options::<Document>(&kept.0, kept.1.clone());
                let written = target.replace_one(doc! { "_id": number }, line.clone());
                written.upsert(true).run()
            })
            .with_context(|| format!("cannot write `{}.{collection}`", self.name()))?;
        }
        Ok(())
    }

    /// The lines that were kept, by number; none where there is no such collection. What else it has is not read.
    pub fn kept_lines(&self, collection: &str) -> Result<Vec<String>> {
        let mut lines = std::collections::BTreeMap::new();
        let numbers = (0..MAX_LINES).map(|number| Ok(RawId::of_number(number)));
        self.scan_ids(collection, numbers, |raw| {
            let kept: Document = deserialize_from_slice(raw)?;
            lines.insert(kept.get_i64("_id")?, kept.get_str("line")?.to_owned());
            Ok(())
        })?;
        Ok(lines.into_values().collect())
    }

    fn drop_unchecked(&self, name: &str) -> Result<()> {
        match self.change(doc! { "drop": name }) {
            Err(error) if server_code(&error) != Some(NOT_FOUND) => Err(error),
            _ => Ok(()),
        }
    }

    /// Builds indexes as servers of today take them; those that exist are left as they are. What is not as recorded is
    /// reported.
    pub fn create_indexes(&self, collection: &str, indexes: &[Document]) -> Result<()> {
        if indexes.is_empty() {
            return Ok(());
        }
        let indexes: Vec<Buildable> = indexes.iter().map(Buildable::of).collect();
        let build = |indexes: Vec<Document>| {
            let indexes: Vec<Bson> = indexes.into_iter().map(Bson::Document).collect();
            self.change(doc! { "createIndexes": collection, "indexes": indexes })
        };
        let mut answer = build(indexes.iter().map(|index| index.index.clone()).collect());
        if answer.as_ref().is_err_and(is_option_refused) {
            answer = build(indexes.iter().map(Buildable::without_unknown).collect());
        }
        answer.with_context(|| format!("cannot build the indexes of `{collection}`"))?;
        for index in indexes.iter().filter(|index| !index.altered.is_empty()) {
            let name = index.index.get_str("name").unwrap_or_default();
            let altered = index.altered.join("; ");
            report::progress(&format!(
                "warning: index `{name}` of `{collection}` is not as recorded: {altered}"
            ));
        }
        Ok(())
    }

    /// Creates an empty clustered collection in which nothing expires yet. Where the server does not let its expiry be set
    /// afterwards, nothing is left of it.
    pub fn create_unexpiring(
        &self,
        name: &str,
        mut options: Document,
        clustered_index: &str,
        expire_after_s: i64,
    ) -> Result<()> {
        options.remove("expireAfterSeconds");
        let mut command = doc! { "create": name };
        command.extend(options);
        self.change(command)
            .with_context(|| format!("cannot create `{name}`"))?;
        // While it is empty: a value that the server refuses must not be found in the middle of a swap.
        let set = self.set_expiry(name, clustered_index, expire_after_s);
        if set.is_err() || !self.has_expiry(name)? {
            return self.drop_unchecked(name);
        }
        let off = self.change(doc! { "collMod": name, "expireAfterSeconds": "off" });
        if off.is_err() || self.has_expiry(name)? {
            self.set_expiry(name, clustered_index, i64::from(NEVER_S))?;
        }
        Ok(())
    }

    fn has_expiry(&self, collection: &str) -> Result<bool> {
        let listed = self.listed()?.remove(collection);
        Ok(listed.is_some_and(|listed| listed.options.contains_key("expireAfterSeconds")))
    }

    /// Sets after how many seconds a TTL index lets documents expire. A clustered index is part of its collection, and so
    /// is its expiry.
    pub fn set_expiry(&self, collection: &str, index: &str, expire_after_s: i64) -> Result<()> {
        let listed = self.listed()?;
        let options = listed.get(collection).map(|listed| &listed.options);
        let clustered = options.and_then(|options| options.get_document("clusteredIndex").ok());
        let command =
            if clustered.is_some_and(|clustered| clustered.get_str("name").is_ok_and(|name| name == index)) {
                doc! { "collMod": collection, "expireAfterSeconds": expire_after_s }
            } else {
                let index_change = doc! { "name": index, "expireAfterSeconds": expire_after_s };
                doc! { "collMod": collection, "index": index_change }
            };
        self.change(command)
            .map(drop)
            .with_context(|| format!("cannot set the expiry of index `{index}` of `{collection}`"))
    }
}

/// Whether the answer came, and is no BSON that the driver reads.
fn is_not_readable(error: &anyhow::Error) -> bool {
    let answered = error.downcast_ref::<mongodb::error::Error>();
    answered.is_some_and(|error| matches!(*error.kind, ErrorKind::Bson(_)))
}

fn is_option_refused(error: &anyhow::Error) -> bool {
    server_code(error).is_some_and(|code| OPTION_REFUSED.contains(&code))
}

/// The server's words name the values of keys: only the index is told.
pub(super) fn refusal(code: i32, message: &str) -> String {
    let index = message
        .split_once("index: ")
        .and_then(|(_, rest)| rest.split_whitespace().next());
    match (code, index) {
        (DUPLICATE_KEY, Some(index)) => format!("the key of index `{index}` is taken"),
        (DUPLICATE_KEY, None) => "a unique key is taken".into(),
        (INVALID, _) => "the collection's validator refuses it".into(),
        (code, _) => format!("the server refuses it (code {code})"),
    }
}
