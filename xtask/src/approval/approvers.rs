//! The approvers' file: keys whose signatures approve, in the form of ssh's allowed signers (ssh-keygen(1)). The names of
//! one line belong to one person, and so do lines that share a name or a key.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use tempfile::NamedTempFile;

use crate::domain::approval::People;
use crate::tools::git::Signature;

/// What the names of key types begin with.
const KEY_TYPES: &[&str] = &["ssh-", "ecdsa-", "sk-"];

/// The people of one state of the file.
#[derive(Debug)]
pub(super) struct Approvers {
    people: People,
    all: NamedTempFile,
    /// Without the keys whose time is over; `None` where there is none.
    current: Option<NamedTempFile>,
}

impl Approvers {
    pub(super) fn parse(text: &str, now: DateTime<Utc>) -> Result<Self> {
        let mut people = People::default();
        let mut current = String::new();
        let mut any_expired = false;
        for line in text.lines() {
            if let Some(entry) = Entry::parse(line) {
                people.add(entry.principals.iter().copied().chain(entry.key));
                if entry.valid_before.is_some_and(|end| end <= now) {
                    any_expired = true;
                    continue;
                }
            }
            current.push_str(line);
            current.push('\n');
        }
        Ok(Self {
            people,
            all: written(text)?,
            current: any_expired.then(|| written(&current)).transpose()?,
        })
    }

    pub(super) fn people(&self) -> &People {
        &self.people
    }

    /// What a signature proves now; `verify` is git's answer by a file of allowed signers.
    pub(super) fn judge(&self, verify: impl Fn(&Path) -> Result<Signature>) -> Result<Signature> {
        let found = verify(self.all.path())?;
        let (Signature::Of(_), Some(current)) = (&found, &self.current) else {
            return Ok(found);
        };
        // git asks whether the key was valid when the tag claims to have been made (git-config(1),
        // gpg.ssh.allowedSignersFile): who has an old key can write any time.
        Ok(match verify(current.path())? {
            Signature::Of(who) => Signature::Of(who),
            _ => Signature::OutOfTime,
        })
    }
}

fn written(text: &str) -> Result<NamedTempFile> {
    let mut file = NamedTempFile::new().context("cannot make a file for the approvers' keys")?;
    file.write_all(text.as_bytes())
        .context("cannot write the approvers' keys")?;
    Ok(file)
}

/// One line of the file.
struct Entry<'a> {
    principals: Vec<&'a str>,
    key: Option<&'a str>,
    valid_before: Option<DateTime<Utc>>,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let (principals, rest) = match line.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => line.split_once(char::is_whitespace)?,
        };
        let words: Vec<&str> = rest.split_whitespace().collect();
        let at = words
            .iter()
            .position(|word| KEY_TYPES.iter().any(|kind| word.starts_with(kind)))?;
        let mut options = words[..at].iter().flat_map(|word| word.split(','));
        let valid_before = options.find_map(|option| {
            let (name, value) = option.split_once('=')?;
            let is_end = name.eq_ignore_ascii_case("valid-before");
            is_end.then(|| time(value.trim_matches('"'))).flatten()
        });
        Some(Self {
            principals: principals.split(',').filter(|name| !name.is_empty()).collect(),
            key: words.get(at + 1).copied(),
            valid_before,
        })
    }
}

/// `YYYYMMDD[HHMM[SS]][Z]`; without `Z` ssh means the time of the machine, which in a workflow is UTC.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let digits = text.trim_end_matches('Z');
    let day = || {
        NaiveDate::parse_from_str(digits, "%Y%m%d")
            .ok()?
            .and_hms_opt(0, 0, 0)
    };
    let time = match digits.len() {
        8 => day(),
        12 => NaiveDateTime::parse_from_str(&format!("{digits}00"), "%Y%m%d%H%M%S").ok(),
        _ => NaiveDateTime::parse_from_str(digits, "%Y%m%d%H%M%S").ok(),
    };
    time.map(|time| time.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_names_perhaps_options_and_a_key() {
        let now = Utc::now();
        let text = "# approvers\n\n\
            ann@example.com,ann ssh-ed25519 AAAA1 her laptop\n\
            ann@work.example namespaces=\"git\",valid-before=\"20200101\" ssh-ed25519 AAAA1\n\
            \"bob@example.com\" VALID-BEFORE=\"29990101120000Z\" sk-ssh-ed25519@openssh.com AAAA2\n\
            no key here\n";
        let approvers = Approvers::parse(text, now).unwrap();
        assert_eq!(approvers.people().len(), 2);
        assert!(approvers.people().same("ann", "ANN@work.example"));
        let current = std::fs::read_to_string(approvers.current.unwrap().path()).unwrap();
        assert!(
            !current.contains("ann@work.example") && current.contains("bob@example.com"),
            "{current}"
        );
        assert!(
            Approvers::parse("ann ssh-rsa AAAA", now)
                .unwrap()
                .current
                .is_none()
        );
    }
}
