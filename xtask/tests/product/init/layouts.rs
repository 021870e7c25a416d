//! Repositories in the forms that teams have, made up: files, and what is expected of each.

/// One repository.
pub struct Layout {
    pub name: &'static str,
    pub files: &'static [(&'static str, &'static str)],
    /// Keys that its files hold, with their values.
    pub keys: &'static [(&'static str, &'static str)],
    /// Names of findings.
    pub findings: &'static [&'static str],
}

pub const RAILWAY: &str = "environments.production.railway";
const BACKEND: &str = r#"{"name":"backend","scripts":{"start":"node server.js","test":"jest"},"dependencies":{"express":"4","mongoose":"8"}}"#;
const VITE: &str = r#"{"name":"frontend","scripts":{"dev":"vite","build":"vite build"},"dependencies":{"react":"18"},"devDependencies":{"vite":"5"}}"#;

pub const LAYOUTS: &[Layout] = &[
    Layout {
        name: "workspaces with seven services and a deploying workflow",
        files: &[
            (
                "package.json",
                r#"{"name":"fair","private":true,"workspaces":["services/*","apps/*","packages/*"]}"#,
            ),
            ("yarn.lock", ""),
            (
                "services/entry-service/package.json",
                r#"{"name":"entry","scripts":{"start":"node ."},"dependencies":{"express":"4","@fair/lib":"*"}}"#,
            ),
            (
                "services/stall-service/package.json",
                r#"{"name":"stall","scripts":{"start":"node ."},"dependencies":{"express":"4","mongoose":"8","@fair/lib":"*"}}"#,
            ),
            (
                "services/stall-service/src/db.ts",
                "import mongoose from 'mongoose';\nexport const open = () => mongoose.connect(process.env.MONGODB_URL!, { dbName: 'fair' });\n",
            ),
            (
                "services/stall-service/Dockerfile",
                "FROM node:22\nCOPY services/stall-service/package.json ./\n",
            ),
            (
                "apps/visitor-app/package.json",
                r#"{"name":"visitor","scripts":{"dev":"next dev","build":"next build"},"dependencies":{"next":"15"}}"#,
            ),
            (
                "apps/visitor-app/vercel.json",
                r#"{"installCommand":"cd ../.. && yarn install","git":{"deploymentEnabled":false}}"#,
            ),
            (
                "apps/staff-app/package.json",
                r#"{"name":"staff","scripts":{"dev":"next dev","build":"next build"},"dependencies":{"next":"15"}}"#,
            ),
            (
                "packages/lib/package.json",
                r#"{"name":"@fair/lib","main":"index.js"}"#,
            ),
            (
                ".env.example",
                "MONGODB_URL=mongodb://localhost:27017/fair\nJWT_SECRET=change\n",
            ),
            (
                ".github/workflows/ship.yml",
                "on:\n  workflow_run:\n    workflows: [ci]\njobs:\n  ship:\n    steps:\n      - run: railway up --service $X --detach\n",
            ),
        ],
        keys: &[
            ("environments.production.mongodb.uri", "PROD_MONGODB_URL"),
            ("environments.production.mongodb.database", "fair"),
            ("environments.production.variables.JWT_SECRET", "PROD_JWT_SECRET"),
            ("environments.production.vercel.source", "."),
        ],
        findings: &["automatic-deploys", "several-services"],
    },
    Layout {
        name: "one service at the root that serves the built frontend",
        files: &[
            (
                "package.json",
                r#"{"name":"ledgerly","workspaces":["backend","frontend"],"scripts":{"build":"npm run build -w frontend","start":"npm start -w backend"}}"#,
            ),
            ("package-lock.json", "{}"),
            ("nixpacks.toml", "[start]\ncmd = \"npm start\"\n"),
            ("backend/package.json", BACKEND),
            (
                "backend/src/config.ts",
                "export const uri = process.env.MONGO_URI || 'mongodb://127.0.0.1:27017/ledgerly';\n",
            ),
            (
                "backend/src/app.ts",
                "import router from './routes/index';\napp.use('/api', router);\n",
            ),
            (
                "backend/src/routes/index.ts",
                "router.get('/health', (_req, res) => res.json({ ok: true }));\n",
            ),
            (
                "backend/migrate-mongo-config.js",
                "module.exports = { mongodb: { url: process.env.MONGO_URI }, migrationsDir: 'migrations' };\n",
            ),
            ("backend/migrations/20260101-a.js", "module.exports = {};\n"),
            (
                "backend/.env.example",
                "MONGO_URI=mongodb://mongo.railway.internal:27017/ledgerly\nREDIS_URL=redis://redis.railway.internal:6379\nSESSION_SECRET=\n",
            ),
            ("frontend/package.json", VITE),
        ],
        keys: &[
            ("environments.production.railway.source", "."),
            ("environments.production.vercel.source", "."),
            ("environments.production.mongodb.uri", "PROD_MONGO_URI"),
            ("environments.production.mongodb.database", "ledgerly"),
            (
                "environments.production.variables.SESSION_SECRET",
                "PROD_SESSION_SECRET",
            ),
            ("migrations.paths", "\"backend/migrations\""),
            ("check.api-health.http.url", "${backend}/api/health"),
            ("tests.backend.dir", "backend"),
        ],
        findings: &["git-deployments", "internal-database", "no-vercel"],
    },
    Layout {
        name: "settings of the platform in the root",
        files: &[
            (
                "railway.toml",
                "[deploy]\nstartCommand = \"cd backend && node server.js\"\nhealthcheckPath = \"/api/ping\"\n",
            ),
            (".railwayignore", "frontend\ndist/\n"),
            ("backend/package.json", BACKEND),
            (
                "backend/server.js",
                "const mongoose = require('mongoose');\nmongoose.connect(process.env.MONGODB_URI);\napp.get('/api/ping', ok);\n",
            ),
            (
                "backend/.env.example",
                "MONGODB_URI=mongodb+srv://user:password@cluster.example.net/atelier?retryWrites=true\nJWT_SECRET=x\n",
            ),
            ("frontend/package.json", VITE),
            (
                "frontend/.env.example",
                "VITE_API_URL=https://atelier-production.up.railway.app/api\n",
            ),
            (
                "frontend/vercel.json",
                r#"{"rewrites":[{"source":"/(.*)","destination":"/index.html"}]}"#,
            ),
        ],
        keys: &[
            ("environments.production.railway.source", "."),
            (
                "environments.production.railway.url",
                "https://atelier-production.up.railway.app",
            ),
            ("environments.production.vercel.source", "frontend"),
            ("environments.production.mongodb.uri", "PROD_MONGODB_URI"),
            ("environments.production.mongodb.database", "atelier"),
            ("environments.production.variables.JWT_SECRET", "PROD_JWT_SECRET"),
            ("check.api-health.http.url", "${backend}/api/ping"),
            ("tests.backend.dir", "backend"),
        ],
        findings: &["git-deployments"],
    },
    Layout {
        name: "two folders with pnpm, linked to the frontend's platform",
        files: &[
            ("backend/package.json", BACKEND),
            ("backend/pnpm-lock.yaml", ""),
            (
                "backend/src/index.js",
                "mongoose\n  .connect(process.env.MONGODB_URI)\n  .then(start);\napp.use('/api/health', health);\n",
            ),
            (
                "backend/.env.example",
                "MONGODB_URI=\nJWT_SECRET=\nCORS_ORIGIN=https://orchard-web.vercel.app\nPORT=3000\nMONGODB_DB=orchard\n",
            ),
            ("frontend/package.json", VITE),
            (
                "frontend/.vercel/project.json",
                r#"{"orgId":"team_Or4","projectId":"prj_Ch4","settings":{"rootDirectory":null}}"#,
            ),
            ("frontend/.env.example", "VITE_API_URL=http://localhost:3000\n"),
            ("old/server/package.json", BACKEND),
            (
                "packages/buttons/package.json",
                r#"{"name":"buttons","module":"dist/i.js","peerDependencies":{"react":"18"},"scripts":{"dev":"vite","build":"vite build"},"devDependencies":{"vite":"5","react":"18"}}"#,
            ),
        ],
        keys: &[
            ("environments.production.railway.source", "backend"),
            ("environments.production.vercel.source", "frontend"),
            ("environments.production.vercel.org", "team_Or4"),
            ("environments.production.vercel.project", "prj_Ch4"),
            ("environments.production.vercel.domain", "orchard-web.vercel.app"),
            ("environments.production.mongodb.uri", "PROD_MONGODB_URI"),
            ("environments.production.mongodb.database", "orchard"),
            ("environments.production.variables.JWT_SECRET", "PROD_JWT_SECRET"),
            ("check.api-health.http.url", "${backend}/api/health"),
            ("tests.backend.dir", "backend"),
        ],
        findings: &[],
    },
    Layout {
        name: "Python whose image is built from the root, three databases",
        files: &[
            (
                "railway.json",
                r#"{"build":{"builder":"DOCKERFILE","dockerfilePath":"backend/Dockerfile.railway"}}"#,
            ),
            (
                "backend/Dockerfile.railway",
                "FROM python:3.12\nCOPY backend/requirements.txt .\nCMD [\"uvicorn\", \"app.main:app\"]\n",
            ),
            (
                "backend/requirements.txt",
                "fastapi==0.115\nmotor==3.6\nasyncpg\n",
            ),
            (
                "backend/app/config.py",
                "class Settings(BaseSettings):\n    mongodb_url: str\n    mongodb_db: str = \"x\"\n    secret_key: str\n",
            ),
            (
                "backend/app/db.py",
                "client = AsyncIOMotorClient(settings.mongodb_url)\ndb = client[\"harbor\"]\n",
            ),
            (
                "backend/app/main.py",
                "app = FastAPI()\napp.include_router(health.router, prefix=\"/api/v1\")\n",
            ),
            (
                "backend/app/routers/health.py",
                "router = APIRouter()\n@router.get(\"/health\")\nasync def health(): ...\n",
            ),
            (
                "backend/.env.example",
                "DATABASE_URL=postgresql://localhost/harbor\nREDIS_URL=redis://localhost\nSECRET_KEY=x\n",
            ),
            ("frontend/package.json", VITE),
            ("frontend/vercel.json", "{}"),
        ],
        keys: &[
            ("environments.production.railway.source", "."),
            ("environments.production.vercel.source", "frontend"),
            ("environments.production.mongodb.uri", "PROD_MONGODB_URL"),
            ("environments.production.mongodb.database", "harbor"),
            ("environments.production.variables.SECRET_KEY", "PROD_SECRET_KEY"),
            ("check.api-health.http.url", "${backend}/api/v1/health"),
        ],
        findings: &["git-deployments", "second-database"],
    },
    Layout {
        name: "NestJS and Next.js, images by workflows",
        files: &[
            (
                "backend/package.json",
                r#"{"name":"api","scripts":{"start:prod":"node dist/main","test":"jest"},"dependencies":{"@nestjs/core":"10","@nestjs/mongoose":"10"}}"#,
            ),
            ("backend/package-lock.json", "{}"),
            (
                "backend/Procfile",
                "web: npx prisma migrate deploy && node dist/main\n",
            ),
            (
                "backend/prisma/schema.prisma",
                "datasource db {\n  provider = \"postgresql\"\n  url = env(\"DATABASE_URL\")\n}\n",
            ),
            ("backend/src/main.ts", "app.setGlobalPrefix('api/v2');\n"),
            (
                "backend/src/app.module.ts",
                "MongooseModule.forRootAsync({ useFactory: (config) => ({ uri: config.get<string>('MONGODB_URI'), dbName: 'events' }) });\n",
            ),
            (
                "backend/src/health.controller.ts",
                "@Controller('health')\nexport class HealthController {\n  @Get()\n  check() {}\n}\n",
            ),
            (
                "frontend/package.json",
                r#"{"name":"web","scripts":{"dev":"next dev","build":"next build","test":"vitest run"},"dependencies":{"next":"15","react":"19"}}"#,
            ),
            ("frontend/next.config.ts", "export default {};\n"),
            (
                "README.md",
                "Live: https://pier-web.vercel.app and https://railway.com/project/1b4e28ba-2fa1-41d2-883f-0016d3cca427/service/6ba7b810-9dad-41d1-80b4-00c04fd430c8?environmentId=7d444840-9dc0-41d1-b245-5ffdce74fad2\n",
            ),
        ],
        keys: &[
            (
                "environments.production.railway.project",
                "1b4e28ba-2fa1-41d2-883f-0016d3cca427",
            ),
            (
                "environments.production.railway.service",
                "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
            ),
            (
                "environments.production.railway.environment",
                "7d444840-9dc0-41d1-b245-5ffdce74fad2",
            ),
            ("environments.production.railway.source", "backend"),
            ("environments.production.vercel.source", "frontend"),
            ("environments.production.vercel.domain", "pier-web.vercel.app"),
            ("environments.production.mongodb.uri", "PROD_MONGODB_URI"),
            ("environments.production.mongodb.database", "events"),
            ("check.api-health.http.url", "${backend}/api/v2/health"),
            ("tests.backend.dir", "backend"),
            ("tests.frontend.dir", "frontend"),
        ],
        findings: &["migrations-at-start", "second-database"],
    },
    Layout {
        name: "one application with a content management system at the root",
        files: &[
            (
                "package.json",
                r#"{"name":"gazette","scripts":{"dev":"next dev","build":"next build","start":"next start"},"dependencies":{"next":"15","payload":"3","@payloadcms/db-mongodb":"3"}}"#,
            ),
            ("pnpm-lock.yaml", ""),
            (
                "railway.json",
                r#"{"build":{"builder":"DOCKERFILE"},"deploy":{"healthcheckPath":"/api/health"}}"#,
            ),
            ("vercel.json", r#"{"crons":[]}"#),
            (
                "Dockerfile",
                "FROM node:22\nCOPY . .\nCMD [\"pnpm\", \"start\"]\n",
            ),
            (
                "src/payload.config.ts",
                "db: mongooseAdapter({ url: process.env.DATABASE_URI || '' }),\n",
            ),
            (
                "src/app/api/health/route.ts",
                "export const GET = () => Response.json({ ok: true });\n",
            ),
            (
                ".env.example",
                "DATABASE_URI=mongodb://127.0.0.1/gazette\nPAYLOAD_SECRET=x\n",
            ),
        ],
        keys: &[
            ("environments.production.railway.source", "."),
            ("environments.production.vercel.source", "."),
            ("environments.production.mongodb.uri", "PROD_DATABASE_URI"),
            ("environments.production.mongodb.database", "gazette"),
            (
                "environments.production.variables.PAYLOAD_SECRET",
                "PROD_PAYLOAD_SECRET",
            ),
            ("check.api-health.http.url", "${backend}/api/health"),
        ],
        findings: &["git-deployments"],
    },
    Layout {
        name: "committed secrets and a file that is ignored",
        files: &[
            (".gitignore", "*.pem\n"),
            (
                "railway.json",
                r#"{"deploy":{"startCommand":"cd backend && uvicorn server:app"}}"#,
            ),
            ("Cargo.toml", "[workspace]\n"),
            ("backend/.env", "MONGO_URL=x\n"),
            ("backend/root.pem", "x\n"),
            ("backend/requirements.txt", "fastapi\npymongo\n"),
            (
                "backend/server.py",
                "client = MongoClient(os.environ['MONGO_URL'])\ndb = client[os.environ['DB_NAME']]\n@app.get(\"/api/status\")\ndef status(): ...\n",
            ),
            (
                "frontend/package.json",
                r#"{"name":"frontend","scripts":{"start":"react-scripts start","build":"react-scripts build"},"dependencies":{"react-scripts":"5"}}"#,
            ),
            ("frontend/vercel.json", "{}"),
        ],
        keys: &[
            ("environments.production.railway.source", "."),
            ("environments.production.vercel.source", "frontend"),
            ("environments.production.mongodb.uri", "PROD_MONGO_URL"),
            ("check.api-health.http.url", "${backend}/api/status"),
        ],
        findings: &[
            "cargo-manifest",
            "committed-but-ignored",
            "committed-env",
            "git-deployments",
        ],
    },
    Layout {
        name: "a backend by ssh, two frontends, a mobile application",
        files: &[
            ("server/package.json", BACKEND),
            ("server/src/db.js", "mongoose.connect(process.env.MONGO_URL);\n"),
            (
                "server/migrate-mongo-config.js",
                "module.exports = { mongodb: { databaseName: 'courier' }, migrationsDir: 'db/steps' };\n",
            ),
            ("server/src/app.js", "app.get('/healthz', ok);\n"),
            ("web/package.json", VITE),
            ("web/vercel.json", r#"{"git":{"deploymentEnabled":false}}"#),
            ("admin/package.json", VITE),
            ("admin/vercel.json", r#"{"git":{"deploymentEnabled":false}}"#),
            (
                "app/package.json",
                r#"{"name":"app","scripts":{"start":"expo start","build":"x"},"dependencies":{"expo":"52","react":"18"},"devDependencies":{"vite":"5"}}"#,
            ),
            (
                ".github/workflows/deploy.yml",
                "on:\n  push:\njobs:\n  a:\n    steps:\n      - uses: appleboy/ssh-action@v1\n",
            ),
        ],
        keys: &[
            ("environments.production.railway.source", "server"),
            ("environments.production.vercel.source", "web"),
            ("environments.production.mongodb.uri", "PROD_MONGO_URL"),
            ("environments.production.mongodb.database", "courier"),
            ("migrations.paths", "\"server/db/steps\""),
            ("check.api-health.http.url", "${backend}/healthz"),
            ("tests.backend.dir", "server"),
        ],
        findings: &["no-railway", "several-services"],
    },
    Layout {
        name: "a link whose Root Directory is wrong, and Postgres beside MongoDB in code only",
        files: &[
            ("api/package.json", BACKEND),
            (
                "api/src/mongo.ts",
                "const client = new MongoClient(env.ATLAS_URI);\nexport const db = client.db('atlas-shop');\n",
            ),
            (
                "api/src/env.ts",
                "export const env = schema.parse({\n  ATLAS_URI: z.string(),\n});\n",
            ),
            ("client/package.json", VITE),
            (
                "client/.vercel/project.json",
                r#"{"orgId":"team_a","projectId":"prj_b","settings":{"rootDirectory":"client"}}"#,
            ),
        ],
        keys: &[
            ("environments.production.railway.source", "api"),
            ("environments.production.vercel.source", "client"),
            ("environments.production.vercel.org", "team_a"),
            ("environments.production.vercel.project", "prj_b"),
            ("environments.production.mongodb.uri", "PROD_ATLAS_URI"),
            ("environments.production.mongodb.database", "atlas-shop"),
            ("tests.backend.dir", "api"),
        ],
        findings: &["root-directory"],
    },
    Layout {
        name: "an nx repository: NestJS with Prisma on MongoDB, React with Vite",
        files: &[
            ("nx.json", "{}"),
            (
                "package.json",
                r#"{"name":"orders","scripts":{"build":"nx run-many -t build","start":"nx serve"},"dependencies":{"@nestjs/core":"11","@prisma/client":"6","react":"19"},"devDependencies":{"nx":"21","vite":"7"}}"#,
            ),
            ("package-lock.json", "{}"),
            (
                "apps/api/project.json",
                r#"{"name":"api","projectType":"application","targets":{"build":{"executor":"@nx/webpack:webpack"},"serve":{}}}"#,
            ),
            (
                "apps/api/src/main.ts",
                "import { NestFactory } from '@nestjs/core';\napp.setGlobalPrefix('api');\nawait app.listen(process.env.PORT);\n",
            ),
            (
                "apps/api/src/health.controller.ts",
                "@Controller('health')\nexport class HealthController { @Get() check() {} }\n",
            ),
            (
                "apps/web/project.json",
                r#"{"name":"web","projectType":"application","targets":{"build":{"executor":"@nx/vite:build"},"serve":{}}}"#,
            ),
            ("apps/web/index.html", "<html></html>"),
            ("apps/web/src/main.tsx", "import React from 'react';\n"),
            (
                "apps/web-e2e/project.json",
                r#"{"name":"web-e2e","projectType":"application","targets":{"e2e":{}}}"#,
            ),
            (
                "libs/ui/project.json",
                r#"{"name":"ui","projectType":"library","targets":{"build":{}}}"#,
            ),
            (
                "prisma/schema.prisma",
                "datasource db {\n  provider = \"mongodb\"\n  url = env(\"DATABASE_URL\")\n}\n",
            ),
            (
                "railway.json",
                r#"{"deploy":{"startCommand":"node dist/apps/api/main.js"}}"#,
            ),
            (
                "vercel.json",
                r#"{"buildCommand":"npx nx build web","outputDirectory":"dist/apps/web","git":{"deploymentEnabled":false}}"#,
            ),
            (
                ".env.example",
                "DATABASE_URL=mongodb+srv://u:p@c0.abcde.mongodb.net/orders\n",
            ),
        ],
        keys: &[
            ("environments.production.railway.source", "."),
            ("environments.production.vercel.source", "."),
            ("environments.production.mongodb.uri", "PROD_DATABASE_URL"),
            ("environments.production.mongodb.database", "orders"),
            ("check.api-health.http.url", "${backend}/api/health"),
        ],
        findings: &["git-deployments"],
    },
    Layout {
        name: "FastAPI with motor in an image, without a manifest; pages as they are",
        files: &[
            (
                "engine/Dockerfile",
                "FROM python:3.13\nRUN pip install --no-cache-dir fastapi uvicorn motor\nCOPY . .\nCMD [\"uvicorn\", \"main:app\"]\n",
            ),
            (
                "engine/main.py",
                "import os\nfrom motor.motor_asyncio import AsyncIOMotorClient\nclient = AsyncIOMotorClient(os.environ[\"MONGO_URI\"])\ndb = client[\"weather\"]\n\n@app.get(\"/health\")\nasync def health():\n    return {}\n",
            ),
            ("site/index.html", "<html></html>"),
            ("site/vercel.json", r#"{"git":{"deploymentEnabled":false}}"#),
        ],
        keys: &[
            ("environments.production.railway.source", "engine"),
            ("environments.production.vercel.source", "site"),
            ("environments.production.mongodb.uri", "PROD_MONGO_URI"),
            ("environments.production.mongodb.database", "weather"),
            ("check.api-health.http.url", "${backend}/health"),
        ],
        findings: &[],
    },
    Layout {
        name: "Next.js alone, with routes of an API, all on Vercel",
        files: &[
            (
                "package.json",
                r#"{"name":"club","scripts":{"build":"next build"},"dependencies":{"next":"16","react":"19","mongoose":"9"}}"#,
            ),
            ("package-lock.json", "{}"),
            (
                "src/lib/db.ts",
                "import mongoose from 'mongoose';\nexport const open = () => mongoose.connect(process.env.MONGODB_URI!, { dbName: 'club' });\n",
            ),
            (
                "src/app/api/health/route.ts",
                "export const GET = () => Response.json({ ok: true });\n",
            ),
            ("vercel.json", "{}"),
        ],
        keys: &[
            ("environments.production.vercel.source", "."),
            ("environments.production.mongodb.uri", "PROD_MONGODB_URI"),
            ("environments.production.mongodb.database", "club"),
        ],
        findings: &["git-deployments", "no-service"],
    },
    Layout {
        name: "pnpm workspaces with turbo: Hono with an image from the root, Astro, a library with a build of its own",
        files: &[
            (
                "package.json",
                r#"{"name":"press","private":true,"scripts":{"build":"turbo build"},"devDependencies":{"turbo":"2"}}"#,
            ),
            ("pnpm-workspace.yaml", "packages:\n  - apps/*\n  - packages/*\n"),
            ("pnpm-lock.yaml", ""),
            ("turbo.json", "{}"),
            (
                "apps/server/package.json",
                r#"{"name":"server","scripts":{"start":"node dist/index.js","build":"tsc"},"dependencies":{"hono":"4","mongodb":"7","@press/ui":"workspace:*"}}"#,
            ),
            (
                "apps/server/Dockerfile",
                "FROM node:24\nCOPY pnpm-lock.yaml ./\nCOPY apps/server ./apps/server\n",
            ),
            (
                "apps/server/src/index.ts",
                "import { MongoClient } from 'mongodb';\nconst client = new MongoClient(process.env.MONGO_URL!);\nexport const db = client.db('press');\napp.get('/healthz', (c) => c.text('ok'));\n",
            ),
            (
                "apps/site/package.json",
                r#"{"name":"site","scripts":{"build":"astro build"},"dependencies":{"astro":"6"}}"#,
            ),
            ("apps/site/vercel.json", r#"{"git":{"deploymentEnabled":false}}"#),
            (
                "packages/ui/package.json",
                r#"{"name":"@press/ui","scripts":{"build":"vite build"},"dependencies":{"react":"19"},"devDependencies":{"vite":"7"}}"#,
            ),
        ],
        keys: &[
            ("environments.production.railway.source", "."),
            ("environments.production.vercel.source", "."),
            ("environments.production.mongodb.uri", "PROD_MONGO_URL"),
            ("environments.production.mongodb.database", "press"),
            ("check.api-health.http.url", "${backend}/healthz"),
        ],
        findings: &[],
    },
    Layout {
        name: "a server without a framework, and a frontend without scripts",
        files: &[
            (
                "backend/package.json",
                r#"{"name":"api","scripts":{"start":"node server.js"}}"#,
            ),
            (
                "backend/server.js",
                "const uri = process.env.MONGODB_URI;\nif (request.url === '/healthz') ok();\n",
            ),
            (
                "backend/railway.json",
                r#"{"deploy":{"healthcheckPath":"/healthz"}}"#,
            ),
            ("frontend/index.html", "<html></html>"),
            ("frontend/package.json", r#"{"name":"web"}"#),
        ],
        keys: &[
            ("environments.production.railway.source", "backend"),
            ("environments.production.vercel.source", "frontend"),
            ("environments.production.mongodb.uri", "PROD_MONGODB_URI"),
            ("check.api-health.http.url", "${backend}/healthz"),
        ],
        findings: &["no-vercel"],
    },
];
