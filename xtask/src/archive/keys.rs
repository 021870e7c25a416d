//! Keys that backups are encrypted to, and the ones that open them.

use std::fmt;
use std::str::FromStr;

use age::secrecy::ExposeSecret as _;
use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::secret::Secret;

/// Public keys: age (`age1…`) or ssh (`ssh-ed25519 …`, `ssh-rsa …`).
pub struct Recipients {
    texts: Vec<String>,
    keys: Vec<Box<dyn age::Recipient + Send + Sync>>,
}

impl Recipients {
    /// Parses at least one key.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self> {
        ensure!(!texts.is_empty(), "no recipient to encrypt to");
        let texts: Vec<String> = texts.iter().map(|text| text.as_ref().trim().to_owned()).collect();
        let keys = texts
            .iter()
            .map(|text| parse_recipient(text))
            .collect::<Result<_>>()?;
        Ok(Self { texts, keys })
    }

    /// The keys as they were given.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    pub(super) fn encryptor(&self) -> Result<age::Encryptor> {
        let keys = self.keys.iter().map(|key| key.as_ref() as &dyn age::Recipient);
        age::Encryptor::with_recipients(keys).context("cannot encrypt to these recipients")
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recipients").field(&self.texts).finish()
    }
}

fn parse_recipient(text: &str) -> Result<Box<dyn age::Recipient + Send + Sync>> {
    // Whoever pastes the secret key by mistake must not find it in a log: the text is never repeated.
    ensure!(
        !text.starts_with("AGE-SECRET-KEY"),
        "a recipient is a public key, and this is a secret one"
    );
    if text.starts_with("ssh-") {
        let key = age::ssh::Recipient::from_str(text);
        return Ok(Box::new(key.map_err(|_| {
            anyhow!("not a usable ssh public key (ssh-ed25519 or ssh-rsa)")
        })?));
    }
    let key = age::x25519::Recipient::from_str(text);
    Ok(Box::new(key.map_err(|why| {
        anyhow!("not an age public key (age1…): {why}")
    })?))
}

/// Why an encrypted file cannot be read, although nothing is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// No key was given.
    Missing,
    /// It was encrypted to other keys.
    Wrong,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "it is encrypted, and no key (age identity) was given",
            Self::Wrong => "it was encrypted to other keys than the one given",
        })
    }
}

impl std::error::Error for KeyError {}

/// Secret keys. They are never printed, and dropped with this value.
pub struct Identities {
    keys: Vec<Box<dyn age::Identity + Send + Sync>>,
    public: Vec<String>,
}

impl Identities {
    /// Parses the text of an age identity file (`AGE-SECRET-KEY-1…`, comments) or of ssh private keys without
    /// passphrase, or both one after the other.
    pub fn parse(text: &str) -> Result<Self> {
        let mut keys: Vec<Box<dyn age::Identity + Send + Sync>> = Vec::new();
        let (mut public, mut pem) = (Vec::new(), String::new());
        for line in text.lines().map(str::trim) {
            if !pem.is_empty() || line.starts_with("-----BEGIN ") {
                pem.push_str(line);
                pem.push('\n');
                if line.starts_with("-----END ") {
                    let key = ssh_identity(&std::mem::take(&mut pem))?;
                    public.extend(
                        age::ssh::Recipient::try_from(key.clone())
                            .ok()
                            .map(|key| key.to_string()),
                    );
                    keys.push(Box::new(key));
                }
            } else if !line.is_empty() && !line.starts_with('#') {
                let key = age::x25519::Identity::from_str(line)
                    .map_err(|_| anyhow!("a line is not an age secret key (AGE-SECRET-KEY-1…)"))?;
                public.push(key.to_public().to_string());
                keys.push(Box::new(key));
            }
        }
        ensure!(pem.is_empty(), "the ssh private key has no end");
        ensure!(!keys.is_empty(), "there is no secret key in the text given");
        Ok(Self { keys, public })
    }

    /// A new key and its public side, which nobody else ever has.
    pub fn ephemeral() -> (Self, String) {
        let key = age::x25519::Identity::generate();
        let public = key.to_public().to_string();
        (
            Self {
                keys: vec![Box::new(key)],
                public: vec![public.clone()],
            },
            public,
        )
    }

    /// A new key as the text of an identity file: the secret line, its public side in a comment.
    pub fn generate() -> Secret {
        let key = age::x25519::Identity::generate();
        let (secret, public) = (key.to_string(), key.to_public());
        Secret::new(format!("# public key: {public}\n{}\n", secret.expose_secret()))
    }

    /// The public side of each key.
    pub fn public_keys(&self) -> &[String] {
        &self.public
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.keys.iter().map(|key| key.as_ref() as &dyn age::Identity)
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({} secret)", self.keys.len())
    }
}

fn ssh_identity(pem: &str) -> Result<age::ssh::Identity> {
    match age::ssh::Identity::from_buffer(pem.as_bytes(), None) {
        Ok(key @ age::ssh::Identity::Unencrypted(_)) => Ok(key),
        Ok(age::ssh::Identity::Encrypted(_)) => {
            bail!("the ssh private key has a passphrase: remove it or use an age key")
        }
        Ok(age::ssh::Identity::Unsupported(_)) => {
            bail!("this kind of ssh private key cannot be used (ssh-ed25519 or ssh-rsa can)")
        }
        Err(_) => bail!("not an ssh private key"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_parsed_and_never_shown() {
        let key = age::x25519::Identity::generate();
        let secret = key.to_string();
        let text = format!("# created: today\n{}\n", secret.expose_secret());
        let identities = Identities::parse(&text).unwrap();
        assert_eq!(format!("{identities:?}"), "Identities(1 secret)");
        let public = key.to_public().to_string();
        assert_eq!(
            Recipients::parse(&[&public]).unwrap().texts(),
            std::slice::from_ref(&public)
        );
        assert_eq!(identities.public_keys(), [public]);

        let mistaken = format!("{:#}", Recipients::parse(&[secret.expose_secret()]).unwrap_err());
        assert!(!mistaken.contains(&secret.expose_secret()[20..]), "{mistaken}");
        let damaged = secret.expose_secret().replace('Q', "B") + "X";
        let error = format!("{:#}", Identities::parse(&damaged).unwrap_err());
        assert!(!error.contains(&damaged[20..]), "{error}");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in [
            "",
            "# nothing",
            "hello",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "-----BEGIN X-----\n-----END X-----",
        ] {
            assert!(Identities::parse(text).is_err(), "{text}");
        }
        for text in ["", "hello", "ssh-ed25519 nonsense", "age1nonsense"] {
            assert!(Recipients::parse(&[text]).is_err(), "{text}");
        }
        assert!(Recipients::parse::<&str>(&[]).is_err());
    }
}
