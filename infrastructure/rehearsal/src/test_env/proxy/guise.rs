//! What the local server has not, and others have: the limits of Atlas's small tiers, search indexes, routers of sharded clusters,
//! time-series collections, a full disk, what was stored before.

use std::collections::BTreeMap;

use mongodb::bson::{Document, deserialize_from_slice, doc};

use super::clustered::ClusteredExpiry;
use super::{COMMAND, HEADER_BYTES, NAME_AT, before, command, number};

/// What Atlas's small tiers refuse: the command, and the bytes in it (a field of BSON) that they refuse it for.
const OF_SMALL_TIERS: [(&str, &[u8]); 6] = [
    ("find", b"\x08noCursorTimeout\0"),
    ("createIndexes", b"\x10v\0"),
    ("createIndexes", b"\x10w\0"),
    ("dbStats", b"\x10dbStats\0"),
    ("aggregate", b"$currentOp\0"),
    ("find", b"find\0\x09\0\0\0oplog.rs\0"),
];

/// 16 MB for a document, and 16 kB for what a command has beside it.
const MAX_COMMAND_BYTES: i32 = (16 << 20) + (16 << 10);

/// What the server seems to be.
#[derive(Debug, Default)]
pub(super) struct Guise {
    pub(super) small_tier: bool,
    /// The collection that is listed as a time-series collection.
    pub(super) timeseries: Option<String>,
    /// The search indexes by collection, where the server is one of Atlas's; how often each was listed.
    pub(super) search: Option<BTreeMap<String, Vec<(Document, u32)>>>,
    /// Whether the user may not list them, and a small tier answers so.
    pub(super) hidden_search: Option<bool>,
    /// The collection that a router has on several shards.
    pub(super) sharded: Option<String>,
    pub(super) full: bool,
    /// Whether the user may only read.
    pub(super) reader: bool,
    pub(super) takes_buckets: bool,
    pub(super) version: Option<String>,
    /// What was set of clustered collections, where that can be set.
    pub(super) clustered: Option<ClusteredExpiry>,
    /// Whether it has what drivers and servers of before stored.
    pub(super) old: bool,
}

/// Where buckets of time-series collections are, and the collection that the local server keeps them in: it makes its own, and
/// lets nobody insert any. Both have as many letters.
const BUCKETS: [&[u8]; 2] = [b"system.buckets.", b"system_buckets_"];

/// The collection with the buckets that were inserted for this time-series collection.
pub fn kept_buckets(collection: &str) -> String {
    format!("system_buckets_{collection}")
}

impl Guise {
    /// The answer to a message that the local server would answer otherwise.
    pub(super) fn answer(&mut self, message: &[u8]) -> Option<Document> {
        let refused = self.small_tier.then(|| refusal(message)).flatten();
        let refused = refused.or_else(|| too_large(message));
        if refused.is_some() {
            return refused;
        }
        let is_local = self.search.is_none() && self.hidden_search.is_none() && self.sharded.is_none();
        if is_local && !self.full && !self.reader && self.version.is_none() {
            return None;
        }
        let asked: Document = deserialize_from_slice(message.get(NAME_AT - 5..)?).ok()?;
        if let Some(by_small_tier) = self.hidden_search
            && lists_search(&asked).is_some()
        {
            return Some(not_allowed(&asked, by_small_tier));
        }
        let answered = self
            .search
            .as_mut()
            .and_then(|search| search_answer(search, &asked));
        answered
            .or_else(|| router_answer(self.sharded.as_deref()?, &asked))
            .or_else(|| self.full.then(|| full_disk(&asked)).flatten())
            .or_else(|| self.reader.then(|| rights_of_reader(&asked)).flatten())
            .or_else(|| build_of(self.version.as_deref()?, &asked))
    }

    /// Changes a request to the local server.
    pub(super) fn change_request(&mut self, message: &mut [u8]) {
        if let Some(clustered) = &mut self.clustered {
            clustered.note(message);
        }
        if self.old {
            before::to_local(message);
        }
        if self.takes_buckets && command(message) == b"insert" {
            // The name and its end, the length of the collection's name.
            let at = NAME_AT + b"insert\0".len() + 4;
            if let Some(name) = message.get_mut(at..at + BUCKETS[0].len())
                && name == BUCKETS[0]
            {
                name.copy_from_slice(BUCKETS[1]);
            }
        }
    }

    /// Changes an answer of the local server.
    pub(super) fn change(&self, message: &mut Vec<u8>) {
        if self.old {
            before::from_local(message);
        }
        let clustered = self.clustered.as_ref().filter(|clustered| !clustered.is_empty());
        if let Some(changed) = clustered.and_then(|clustered| clustered.listed(message)) {
            *message = changed;
        }
        if let Some(collection) = &self.timeseries {
            list_as_timeseries(message, collection);
        }
    }
}

/// The local server takes a command of any size. A `mongod` has a limit for each document (`BSONObjMaxInternalSize`).
fn too_large(message: &[u8]) -> Option<Document> {
    let is_command = number(message, HEADER_BYTES - 4) == Some(COMMAND);
    let bytes = number(message, NAME_AT - 5).filter(|bytes| is_command && *bytes > MAX_COMMAND_BYTES)?;
    let what =
        format!("BSONObj size: {bytes} is invalid. Size must be between 0 and {MAX_COMMAND_BYTES}(16MB)");
    Some(doc! { "ok": 0, "errmsg": what, "code": 10334, "codeName": "BSONObjectTooLarge" })
}

/// The answer of one of Atlas's small tiers to what it refuses.
fn refusal(message: &[u8]) -> Option<Document> {
    let name = command(message);
    let refused = |(refused, bytes): &&(&str, &[u8])| {
        refused.as_bytes() == name && message.windows(bytes.len()).any(|part| part == *bytes)
    };
    let (name, _) = OF_SMALL_TIERS.iter().find(refused)?;
    let what = format!("{name}: this is not allowed in this Atlas tier");
    Some(doc! { "ok": 0, "errmsg": what, "code": 8000, "codeName": "AtlasError" })
}

/// The collection whose search indexes are asked for.
fn lists_search(asked: &Document) -> Option<&str> {
    let stage = asked.get_array("pipeline").ok()?.first()?.as_document()?;
    stage.get_document("$listSearchIndexes").ok()?;
    asked.get_str("aggregate").ok()
}

/// A user without the action `listSearchIndexes`.
fn not_allowed(asked: &Document, by_small_tier: bool) -> Document {
    let text = |name: &str| asked.get_str(name).unwrap_or_default();
    if by_small_tier {
        let what = format!(
            "user is not allowed to do action [listSearchIndexes] on [{}.{}]",
            text("$db"),
            text("aggregate")
        );
        doc! { "ok": 0, "errmsg": what, "code": 8000, "codeName": "AtlasError" }
    } else {
        let what = format!("not authorized on {} to execute command", text("$db"));
        doc! { "ok": 0, "errmsg": what, "code": 13, "codeName": "Unauthorized" }
    }
}

/// What a router answers. The driver's own questions are of `admin`: it goes on as with the local server.
fn router_answer(sharded: &str, asked: &Document) -> Option<Document> {
    let (name, value) = asked.iter().next()?;
    match name.as_str() {
        "hello" if asked.get_str("$db").is_ok_and(|database| database != "admin") => {
            Some(doc! { "ok": 1, "isWritablePrimary": true, "msg": "isdbgrid", "maxWireVersion": 21 })
        }
        "collStats" if value.as_str() == Some(sharded) => {
            Some(doc! { "ok": 1, "sharded": true, "size": 1, "count": 1 })
        }
        _ => None,
    }
}

/// What a server with users lists of one with the role `read` on the database.
fn rights_of_reader(asked: &Document) -> Option<Document> {
    asked.get("connectionStatus")?;
    let actions = [
        "find",
        "listCollections",
        "listIndexes",
        "collStats",
        "killCursors",
    ];
    Some(doc! { "ok": 1, "authInfo": {
        "authenticatedUsers": [{ "user": "reader", "db": "admin" }],
        "authenticatedUserRoles": [{ "role": "read", "db": "shop" }],
        "authenticatedUserPrivileges": [{ "resource": { "db": "", "collection": "" }, "actions": actions.to_vec() }],
    } })
}

fn build_of(version: &str, asked: &Document) -> Option<Document> {
    let numbers = version.split('.').filter_map(|number| number.parse::<i32>().ok());
    let numbers: Vec<i32> = numbers.chain([0]).collect();
    asked.get("buildInfo")?;
    Some(doc! { "ok": 1, "version": version, "versionArray": numbers, "maxBsonObjectSize": 16_777_216 })
}

fn full_disk(asked: &Document) -> Option<Document> {
    let first = asked.keys().next()?;
    (first == "dbStats").then(|| doc! { "ok": 1, "fsTotalSize": 1_000.0, "fsUsedSize": 999.0 })
}

/// What Atlas answers about search indexes. They belong to the collection: a renaming takes them along, a drop ends them. A new one
/// can be queried from the second time on that it is listed.
fn search_answer(
    search: &mut BTreeMap<String, Vec<(Document, u32)>>,
    command: &Document,
) -> Option<Document> {
    let (name, value) = command.iter().next()?;
    let collection = value.as_str()?.to_owned();
    match name.as_str() {
        "renameCollection" => {
            let without_database = |name: &str| name.split_once('.').map(|(_, name)| name.to_owned());
            let indexes = search.remove(&without_database(&collection)?)?;
            search.insert(without_database(command.get_str("to").ok()?)?, indexes);
            None
        }
        "drop" => search.remove(&collection).and(None),
        "createSearchIndexes" => {
            let indexes = command.get_array("indexes").ok()?.iter();
            let indexes = indexes.filter_map(|index| Some((index.as_document()?.clone(), 0)));
            search.entry(collection).or_default().extend(indexes);
            Some(doc! { "ok": 1, "indexesCreated": [] })
        }
        "aggregate" => {
            lists_search(command)?;
            let listed = search.entry(collection.clone()).or_default().iter_mut();
            let listed: Vec<Document> = listed
                .map(|(index, times)| {
                    *times += 1;
                    doc! {
                        "name": index.get_str("name").expect("a name"), "type": index.get_str("type").expect("a type"),
                        "latestDefinition": index.get_document("definition").expect("a definition"),
                        "queryable": *times > 1, "status": if *times > 1 { "READY" } else { "PENDING" },
                    }
                })
                .collect();
            let of = format!("{}.{collection}", command.get_str("$db").ok()?);
            Some(doc! { "ok": 1, "cursor": { "id": 0_i64, "ns": of, "firstBatch": listed } })
        }
        _ => None,
    }
}

/// Names the type of this collection in the answer to `listCollections`; both words have as many letters.
fn list_as_timeseries(message: &mut [u8], collection: &str) {
    let length = u32::try_from(collection.len() + 1).expect("a short name");
    let mut listed = b"\x02name\0".to_vec();
    listed.extend(length.to_le_bytes());
    listed.extend(collection.as_bytes());
    listed.extend(b"\0\x02type\0\x0b\0\0\0");
    let mut found = message.windows(listed.len() + 10);
    let at = found.position(|part| part.starts_with(&listed) && part.ends_with(b"collection"));
    if let Some(at) = at {
        message[at + listed.len()..][..10].copy_from_slice(b"timeseries");
    }
}
