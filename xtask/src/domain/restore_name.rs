//! Names of the collections that a restore keeps beside the live ones: a prefix, then the operation's id. A name alone says
//! all of it, so that an operation can be undone also where its journal was lost.
//!
//! An application may use the same prefixes: without an operation's id a collection is the application's.

use super::operation::OperationId;

/// Prefix of a restored collection that is not live.
pub const SHADOW_PREFIX: &str = "__new_";
/// Prefix of a collection that was live before a restore.
pub const PREVIOUS_PREFIX: &str = "__old_";
/// Prefix of a collection that a writer created during a swap.
pub const LATE_PREFIX: &str = "__late_";
/// Prefix of the collection with the plan of a restore.
pub const PLAN_PREFIX: &str = "__plan_";
/// MongoDB's limit for `database.collection`.
const MAX_NAMESPACE_BYTES: usize = 255;
/// Length of an operation's id.
const ID_BYTES: usize = "20260102-030405-ab12".len();

/// What such a collection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A restored collection before the swap, or after an undo.
    Shadow,
    /// What was live before the swap.
    Previous,
    /// Created by a writer in the moment between the two renames.
    Late,
    /// The plan of the operation.
    Plan,
}

/// How the names of an operation's shadow collections begin: `__new_<operation>_`.
pub fn shadow_prefix(operation: &OperationId) -> String {
    format!("{SHADOW_PREFIX}{operation}_")
}

/// Operation, role and name of the live collection it belongs to; `None` for a collection that is no restore's.
pub fn parse(name: &str) -> Option<(OperationId, Role, &str)> {
    let (role, rest) = [
        (Role::Shadow, SHADOW_PREFIX),
        (Role::Previous, PREVIOUS_PREFIX),
        (Role::Late, LATE_PREFIX),
        (Role::Plan, PLAN_PREFIX),
    ]
    .iter()
    .find_map(|(role, prefix)| Some((*role, name.strip_prefix(prefix)?)))?;
    let (id, rest) = rest.split_at_checked(ID_BYTES)?;
    let operation = id.parse().ok()?;
    match role {
        Role::Plan => rest.is_empty().then_some((operation, role, "")),
        Role::Late => {
            let (number, collection) = rest.strip_prefix('_')?.split_once('_')?;
            number.parse::<usize>().ok()?;
            Some((operation, role, collection))
        }
        _ => Some((operation, role, rest.strip_prefix('_')?)),
    }
}

/// Whether the longest name that a restore may give to the collection is short enough for the server.
pub fn fits(database: &str, collection: &str) -> bool {
    let added = LATE_PREFIX.len() + ID_BYTES + "_999_".len();
    database.len() + 1 + added + collection.len() <= MAX_NAMESPACE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_beside_a_collection_decides_whether_it_fits() {
        let longest = "c".repeat(MAX_NAMESPACE_BYTES - "shop.".len() - 32);
        let late = format!("shop.{LATE_PREFIX}20260102-030405-ab12_999_{longest}");
        assert_eq!(late.len(), MAX_NAMESPACE_BYTES);
        assert!(fits("shop", &longest));
        assert!(!fits("shop", &format!("{longest}c")) && !fits("shops", &longest));
    }
}
