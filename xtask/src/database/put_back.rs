//! Documents that are put back in place: one transaction, in which each is compared with what was seen before, and which records
//! in the plan of its restore that it was made.

mod statements;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::error::{TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::options::{Acknowledgment, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern};
use mongodb::sync::{Client, ClientSession, Database};

pub(super) use self::statements::write_command;
use self::statements::{chunks, damaged, removal, replacement};
use super::changes::refusal;
use super::deadline::{PAUSE, RIDE_OUT, is_broken, within};
use super::fence::TOKEN_ID;
use super::raw_id::find_by_ids;

use super::{Live, RawId};
use crate::exec::check_interrupted;
use crate::wait;

/// One document, as it was seen and as it is to be; `None` where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentChange {
    pub collection: String,
    pub before: Option<Vec<u8>>,
    pub after: Option<Vec<u8>>,
}

impl DocumentChange {
    /// The `_id` of both.
    pub fn id(&self) -> Result<RawId> {
        let document = self.before.as_ref().or(self.after.as_ref());
        RawId::of_document(document.context("a change of nothing")?)
    }

    /// What leads back.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            collection: self.collection,
            before: self.after,
            after: self.before,
        }
    }

    /// Bytes of both.
    pub fn bytes(&self) -> usize {
        let bytes = |document: &Option<Vec<u8>>| document.as_ref().map_or(0, Vec::len);
        bytes(&self.before) + bytes(&self.after)
    }
}

/// The document in the plan of a restore that has the state of a batch of changes; the transaction sets it too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchState {
    /// The collection with the plan.
    pub plan: String,
    pub id: String,
    /// Which version of the batch was read: another process may have amended it since.
    pub generation: i32,
    pub from: &'static str,
    pub to: &'static str,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutBack {
    /// Every change was made, now or by an earlier process.
    Done,
    /// Nothing was changed: these (their numbers) are neither as they were seen nor as they are to be. With each comes what was
    /// found.
    Conflicts(Vec<(usize, Option<Vec<u8>>)>),
}

/// How one attempt ended.
enum Attempt {
    Ended(PutBack),
    /// The server refuses one of the writes: in another order it may take them.
    Declined(String),
    /// Another process has amended or made it.
    OtherState(Option<Bson>),
    TokenLost,
    Refused(String),
}

/// In which order changed documents come: by themselves, or all away and then all back, where they exchange unique keys. The local
/// server of the tests refuses to replace a document of some `_id`s (code 66), which it inserts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Replace,
    RemoveAndInsert,
}

impl Live {
    /// Whether the server has transactions.
    pub fn has_transactions(&self) -> Result<bool> {
        let hello = self.hello()?;
        Ok(hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid"))
    }

    /// Makes all of these changes, or none of them, in one transaction. Nothing is changed that is not as it was seen.
    pub fn put_back(&self, changes: &Arc<Vec<DocumentChange>>, state: &BatchState) -> Result<PutBack> {
        let listed = self.listed()?.into_iter();
        let validated = listed.filter(|(_, listed)| listed.options.contains_key("validator"));
        let work = Arc::new(Work {
            changes: Arc::clone(changes),
            state: state.clone(),
            token: self
                .fence
                .as_ref()
                .map(|fence| i64::try_from(fence.token))
                .transpose()?,
            validated: validated.map(|(name, _)| name).collect(),
        });
        let (started, mut order) = (Instant::now(), Order::Replace);
        loop {
            self.prove()?;
            let (client, database) = (self.client.clone(), self.database.clone());
            let own = Arc::clone(&work);
            let attempt = within(self.answer, &self.host, move || {
                own.attempt(&client, &database, order)
            });
            match attempt {
                Ok(Attempt::Ended(ended)) => return Ok(ended),
                Ok(Attempt::Declined(_)) if order == Order::Replace => order = Order::RemoveAndInsert,
                Ok(Attempt::Declined(why) | Attempt::Refused(why)) => bail!(why),
                Ok(Attempt::OtherState(found)) => {
                    bail!(
                        "the batch `{}` was amended by another process: {found:?}",
                        state.id
                    )
                }
                // The question for the token has the words.
                Ok(Attempt::TokenLost) => {
                    self.prove()?;
                    bail!("the token of the operation is gone");
                }
                Err(error) if is_passing(&error) && started.elapsed() < RIDE_OUT => {
                    check_interrupted()?;
                    wait::pause(PAUSE);
                }
                Err(error) => return Err(error).context("cannot put documents back in place"),
            }
        }
    }
}

/// Whether the same transaction may be tried again. Its state in the plan shows whether it was made.
fn is_passing(error: &anyhow::Error) -> bool {
    let labels = [TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT];
    let labelled = |error: &mongodb::error::Error| labels.iter().any(|label| error.contains_label(label));
    is_broken(error) || error.downcast_ref().is_some_and(labelled)
}

/// What one transaction does.
struct Work {
    changes: Arc<Vec<DocumentChange>>,
    state: BatchState,
    token: Option<i64>,
    /// Collections with a validator: only there the right to pass it is asked for.
    validated: BTreeSet<String>,
}

impl Work {
    fn attempt(&self, client: &Client, database: &Database, order: Order) -> mongodb::error::Result<Attempt> {
        let mut session = client.start_session().run()?;
        let durable = WriteConcern::builder()
            .w(Acknowledgment::Majority)
            .journal(true)
            .build();
        session
            .start_transaction()
            .read_concern(ReadConcern::snapshot())
            .write_concern(durable)
            .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
            .run()?;
        let mut transaction = Transaction {
            database,
            session: &mut session,
        };
        let stopped = self.changes_made(&mut transaction, order)?;
        if let Some(stopped) = stopped {
            session.abort_transaction().run().ok();
            return Ok(stopped);
        }
        session.commit_transaction().run()?;
        Ok(Attempt::Ended(PutBack::Done))
    }

    /// Makes the changes; `Some` where they must not be committed.
    fn changes_made(
        &self,
        transaction: &mut Transaction<'_>,
        order: Order,
    ) -> mongodb::error::Result<Option<Attempt>> {
        if let Some(stopped) = self.state_set(transaction)? {
            return Ok(Some(stopped));
        }
        let found = self.found(transaction)?;
        let pairs = || self.changes.iter().zip(&found).enumerate();
        let conflicts: Vec<(usize, Option<Vec<u8>>)> = pairs()
            .filter(|(_, (change, found))| **found != change.before && **found != change.after)
            .map(|(number, (_, found))| (number, found.clone()))
            .collect();
        if !conflicts.is_empty() {
            return Ok(Some(Attempt::Ended(PutBack::Conflicts(conflicts))));
        }
        let wanted: Vec<&DocumentChange> = pairs()
            .filter(|(_, (change, found))| **found != change.after)
            .map(|(_, (change, _))| change)
            .collect();
        if let Some(stopped) = self.write(transaction, &wanted, order)? {
            return Ok(Some(stopped));
        }
        // What the server has stored, before anybody else can see it.
        let stored = self.found(transaction)?;
        let wrong = self
            .changes
            .iter()
            .zip(&stored)
            .find(|(change, stored)| **stored != change.after);
        Ok(wrong.map(|(change, _)| {
            Attempt::Refused(format!(
                "the server stores a document of `{}` otherwise than the backup has it",
                change.collection
            ))
        }))
    }

    /// The state of the batch and the token of the operation: whoever takes over writes the same document.
    fn state_set(&self, transaction: &mut Transaction<'_>) -> mongodb::error::Result<Option<Attempt>> {
        let state = &self.state;
        if let Some(token) = self.token {
            let held = doc! { "q": { "_id": TOKEN_ID, "token": token }, "u": { "$inc": { "changes": 1 } } };
            let answer = transaction.run(&doc! { "update": &state.plan, "updates": [held] })?;
            if count(&answer) != 1 {
                return Ok(Some(Attempt::TokenLost));
            }
        }
        let set = doc! {
            "q": { "_id": &state.id, "generation": state.generation, "state": state.from },
            "u": { "$set": { "state": state.to } },
        };
        let answer = transaction.run(&doc! { "update": &state.plan, "updates": [set] })?;
        if count(&answer) == 1 {
            return Ok(None);
        }
        let find =
            doc! { "find": &state.plan, "filter": { "_id": &state.id }, "limit": 1, "singleBatch": true };
        let answer = transaction.run(&find)?;
        let first = answer.get_document("cursor").ok();
        let first = first.and_then(|cursor| {
            cursor
                .get_array("firstBatch")
                .ok()?
                .first()?
                .as_document()
                .cloned()
        });
        let found = first.and_then(|found| found.get("state").cloned());
        let is_done = found.as_ref().and_then(Bson::as_str) == Some(state.to);
        Ok(Some(if is_done {
            Attempt::Ended(PutBack::Done)
        } else {
            Attempt::OtherState(found)
        }))
    }

    /// What the server has of each.
    fn found(&self, transaction: &mut Transaction<'_>) -> mongodb::error::Result<Vec<Option<Vec<u8>>>> {
        let mut found: Vec<Option<Vec<u8>>> = vec![None; self.changes.len()];
        for (collection, numbers) in self.by_collection() {
            let ids = numbers
                .iter()
                .map(|number| Ok((self.changes[*number].id()?, *number)));
            let ids: HashMap<RawId, usize> = ids.collect::<Result<_>>().map_err(damaged)?;
            let listed: Vec<&RawId> = ids.keys().collect();
            for batch in chunks(&listed, |id| id.len_bytes()) {
                transaction.find(collection, batch, |raw| {
                    let id = RawId::of_document(raw).map_err(damaged)?;
                    if let Some(number) = ids.get(&id) {
                        found[*number] = Some(raw.to_vec());
                    }
                    Ok(())
                })?;
            }
        }
        Ok(found)
    }

    fn by_collection(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut numbers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (number, change) in self.changes.iter().enumerate() {
            numbers.entry(&change.collection).or_default().push(number);
        }
        numbers
    }

    /// Removed first, then replaced, then inserted: what is removed frees unique keys.
    fn write(
        &self,
        transaction: &mut Transaction<'_>,
        wanted: &[&DocumentChange],
        order: Order,
    ) -> mongodb::error::Result<Option<Attempt>> {
        let (mut removed, mut replaced, mut inserted) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for change in wanted {
            let id = change.id().map_err(damaged)?;
            let push = |list: &mut BTreeMap<String, Vec<Vec<u8>>>, statement: Vec<u8>| {
                list.entry(change.collection.clone()).or_default().push(statement);
            };
            match (&change.before, &change.after) {
                (Some(_), Some(after)) if order == Order::Replace => {
                    push(&mut replaced, replacement(&id, after));
                }
                (before, after) => {
                    if before.is_some() {
                        push(&mut removed, removal(&id));
                    }
                    if let Some(after) = after {
                        push(&mut inserted, after.clone());
                    }
                }
            }
        }
        let kinds = [
            ("delete", "deletes", removed),
            ("update", "updates", replaced),
            ("insert", "documents", inserted),
        ];
        for (command, list, statements) in kinds {
            for (collection, statements) in statements {
                for chunk in chunks(&statements, Vec::len) {
                    let unvalidated = command != "delete" && self.validated.contains(&collection);
                    let command = write_command(command, list, &collection, chunk, unvalidated)?;
                    let answer = transaction.run_raw(command)?;
                    if let Some(stopped) = judged(&collection, &answer, chunk.len()) {
                        return Ok(Some(stopped));
                    }
                }
            }
        }
        Ok(None)
    }
}

struct Transaction<'a> {
    database: &'a Database,
    session: &'a mut ClientSession,
}

impl Transaction<'_> {
    fn run(&mut self, command: &Document) -> mongodb::error::Result<Document> {
        self.run_raw(RawDocumentBuf::try_from(command)?)
    }

    fn run_raw(&mut self, command: RawDocumentBuf) -> mongodb::error::Result<Document> {
        self.database
            .run_raw_command(command)
            .session(&mut *self.session)
            .run()
    }

    fn find(
        &mut self,
        collection: &str,
        ids: &[&RawId],
        mut visit: impl FnMut(&[u8]) -> mongodb::error::Result<()>,
    ) -> mongodb::error::Result<()> {
        let command = find_by_ids(collection, ids, None).map_err(damaged)?;
        let cursor = self.database.run_raw_cursor_command(command);
        let mut cursor = cursor.session(&mut *self.session).run()?;
        while cursor.advance(&mut *self.session)? {
            visit(cursor.current().as_bytes())?;
        }
        Ok(())
    }
}

fn count(answer: &Document) -> i64 {
    let n = answer.get("n");
    n.and_then(|n| n.as_i64().or_else(|| n.as_i32().map(i64::from)))
        .unwrap_or(0)
}

/// `None` where the answer is that all was done.
fn judged(collection: &str, answer: &Document, statements: usize) -> Option<Attempt> {
    let errors = answer.get_array("writeErrors").ok();
    if let Some(error) = errors.and_then(|errors| errors.first()?.as_document()) {
        let code = error.get_i32("code").unwrap_or_default();
        let why = refusal(code, error.get_str("errmsg").unwrap_or_default());
        return Some(Attempt::Declined(format!("a document of `{collection}`: {why}")));
    }
    let done = usize::try_from(count(answer)).ok();
    (done != Some(statements)).then(|| {
        Attempt::Refused(format!(
            "the server made {} of {statements} changes of `{collection}`",
            count(answer)
        ))
    })
}
