//! Variables on the platforms: secrets of ours under the platforms' names, compared by keyed fingerprints.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::config::VariableConfig;
use crate::context::Context;
use crate::domain::release::{Release, VariableFingerprint, hex};
use crate::secret::Secret;
use crate::tools::railway::Railway;
use crate::tools::vercel::Vercel;

/// Digits of a fingerprint that are recorded: enough to tell values apart, too few to be worth attacking.
const FINGERPRINT_BYTES: usize = 8;

/// The configured variables with their values.
#[derive(Debug)]
pub struct Variables {
    values: Vec<(VariableConfig, Secret)>,
    key: Secret,
}

/// Names of the variables that a deploy sets, as the platforms know them.
#[derive(Debug, Default)]
pub struct ToSet {
    pub backend: Vec<String>,
    pub frontend: Vec<String>,
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

    /// What a deploy sets: the backend's variables whose value on Railway is another one, and all of the frontend's. What
    /// cannot be read back (sealed ones on Railway, every secret on Vercel) is set each time: a record says what we set,
    /// not what somebody, or an operation that was taken back, set since.
    pub fn to_set(&self, railway: &Railway) -> Result<ToSet> {
        let names: Vec<&str> = self.named(|variable| variable.railway.as_ref()).collect();
        let there = if names.is_empty() {
            BTreeMap::new()
        } else {
            railway.variables(&names)?
        };
        let differs = |(variable, value): &&(VariableConfig, Secret)| {
            let set = variable
                .railway
                .as_ref()
                .and_then(|name| there.get(name)?.as_ref());
            set.is_none_or(|set| set.expose() != value.expose())
        };
        let backend = self.values.iter().filter(differs);
        Ok(ToSet {
            backend: backend
                .filter_map(|(variable, _)| variable.railway.clone())
                .collect(),
            frontend: self
                .named(|variable| variable.vercel.as_ref())
                .map(str::to_owned)
                .collect(),
        })
    }

    /// Sets the named variables of the backend for its next deployment.
    pub fn set_on_railway(&self, railway: &Railway, names: &[String]) -> Result<()> {
        let wanted = self.values.iter().filter_map(|(variable, value)| {
            let name = variable.railway.clone().filter(|name| names.contains(name))?;
            Some((name, value.clone()))
        });
        railway.set_variables(&wanted.collect())
    }

    /// Sets the named variables of the frontend for its next build.
    pub fn set_on_vercel(&self, vercel: &Vercel, names: &[String]) -> Result<()> {
        for (variable, value) in &self.values {
            if let Some(name) = variable.vercel.as_ref().filter(|name| names.contains(name)) {
                vercel.set_variable(name, value)?;
            }
        }
        Ok(())
    }

    fn named<'a>(
        &'a self,
        name: impl Fn(&'a VariableConfig) -> Option<&'a String>,
    ) -> impl Iterator<Item = &'a str> {
        self.values
            .iter()
            .filter_map(move |(variable, _)| name(variable).map(String::as_str))
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

    fn fingerprint(&self, name: &str, value: &Secret) -> Result<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes())
            .context("cannot key the fingerprints")?;
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(value.expose().as_bytes());
        Ok(hex(&mac.finalize().into_bytes()[..FINGERPRINT_BYTES]))
    }
}
