//! The real `railway`, `vercel` and `gh` in place of their stand-ins: the same story against the same simulator. What
//! they ask of the platforms, and what comes of it, must be the same; a difference is a fault of the stand-in.
//!
//! Run by `cargo xtask ci --conformance`.

mod outcome;
mod story;

use super::compare::assert_alike;
use super::real;

#[test]
#[ignore = "needs the real railway, vercel and gh: cargo xtask ci --conformance"]
fn the_real_programs_do_and_ask_what_the_stand_ins_do_and_ask() {
    let programs = ["railway", "vercel", "gh"].map(|name| (name, real(name)));
    let standins = story::play(&[]);
    let real = story::play(&programs);
    assert_alike("platforms", &standins, &real);
}
