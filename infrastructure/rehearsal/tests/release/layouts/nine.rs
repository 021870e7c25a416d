//! The nine layouts of public repositories with this stack, with names and code of our own.

use super::{Layout, MONGODB, PAGE, SERVER, START};

/// Pages in `frontend`.
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

/// In the order of their letters.
pub(super) const NINE: [Layout; 9] = [
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
            WEB,
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
            WEB,
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
];
