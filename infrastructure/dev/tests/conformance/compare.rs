//! Two stories side by side: what only one of them has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A story as text, by section: requests, results, what is there in the end.
#[derive(Default)]
pub struct Told {
    pub sections: BTreeMap<String, Vec<String>>,
}

impl std::fmt::Display for Told {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (title, lines) in &self.sections {
            writeln!(out, "== {title}")?;
            lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        }
        Ok(())
    }
}

impl Told {
    /// How much there is to compare, for people.
    fn size(&self) -> String {
        let asked = self.sections.iter().filter(|(title, _)| title.contains("asks"));
        format!(
            "{} requests, {} lines in {} sections",
            asked.map(|(_, lines)| lines.len()).sum::<usize>(),
            self.sections.values().map(Vec::len).sum::<usize>(),
            self.sections.len()
        )
    }
}

/// Fails where they differ, and leaves both in the folder of cargo's tests.
pub fn assert_alike(name: &str, standins: &Told, real: &Told) {
    println!("{name}: compared {}", standins.size());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (whose, told) in [("stand-ins", standins), ("real", real)] {
        let file = folder.join(format!("conformance-{name}-{whose}.txt"));
        std::fs::write(file, told.to_string()).unwrap();
    }
    let differences = differences(standins, real);
    assert!(
        differences.is_empty(),
        "the stand-ins (-) differ from the real programs (+); both stories are in {}\n{differences}",
        folder.display()
    );
}

/// By section and in order.
fn differences(standins: &Told, real: &Told) -> String {
    let titles: BTreeSet<&String> = standins.sections.keys().chain(real.sections.keys()).collect();
    let lines = |told: &Told, title: &String| told.sections.get(title).cloned().unwrap_or_default();
    titles
        .into_iter()
        .filter_map(|title| {
            let changed = changed(&lines(standins, title), &lines(real, title))?;
            Some(format!("\n{title}\n{changed}"))
        })
        .collect()
}

/// What is left of two lists without their common beginning and end.
fn changed(standins: &[String], real: &[String]) -> Option<String> {
    let alike =
        |pairs: &mut dyn Iterator<Item = (&String, &String)>| pairs.take_while(|(a, b)| a == b).count();
    let begin = alike(&mut standins.iter().zip(real));
    let (standins, real) = (&standins[begin..], &real[begin..]);
    let end = alike(&mut standins.iter().rev().zip(real.iter().rev()));
    let (standins, real) = (&standins[..standins.len() - end], &real[..real.len() - end]);
    let lines = standins.iter().map(|line| format!("- {line}\n"));
    let text: String = lines
        .chain(real.iter().map(|line| format!("+ {line}\n")))
        .collect();
    (!text.is_empty()).then_some(text)
}
