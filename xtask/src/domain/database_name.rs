//! Which names a database can have.

/// MongoDB's limit (mongodb.com/docs, "MongoDB Limits and Thresholds").
const MAX_BYTES: usize = 63;
/// What servers on Linux refuse (the same page), and mongodump and mongorestore too (`InvalidDBChars` of mongo-tools); a server on Windows
/// also `*<>:|?`.
const FORBIDDEN: &str = "/\\. \"$";

/// Why no database has this name; empty where one may.
pub fn database_name_problems(name: &str) -> Vec<&'static str> {
    let mut problems = Vec::new();
    if name.is_empty() {
        problems.push("an empty name");
    }
    if name.len() > MAX_BYTES {
        problems.push("the name is too long");
    }
    if name.contains(char::is_control) {
        problems.push("a control character in the name");
    }
    if name.contains(|c| FORBIDDEN.contains(c)) {
        problems.push("a character that database names cannot have");
    }
    problems
}
