//! Dependencies between checks: names to places, cycles, reachability.

use std::collections::{BTreeMap, BTreeSet};

use super::file::{CheckSpec, Text};
use crate::config;

/// For each check the places of those it depends on; unknown names and cycles are mistakes.
pub(super) fn resolve(entries: &[(Text, CheckSpec)], mistakes: &mut Vec<(usize, String)>) -> Vec<Vec<usize>> {
    let places: BTreeMap<&str, usize> = entries
        .iter()
        .enumerate()
        .map(|(index, (name, _))| (name.get_ref().as_str(), index))
        .collect();
    let mut depends_on = vec![Vec::new(); entries.len()];
    for (index, (_, entry)) in entries.iter().enumerate() {
        for needed in &entry.depends_on {
            if let Some(place) = places.get(needed.get_ref().as_str()) {
                depends_on[index].push(*place);
            } else {
                let hint = config::hint(needed.get_ref(), places.keys().copied());
                mistakes.push((needed.span().start, format!("there is no check `{needed}`{hint}")));
            }
        }
    }
    let mut reported = BTreeSet::new();
    for index in 0..entries.len() {
        let reached = reachable(index, entries.len(), |at| &depends_on[at]);
        if reached.contains(&index) && !reported.contains(&index) {
            // All checks of the same cycle reach each other: it is said once.
            let cycle: Vec<usize> = reached
                .into_iter()
                .filter(|&other| reachable(other, entries.len(), |at| &depends_on[at]).contains(&index))
                .collect();
            let names: Vec<&str> = cycle.iter().map(|&at| entries[at].0.get_ref().as_str()).collect();
            mistakes.push((
                entries[index].0.span().start,
                format!(
                    "these checks depend on each other in a circle: {}",
                    names.join(", ")
                ),
            ));
            reported.extend(cycle);
        }
    }
    depends_on
}

/// Everything that can be reached from `start` by one step or more.
pub(super) fn reachable<'a>(
    start: usize,
    count: usize,
    next: impl Fn(usize) -> &'a Vec<usize>,
) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<usize> = next(start).clone();
    while let Some(at) = open.pop() {
        debug_assert!(at < count, "indexes are of the same list");
        if reached.insert(at) {
            open.extend(next(at));
        }
    }
    reached
}
