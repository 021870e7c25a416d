//! The layouts of repositories with this stack, as teams have them: each is released and rolled back with its own pipeline.toml.
//! One of them is played; `XTASK_LINES=all` (`cargo xtask ci --all`) plays all.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rehearsal::test_env::adopted::Adopted;
use rehearsal::test_env::git::{commit_first, write_files};
use rehearsal::test_env::programs::{PRODUCT, built};
use rehearsal::test_env::sample::sampled;

use crate::adopted::rehearsed;

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
/// Pages in `frontend`.
const FRONTEND: &str = r#"
[[environments.production.frontends]]
name = "frontend"
platform = "vercel"
project = "prj_1"
folder = "frontend"
domain = "www.orders.example"
"#;
/// The same under another name.
const WEB: &str = r#"
[[environments.production.frontends]]
name = "web"
platform = "vercel"
project = "prj_1"
folder = "frontend"
domain = "www.orders.example"
"#;
/// A service that is uploaded from the root.
const API_FROM_ROOT: &str = r#"
[[environments.production.backends]]
name = "api"
platform = "railway"
service = "s-1"
folder = "backend"
upload = "root"
url = "https://api.orders.example"
"#;
const PAGE: &str =
    "<!doctype html><html lang=\"en\"><head><title>Orders</title></head><body>Hello</body></html>\n";
const SERVER: &str = r"const http = require('node:http');
http.createServer((request, response) => {
  response.writeHead(200, {'content-type': 'application/json'});
  response.end(JSON.stringify({status: 'ok'}));
}).listen(process.env.PORT);
";
const START: &str = r#"{"name":"api","scripts":{"start":"node server.js"}}"#;

const LAYOUTS: [Layout; 12] = [
    Layout {
        name: "A: workspaces with services and applications, uploaded from the root",
        files: &[
            (
                "package.json",
                r#"{"private":true,"workspaces":["services/*","apps/*","packages/*"]}"#,
            ),
            ("packages/common/index.js", "module.exports = {};\n"),
            (
                "services/orders-service/Dockerfile",
                "FROM node:22\nCOPY services/orders-service services/orders-service\n",
            ),
            (
                "services/gateway-service/Dockerfile",
                "FROM node:22\nCOPY services/gateway-service services/gateway-service\n",
            ),
            (
                "services/mail-service/Dockerfile",
                "FROM node:22\nCOPY services/mail-service services/mail-service\n",
            ),
            ("apps/shop-app/index.html", PAGE),
            ("apps/admin-app/index.html", PAGE),
            (".railwayignore", "apps\n"),
        ],
        parts: &[
            MONGODB,
            r#"
[[environments.production.backends]]
name = "orders"
platform = "railway"
service = "s-1"
folder = "services/orders-service"
shares = ["packages/common"]
upload = "root"
url = "https://orders.orders.example"
[[environments.production.backends]]
name = "gateway"
platform = "railway"
service = "s-2"
folder = "services/gateway-service"
upload = "root"
url = "https://api.orders.example"
after = ["orders"]
[[environments.production.backends]]
name = "mail"
platform = "railway"
service = "s-3"
folder = "services/mail-service"
upload = "root"
after = ["orders"]
[[environments.production.frontends]]
name = "shop"
platform = "vercel"
project = "prj_1"
folder = "apps/shop-app"
domain = "www.orders.example"
[[environments.production.frontends]]
name = "admin"
platform = "vercel"
project = "prj_2"
folder = "apps/admin-app"
domain = "admin.orders.example"
"#,
        ],
        pages: &["frontend.shop", "frontend.admin"],
        routes: &["backend.orders", "backend.gateway"],
    },
    Layout {
        name: "B: one service at the root, with the pages built into it, and no Vercel",
        files: &[
            ("package.json", START),
            ("server.js", SERVER),
            ("frontend/index.html", PAGE),
            ("backend/migrations/20260101-first.js", "module.exports = {};\n"),
        ],
        parts: &[
            MONGODB,
            "via = \"railway-tunnel:MongoDB\"\n",
            r#"
[[environments.production.backends]]
name = "application"
platform = "railway"
service = "s-1"
folder = "."
url = "https://www.orders.example"
"#,
        ],
        pages: &[],
        routes: &["backend"],
    },
    Layout {
        name: "C: settings of the platform at the root, which is uploaded",
        files: &[
            (
                "railway.toml",
                "[deploy]\nstartCommand = \"cd backend && node server.js\"\n",
            ),
            (".railwayignore", "frontend\n"),
            ("backend/package.json", START),
            ("backend/server.js", SERVER),
            ("frontend/index.html", PAGE),
        ],
        parts: &[
            MONGODB,
            r#"
[[environments.production.backends]]
name = "backend"
platform = "railway"
service = "s-1"
folder = "backend"
upload = "root"
url = "https://api.orders.example"
"#,
            FRONTEND,
        ],
        pages: &["frontend"],
        routes: &["backend"],
    },
    Layout {
        name: "D: a backend and a frontend",
        files: &[
            ("backend/package.json", START),
            ("backend/server.js", SERVER),
            ("frontend/index.html", PAGE),
        ],
        parts: &[
            MONGODB,
            r#"
[[environments.production.backends]]
name = "backend"
platform = "railway"
service = "s-1"
folder = "backend"
url = "https://api.orders.example"
"#,
            FRONTEND,
            r#"
[[environments.production.variables]]
secret = "JWT_SECRET"
railway = "JWT_SECRET"
[[environments.production.variables]]
secret = "API_URL"
vercel = "VITE_API_URL"
"#,
        ],
        pages: &["frontend"],
        routes: &["backend"],
    },
    Layout {
        name: "E: a Dockerfile below that copies from the root, and a second database",
        files: &[
            (
                "railway.json",
                r#"{"build":{"dockerfilePath":"backend/Dockerfile.railway"}}"#,
            ),
            (
                "backend/Dockerfile.railway",
                "FROM python:3.12\nCOPY backend/main.py main.py\n",
            ),
            ("backend/main.py", "app = None\n"),
            ("frontend/index.html", PAGE),
        ],
        parts: &[
            MONGODB,
            API_FROM_ROOT,
            WEB,
            r#"
[[environments.production.external]]
name = "Postgres"
on_rollback = "stays as it is: its migrations are rolled back by hand"
"#,
        ],
        pages: &["frontend"],
        routes: &["backend"],
    },
    Layout {
        name: "F: a backend by a Procfile, pages with a build, and a second database",
        files: &[
            ("backend/Procfile", "web: node dist/main\n"),
            (
                "backend/package.json",
                r#"{"name":"api","scripts":{"start":"nest start"},"dependencies":{"@nestjs/core":"11"}}"#,
            ),
            (
                "frontend/package.json",
                r#"{"name":"web","scripts":{"build":"next build"},"dependencies":{"next":"16"}}"#,
            ),
        ],
        parts: &[
            MONGODB,
            r#"
[[environments.production.backends]]
name = "api"
platform = "railway"
service = "s-1"
folder = "backend"
url = "https://api.orders.example"
"#,
            WEB,
            r#"
[[environments.production.external]]
name = "Postgres"
on_rollback = "stays as it is"
"#,
        ],
        pages: &["frontend"],
        routes: &["backend"],
    },
    Layout {
        name: "G: one application at the root with routes of its own that use the database",
        files: &[
            (
                "package.json",
                r#"{"name":"site","scripts":{"build":"next build"},"dependencies":{"next":"16","payload":"3"}}"#,
            ),
            ("vercel.json", r#"{"crons":[]}"#),
        ],
        parts: &[
            MONGODB,
            r#"
[[environments.production.backends]]
name = "site"
platform = "vercel"
project = "prj_1"
folder = "."
domain = "www.orders.example"
"#,
        ],
        pages: &["frontend.site"],
        routes: &[],
    },
    Layout {
        name: "H: a start command of the root",
        files: &[
            (
                "railway.json",
                r#"{"deploy":{"startCommand":"cd backend && uvicorn main:app"}}"#,
            ),
            ("backend/main.py", "app = None\n"),
            ("frontend/index.html", PAGE),
            ("frontend/vercel.json", "{}\n"),
        ],
        parts: &[MONGODB, API_FROM_ROOT, WEB],
        pages: &["frontend"],
        routes: &["backend"],
    },
    Layout {
        name: "I: a backend on a server, two frontends and migrations",
        files: &[
            ("server/package.json", START),
            ("server/server.js", SERVER),
            ("server/migrations/20260101-first.js", "module.exports = {};\n"),
            ("web/index.html", PAGE),
            ("administration/index.html", PAGE),
            ("deploy/server", "#!/bin/sh\nexit 1\n"),
        ],
        parts: &[
            MONGODB,
            r#"
[[environments.production.backends]]
name = "server"
platform = "command"
folder = "server"
url = "https://api.orders.example"
[environments.production.backends.command]
current = ["deploy/server", "current"]
deploy = ["deploy/server", "deploy"]
rollback = ["deploy/server", "rollback"]
wait = ["deploy/server", "wait"]
env = ["SERVER_SSH_KEY"]
[[environments.production.frontends]]
name = "web"
platform = "vercel"
project = "prj_1"
folder = "web"
domain = "www.orders.example"
[[environments.production.frontends]]
name = "administration"
platform = "vercel"
project = "prj_2"
folder = "administration"
domain = "admin.orders.example"
"#,
        ],
        pages: &["frontend.web", "frontend.administration"],
        routes: &["backend"],
    },
    Layout {
        name: "frontend only",
        files: &[("web/index.html", PAGE)],
        parts: &[r#"
[[environments.production.frontends]]
name = "web"
platform = "vercel"
project = "prj_1"
folder = "web"
domain = "www.orders.example"
"#],
        pages: &["frontend"],
        routes: &[],
    },
    Layout {
        name: "pages on Railway",
        files: &[("shop/package.json", START), ("shop/server.js", SERVER)],
        parts: &[r#"
[[environments.production.frontends]]
name = "shop"
platform = "railway"
service = "s-1"
folder = "shop"
url = "https://www.orders.example"
"#],
        pages: &[],
        routes: &["backend.shop"],
    },
    Layout {
        name: "database only",
        files: &[("notes/README.md", "The data of others.\n")],
        parts: &[MONGODB],
        pages: &[],
        routes: &[],
    },
];

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
            text += &format!(
                "[check.page-{at}]\ngroup = \"performance\"\nretry = {{ for_s = 10 }}\n[check.page-{at}.frontend]\nurl = \"${{{part}}}/\"\ntitle = \"\\\\S\"\nload_ms = 30000\n"
            );
        }
        if self.routes.is_empty() && self.pages.is_empty() {
            text += "[check.database]\ngroup = \"database\"\n[check.database.database]\ncollection = \"properties\"\nfilter = {}\n";
        } else {
            text += "[check.serving]\ngroup = \"release\"\n[check.serving.serving]\n";
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
    for layout in &LAYOUTS {
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
    // In the middle of the others: two frontends, and a backend whose platform is a program of the team.
    for layout in sampled(&LAYOUTS, LAYOUTS.len(), 8) {
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
