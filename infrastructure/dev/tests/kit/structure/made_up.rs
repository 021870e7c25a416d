//! Each rule finds what is wrong in a small made-up tree.

use std::collections::BTreeMap;

use super::source::Source;
use super::tree::{Layer, Tree, layers};
use super::words::{Word, words, wrong_words_of_document};

/// A made-up tree whose layers are `top`, `middle`, then the base `low` and `base`.
fn made_up(files: &[(&str, &str)]) -> Tree {
    Tree::new(
        files
            .iter()
            .map(|(file, text)| Source::read(file, text))
            .collect(),
    )
}

fn made_up_layers() -> BTreeMap<String, Layer> {
    layers(
        "\n## Layers\n| rooms | what |\n|---|---|\n| `top` | x |\n| `middle` | x |\n| `low`, `base` | the base: x |\n| `domain` | x |\n\n## Next\n",
    )
}

fn made_up_words() -> Vec<Word> {
    words(
        "\n## Words\n\n| not | but | where |\n|---|---|---|\n| go back, told | undo, report | texts, names |\n| reach | impact | names |\n",
    )
}

#[test]
fn an_arrow_up_is_found_in_use_lines_and_in_code() {
    let tree = made_up(&[
        ("top.rs", "use crate::middle::inner::Thing;"),
        ("middle.rs", "pub mod inner;\nfn f() { vec![crate::top::run()]; }"),
        (
            "middle/inner.rs",
            "use super::super::{low, top as upper};\nfn f() { upper::x(); }",
        ),
        (
            "low.rs",
            "use crate::base::B;\n#[cfg(test)]\nmod tests { use crate::top::T; }",
        ),
        ("base.rs", "use std::top::T; use crate::low::L;"),
    ]);
    assert_eq!(
        tree.arrows_up(&made_up_layers()),
        [
            "xtask/src/middle.rs:2: `middle` must not use `top`",
            "xtask/src/middle/inner.rs:1: `middle` must not use `top`",
        ]
    );
    let unknown = made_up(&[("elsewhere.rs", "")]).arrows_up(&made_up_layers());
    assert_eq!(
        unknown,
        ["xtask/src/elsewhere.rs:1: `elsewhere` is not in the table of layers"]
    );
}

#[test]
fn a_circle_is_found_through_what_a_module_passes_on() {
    let tree = made_up(&[
        (
            "top.rs",
            "mod a; mod b; mod c;\npub use b::Shared;\npub struct Common;\nuse a::run;",
        ),
        ("top/a.rs", "use super::Shared;"),
        (
            "top/b.rs",
            "use super::Common;\nuse super::c;\npub struct Shared;",
        ),
        ("top/c.rs", "fn f() { super::a::run(); }"),
    ]);
    assert_eq!(
        tree.circles(),
        [
            "xtask/src/top/a.rs:1: `top::b` is in a circle with this file",
            "xtask/src/top/b.rs:2: `top::c` is in a circle with this file",
            "xtask/src/top/c.rs:1: `top::a` is in a circle with this file",
        ]
    );
    let parts_share_their_parent = made_up(&[
        ("top.rs", "mod a;\nuse a::run;\npub struct Common;"),
        ("top/a.rs", "use super::Common;"),
    ]);
    assert!(parts_share_their_parent.circles().is_empty());
}

#[test]
fn a_public_type_name_that_is_used_twice_is_found() {
    let tree = made_up(&[
        ("commands/a.rs", "pub struct Args; pub struct Plan;"),
        ("commands/b.rs", "pub struct Args; struct Plan;"),
        (
            "low.rs",
            "impl Iterator for X { type Item = u8; }\npub(crate) enum Plan {}",
        ),
        (
            "base.rs",
            "impl Iterator for X { type Item = u8; } fn f() { struct Plan; }",
        ),
    ]);
    let both = "the public type name `Plan` is used 2 times: xtask/src/commands/a.rs:1, xtask/src/low.rs:2";
    assert_eq!(
        tree.double_names(),
        [
            format!("xtask/src/commands/a.rs:1: {both}"),
            format!("xtask/src/low.rs:2: {both}")
        ]
    );
}

#[test]
fn a_word_of_the_table_is_found_in_texts_names_and_documents() {
    let tree = made_up(&[(
        "top.rs",
        "/// Not shown: go back.\npub struct ReachOf;\nfn f() { let told = 1; print(\"cannot \\\n  go \\\n  back\"); }\n\
         #[derive(clap::Args)]\nstruct A {\n    /// Go back now\n    go: bool,\n}\n\
         fn told_all() { x.expect(\"go back\"); y(\"told\", \"`go back` is {told} in reach\"); }",
    )]);
    let found = tree.wrong_words(&made_up_words());
    assert_eq!(
        found,
        [
            "xtask/src/top.rs:3: `go back`: undo, report (in \"cannot go back\")",
            "xtask/src/top.rs:8: `Go back`: undo, report (in \"Go back now\")",
            "xtask/src/top.rs:2: the name `ReachOf`: impact",
            "xtask/src/top.rs:11: the name `told_all`: undo, report",
        ]
    );
    let document = "# D\nIt was\ntold to go\nback.\n```\nrun told # told here\n```\n## Words\n| told | x |\n";
    let found = wrong_words_of_document("D.md", document, &made_up_words());
    assert_eq!(
        found,
        [
            "D.md:3: `told`: undo, report",
            "D.md:3: `go back`: undo, report",
            "D.md:6: `told`: undo, report"
        ]
    );
}
