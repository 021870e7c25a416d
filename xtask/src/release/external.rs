//! Systems outside whose state a rollback leaves as it is: who confirms the rollback confirms what it means for each of them.

use serde::{Deserialize, Serialize};

use crate::config::ExternalConfig;
use crate::context::Context;

/// A system outside, and how it was confirmed what the rollback means for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TickedExternal {
    #[serde(flatten)]
    pub system: ExternalConfig,
    pub by: String,
    pub how: TickedHow,
}

/// How it was confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TickedHow {
    /// Its name was typed.
    Typed,
    /// `--yes` was given.
    Yes,
    /// Nobody was asked: the environment is not protected, or the rollback began without a person.
    NotAsked,
}

impl TickedExternal {
    /// All systems of the environment, confirmed in this way.
    pub fn all(ctx: &Context, systems: &[ExternalConfig], how: TickedHow) -> Vec<Self> {
        let by = ctx.actor();
        let ticked = |system: &ExternalConfig| Self {
            system: system.clone(),
            by: by.clone(),
            how,
        };
        systems.iter().map(ticked).collect()
    }

    /// A line of the report.
    pub fn text(&self) -> String {
        let by = &self.by;
        let how = match self.how {
            TickedHow::Typed => format!("confirmed by {by}"),
            TickedHow::Yes => format!("confirmed by {by} with --yes"),
            TickedHow::NotAsked => "nobody was asked".to_owned(),
        };
        format!(
            "not rolled back: {}: {} ({how})",
            self.system.name, self.system.on_rollback
        )
    }
}
