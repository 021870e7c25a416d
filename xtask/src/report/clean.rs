//! Text that comes from outside (reasons, tag messages, names, answers of servers) is made harmless before a person sees it.
//!
//! A terminal acts on escape sequences, a line break makes a row of its own, and marks of writing direction show a text in
//! another order than it has. All that is printed goes through [`clean`]; free text within a line through [`one_line`].

use std::borrow::Cow;

/// The most of a free text that one line shows.
const LINE_CHARS: usize = 400;

/// Whether a character acts on the terminal, or changes the order of what is shown, instead of being shown.
///
/// C0 and C1 controls (ECMA-48; U+009B begins a sequence as ESC [ does), marks of direction and their isolates
/// (Unicode Standard Annex 9), separators of lines and paragraphs, and characters without width.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Without characters that act on a terminal; line breaks and tabs stay. Where GitHub Actions reads the output, what its
/// runner would take for a command is broken up as well.
pub fn clean(text: &str) -> Cow<'_, str> {
    let shown = |c: char| !acts(c) || c == '\n' || c == '\t';
    let text: Cow<str> = if text.chars().all(shown) {
        text.into()
    } else {
        let lines = text.replace("\r\n", "\n");
        lines
            .chars()
            .map(|c| if shown(c) { c } else { '\u{fffd}' })
            .collect::<String>()
            .into()
    };
    if std::env::var_os("GITHUB_ACTIONS").is_none() {
        return text;
    }
    without_runner_commands(&text).into()
}

/// Free text as one line that nothing acts on, cut where it is very long.
pub fn one_line(text: &str) -> String {
    shortened(text, LINE_CHARS)
}

/// As [`one_line`], cut after so many characters.
pub fn shortened(text: &str, max_chars: usize) -> String {
    let mut line: String = text
        .trim()
        .chars()
        .take(max_chars)
        .map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c })
        .map(|c| if acts(c) { '\u{fffd}' } else { c })
        .collect();
    if text.trim().chars().nth(max_chars).is_some() {
        line.push('…');
    }
    line
}

/// JSON whose strings have escapes in place of characters that act: a parser reads the same values.
pub(super) fn escape_in_json(json: &str) -> String {
    json.chars()
        .fold(String::with_capacity(json.len()), |mut text, c| {
            if acts(c) && c != '\n' {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            } else {
                text.push(c);
            }
            text
        })
}

/// `::command::` counts at the start of a line, `##[command]` anywhere.
fn without_runner_commands(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let rest = line.trim_start();
        let indent = &line[..line.len() - rest.len()];
        let line = match rest.strip_prefix("::") {
            Some(rest) => format!("{indent}: :{rest}"),
            None => line.to_owned(),
        };
        line.replace("##[", "# #[")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2Jb\u{9b}31mc\u{202e}d\u{2066}e\u{2028}f\u{7f}g\u{7}h\u{200b}i\u{feff}j";

    #[test]
    fn nothing_that_acts_on_a_terminal_is_shown() {
        let shown =
            "a\u{fffd}[2Jb\u{fffd}31mc\u{fffd}d\u{fffd}e\u{fffd}f\u{fffd}g\u{fffd}h\u{fffd}i\u{fffd}j";
        assert_eq!(clean(HOSTILE), shown);
        assert_eq!(one_line(HOSTILE), shown);
        let plain = "Zoë – 価格\t1\n2\n";
        assert!(matches!(clean(plain), Cow::Borrowed(text) if text == plain));
        assert_eq!(clean("a\r\nb\rc"), "a\nb\u{fffd}c");
    }

    #[test]
    fn free_text_makes_no_row_and_has_an_end() {
        assert_eq!(
            one_line(" why\nprod-20260101-120000  live\r\n"),
            "why prod-20260101-120000  live"
        );
        let long = one_line(&"x".repeat(60_000));
        assert_eq!(
            (long.chars().count(), long.ends_with('…')),
            (LINE_CHARS + 1, true)
        );
    }

    #[test]
    fn json_keeps_its_values_and_has_no_character_that_acts() {
        let json = serde_json::to_string_pretty(&serde_json::json!({ "why": HOSTILE })).unwrap();
        let escaped = escape_in_json(&json);
        assert!(!escaped.chars().any(|c| acts(c) && c != '\n'), "{escaped:?}");
        let read: serde_json::Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!(read["why"], HOSTILE);
    }

    #[test]
    fn free_text_gives_the_runner_no_command() {
        let text = "why: x\n  ::set-output name=a::b\nplain :: text\n::stop-commands::y\na ##[add-mask]z";
        let expected =
            "why: x\n  : :set-output name=a::b\nplain :: text\n: :stop-commands::y\na # #[add-mask]z";
        assert_eq!(without_runner_commands(text), expected);
    }
}
