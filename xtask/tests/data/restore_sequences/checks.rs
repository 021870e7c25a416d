//! What must be true after each step, and in the end.

use std::collections::BTreeSet;
use std::path::Path;

use rehearsal::test_env::process::told;
use rehearsal::test_env::restore::shapes::METERED;
use serde_json::Value;
use xtask::domain::inventory::{Difference, Inventory};

use super::commands::json;
use super::places::{in_database, measurements, rescue_files};
use super::{MAX_ADVICE, Sequence, application, inventory, places};
use crate::restore_scope::without_mark;

/// In what the database is not as expected. The time-series collection stays as it is, whatever is restored.
pub fn differences(expected: &Inventory, found: &Inventory) -> Vec<Difference> {
    let mut differences = expected.compare(found);
    differences.retain(|difference| difference.collection != METERED);
    differences
}

impl Sequence {
    /// All places but the safety backups: a restore promises more than that they are there.
    pub fn places(&mut self) -> BTreeSet<places::Stored> {
        let (live, beside) = in_database(&self.env);
        let mut found: BTreeSet<_> = live.into_keys().chain(beside.into_keys()).collect();
        let rescued = self.machines.iter().flat_map(|machine| rescue_files(machine));
        let backups = self.backups.iter().map(|taken| taken.path.clone());
        for path in rescued.chain(backups).collect::<Vec<_>>() {
            found.extend(self.files.read(&path).iter().cloned());
        }
        found
    }

    pub fn check(&mut self) {
        let live = in_database(&self.env).0;
        self.acknowledged.extend(live);
        let places = self.places();
        let lost: Vec<_> = self
            .acknowledged
            .iter()
            .filter(|(stored, _)| !places.contains(*stored))
            .collect();
        assert!(
            lost.is_empty(),
            "{} documents are in no place: {:#?}",
            lost.len(),
            &lost[..lost.len().min(5)]
        );
        assert_eq!(measurements(&self.env), self.measured, "measurements");
    }

    /// What a plan finds by the change stream of the server is what it finds when it compares everything.
    pub fn plans_agree(&self, backup: &Path) {
        let plan = |backup: &Path| {
            let output = self.env.run(&["restore", backup.to_str().unwrap(), "--plan"]);
            json(&output).map(|plan| plan["loss"].clone())
        };
        let (by_stream, naive) = (plan(backup), plan(&without_mark(&self.env, backup)));
        let part = |loss: &Option<Value>, name: &str| loss.as_ref().map(|loss| loss[name].clone());
        for name in ["collections", "structure"] {
            let (found, expected) = (part(&by_stream, name), part(&naive, name));
            assert_eq!(found, expected, "{name}: {by_stream:?}");
        }
    }

    /// Whatever happened: the advice of `restore --list` is never refused, and leads to where a backup can be restored.
    pub fn settle(&mut self) {
        let machine = self.random.pick(&self.machines).clone();
        for _ in 0..MAX_ADVICE {
            let listed = self
                .run_on(&machine, &["restore", "--list"], None)
                .and_then(|output| json(&output))
                .unwrap();
            let advised = listed["restores"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|known| known["next"].as_str());
            let advised: Vec<&str> = advised.collect();
            // What is under way comes first.
            let midway = advised
                .iter()
                .find(|next| !next.contains("--forget"))
                .or_else(|| advised.last());
            let Some(next) = midway.map(|next| (*next).to_owned()) else {
                break;
            };
            let words: Vec<&str> = next.split_whitespace().skip(2).take(3).collect();
            let output = self.run_on(&machine, &words, None).unwrap();
            assert!(output.status.success(), "{next}: {}", told(&output));
            self.check();
        }
        let names = self.env.database().list_collection_names().run().unwrap();
        let left: Vec<&String> = names
            .iter()
            .filter(|name| xtask::domain::inventory::is_reserved(name))
            .collect();
        assert!(left.is_empty(), "the advice leaves {left:?}");
        self.by_intention(|env, _| application::drop_not_restored(env));
        let Some(at) = self.backups.iter().rposition(|taken| taken.is_restorable) else {
            return;
        };
        let last = self.backups.remove(at);
        let output = self
            .run_on(&machine, &["restore", &last.path.display().to_string()], None)
            .unwrap();
        assert!(output.status.success(), "{}", told(&output));
        assert_eq!(differences(&last.inventory, &inventory(&self.env)), []);
        self.backups.push(last);
        self.check();
    }
}
