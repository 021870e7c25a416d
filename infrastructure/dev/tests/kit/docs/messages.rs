//! The table of messages in the guide is the catalogue of errors.

use std::fmt::Write as _;

use xtask::error::ExitKind;
use xtask::error::catalogue::{AREAS, Area, ErrorEntry, display_code};

use super::{read, root};

const GUIDE: &str = "docs/PRODUCTION-ROLLBACK-GUIDE.md";
const BEGIN: &str = "<!-- messages: printed from the catalogue of errors by `XTASK_BLESS=1 cargo test -p dev --test kit docs::messages` -->\n";
const END: &str = "<!-- end of messages -->\n";

/// A text as a reader sees it: what the program fills in becomes `…`, and it fits into one cell.
fn shown(text: &str) -> String {
    let text = text.replace("{{", "\u{1}").replace("}}", "\u{2}");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        out += before;
        out.push('…');
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    out += rest;
    let line = out.split('\n').map(str::trim).collect::<Vec<_>>().join(" ");
    line.replace('\u{1}', "{")
        .replace('\u{2}', "}")
        .replace('|', "\\|")
}

fn table(areas: &[Area]) -> String {
    let mut text = String::new();
    for Area { title, note, entries } in areas {
        writeln!(text, "\n#### {title}\n{note}\n").unwrap();
        text += "| code | exit | message | live system | next |\n|---|---|---|---|---|\n";
        for entry in *entries {
            let [what, live, next] =
                [entry.what, entry.live.unwrap_or(""), entry.next.unwrap_or("")].map(shown);
            let (code, exit) = (display_code(entry.code), entry.exit.code());
            writeln!(text, "| {code} | {exit} | {what} | {live} | {next} |").unwrap();
        }
    }
    text + "\n"
}

#[test]
fn the_guide_has_every_message() {
    let path = root().join(GUIDE);
    let guide = read(&path);
    let (head, rest) = guide
        .split_once(BEGIN)
        .expect("the guide marks where the messages begin");
    let (found, tail) = rest
        .split_once(END)
        .expect("the guide marks where the messages end");
    let wanted = table(AREAS);
    if std::env::var_os("XTASK_BLESS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{wanted}{END}{tail}")).unwrap();
        return;
    }
    let only_in = |one: &str, other: &str| -> Vec<String> {
        let lines = one
            .lines()
            .filter(|line| !other.lines().any(|known| known == *line));
        lines.map(str::to_owned).collect()
    };
    let (lacking, outdated) = (only_in(&wanted, found), only_in(found, &wanted));
    assert!(
        wanted == found,
        "the guide lacks {lacking:#?} and has {outdated:#?}: run this test with XTASK_BLESS=1"
    );
}

#[test]
fn codes_are_unique_and_each_area_has_some() {
    let entries = AREAS.iter().flat_map(|area| area.entries);
    let mut codes: Vec<&str> = entries.map(|entry| entry.code).collect();
    let count = codes.len();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), count, "{codes:?}");
    assert!(AREAS.iter().all(|area| !area.entries.is_empty()));
}

#[test]
fn a_row_has_code_exit_text_state_and_next_command() {
    let entries = [
        ErrorEntry {
            code: "swap_stopped",
            exit: ExitKind::Midway,
            what: "the swap of {name} stopped:\n  {cause}",
            live: Some("some | \"are\" live"),
            next: Some("run it with {{x}} and {id:?}"),
        },
        ErrorEntry {
            code: "no_reason",
            exit: ExitKind::Usage,
            what: "no reason",
            live: None,
            next: None,
        },
    ];
    let entries: &'static [ErrorEntry] = Box::leak(Box::new(entries));
    let rows = table(&[Area {
        title: "Restore",
        note: "Beside the live data.",
        entries,
    }]);
    assert_eq!(
        rows,
        "\n#### Restore\nBeside the live data.\n\n| code | exit | message | live system | next |\n|---|---|---|---|---|\n\
         | swap-stopped | 4 | the swap of … stopped: … | some \\| \"are\" live | run it with {x} and … |\n\
         | no-reason | 2 | no reason |  |  |\n\n"
    );
}
