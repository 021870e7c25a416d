//! What the driver's calls and the server's operators do to data that are there, by their names
//! (MongoDB Node.js driver 6 and 7, `Collection` and `Db`; Mongoose 8, `Model`; server manual, "Update Operators").

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Reads,
    Adds,
    Rewrites,
    Destroys,
    /// It may do anything, and why.
    Unclear(&'static str),
}

/// Wherever they stand: called, as a key, as a text, or taken as a value.
const DESTROY: &[&str] = &[
    "deleteOne",
    "deleteMany",
    "remove",
    "removeOne",
    "removeMany",
    "findOneAndDelete",
    "findOneAndRemove",
    "findByIdAndDelete",
    "findByIdAndRemove",
    "findAndRemove",
    "drop",
    "dropCollection",
    "dropDatabase",
    "dropIndex",
    "dropIndexes",
    "dropAllIndexes",
    "dropSearchIndex",
    "syncIndexes",
    "cleanIndexes",
    "truncate",
    // A TTL index deletes documents, and a capped collection the oldest ones.
    "expireAfterSeconds",
    "convertToCapped",
    // Of old servers: deletes the documents that are the same by the index.
    "dropDups",
    "$unset",
    "$pull",
    "$pullAll",
    "$pop",
    "$out",
];
const REWRITE: &[&str] = &[
    "updateOne",
    "updateMany",
    "update",
    "replaceOne",
    "findOneAndUpdate",
    "findOneAndReplace",
    "findByIdAndUpdate",
    "findAndModify",
    "findOneAndModify",
    "save",
    "bulkSave",
    "rename",
    "renameCollection",
    "updateSearchIndex",
    "$rename",
    "$merge",
    "upsert",
];
/// What restricts the earlier code, and what runs anything.
const UNCLEAR: &[(&str, &str)] = &[
    ("unique", "may refuse what the earlier code writes"),
    ("validator", "may refuse what the earlier code writes"),
    ("validationLevel", "may refuse what the earlier code writes"),
    ("collMod", "changes the options of a collection"),
    ("hidden", "may change an index that is there"),
    ("eval", "runs a text"),
    ("Function", "runs a text"),
    ("Reflect", "may call anything"),
    ("Proxy", "may call anything"),
    ("globalThis", "may call anything"),
    ("with", "changes what names mean"),
];
const ADD: &[&str] = &[
    "createCollection",
    "createIndex",
    "createIndexes",
    "ensureIndex",
    "createSearchIndex",
    "createSearchIndexes",
    "insertOne",
    "insertMany",
    "insert",
];
/// Calls of a collection or cursor that read, and calls of the language that touch no database.
const READ: &[&str] = &[
    "collection",
    "db",
    "find",
    "findOne",
    "aggregate",
    "countDocuments",
    "estimatedDocumentCount",
    "distinct",
    "toArray",
    "next",
    "hasNext",
    "tryNext",
    "sort",
    "limit",
    "skip",
    "project",
    "batchSize",
    "lean",
    "close",
    "listCollections",
    "listIndexes",
    "indexes",
    "indexExists",
    "indexInformation",
    "startSession",
    "endSession",
    "withSession",
    "withTransaction",
    "startTransaction",
    "commitTransaction",
    "abortTransaction",
    "forEach",
    "map",
    "filter",
    "reduce",
    "keys",
    "values",
    "entries",
    "fromEntries",
    "push",
    "includes",
    "some",
    "every",
    "flat",
    "flatMap",
    "slice",
    "concat",
    "indexOf",
    "join",
    "split",
    "trim",
    "startsWith",
    "endsWith",
    "toLowerCase",
    "toUpperCase",
    "toISOString",
    "getTime",
    "getFullYear",
    "toString",
    "padStart",
    "padEnd",
    "test",
    "match",
    "localeCompare",
    "has",
    "get",
    "add",
    "all",
    "allSettled",
    "resolve",
    "then",
    "catch",
    "finally",
    "now",
    "stringify",
    "parse",
    "isArray",
    "from",
    "of",
    "floor",
    "ceil",
    "round",
    "min",
    "max",
    "abs",
    "random",
    "log",
    "info",
    "warn",
    "error",
    "debug",
    "Number",
    "String",
    "Boolean",
    "Date",
    "BigInt",
    "Array",
    "Map",
    "Set",
    "Object",
    "Error",
    "TypeError",
    "ObjectId",
    "ObjectID",
    "Int32",
    "Long",
    "Double",
    "Decimal128",
    "UUID",
    "parseInt",
    "parseFloat",
    "isNaN",
    "randomUUID",
    // The callback of older programs.
    "done",
    "cb",
    "callback",
];
/// They only run what was given to them by other words of this list.
const RUNS_KEYS: [&str; 3] = [
    "bulkWrite",
    "initializeOrderedBulkOp",
    "initializeUnorderedBulkOp",
];
const KEYWORDS: &[&str] = &[
    "if", "for", "while", "switch", "catch", "function", "return", "await", "async", "typeof", "throw", "in",
    "of", "new", "delete", "void", "yield", "case", "do", "else", "super",
];

pub(super) fn is_keyword(word: &str) -> bool {
    KEYWORDS.contains(&word)
}

/// What follows from a name wherever it stands.
pub(super) fn effect_of_word(word: &str) -> Option<Effect> {
    if DESTROY.contains(&word) {
        return Some(Effect::Destroys);
    }
    if REWRITE.contains(&word) {
        return Some(Effect::Rewrites);
    }
    let unclear = UNCLEAR.iter().find(|(name, _)| *name == word);
    unclear.map(|(_, why)| Effect::Unclear(why))
}

/// What follows from the call of a name that no other list has.
pub(super) fn effect_of_call(name: &str) -> Option<Effect> {
    if ADD.contains(&name) {
        return Some(Effect::Adds);
    }
    if READ.contains(&name) {
        return Some(Effect::Reads);
    }
    match name {
        _ if RUNS_KEYS.contains(&name) => Some(Effect::Unclear("runs a list of operations")),
        // Of a set or map of the language, or of a GridFS bucket.
        "delete" | "clear" => Some(Effect::Destroys),
        "command" | "runCommand" | "adminCommand" => Some(Effect::Unclear("may be any command")),
        _ => None,
    }
}
