//! The real `railway`, `vercel` and `gh` in place of their stand-ins: the same story against the same simulator. What
//! they ask of the platforms, and what comes of it, must be the same; a difference is a fault of the stand-in.
//!
//! Run by `cargo xtask ci --conformance`.

mod compare;
mod names;
mod outcome;
mod requests;
mod story;

use std::path::{Path, PathBuf};

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
    compare::assert_alike("platforms", &standins, &real);
}
