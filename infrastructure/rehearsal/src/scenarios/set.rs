//! A release of several parts: three backends and two frontends with one database, in a repository that had one of each before.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Case, say, tag_of};
use crate::test_env::platform::Addresses;

/// What takes the place of the environment's platforms in pipeline.toml.
const PARTS: &str = r#"
[environments.production.railway]
project = "prj"
environment = "env"
token = "PROD_RAILWAY_TOKEN"

[environments.production.vercel]
org = "team_x"
token = "PROD_VERCEL_TOKEN"

[[environments.production.backends]]
name = "backend"
platform = "railway"
service = "svc"
folder = "apps/api"
url = "{{backend}}"

[[environments.production.backends]]
name = "worker"
platform = "railway"
service = "svc-worker"
folder = "apps/worker"
after = ["backend"]

[[environments.production.backends]]
name = "mailer"
platform = "railway"
service = "svc-mailer"
folder = "apps/mailer"
after = ["backend"]

[[environments.production.frontends]]
name = "frontend"
platform = "vercel"
project = "prj_x"
folder = "apps/web"
domain = "www.rehearsal.example"
url = "{{frontend}}"
staged_url = "http://{host}"

[[environments.production.frontends]]
name = "admin"
platform = "vercel"
project = "prj_admin"
folder = "apps/admin"
domain = "admin.rehearsal.example"
url = "{{admin}}"
staged_url = "http://{host}"

[environments.production.mongodb]
uri = "PROD_MONGODB_URI"
database = "sample"

[[environments.production.variables]]
secret = "PROD_JWT_SECRET"
railway = "JWT_SECRET"
"#;
/// The second frontend's page is checked too, in health.toml.
pub const CHECK: &str = r#"
[check.admin-page]
group = "performance"
retry = { for_s = 10 }
[check.admin-page.frontend]
url = "${frontend.admin}/"
title = "\\S"
marker = "release"
load_ms = 30000
"#;
const BACKENDS: [&str; 3] = ["backend", "worker", "mailer"];

impl Case<'_> {
    pub(super) fn set(&mut self) -> Result<()> {
        let before = self.tag.clone();
        let first = self.first_set()?;
        let second = self.only_the_worker(&first)?;
        self.a_part_fails(&second)?;
        self.back_to(&first)?;
        say("a release of the time with one of each");
        let plan = self
            .env
            .xtask_json("plan-before-set", &["rollback", &before, "--plan"])?;
        let notes = plan["plan"]["notes"].to_string();
        self.prove(
            plan["plan"]["railway"]["deployment"].is_string()
                && notes.contains("no part worker: it stays as it is"),
            "the release from before can be rolled back to, and the plan names what it did not have",
        )
    }

    fn first_set(&mut self) -> Result<Value> {
        say("the repository gets three backends and two frontends");
        let clone = self.env.clone_dir();
        for (sample, folders) in [
            (
                "v1/backend",
                ["apps/api", "apps/worker", "apps/mailer"].as_slice(),
            ),
            ("v1/frontend", &["apps/web", "apps/admin"]),
        ] {
            for folder in folders {
                self.env.lay_sample(sample, folder)?;
            }
        }
        for folder in ["backend", "frontend"] {
            std::fs::remove_dir_all(clone.join(folder)).context("cannot remove the folders of before")?;
        }
        self.configure(&clone.join("infrastructure"))?;
        let set = self.deploy_commit("set", "Several parts")?;
        let release = &set["release"];
        let has_all = BACKENDS.iter().all(|name| !id_of(release, name).is_empty())
            && ["frontend", "admin"]
                .iter()
                .all(|name| !id_of(release, name).is_empty());
        self.prove(
            has_all,
            "three backends and two frontends are recorded as one release",
        )?;
        self.prove(
            self.live_ids()? == ids_of(release),
            "each part serves the deployment that was recorded of it",
        )?;
        Ok(set)
    }

    fn configure(&self, folder: &Path) -> Result<()> {
        let pipeline = folder.join("pipeline.toml");
        let text = std::fs::read_to_string(&pipeline)?;
        let text = pipeline_of_set(&text, &self.env.addresses)?;
        std::fs::write(&pipeline, text)?;
        let health = folder.join("health.toml");
        let text = std::fs::read_to_string(&health)?;
        std::fs::write(&health, format!("{text}{CHECK}"))?;
        Ok(())
    }

    fn only_the_worker(&mut self, first: &Value) -> Result<Value> {
        say("only the worker changes");
        self.new_version("apps/worker/app.toml", "1.0.1")?;
        let second = self.deploy_commit("only-the-worker", "Faster worker")?;
        let (then, now) = (ids_of(&first["release"]), ids_of(&second["release"]));
        let changed: Vec<&String> = now.keys().filter(|name| then[*name] != now[*name]).collect();
        self.prove(
            changed == ["worker"] && now.len() == then.len(),
            "only the worker was deployed, and all five parts are recorded",
        )?;
        self.prove(
            self.live_ids()? == now,
            "the others serve the deployments that they served before",
        )?;
        Ok(second)
    }

    fn a_part_fails(&mut self, live: &Value) -> Result<()> {
        say("the second frontend cannot be promoted after the worker and the first frontend are live");
        self.new_version("apps/worker/app.toml", "1.0.2")?;
        for folder in ["apps/web", "apps/admin"] {
            let page = self.env.clone_dir().join(folder).join("index.html");
            let text = std::fs::read_to_string(&page)?;
            std::fs::write(&page, format!("{text}<!-- changed -->\n"))?;
        }
        self.env.commit("Pages and worker", "main")?;
        self.env.control(
            "/faults",
            &json!({
                "id": "promotion", "platform": "vercel", "kind": "status", "status": 403, "nth": 2, "times": 0,
                "operation": "POST /v10/projects/{project}/promote/{deployment}",
            }),
        )?;
        let failed = self.env.xtask("part-fails", &["deploy", "--yes"])?;
        self.env.control("/faults/clear", &json!({}))?;
        let said = failed.stderr_tail.join("\n");
        self.prove(
            failed.code == Some(1) && said.contains("serves again what it served before"),
            "the deploy failed, and reports that all parts went back",
        )?;
        let (then, now) = (ids_of(&live["release"]), self.live_ids()?);
        let pages = ["frontend", "admin"].iter().all(|name| then[*name] == now[*name]);
        let untouched = ["backend", "mailer"].iter().all(|name| then[*name] == now[*name]);
        self.prove(
            pages && untouched && self.worker_version()? == "1.0.1",
            "every part serves what it served before",
        )?;
        let left = self.env.last_operation()?;
        self.prove(
            left["ended"]["outcome"] == "undone",
            "the ledger has the deploy as undone, and is free",
        )
    }

    fn back_to(&mut self, first: &Value) -> Result<()> {
        say("roll the set back");
        let tag = tag_of(first)?;
        let back = self.env.xtask_json(
            "set-rollback",
            &["rollback", &tag, "--reason", "the worker is too fast", "--yes"],
        )?;
        let (then, now) = (ids_of(&first["release"]), ids_of(&back["release"]));
        let same = then
            .keys()
            .filter(|name| *name != "worker")
            .all(|name| then[name] == now[name]);
        self.prove(
            same && now.len() == then.len() && self.worker_version()? == "1.0.0",
            "the recorded set serves again",
        )?;
        self.take_timeline(&back)
    }

    fn deploy_commit(&self, log: &str, message: &str) -> Result<Value> {
        self.env.commit(message, "main")?;
        self.env.xtask_json(log, &["deploy", "--yes"])
    }

    /// What each part serves, by the platforms.
    fn live_ids(&self) -> Result<std::collections::BTreeMap<String, String>> {
        let report = self.env.platform_report()?;
        let parts = [
            ("backend", "services", "svc"),
            ("worker", "services", "svc-worker"),
            ("mailer", "services", "svc-mailer"),
            ("frontend", "projects", "prj_x"),
            ("admin", "projects", "prj_admin"),
        ];
        let live = |side: &str, id: &str| report[side][id]["live"].as_str().unwrap_or_default().to_owned();
        Ok(parts
            .into_iter()
            .map(|(name, side, id)| (name.to_owned(), live(side, id)))
            .collect())
    }

    fn worker_version(&self) -> Result<String> {
        let address = &self.env.addresses.others["svc-worker"];
        let health: Value = ureq::get(format!("{address}/api/health"))
            .call()
            .context("the worker does not answer")?
            .body_mut()
            .read_json()?;
        Ok(health["version"].as_str().unwrap_or_default().to_owned())
    }
}

/// The pipeline of the sample application with three backends and two frontends in the place of one of each.
pub fn pipeline_of_set(one_of_each: &str, addresses: &Addresses) -> Result<String> {
    let (head, _) = one_of_each
        .split_once("[environments.production.railway]")
        .context("the pipeline has no platform")?;
    let head = head.replace("pipeline/1", "pipeline/2");
    let head = head.replace("backend/migrations", "apps/api/migrations");
    let parts = PARTS
        .replace("{{backend}}", &addresses.backend)
        .replace("{{frontend}}", &addresses.frontend)
        .replace("{{admin}}", &addresses.others["prj_admin"]);
    Ok(format!("{head}{parts}"))
}

/// The recorded deployment of each part.
fn ids_of(release: &Value) -> std::collections::BTreeMap<String, String> {
    let names = BACKENDS.into_iter().chain(["frontend", "admin"]);
    names
        .map(|name| (name.to_owned(), id_of(release, name)))
        .collect()
}

fn id_of(release: &Value, name: &str) -> String {
    let part = match name {
        "backend" => &release["railway"],
        "frontend" => &release["vercel"],
        "admin" => &release["frontends"][name],
        _ => &release["backends"][name],
    };
    part["deployment"].as_str().unwrap_or_default().to_owned()
}
