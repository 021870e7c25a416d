//! The real `railway`, `vercel` and `gh` in place of their stand-ins: the same story against the same simulator. What
//! they ask of the platforms, and what comes of it, must be the same; a difference is a fault of the stand-in.
//!
//! Run by `cargo xtask ci --conformance`.

mod names;
mod outcome;
mod requests;
mod story;

use std::path::{Path, PathBuf};

use story::Told;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn real(name: &str) -> PathBuf {
    let found = xtask::tools::resolve::resolve(root(), &[name.to_owned()]).unwrap();
    found[0].path.clone()
}

#[test]
#[ignore = "needs the real railway, vercel and gh: cargo xtask ci --conformance"]
fn the_real_programs_do_and_ask_what_the_stand_ins_do_and_ask() {
    let programs = ["railway", "vercel", "gh"].map(|name| (name, real(name)));
    let standins = story::play(&[]);
    let real = story::play(&programs);
    println!("compared: {}", standins.size());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, told) in [("stand-ins", &standins), ("real", &real)] {
        std::fs::write(folder.join(format!("conformance-{name}.txt")), told.to_string()).unwrap();
    }
    let differences = differences(&standins, &real);
    assert!(
        differences.is_empty(),
        "the stand-ins (-) differ from the real programs (+); both stories are in {}\n{differences}",
        folder.display()
    );
}

/// What only one of them has, by section and in order.
fn differences(standins: &Told, real: &Told) -> String {
    let mut titles: Vec<&String> = standins.sections.keys().chain(real.sections.keys()).collect();
    titles.sort();
    titles.dedup();
    let none = Vec::new();
    let lines = |told: &'_ Told, title: &str| told.sections.get(title).unwrap_or(&none).clone();
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
