//! Rate limits as command line tools report them: in words. None of them passes the header `Retry-After` on as it is.

use std::time::Duration;

/// Words of a rate limit, in small letters.
const WORDS: &[&str] = &[
    "429",
    "ratelimit",
    "rate limit",
    "rate-limit",
    "too many requests",
    "retry-after",
];
/// What stands before the time to wait.
const BEFORE_TIME: &[&str] = &["retry-after", "retry after", "try again in", "retry in"];

/// A refusal that only time ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RateLimit {
    /// When the other side wants to be asked again.
    after: Option<Duration>,
}

impl RateLimit {
    /// How long to wait where `usual` is what one waits otherwise.
    pub(super) fn pause(self, usual: Duration) -> Duration {
        self.after.unwrap_or(usual).max(usual)
    }
}

/// The rate limit that the error tells of.
pub(super) fn of(error: &anyhow::Error) -> Option<RateLimit> {
    let text = format!("{error:#}").to_lowercase();
    let limited = WORDS.iter().any(|word| is_in(&text, word));
    limited.then(|| RateLimit {
        after: BEFORE_TIME.iter().find_map(|words| time_after(&text, words)),
    })
}

/// A number must stand alone: identifiers have digits too.
fn is_in(text: &str, word: &str) -> bool {
    let alone = |at: usize| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-')
            && !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-')
    };
    let number = word.bytes().all(|byte| byte.is_ascii_digit());
    text.match_indices(word).any(|(at, _)| !number || alone(at))
}

fn time_after(text: &str, words: &str) -> Option<Duration> {
    let (_, rest) = text.split_once(words)?;
    let rest = rest.trim_start_matches([':', '=', '"', '\'', ' ']);
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = rest.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit = unit.trim_start();
    let milliseconds = unit.starts_with("ms") || unit.starts_with("milli");
    Some(match unit.chars().next() {
        _ if milliseconds => Duration::from_millis(number),
        Some('m') => Duration::from_secs(number.saturating_mul(60)),
        Some('h') => Duration::from_secs(number.saturating_mul(3_600)),
        _ => Duration::from_secs(number),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_limits_are_known_by_their_words_with_the_time_to_wait() {
        let cases = [
            (
                "Railway API request failed with HTTP 429 Too Many Requests",
                Some(None),
            ),
            ("You are being ratelimited. Please try again later", Some(None)),
            ("rate limit exceeded, retry-after: 7", Some(Some(7))),
            (
                "HTTP 429: try again in 2 minutes (api-rate-limited)",
                Some(Some(120)),
            ),
            ("Retry-After=\"30\"", Some(Some(30))),
            ("too many requests: retry after 1500 ms", Some(Some(1))),
            ("deployment 4290a429-1429-42 failed", None),
            ("HTTP 503 Service Unavailable", None),
        ];
        for (text, expected) in cases {
            let found = of(&anyhow::anyhow!(text)).map(|limit| limit.after.map(|after| after.as_secs()));
            assert_eq!(found, expected, "{text}");
        }
    }
}
