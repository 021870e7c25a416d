//! The page as a real browser shows it, on a telephone and on a desk, by day and by night.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::generator::World;

/// Debian's names, then others'.
const BROWSERS: &[&str] = &[
    "chromium-headless-shell",
    "chrome-headless-shell",
    "chromium",
    "google-chrome",
];
/// Added to a copy of the page: what a person would notice first.
const MEASURE: &str = "<script>addEventListener('load', () => {
  const root = document.documentElement;
  const small = [...document.querySelectorAll('body *')].filter(e => !e.closest('svg') && e.childNodes.length
    && parseFloat(getComputedStyle(e).fontSize) < 12).length;
  const bars = [...document.querySelectorAll('svg rect, svg circle')];
  const outside = bars.filter(e => { const b = e.getBoundingClientRect(); const s = e.ownerSVGElement.getBoundingClientRect();
    return b.left < s.left - 1 || b.right > s.right + 1 || b.top < s.top - 1 || b.bottom > s.bottom + 1; }).length;
  document.body.insertAdjacentHTML('beforeend',
    `<output>wide=${root.scrollWidth - innerWidth} small=${small} outside=${outside} bars=${bars.length}</output>`);
});</script>";

fn browser(args: &[&str], page: &Path) -> Vec<u8> {
    let program = BROWSERS.iter().find_map(|name| which::which(name).ok());
    let program = program.unwrap_or_else(|| panic!("none of {BROWSERS:?} is on PATH"));
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(program)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--virtual-time-budget=2000",
        ])
        .args(args)
        .arg(format!("file://{}", page.display()))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Kept for people to look at.
fn screenshot(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
#[ignore = "needs a Chromium on PATH (Debian: chromium-headless-shell)"]
fn a_browser_shows_all_of_the_page_in_a_legible_size() {
    let world = World::new();
    let html = String::from_utf8(world.metrics("html").stdout).unwrap();
    let (page, measured) = (world.path("page.html"), world.path("measured.html"));
    std::fs::write(&page, &html).unwrap();
    std::fs::write(&measured, html.replace("</head>", &format!("{MEASURE}</head>"))).unwrap();
    let sizes = [
        ("phone", "390,4800", "light"),
        ("phone-dark", "390,4800", "dark"),
        ("desk", "1200,3400", "light"),
    ];
    for (name, size, scheme) in sizes {
        let window = format!("--window-size={size}");
        // 0 is dark, 1 is light.
        let scheme = format!(
            "--blink-settings=preferredColorScheme={}",
            u8::from(scheme == "light")
        );
        let file = screenshot(&format!("metrics-{name}.png"));
        std::fs::remove_file(&file).ok();
        browser(
            &[&window, &scheme, &format!("--screenshot={}", file.display())],
            &page,
        );
        let bytes = std::fs::read(&file).unwrap();
        assert!(
            bytes.starts_with(b"\x89PNG") && bytes.len() > 20_000,
            "{name}: {} bytes",
            bytes.len()
        );
        let dom = String::from_utf8(browser(&[&window, &scheme, "--dump-dom"], &measured)).unwrap();
        let told = dom
            .rsplit("<output>")
            .next()
            .and_then(|rest| rest.split("</output>").next())
            .unwrap_or(&dom);
        assert!(
            told.starts_with("wide=0 small=0 outside=0 bars="),
            "{name}: {told}"
        );
    }
}
