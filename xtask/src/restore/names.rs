//! Names that a restore gives to the collections beside the live ones.

use crate::domain::operation::OperationId;
use crate::domain::restore_name::{LATE_PREFIX, PLAN_PREFIX, PREVIOUS_PREFIX};
pub use crate::domain::restore_name::{Role, parse, shadow_prefix};

/// The name of a restored collection until the swap.
pub fn shadow(operation: &OperationId, collection: &str) -> String {
    format!("{}{collection}", shadow_prefix(operation))
}

/// The name that the collection which was live gets.
pub fn previous(operation: &OperationId, collection: &str) -> String {
    format!("{PREVIOUS_PREFIX}{operation}_{collection}")
}

/// The name that a collection gets which a writer created in between; there may be several of one name.
pub fn late(operation: &OperationId, number: usize, collection: &str) -> String {
    format!("{LATE_PREFIX}{operation}_{number}_{collection}")
}

/// The name of the collection that keeps the plan.
pub fn plan(operation: &OperationId) -> String {
    format!("{PLAN_PREFIX}{operation}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_it_is() {
        let id: OperationId = "20260102-030405-ab12".parse().unwrap();
        for collection in ["users", "_x", "a_b.c", "1_2", ""] {
            let names = [
                (Role::Shadow, shadow(&id, collection)),
                (Role::Previous, previous(&id, collection)),
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
