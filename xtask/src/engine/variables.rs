//! Variables on the platforms: secrets of ours under the platforms' names, compared by keyed fingerprints.

use anyhow::{Context as _, Result};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::context::Context;
use crate::domain::release::{Release, VariableFingerprint, hex};
use crate::secret::Secret;
use crate::tools::railway::Railway;

/// Digits of a fingerprint that are recorded: enough to tell values apart, too few to be worth attacking.
const FINGERPRINT_BYTES: usize = 8;

/// The configured variables with their values.
#[derive(Debug)]
pub struct Variables {
    values: Vec<(crate::config::Variable, Secret)>,
    key: Secret,
}

impl Variables {
    /// Reads the values from our environment. The platform's token keys the fingerprints: who can compute them can read
    /// the values anyway; after the token is changed, all fingerprints differ once.
    pub fn read(ctx: &Context) -> Result<Self> {
        let values = ctx
            .env()
            .variables
            .iter()
            .map(|variable| Ok((variable.clone(), ctx.secret(&variable.secret)?)));
        Ok(Self {
            values: values.collect::<Result<_>>()?,
            key: ctx.secret(&ctx.env().railway.token)?,
        })
    }

    /// Name and keyed hash of each value.
    pub fn fingerprints(&self) -> Result<Vec<VariableFingerprint>> {
        self.values
            .iter()
            .map(|(variable, value)| {
                Ok(VariableFingerprint {
                    name: variable.secret.clone(),
                    fingerprint: self.fingerprint(&variable.secret, value)?,
                })
            })
            .collect()
    }

    /// The backend's variables whose value on Railway is another one, or cannot be read and was not recorded as ours
    /// by the last release.
    pub fn differing(&self, railway: &Railway, last: Option<&Release>) -> Result<Vec<String>> {
        let names: Vec<&str> = self
            .values
            .iter()
            .filter_map(|(variable, _)| variable.railway.as_deref())
            .collect();
        let there = railway.variables(&names)?;
        let mut differing = Vec::new();
        for (variable, value) in &self.values {
            let Some(name) = &variable.railway else { continue };
            let same = match there.get(name) {
                Some(Some(set)) => set.expose() == value.expose(),
                // Sealed: only our own record can tell.
                Some(None) => self.recorded_as_ours(variable, value, last)?,
                None => false,
            };
            if !same {
                differing.push(name.clone());
            }
        }
        Ok(differing)
    }

    /// Sets the named variables for the next deployment.
    pub fn set(&self, railway: &Railway, names: &[String]) -> Result<()> {
        for (variable, value) in &self.values {
            if let Some(name) = variable.railway.as_ref().filter(|name| names.contains(name)) {
                railway.set_variable(name, value)?;
            }
        }
        Ok(())
    }

    /// Names of the variables whose value was another one in that release.
    pub fn changed_since(&self, release: &Release) -> Result<Vec<String>> {
        let now = self.fingerprints()?;
        let changed = now.into_iter().filter(|now| {
            release
                .variables
                .iter()
                .any(|then| then.name == now.name && then.fingerprint != now.fingerprint)
        });
        Ok(changed.map(|variable| variable.name).collect())
    }

    fn recorded_as_ours(
        &self,
        variable: &crate::config::Variable,
        value: &Secret,
        last: Option<&Release>,
    ) -> Result<bool> {
        let fingerprint = self.fingerprint(&variable.secret, value)?;
        let recorded =
            last.and_then(|release| release.variables.iter().find(|then| then.name == variable.secret));
        Ok(recorded.is_some_and(|then| then.fingerprint == fingerprint))
    }

    fn fingerprint(&self, name: &str, value: &Secret) -> Result<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes())
            .context("cannot key the fingerprints")?;
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(value.expose().as_bytes());
        Ok(hex(&mac.finalize().into_bytes()[..FINGERPRINT_BYTES]))
    }
}
