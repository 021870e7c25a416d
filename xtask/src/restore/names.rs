//! Names of the collections that a restore keeps beside the live ones. All of it can be told from a name alone, so that an
//! operation can be undone also where its journal was lost.

use crate::domain::operation::OperationId;

/// MongoDB's limit for `database.collection`.
const MAX_NAMESPACE_BYTES: usize = 255;

/// What such a collection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A restored collection before the swap, or taken back by an undo.
    Shadow,
    /// What was live before the swap.
    Old,
    /// Made by a writer in the moment between the two renamings.
    Late,
    /// The plan of the operation.
    Plan,
}

/// `__new_<operation>_`.
pub fn shadow_prefix(operation: &OperationId) -> String {
    format!("__new_{operation}_")
}

/// Where the restored collection waits.
pub fn shadow(operation: &OperationId, collection: &str) -> String {
    format!("{}{collection}", shadow_prefix(operation))
}

/// Where the collection that was live goes.
pub fn old(operation: &OperationId, collection: &str) -> String {
    format!("__old_{operation}_{collection}")
}

/// Where a collection goes that a writer made in between; there may be several of one name.
pub fn late(operation: &OperationId, number: usize, collection: &str) -> String {
    format!("__late_{operation}_{number}_{collection}")
}

/// Where the plan is kept.
pub fn plan(operation: &OperationId) -> String {
    format!("__plan_{operation}")
}

/// Operation, role and name of the live collection it belongs to; `None` for a collection that is no restore's.
pub fn parse(name: &str) -> Option<(OperationId, Role, &str)> {
    let (role, rest) = [
        (Role::Shadow, "__new_"),
        (Role::Old, "__old_"),
        (Role::Late, "__late_"),
        (Role::Plan, "__plan_"),
    ]
    .iter()
    .find_map(|(role, prefix)| Some((*role, name.strip_prefix(prefix)?)))?;
    let id_bytes = "20260102-030405-ab12".len();
    let (id, rest) = rest.split_at_checked(id_bytes)?;
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

/// Whether the longest name that an operation may give to the collection is short enough for the server.
pub fn fits(operation: &OperationId, database: &str, collection: &str) -> bool {
    database.len() + 1 + late(operation, 999, collection).len() <= MAX_NAMESPACE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_they_are() {
        let id: OperationId = "20260102-030405-ab12".parse().unwrap();
        for collection in ["users", "_x", "a_b.c", "1_2", ""] {
            let names = [
                (Role::Shadow, shadow(&id, collection)),
                (Role::Old, old(&id, collection)),
                (Role::Late, late(&id, 7, collection)),
            ];
            for (role, name) in names {
                assert_eq!(parse(&name), Some((id.clone(), role, collection)), "{name}");
                assert!(!crate::domain::inventory::is_application(&name));
            }
        }
        assert_eq!(parse(&plan(&id)), Some((id, Role::Plan, "")));
        for name in [
            "users",
            "__old_users",
            "__new_20260102-030405-ab1_x",
            "__plan_20260102-030405-ab12x",
            "__old_é",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
