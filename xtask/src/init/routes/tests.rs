use std::path::PathBuf;

use super::*;

fn route_of(files: &[(&str, &str)]) -> Option<String> {
    let texts = files
        .iter()
        .map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
    let mut tree = SourceTree {
        root: PathBuf::new(),
        files: files.iter().map(|(file, _)| (*file).to_owned()).collect(),
        texts: texts.collect(),
    };
    tree.files.sort();
    let services = super::super::services::services(&tree, &super::super::package::packages(&tree));
    health_route(&tree, services.backend.as_deref()).value
}

/// With the one dependency `uses`.
fn node(uses: &str, files: &[(&str, &str)]) -> Option<String> {
    let manifest =
        format!(r#"{{"private":true,"scripts":{{"start":"node ."}},"dependencies":{{"{uses}":"1"}}}}"#);
    route_of(&[&[("api/package.json", manifest.as_str())], files].concat())
}

fn python(files: &[(&str, &str)]) -> Option<String> {
    route_of(&[&[("api/requirements.txt", "fastapi\nflask\npymongo\n")], files].concat())
}

#[test]
fn a_health_route_has_the_prefixes_of_all_routers_above_it() {
    let express = &[
        (
            "api/src/app.js",
            "const routes = require('./routes');\nconst app = express();\napp.use('/api/v1', auth(), routes);\n",
        ),
        (
            "api/src/routes/index.js",
            "const system = require('./system');\nconst router = Router();\nrouter.use(system);\n",
        ),
        (
            "api/src/routes/system.js",
            "const router = Router();\nconst inner = Router();\nrouter.use('/system', inner);\ninner.get('/healthz', ok);\n",
        ),
    ];
    assert_eq!(
        node("express", express).as_deref(),
        Some("/api/v1/system/healthz")
    );
    let inline = &[
        ("api/index.js", "app.use('/ops', require('./ops/health'));\n"),
        ("api/ops/health.js", "router.get('/health', ok);\n"),
    ];
    assert_eq!(node("express", inline).as_deref(), Some("/ops/health"));
    let fastify = &[
        (
            "api/src/index.ts",
            "import health, { more } from './routes/health.js'\nconst server = Fastify()\nawait server.register(health, { prefix: '/v1' })\n",
        ),
        (
            "api/src/routes/health.ts",
            "export default async function (fastify) {\n  fastify.get('/healthcheck', ok)\n}\n",
        ),
    ];
    assert_eq!(node("fastify", fastify).as_deref(), Some("/v1/healthcheck"));
    let hono = &[
        (
            "api/src/index.ts",
            "import { internal } from '@/internal'\nconst app = new Hono<Env>().basePath('/v1')\napp.route('/internal', internal)\n",
        ),
        (
            "api/src/internal.ts",
            "export const internal = new Hono()\ninternal.get('/ready', ok)\n",
        ),
    ];
    assert_eq!(node("hono", hono).as_deref(), Some("/v1/internal/ready"));
    let koa = &[(
        "api/src/index.ts",
        "const router = new Router({ prefix: '/api' })\nrouter.get('/health', ok)\nconst other = new Router({ prefix: '/other' })\n",
    )];
    assert_eq!(node("koa", koa).as_deref(), Some("/api/health"));
    let nest = &[
        (
            "api/src/main.ts",
            "const globalPrefix = 'api/v3';\napp.setGlobalPrefix(globalPrefix);\n",
        ),
        (
            "api/src/a.controller.ts",
            "@Controller()\nexport class A {\n  @Get('health')\n",
        ),
    ];
    assert_eq!(node("@nestjs/core", nest).as_deref(), Some("/api/v3/health"));
    // Two files of one name are two routers.
    let twice = &[
        (
            "api/src/index.ts",
            "import a from './a/routes'\nimport b from './b/routes'\napp.use('/a', a)\napp.use('/b', b)\n",
        ),
        ("api/src/a/routes.ts", "router.get('/things', ok)\n"),
        ("api/src/b/routes.ts", "router.get('/health', ok)\n"),
    ];
    assert_eq!(node("express", twice).as_deref(), Some("/b/health"));
}

#[test]
fn routers_of_python_have_prefixes_too() {
    let fastapi = &[
        (
            "api/app/main.py",
            "from app.api.router import api_router\napp = FastAPI()\napp.include_router(api_router, prefix=\"/api\")\n",
        ),
        (
            "api/app/api/router.py",
            "from . import (\n    items,\n    probes,\n)\napi_router = APIRouter(prefix=\"/v2\")\napi_router.include_router(probes.router, prefix=\"/probes\")\n",
        ),
        ("api/app/api/items.py", "router = APIRouter(prefix=\"/items\")\n"),
        (
            "api/app/api/probes.py",
            "router = APIRouter(tags=[\"x\"], prefix=\"/up\")\n@router.get(\"/health\")\n",
        ),
    ];
    assert_eq!(python(fastapi).as_deref(), Some("/api/v2/probes/up/health"));
    let flask = &[
        (
            "api/app.py",
            "from blueprints.ops import ops_bp as ops\napp.register_blueprint(ops, url_prefix='/ops')\n",
        ),
        (
            "api/blueprints/ops.py",
            "ops_bp = Blueprint('ops', __name__, url_prefix='/never')\n@ops_bp.route('/health')\n",
        ),
    ];
    assert_eq!(python(flask).as_deref(), Some("/ops/health"));
}
