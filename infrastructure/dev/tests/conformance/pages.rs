//! Our pages as a real browser shows them, on a telephone and on a desk, by day and by night.

mod browser;

use std::path::{Path, PathBuf};
use std::process::Command;

use rehearsal::test_env::history::History;

use browser::{Browser, View};

const VIEWS: &[(&str, View)] = &[
    (
        "phone",
        View {
            width: 390,
            mobile: true,
            scheme: "light",
        },
    ),
    (
        "phone-dark",
        View {
            width: 390,
            mobile: true,
            scheme: "dark",
        },
    ),
    (
        "desk",
        View {
            width: 1200,
            mobile: false,
            scheme: "light",
        },
    ),
];

/// What a person would notice first. A telephone makes its window wider for a page that is too wide.
const MEASURE: &str = "(() => {
  const small = [...document.querySelectorAll('body *')].filter(e => !e.closest('svg') && e.childNodes.length
    && parseFloat(getComputedStyle(e).fontSize) < 12).length;
  const bars = [...document.querySelectorAll('svg rect, svg circle')];
  const outside = bars.filter(e => { const b = e.getBoundingClientRect(); const s = e.ownerSVGElement.getBoundingClientRect();
    return b.left < s.left - 1 || b.right > s.right + 1 || b.top < s.top - 1 || b.bottom > s.bottom + 1; }).length;
  return { width: Math.max(document.documentElement.scrollWidth, innerWidth), small, outside, bars: bars.length,
    paper: getComputedStyle(document.body).backgroundColor };
})()";

/// Kept for people to look at, also by CI.
fn picture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{name}.png"))
}

/// Looks at a page in every way; what is wrong with it, and its colours.
fn check_health(page: &Path, mut keep: impl FnMut(&str, &[u8])) -> (Vec<String>, Vec<String>) {
    let mut browser = Browser::start();
    let (mut wrong, mut papers) = (Vec::new(), Vec::new());
    for (view_name, view) in VIEWS {
        let seen = browser.look(page, *view, MEASURE);
        keep(view_name, &seen.png);
        let measured = &seen.measured;
        let sound = measured["width"] == view.width
            && measured["small"] == 0
            && measured["outside"] == 0
            && measured["bars"].as_u64() > Some(0);
        if !sound {
            wrong.push(format!("{view_name}: {measured}"));
        }
        if seen.requests != [format!("file://{}", page.display())] {
            wrong.push(format!("{view_name} asked for {:?}", seen.requests));
        }
        papers.push(measured["paper"].to_string());
    }
    (wrong, papers)
}

fn assert_sound(name: &str, page: &Path) {
    let (wrong, papers) = check_health(page, |view, png| {
        std::fs::write(picture(&format!("{name}-{view}")), png).unwrap();
    });
    assert!(wrong.is_empty(), "{name}: {wrong:#?}");
    assert_eq!(papers[0], papers[2], "by day");
    assert_ne!(papers[0], papers[1], "by night");
}

#[test]
#[ignore = "`cargo xtask ci pages` brings the browser"]
fn the_page_of_the_figures_is_shown_whole_and_legible() {
    let history = History::generate();
    let page = history.path("page.html");
    std::fs::write(&page, history.metrics("html").stdout).unwrap();
    assert_sound("metrics", &page);
}

#[test]
#[ignore = "`cargo xtask ci pages` brings the browser"]
fn the_page_of_a_rehearsal_is_shown_whole_and_legible() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("rehearsal.html");
    let rehearsed = Command::new(env!("CARGO_BIN_EXE_xtask-dev"))
        .args(["rehearse", "--documents", "300", "--platform-s", "0", "--html"])
        .arg(&page)
        .output()
        .unwrap();
    assert!(
        rehearsed.status.success(),
        "{}",
        String::from_utf8_lossy(&rehearsed.stderr)
    );
    assert_sound("rehearsal", &page);
}

#[test]
#[ignore = "`cargo xtask ci pages` brings the browser"]
fn a_page_that_is_too_wide_or_asks_for_something_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("wide.html");
    let html = "<!DOCTYPE html><meta name=viewport content='width=device-width'><div style='width:1300px'>wide</div>
        <small style='font-size:9px'>small</small><img src='http://127.0.0.1:9/x.png'><svg><rect x=-9 width=5 height=5 /></svg>";
    std::fs::write(&page, html).unwrap();
    let (wrong, papers) = check_health(&page, |_, _| {});
    assert_eq!(wrong.len(), 2 * VIEWS.len(), "{wrong:#?}");
    assert!(
        wrong[0].contains("\"outside\":1") && wrong[0].contains("\"small\":1"),
        "{wrong:#?}"
    );
    assert!(wrong[1].contains("127.0.0.1:9"), "{wrong:#?}");
    assert_eq!(papers[0], papers[1]);
}
