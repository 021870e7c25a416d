//! One HTML page that needs nothing from elsewhere: no script, no font, no picture. Readable on a telephone, by day and
//! by night.

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5b6470; --line: #d5dae0; --paper: #fff; --card: #f5f7f9;
  --main: #2563a8; --faint: #a9c6e5; --good: #1c7c44; --bad: #b3261e; --warn: #b06a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #a2abb6; --line: #3a424c; --paper: #14181d;
  --card: #1e242b; --main: #74aee8; --faint: #35536f; --good: #5ccb8a; --bad: #ff8a80; --warn: #e9b35c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 16px; max-width: 860px; background: var(--paper); color: var(--ink);
  font: 16px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 4px; } h2 { font-size: 1.15rem; margin: 32px 0 8px; }
h3 { font-size: 1rem; margin: 20px 0 4px; }
p { margin: 4px 0 8px; } .soft { color: var(--soft); font-size: .9rem; }
.cards { display: grid; gap: 10px; grid-template-columns: repeat(auto-fill, minmax(158px, 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px; }
.card b { display: block; font-size: 1.35rem; line-height: 1.2; overflow-wrap: anywhere; }
.good { color: var(--good); } .bad { color: var(--bad); }
.row { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 12px; font-size: .9rem; margin-top: 6px; }
.row > span:last-child { color: var(--soft); margin-left: auto; }
svg { display: block; width: 100%; } .axis { display: flex; justify-content: space-between; color: var(--soft);
  font-size: .8rem; }
.track { fill: var(--card); stroke: var(--line); } .bar { fill: var(--main); } .light { fill: var(--faint); }
.failed { fill: var(--bad); } .back { fill: var(--warn); } .mark { stroke: var(--bad); stroke-width: 2; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .35em; }
.key.bar { background: var(--main); } .key.light { background: var(--faint); } .key.failed { background: var(--bad); }
.key.back { background: var(--warn); }
ul { padding-left: 20px; }
";

/// The whole page.
pub fn page(title: &str, subtitle: &str, body: &Markup) -> String {
    let whole = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // Without it a browser asks the server for an icon.
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                p.soft { (subtitle) }
                (body)
            }
        }
    };
    whole.into_string()
}

/// A figure that is to be seen first. `good` colours it where there is a goal.
pub fn card(name: &str, value: &str, detail: &str, good: Option<bool>) -> Markup {
    let class = match good {
        Some(true) => "good",
        Some(false) => "bad",
        None => "",
    };
    html! {
        div.card {
            span.soft { (name) }
            b class=(class) { (value) }
            span.soft { (detail) }
        }
    }
}

/// What the colours mean.
pub fn legend(entries: &[(&str, &str)]) -> Markup {
    html! {
        p.soft {
            @for (class, meaning) in entries {
                span style="margin-right:1em; white-space:nowrap" {
                    span class={ "key " (class) } {}
                    (meaning)
                }
            }
        }
    }
}
