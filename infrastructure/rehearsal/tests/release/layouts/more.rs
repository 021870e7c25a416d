//! Layouts that are not among the nine: parts that are left out, and parts of other kinds.

use super::{Layout, MONGODB, PAGE, SERVER, START};

/// It has no address, and works until it is ended.
const WORKER: &str = "setInterval(() => console.log('working'), 1000);\n";
const WORKER_START: &str = r#"{"name":"jobs","scripts":{"start":"node worker.js"}}"#;

pub(super) const MORE: [Layout; 6] = [
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
    Layout {
        name: "pages that programs of the team stage",
        files: &[
            ("api/package.json", START),
            ("api/server.js", SERVER),
            ("web/index.html", PAGE),
            ("deploy/pages", "#!/bin/sh\nexit 1\n"),
        ],
        parts: &[
            MONGODB,
            r#"
[[environments.production.backends]]
name = "api"
platform = "railway"
service = "s-1"
folder = "api"
url = "https://api.orders.example"
[[environments.production.frontends]]
name = "web"
platform = "command"
folder = "web"
url = "https://www.orders.example"
[environments.production.frontends.command]
current = ["deploy/pages", "current"]
stage = ["deploy/pages", "stage"]
promote = ["deploy/pages", "promote"]
wait = ["deploy/pages", "wait"]
env = ["PAGES_TOKEN"]
"#,
        ],
        pages: &["frontend"],
        routes: &["backend"],
    },
    Layout {
        name: "a worker and nothing else",
        files: &[("jobs/package.json", WORKER_START), ("jobs/worker.js", WORKER)],
        parts: &[r#"
[[environments.production.backends]]
name = "jobs"
platform = "railway"
service = "s-1"
folder = "jobs"
"#],
        pages: &[],
        routes: &[],
    },
    Layout {
        name: "three services: one answers, one works, one has ended between its runs",
        files: &[
            ("api/package.json", START),
            ("api/server.js", SERVER),
            ("jobs/package.json", WORKER_START),
            ("jobs/worker.js", WORKER),
            (
                "nightly/package.json",
                r#"{"name":"nightly","scripts":{"start":"node run.js"}}"#,
            ),
            ("nightly/run.js", "console.log('done');\n"),
            (
                "nightly/railway.json",
                r#"{"deploy":{"cronSchedule":"0 3 * * *","restartPolicyType":"NEVER"}}"#,
            ),
        ],
        parts: &[
            MONGODB,
            r#"
[[environments.production.backends]]
name = "api"
platform = "railway"
service = "s-1"
folder = "api"
url = "https://api.orders.example"
[[environments.production.backends]]
name = "jobs"
platform = "railway"
service = "s-2"
folder = "jobs"
after = ["api"]
[[environments.production.backends]]
name = "nightly"
platform = "railway"
service = "s-3"
folder = "nightly"
"#,
        ],
        pages: &[],
        routes: &["backend"],
    },
];
