//! How long each phase of a restore will take, from what was measured: the speed at which both sides were read for the loss
//! preview just now, and what earlier restores of this environment took, as the ledger has it.

use std::time::Instant;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::database::Live;
use crate::domain::ledger::LedgerState;
use crate::wait::elapsed_ms;

/// Used where nothing was measured yet: mongorestore of 500-byte documents with two indexes on two cores, and reading them.
pub(super) const ASSUMED_RESTORE_BYTES_PER_S: u64 = 8 << 20;
pub(super) const ASSUMED_READ_BYTES_PER_S: u64 = 40 << 20;
/// Two searches and a change of each document in a transaction, with room for a slow server.
const IN_PLACE_US: u64 = 200;
const IN_PLACE: &str = "documents put back in place";
/// Where nothing is swapped there are none of these: the rescue file has the documents that are written over, and they are at hand.
const BESIDE: &str = "restore beside the live collections";
const COMPARISON: &str = "comparison";
const SWAP: &str = "swap (the time of readers without data)";
const FROM_OUTSIDE: &str = "comparison from outside";
const RESCUE: &str = "rescue file";
/// Renamings of each collection in a swap.
const RENAMES: u64 = 2;

/// What one restore took; kept in the ledger for the estimates of the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreMeasures {
    pub bytes: u64,
    pub collections: u64,
    pub restore_ms: u64,
    pub compare_ms: u64,
    /// From the first renaming to the last.
    pub swap_ms: u64,
}

/// How much each phase has to do.
#[derive(Debug, Clone, Copy)]
pub struct RestoreSizes {
    /// The whole archive: it is read to its end, also where only a part of it is restored.
    pub backup_bytes: u64,
    /// What is restored beside the live collections.
    pub copied_bytes: u64,
    /// What is restored whole, and renamed.
    pub collections: u64,
    /// Whether anything live is renamed.
    pub swaps: bool,
    /// Whether documents of any collection are put back in place.
    pub puts_back: bool,
    /// What is put back in place.
    pub in_place_documents: u64,
    /// What the safety backup has to read.
    pub live_bytes: u64,
    /// What is live now of what is swapped: the rescue file has to read it, and the backup with it.
    pub replaced_bytes: u64,
}

/// How long both sides took to be read.
#[derive(Debug, Clone, Copy)]
pub struct MeasuredReading {
    pub bytes: u64,
    pub ms: u64,
}

/// The phases in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreEstimate {
    pub phases: Vec<PhaseEstimate>,
    pub total_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhaseEstimate {
    pub phase: &'static str,
    pub ms: u64,
    /// What it is reckoned from.
    pub from: &'static str,
}

/// Reckons every phase.
pub fn estimate(
    live: &Live,
    sizes: &RestoreSizes,
    reading: Option<MeasuredReading>,
    ledger: &LedgerState,
) -> Result<RestoreEstimate> {
    // One that restored nothing whole has measured nothing of that.
    let earlier = measures(ledger).find(|(_, earlier)| earlier.bytes > 0);
    let earlier = earlier.map(|(_, earlier)| earlier);
    let (bytes, collections) = (sizes.copied_bytes, sizes.collections);
    let (read_rate, read_from) = match reading {
        // Too little to tell a speed from counts as a second's work.
        Some(reading) => (
            rate(reading.bytes, reading.ms),
            "the speed at which both sides were read just now",
        ),
        None => (ASSUMED_READ_BYTES_PER_S, "an assumed 40 MB/s: nothing was read"),
    };
    let read = |bytes: u64| bytes * 1_000 / read_rate.max(1);
    let (restore_ms, restore_from) = match earlier.filter(|m| m.bytes > 0 && m.restore_ms > 0) {
        Some(m) => (
            scaled(m.restore_ms, bytes, m.bytes),
            "the last restore of this environment",
        ),
        None => (
            bytes * 1_000 / ASSUMED_RESTORE_BYTES_PER_S,
            "an assumed 8 MB/s: no earlier restore is in the ledger",
        ),
    };
    let (swap_ms, swap_from) = match earlier.filter(|m| m.collections > 0 && m.bytes > 0) {
        // Per collection where the server renames in constant time; by bytes where it copies: the longer one.
        Some(m) => (
            scaled(m.swap_ms, collections, m.collections).max(scaled(m.swap_ms, bytes, m.bytes)),
            "the last restore of this environment",
        ),
        None => (
            collections * RENAMES * round_trip_ms(live)?,
            "the server's round trip, for a server that renames in constant time",
        ),
    };
    let phase = |phase, ms, from| PhaseEstimate { phase, ms, from };
    let mut phases = vec![
        phase("safety backup", 2 * read(sizes.live_bytes), read_from),
        phase("check of the backup", read(sizes.backup_bytes), read_from),
        phase(BESIDE, restore_ms, restore_from),
        phase(COMPARISON, read(bytes), read_from),
        phase(
            IN_PLACE,
            sizes.in_place_documents * IN_PLACE_US / 1_000,
            "an assumed 5,000 documents a second",
        ),
        phase(SWAP, swap_ms, swap_from),
        phase(FROM_OUTSIDE, read(bytes), read_from),
        phase(RESCUE, read(sizes.backup_bytes + sizes.replaced_bytes), read_from),
    ];
    phases.retain(|phase| match phase.phase {
        IN_PLACE => sizes.in_place_documents > 0,
        BESIDE | COMPARISON | SWAP | FROM_OUTSIDE | RESCUE => sizes.swaps,
        _ => true,
    });
    let total_ms = phases.iter().map(|phase| phase.ms).sum();
    Ok(RestoreEstimate { phases, total_ms })
}

/// The restores whose measures are in the ledger, newest first: each an operation, or a step of a rollback.
pub(super) fn measures(ledger: &LedgerState) -> impl Iterator<Item = (String, RestoreMeasures)> {
    ledger.operations.iter().rev().filter_map(|operation| {
        let ended = operation.ended.iter().map(|ended| &ended.facts);
        let mut facts = operation.steps.iter().map(|step| &step.facts).chain(ended);
        let measured = facts.find_map(|facts| serde_json::from_value(facts.get("measured")?.clone()).ok())?;
        Some((format!("{} {}", operation.started.kind, operation.id), measured))
    })
}

pub(super) fn scaled(ms: u64, size: u64, measured_size: u64) -> u64 {
    let scaled = u128::from(ms) * u128::from(size) / u128::from(measured_size.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

fn rate(bytes: u64, ms: u64) -> u64 {
    scaled(1_000, bytes, ms.max(1)).max(1)
}

fn round_trip_ms(live: &Live) -> Result<u64> {
    let started = Instant::now();
    live.server()?;
    // Two questions, and a change waits for the journal: rounded up.
    Ok(elapsed_ms(started).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_grow_with_the_size() {
        assert_eq!(scaled(100, 50, 10), 500);
        assert_eq!(scaled(100, 50, 0), 5_000);
        assert_eq!(rate(1_000, 0), 1_000_000);
        assert_eq!(rate(0, 10), 1);
    }
}
