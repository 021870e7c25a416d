//! What restores have left in the database, from the names and plans in it.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::journal::{RestorePhase, RestoreState};
use super::kept::add_kept;
use super::names::{self, Role};
use crate::database::Live;
use crate::domain::operation::OperationId;

/// What one restore has left in a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leftover {
    pub operation: OperationId,
    pub collections: usize,
    /// Its swap, with proof and rescue file, or its undo has not ended.
    pub midway: bool,
    /// What ends it, or removes it.
    pub next: String,
}

/// What restores have left in this database, without journals and ledger.
pub fn leftovers(live: &Live) -> Result<Vec<Leftover>> {
    let mut roles: BTreeMap<OperationId, Vec<Role>> = BTreeMap::new();
    for name in live.listed()?.into_keys() {
        if let Some((operation, role, _)) = names::parse(&name) {
            roles.entry(operation).or_default().push(role);
        }
    }
    let leftovers = roles.into_iter();
    leftovers
        .map(|(operation, roles)| leftover(live, operation, &roles))
        .collect()
}

fn leftover(live: &Live, operation: OperationId, roles: &[Role]) -> Result<Leftover> {
    let mut history = RestoreState::of(&[]);
    if roles.contains(&Role::Plan) {
        add_kept(live, &operation, &mut history)?;
    }
    let mixed = roles.contains(&Role::Previous) && roles.contains(&Role::Shadow);
    let midway = if history.swap.is_some() {
        history.phase.is_midway()
    } else {
        mixed
    };
    let next = match history.phase {
        RestorePhase::Undoing => format!("cargo xtask restore --undo {operation}"),
        _ if midway => format!("cargo xtask restore --resume {operation}   (or --undo {operation})"),
        _ => format!("cargo xtask restore --forget {operation}"),
    };
    Ok(Leftover {
        collections: roles.len(),
        midway,
        next,
        operation,
    })
}
