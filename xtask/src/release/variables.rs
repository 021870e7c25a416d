//! Variables on the platforms: secrets of ours under the platforms' names, compared by keyed fingerprints.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::platforms::Platforms;
use crate::config::VariableConfig;
use crate::context::Context;
use crate::domain::release::{Release, VariableFingerprint};
use crate::secret::Secret;
use crate::sync::each_at_once;
use crate::tools::backend::BackendService;
use crate::tools::frontend::FrontendService;

/// Digits of a fingerprint that are recorded: enough to tell values apart, too few to be worth attacking.
const FINGERPRINT_BYTES: usize = 8;

/// The configured variables with their values.
#[derive(Debug)]
pub struct Variables {
    values: Vec<(VariableConfig, Secret)>,
    /// `None` where no platform has a token: then there is no variable either.
    key: Option<Secret>,
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
            key: ctx
                .env()
                .tokens()
                .first()
                .map(|token| ctx.secret(token))
                .transpose()?,
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

    /// What a deploy sets, by part: the variables of a backend whose value on Railway is another one, and all of a frontend. What
    /// cannot be read back (sealed ones on Railway, every secret on Vercel) is set each time: a record says what we set,
    /// not what somebody, or an operation that was taken back, set since.
    pub fn to_set(&self, platforms: &Platforms) -> Result<BTreeMap<String, Vec<String>>> {
        let services = platforms.backends.iter();
        let services: Vec<_> = services.filter(|one| one.backend().railway().is_some()).collect();
        let different = each_at_once(&services, |railway| {
            Ok((railway.name().to_owned(), self.different_on(railway)?))
        })?;
        let mut to_set: BTreeMap<_, _> = different.into_iter().collect();
        let projects = platforms.frontends.iter();
        for frontend in projects.filter(|one| one.frontend().vercel().is_some()) {
            to_set.insert(
                frontend.name().to_owned(),
                self.names_of_frontend(frontend.name()),
            );
        }
        Ok(to_set)
    }

    fn different_on(&self, railway: &BackendService) -> Result<Vec<String>> {
        let wanted = self.of_backend(railway.name());
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
        let there = railway.variables(&names)?;
        let differs = |(name, value): &(&str, &Secret)| {
            let set = there.get(*name).and_then(Option::as_ref);
            set.is_none_or(|set| set.expose() != value.expose())
        };
        let different = wanted.into_iter().filter(differs);
        Ok(different.map(|(name, _)| name.to_owned()).collect())
    }

    fn of_part(&self, part: &str) -> impl Iterator<Item = &(VariableConfig, Secret)> {
        self.values
            .iter()
            .filter(move |(variable, _)| variable.is_for(part))
    }

    /// The variables of a backend under their names on Railway, in the order of the configuration.
    fn of_backend(&self, part: &str) -> Vec<(&str, &Secret)> {
        self.of_part(part)
            .filter_map(|(variable, value)| Some((variable.railway.as_deref()?, value)))
            .collect()
    }

    /// Sets the named variables of a backend for its next deployment.
    pub fn set_on_railway(&self, railway: &BackendService, names: &[String]) -> Result<()> {
        let wanted = self.of_backend(railway.name()).into_iter();
        let wanted = wanted.filter(|(name, _)| names.iter().any(|wanted| wanted == name));
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value.clone()));
        railway.set_variables(&wanted.collect())
    }

    /// The values of a frontend's variables, under their names on Vercel: a build needs them, and cannot read them back.
    pub fn of_frontend(&self, part: &str) -> BTreeMap<String, Secret> {
        self.of_part(part)
            .filter_map(|(variable, value)| Some((variable.vercel.clone()?, value.clone())))
            .collect()
    }

    /// Names of a frontend's variables on Vercel, in the order of the configuration.
    fn names_of_frontend(&self, part: &str) -> Vec<String> {
        self.of_part(part)
            .filter_map(|(variable, _)| variable.vercel.clone())
            .collect()
    }

    /// Sets the named variables of a frontend for its next build.
    pub fn set_on_vercel(&self, frontend: &FrontendService, names: &[String]) -> Result<()> {
        for (name, value) in self.of_frontend(frontend.name()) {
            if names.contains(&name) {
                frontend.set_variable(&name, &value)?;
            }
        }
        Ok(())
    }

    /// Whether a variable of the part has another value than in that release, or was not set by it.
    pub fn is_changed_for(&self, part: &str, since: &Release) -> Result<bool> {
        for (variable, value) in self.of_part(part) {
            let now = self.fingerprint(&variable.secret, value)?;
            let then = since.variables.iter().find(|then| then.name == variable.secret);
            if then.is_none_or(|then| then.fingerprint != now) {
                return Ok(true);
            }
        }
        Ok(false)
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
        let key = self.key.as_ref().context("no platform takes variables")?;
        let mut mac =
            Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).context("cannot key the fingerprints")?;
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(value.expose().as_bytes());
        Ok(hex::encode(&mac.finalize().into_bytes()[..FINGERPRINT_BYTES]))
    }
}
