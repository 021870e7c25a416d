//! The end of a holder that was replaced. It cannot change anything any more; it is waited for all the same where this machine can see
//! it, and otherwise the operator is shown why not.

use std::time::{Duration, Instant};

use super::holder::{self, Life};
use crate::domain::ledger::LedgerOperation;
use crate::exec::interrupted;
use crate::report;

/// How long a process that runs is waited for: it looks at its lock before each change, and ends there.
const LONGEST: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);

/// Waits for the end of the holder of `operation`, which has just been replaced.
pub(super) fn wait_for_end(operation: &LedgerOperation) {
    let former = &operation.holder;
    if operation.ended.is_some() || former.process == holder::this_process().process {
        return;
    }
    let since = Instant::now();
    let _waiting = report::waiting_for(&format!("the end of {former}, which was replaced"));
    let why = loop {
        match holder::life(former) {
            Life::Dead => return,
            Life::Unknown => break "whether it has ended is not known on this machine".to_owned(),
            Life::Alive if holder::is_stopped(former.pid) => {
                break format!("it is stopped (kill -CONT {0} lets it end by itself)", former.pid);
            }
            Life::Alive if since.elapsed() >= LONGEST || interrupted() => {
                break format!("it still runs after {} s", since.elapsed().as_secs());
            }
            Life::Alive => std::thread::sleep(POLL),
        }
    };
    report::progress(&format!(
        "note: {former} was replaced: {why}. It changes nothing more: its lease is over, and its token is no longer the newest"
    ));
}
