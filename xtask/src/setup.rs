//! What the GitHub repository must be for the pipeline to hold.

pub mod backup_key;
pub mod protection;
pub mod settings;

use crate::context::Context;

/// Every secret that the configuration names, those that a release can do without included.
pub fn all_secrets(ctx: &Context) -> Vec<String> {
    let mut names = required_secrets(ctx);
    names.extend(ctx.config.optional_secret_names());
    names
}

/// Every environment variable that must hold a secret: those of pipeline.toml and those of health.toml.
pub fn required_secrets(ctx: &Context) -> Vec<String> {
    let mut names = ctx.config.secret_names(ctx.env());
    // A health.toml that is not valid has a line of its own in `doctor`.
    names.extend(crate::health::secret_names(&ctx.root).unwrap_or_default());
    names.sort();
    names.dedup();
    names
}
