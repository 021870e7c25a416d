//! The layouts of repositories with this stack, as teams have them: each is released and rolled back with its own pipeline.toml.
//! Two of them are played; `XTASK_LINES=all` (`cargo xtask ci faults --all`) plays all.

mod more;
mod nine;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rehearsal::test_env::adopted::Adopted;
use rehearsal::test_env::git::{commit_first, write_files};
use rehearsal::test_env::programs::{PRODUCT, built};
use rehearsal::test_env::sample::sampled;

use crate::adopted::rehearsed;
use more::MORE;
use nine::NINE;

/// A layout: its files, the parts of its pipeline, and the checks of its pages.
struct Layout {
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    parts: &'static [&'static str],
    /// By the variable of the address.
    pages: &'static [&'static str],
    routes: &'static [&'static str],
}

/// The beginning of each pipeline.toml: no approvals, and backups in a folder.
pub const HEAD: &str = r#"schema = "pipeline/2"
default_environment = "production"
[git]
require_ci = false
[github]
repository = "team/repository"
[backup]
identity = "BACKUP_AGE_IDENTITY"
[[backup.places]]
kind = "directory"
path = "backups"
required = true
[approval]
required = 0
[environments.production]
tag_prefix = "prod"
protected = true
"#;
/// The place of the services.
pub const RAILWAY: &str = "[environments.production.railway]\nproject = \"p-1\"\nenvironment = \"e-1\"\ntoken = \"PROD_RAILWAY_TOKEN\"\n";
const VERCEL: &str = "[environments.production.vercel]\norg = \"team_1\"\ntoken = \"PROD_VERCEL_TOKEN\"\n";
const MONGODB: &str =
    "[environments.production.mongodb]\nuri = \"PROD_MONGODB_URI\"\ndatabase = \"orders\"\n";
const PAGE: &str =
    "<!doctype html><html lang=\"en\"><head><title>Orders</title></head><body>Hello</body></html>\n";
const SERVER: &str = r"const http = require('node:http');
http.createServer((request, response) => {
  response.writeHead(200, {'content-type': 'application/json'});
  response.end(JSON.stringify({status: 'ok'}));
}).listen(process.env.PORT);
";
const START: &str = r#"{"name":"api","scripts":{"start":"node server.js"}}"#;

impl Layout {
    fn has(&self, what: &str) -> bool {
        self.parts.iter().any(|part| part.contains(what))
    }

    fn pipeline(&self) -> String {
        let mut text = HEAD.to_owned();
        if self.has("\"railway\"") {
            text += RAILWAY;
        }
        if self.has("\"vercel\"") {
            text += VERCEL;
        }
        text + &self.parts.concat()
    }

    fn health(&self) -> String {
        let mut text = "schema = \"health/1\"\n".to_owned();
        for (at, part) in self.routes.iter().enumerate() {
            text += &format!(
                "[check.route-{at}]\ngroup = \"features\"\nretry = {{ for_s = 10 }}\n[check.route-{at}.http]\nurl = \"${{{part}}}/health\"\n"
            );
        }
        for (at, part) in self.pages.iter().enumerate() {
            // A feature of pages: before the first promotion nothing answers there.
            text += &format!(
                "[check.answer-{at}]\ngroup = \"features\"\n[check.answer-{at}.http]\nurl = \"${{{part}}}/\"\n"
            );
            text += &format!(
                "[check.page-{at}]\ngroup = \"performance\"\nretry = {{ for_s = 10 }}\n[check.page-{at}.frontend]\nurl = \"${{{part}}}/\"\ntitle = \"\\\\S\"\nload_ms = 30000\n"
            );
        }
        if self.has("[[environments") {
            text += "[check.serving]\ngroup = \"release\"\n[check.serving.serving]\n";
        } else {
            text += "[check.database]\ngroup = \"database\"\n[check.database.database]\ncollection = \"properties\"\nfilter = {}\n";
        }
        text
    }

    fn lay(&self, dir: &Path) {
        let own = [
            ("infrastructure/pipeline.toml", self.pipeline()),
            ("infrastructure/health.toml", self.health()),
            (".gitignore", "node_modules\n.env\n.xtask/\nbackups/\n".to_owned()),
        ];
        let own = own.iter().map(|(path, text)| (*path, text.as_str()));
        write_files(dir, self.files.iter().copied().chain(own));
        commit_first(dir, "main");
    }
}

#[test]
fn each_layout_has_a_pipeline_that_is_accepted() {
    for layout in MORE.iter().chain(&NINE) {
        let team = tempfile::tempdir().unwrap();
        layout.lay(team.path());
        let doctor = Command::new(built(PRODUCT))
            .args(["doctor", "--config-only"])
            .current_dir(team.path())
            .output()
            .unwrap();
        let text =
            String::from_utf8_lossy(&doctor.stdout).into_owned() + &String::from_utf8_lossy(&doctor.stderr);
        assert!(doctor.status.success(), "{}: {text}", layout.name);
    }
}

#[test]
fn layouts_are_released_and_rolled_back_with_their_own_pipeline() {
    // The last of each list: services that no address leads to; two frontends, and a backend whose platform is a program of the team.
    for layout in sampled(MORE.iter().chain(&NINE), NINE.len(), MORE.len() - 1) {
        let began = Instant::now();
        let team = tempfile::tempdir().unwrap();
        layout.lay(team.path());
        let team = Adopted::read(team.path()).unwrap();
        let text = rehearsed(team, 200, layout.name);
        let (has_code, has_data) = (layout.has("[[environments"), layout.has(MONGODB));
        assert_eq!(
            text.contains("serve the first release"),
            has_code,
            "{}: {text}",
            layout.name
        );
        assert_eq!(
            text.contains("25 later documents are kept"),
            has_data,
            "{}: {text}",
            layout.name
        );
        println!("{}: {} s", layout.name, began.elapsed().as_secs());
    }
}
