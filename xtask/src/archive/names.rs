//! Which names of an archive may be restored.
//!
//! A name comes from a file that somebody may have forged. It ends up in commands, messages and on a live server.

use crate::domain::database_name::database_name_problems;
use crate::domain::manifest::namespace_name;

/// MongoDB's limit for `database.collection`, the longer one of current servers.
const MAX_NAMESPACE_BYTES: usize = 255;

/// Functions that an application stores. No server lets a collection be renamed to this name: a restore leaves it alone.
pub const STORED_FUNCTIONS: &str = "system.js";

/// Why a namespace must not be restored; empty when it may. `expected` is the only database that data may go to.
pub fn restore_problems(database: &str, collection: &str, expected: Option<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    let shown = format!("{:?}", namespace_name(database, collection));
    let mut refuse = |why: &str| problems.push(format!("{shown}: {why}"));
    // Slashes in the name of a database also because tools make paths of them.
    database_name_problems(database).into_iter().for_each(&mut refuse);
    if collection.is_empty() {
        refuse("an empty name");
    }
    if database.len() + 1 + collection.len() > MAX_NAMESPACE_BYTES {
        refuse("the name is too long");
    }
    if collection.contains(char::is_control) {
        refuse("a control character in the name");
    }
    // `..`, `a/../b` and absolute paths: restore tools made files of such names. A plain slash or dot is legal.
    if collection.split(['/', '\\']).any(|part| part == "..") || collection.starts_with(['/', '\\']) {
        refuse("the name has the form of a path");
    }
    if matches!(database, "admin" | "config" | "local") {
        refuse("a database of the server itself");
    }
    if (collection.starts_with("system.") && collection != STORED_FUNCTIONS)
        || collection.starts_with("$admin.")
    {
        refuse("a collection of the server itself");
    }
    if collection.starts_with('.') || collection.starts_with('$') {
        refuse("collection names do not begin like this");
    }
    if expected.is_some_and(|expected| expected != database) {
        refuse("another database than the one being restored");
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_and_odd_but_legal_names_pass() {
        let long = "c".repeat(251);
        for name in [
            "users",
            "a.b.c",
            "with$dollar",
            "ünïcödé 名前",
            "a/b",
            "with space",
            "systems",
            "a..b",
            &long,
        ] {
            assert_eq!(restore_problems("app", name, Some("app")), Vec::<String>::new());
        }
        for database in ["any-db", "a*b:c?d<e>f|g", "größe"] {
            assert_eq!(restore_problems(database, "users", None), Vec::<String>::new());
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        let long = "c".repeat(252);
        let cases = [
            ("", "oplog"),
            ("app", ""),
            ("app", "a\0b"),
            ("app", "a\nb"),
            ("a\0", "b"),
            ("app", "../../etc/passwd"),
            ("app", "a/../b"),
            ("app", "..\\x"),
            ("app", "/etc/passwd"),
            ("..", "x"),
            ("a/b", "x"),
            ("a.b", "x"),
            ("$x", "x"),
            ("a b", "x"),
            ("a\"b", "x"),
            ("a\\b", "x"),
            ("app", "system.users"),
            ("app", "system.buckets.x"),
            ("app", "$admin.system.users"),
            ("admin", "x"),
            ("config", "x"),
            ("local", "x"),
            ("app", ".x"),
            ("app", "$x"),
            ("app", &long),
        ];
        for (database, collection) in cases {
            assert!(
                !restore_problems(database, collection, None).is_empty(),
                "{database:?} {collection:?}"
            );
        }
        assert!(!restore_problems("other", "users", Some("app")).is_empty());
    }
}
