//! The name of one operation: sorts by time, short enough to read aloud.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

/// How the time is written in the name.
const TIME: &str = "%Y%m%d-%H%M%S";

/// `YYYYMMDD-HHMMSS-xxxx`: the second it began, and four random hex digits for those that begin together.
///
/// It is part of folder and collection names, so nothing but this form is ever accepted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperationId(String);

/// The text is not an operation id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAnOperationId(String);

impl OperationId {
    /// The name made of this time and these random bits.
    pub fn at(time: DateTime<Utc>, random: u16) -> Self {
        Self(format!("{}-{random:04x}", time.format(TIME)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the operation began, to the second.
    pub fn began(&self) -> DateTime<Utc> {
        parse_time(&self.0).expect("checked when it was made")
    }
}

fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let (time, random) = text.rsplit_once('-')?;
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let parsed = NaiveDateTime::parse_from_str(time, TIME).ok()?.and_utc();
    // Written back and compared: the parser also takes shorter numbers and signs.
    let canonical = parsed.format(TIME).to_string() == time;
    (canonical && random.len() == 4 && random.bytes().all(hex)).then_some(parsed)
}

impl FromStr for OperationId {
    type Err = NotAnOperationId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match parse_time(text) {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(NotAnOperationId(text.to_owned())),
        }
    }
}

impl TryFrom<String> for OperationId {
    type Error = NotAnOperationId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<OperationId> for String {
    fn from(id: OperationId) -> Self {
        id.0
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for NotAnOperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not an operation id (the form is 20260102-030405-ab12)",
            self.0.escape_debug()
        )
    }
}

impl std::error::Error for NotAnOperationId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_id_is_read_back_and_sorts_by_time() {
        let id = OperationId::at(DateTime::UNIX_EPOCH, 0xab12);
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        let later = OperationId::at(id.began() + chrono::TimeDelta::seconds(1), 0);
        assert!(id < later);
        assert_eq!(
            OperationId::at(DateTime::UNIX_EPOCH, 0x00af).as_str(),
            "19700101-000000-00af"
        );
    }

    #[test]
    fn anything_else_is_refused() {
        let wrong = [
            "",
            "20260102-030405",
            "20260102-030405-AB12",
            "20260102-030405-ab1",
            "20260102-030405-ab123",
            "20261302-030405-ab12",
            "20260102-+30405-ab12",
            "../../etc/passwd-ab12",
            "20260102-030405-ab12\n",
            " 20260102-030405-ab12",
        ];
        for text in wrong {
            assert!(text.parse::<OperationId>().is_err(), "{text:?}");
        }
    }
}
