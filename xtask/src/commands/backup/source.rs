//! The database that is backed up, as the server lists it: before the dump, and again after it.

use std::collections::BTreeMap;

use anyhow::Result;

use super::refusal;
use crate::database::{Digests, Live};
use crate::domain::inventory::is_application;
use crate::domain::manifest::NamespaceKind;
use crate::secret::Secret;

/// The application's collections and views.
pub(super) type Listing = BTreeMap<String, NamespaceKind>;

pub(super) fn connect(uri: &Secret, database: &str) -> Result<Live> {
    Live::connect(uri, database).map_err(|error| refusal::explain_connection(error, database))
}

/// What the server lists now.
pub(super) fn list(live: &Live) -> Result<Listing> {
    let listed = live.listed()?;
    let own = listed.into_iter().filter(|(name, _)| is_application(name));
    Ok(own.map(|(name, listed)| (name, listed.kind)).collect())
}

/// The size of all documents, for estimates: 0 where our user may not ask.
pub(super) fn size_bytes(live: &Live) -> u64 {
    let inventory = live.inventory(Digests::None);
    inventory.map_or(0, |inventory| {
        inventory.collections.values().map(|facts| facts.bytes).sum()
    })
}
