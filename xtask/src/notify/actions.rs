//! The page of a workflow run: an annotation at its head, and a part of its summary.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Context as _, Result};

use super::{Notification, NotifyEvent};
use crate::report;
use crate::secret::scrub;

/// Whether this is a step of a workflow.
pub(super) fn here() -> bool {
    report::is_workflow()
}

pub(super) fn show(notice: &Notification) -> Result<()> {
    // Written as it is: this line is meant to be a command, and all that is free text in it is escaped.
    writeln!(std::io::stderr(), "{}", annotation(notice)).context("cannot write the annotation")?;
    report::step_summary(&summary(notice))
}

fn annotation(notice: &Notification) -> String {
    let level = match notice.event {
        NotifyEvent::Failure | NotifyEvent::DrillFailed => "error",
        NotifyEvent::Rollback | NotifyEvent::ApprovalExpired => "warning",
        NotifyEvent::ApprovalWaiting | NotifyEvent::Started | NotifyEvent::Success | NotifyEvent::Test => {
            "notice"
        }
    };
    let facts = notice.facts.iter().filter(|(_, value)| !value.is_empty());
    let mut lines: Vec<String> = facts.map(|(name, value)| format!("{name}: {value}")).collect();
    lines.extend(notice.next.iter().map(|next| format!("next: {next}")));
    format!(
        "::{level} title={}::{}",
        property(&scrub(&notice.title)),
        data(&scrub(&lines.join("\n")))
    )
}

/// As the runner reads the text of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// As the runner reads a value before it.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Markdown in which free text is only text.
fn summary(notice: &Notification) -> String {
    let mut text = format!("### {}\n\n", plain(&notice.title));
    for (name, value) in notice.facts.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(text, "- {}: {}", plain(name), plain(value)).expect("writing to a string");
    }
    if let Some(next) = &notice.next {
        writeln!(text, "\nNext: {}", plain(next)).expect("writing to a string");
    }
    text.push('\n');
    text
}

fn plain(text: &str) -> String {
    let mut plain = String::new();
    for letter in scrub(text).chars() {
        match letter {
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '\r' | '\n' => plain.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '!' | '@' | '~' | '$' | '>' => {
                plain.push('\\');
                plain.push(letter);
            }
            _ => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_text_is_neither_a_command_nor_markdown() {
        let notice = Notification {
            event: NotifyEvent::Failure,
            title: "a,b: 100%\nc".into(),
            facts: vec![
                (
                    "why".into(),
                    "x\n::set-output name=a::b\r<img> [a](b) @all".into(),
                ),
                ("empty".into(), String::new()),
            ],
            link: None,
            next: Some("cargo xtask releases".into()),
        };
        assert_eq!(
            annotation(&notice),
            "::error title=a%2Cb%3A 100%25%0Ac::why: x%0A::set-output name=a::b%0D<img> [a](b) @all%0Anext: cargo xtask releases"
        );
        let summary = summary(&notice);
        assert!(
            summary.contains("- why: x ::set-output name=a::b &lt;img\\> \\[a\\](b) \\@all\n"),
            "{summary}"
        );
        assert!(!summary.contains("empty"), "{summary}");
    }
}
