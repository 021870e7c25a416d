//! Both sides of a comparison, merged in the order of their keys.

use std::cmp::Ordering;

use anyhow::{Context as _, Result};

use super::sorter::{Entry, Sorted};
use super::{DocumentCount, EXAMPLES, RowLoss, key};

/// What the merge finds of one collection: counts, and the keys of its examples.
#[derive(Debug, Clone, Default)]
pub(super) struct Merged {
    pub(super) counts: [DocumentCount; 3],
    pub(super) keys: Vec<(RowLoss, Vec<u8>)>,
}

pub(super) fn merge(of_backup: Sorted, of_live: Sorted, collections: usize) -> Result<Vec<Merged>> {
    let mut merged = vec![Merged::default(); collections];
    let mut merge = Merge::new(of_backup, of_live)?;
    while let Some((loss, entry)) = merge.next()? {
        let collection = merged
            .get_mut(key::collection_of(&entry.key)?)
            .context("a key of no collection")?;
        let count = &mut collection.counts[loss as usize];
        count.documents += 1;
        count.bytes += u64::from(entry.bytes);
        if count.documents <= EXAMPLES as u64 {
            collection.keys.push((loss, entry.key));
        }
    }
    Ok(merged)
}

/// Both sides, in the order of their keys.
pub(super) struct Merge {
    of_backup: Sorted,
    of_live: Sorted,
    backup: Option<Entry>,
    live: Option<Entry>,
}

impl Merge {
    pub(super) fn new(mut of_backup: Sorted, mut of_live: Sorted) -> Result<Self> {
        let (backup, live) = (of_backup.next()?, of_live.next()?);
        Ok(Self {
            of_backup,
            of_live,
            backup,
            live,
        })
    }

    /// The next document that is not on both sides alike: as it is live, a deleted one as it is in the backup.
    pub(super) fn next(&mut self) -> Result<Option<(RowLoss, Entry)>> {
        loop {
            let order = match (&self.backup, &self.live) {
                (None, None) => return Ok(None),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(backup), Some(live)) => backup.key.cmp(&live.key),
            };
            let then = if order == Ordering::Greater {
                None
            } else {
                let next = self.of_backup.next()?;
                std::mem::replace(&mut self.backup, next)
            };
            let now = if order == Ordering::Less {
                None
            } else {
                let next = self.of_live.next()?;
                std::mem::replace(&mut self.live, next)
            };
            match (then, now) {
                (Some(then), None) => return Ok(Some((RowLoss::Deleted, then))),
                (None, Some(now)) => return Ok(Some((RowLoss::Created, now))),
                (Some(then), Some(now)) if then.digest != now.digest => {
                    return Ok(Some((RowLoss::Changed, now)));
                }
                _ => {}
            }
        }
    }
}
