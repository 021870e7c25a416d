//! A release that changes little of the data: a rollback puts these documents back in place.

use anyhow::{Context as _, Result};
use serde_json::json;
use xtask::domain::step::Step;
use xtask::report;

use super::{Case, FIRST, WRITES, say};

/// The release that comes with the migration.
const SECOND: &str = "1.1.0";
/// Users that the migration changes.
const CHANGED: u64 = 10;
/// The steps of a rollback in which the data come back.
const DATA_STEPS: [Step; 2] = [Step::PrepareShadow, Step::SwapDatabase];

impl Case<'_> {
    pub(super) fn delta(&mut self, method: &str) -> Result<()> {
        say(&format!(
            "deploy a release whose migration changes {CHANGED} users"
        ));
        self.commit_migration()?;
        self.env.xtask_json("deploy-second", &["deploy", "--yes"])?;
        self.prove_served(SECOND)?;
        let (written, new) = (self.users_write()?, self.data()?);
        let back = self.roll_back_proved(written, &["--method", method])?;
        // The plan restores a small collection whole where anything in it differs, unless it is told otherwise.
        let (of_users, of_properties) = (&back["in_place"]["users"], &back["in_place"]["properties"]);
        let users = json!({ "created": 0, "changed": CHANGED, "deleted": 0 });
        self.prove(
            *of_properties == json!({ "created": WRITES, "changed": 0, "deleted": 0 })
                && (*of_users == users || (of_users.is_null() && method == "auto")),
            &format!("put back in place: properties {of_properties}, users {of_users}"),
        )?;
        let data_ms = self.data_ms()?;
        self.proved
            .push(format!("the data were back in {}", report::duration_ms(data_ms)));
        self.undo_proved(&back, SECOND, &new)
    }

    /// The first release with another version and one migration more.
    fn commit_migration(&self) -> Result<()> {
        let users: Vec<String> = (0..CHANGED)
            .map(|number| format!("user{number}@rehearsal.example"))
            .collect();
        let migration = json!({
            "collection": "users",
            "filter": { "email": { "$in": users } },
            "update": [{ "$set": { "verified": true } }],
        });
        let file = self.env.clone_dir().join("backend/migrations/002-verified.json");
        std::fs::write(&file, migration.to_string())
            .with_context(|| format!("cannot write {}", file.display()))?;
        self.new_version("backend/app.toml", SECOND)?;
        let page = self.env.clone_dir().join("frontend/index.html");
        let text = std::fs::read_to_string(&page)?;
        std::fs::write(&page, text.replace(FIRST, SECOND))?;
        self.env.commit("Verified users", "main").map(drop)
    }

    /// How long the steps took in which the data came back.
    fn data_ms(&self) -> Result<u64> {
        let took = |step: Step| {
            let timing = self.timeline.iter().find(|timing| timing.step == step.name());
            timing
                .map(|timing| timing.duration_ms)
                .with_context(|| format!("the rollback has no step {step}"))
        };
        DATA_STEPS.into_iter().map(took).sum()
    }
}
