//! Faults of platforms told by the words of their CLIs: none of them has exit codes or a JSON form for errors.

/// Whether the error may be gone at the next attempt: a lost connection, a rate limit or a fault of the platform may, a
/// refusal is not. `refusals` are words in small letters that the tool writes with a refusal.
pub fn is_transient(error: &anyhow::Error, refusals: &[&str]) -> bool {
    !mentions(error, refusals) && !mentions(error, OUR_OWN)
}

/// Whether the error, or one of its causes, has one of these words; in small letters.
pub fn mentions(error: &anyhow::Error, words: &[&str]) -> bool {
    let text = format!("{error:#}").to_lowercase();
    words.iter().any(|word| text.contains(word))
}

/// Errors of `exec`: the program is missing, or a signal came.
const OUR_OWN: &[&str] = &["cannot start", "interrupted"];
