//! The name of a commit: full length hexadecimal, so that it can be nothing else on a command line.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A full object name: 40 hexadecimal digits, 64 in a repository of SHA-256 objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);

/// The text is not a full object name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotACommitId(String);

impl CommitId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form for people.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl FromStr for CommitId {
    type Err = NotACommitId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let whole = matches!(text.len(), 40 | 64) && text.bytes().all(hex);
        if whole {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotACommitId(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for CommitId {
    type Error = NotACommitId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CommitId> for String {
    fn from(id: CommitId) -> Self {
        id.0
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for NotACommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not the full name of a commit", self.0.escape_debug())
    }
}

impl std::error::Error for NotACommitId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_lower_case_names_are_taken() {
        let name = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(name.parse::<CommitId>().unwrap().short(), "0123456789");
        assert!(format!("{name}{}", &name[..24]).parse::<CommitId>().is_ok());
        let wrong = [
            "",
            "HEAD",
            "0123456",
            "--upload-pack=x",
            &name.to_uppercase(),
            &format!("{name}0"),
        ];
        for text in wrong {
            assert!(text.parse::<CommitId>().is_err(), "{text}");
        }
    }
}
