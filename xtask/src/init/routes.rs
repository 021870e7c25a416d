//! The health route of the backend: the platform's setting first, then the code with what its routers are mounted at.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::Known;
use super::services::Services;
use super::tree::{SourceTree, line_of, name};

const WORDS: &str =
    r"health|healthz|health-check|healthcheck|health_check|readyz|livez|ready|live|ping|status";
static SETTING: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"healthcheckPath["']?\s*[:=]\s*["']([^"']+)["']"#));
static PROBE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?s)HEALTHCHECK.{0,300}?https?://[^/\s'"]+(/[\w/.-]+)"#));
/// `app.get('/health'`, `router.route("/x/health")`, `@app.get("/health")`, `url: '/health'`.
static ROUTE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r#"(@?[A-Za-z_][\w.]*)\.(?:get|all|route|use|add_api_route)\(\s*['"`]((?:/[\w:-]+)*/(?:{WORDS})(?:/[\w-]+)?)['"`]"#
    ))
});
static MOUNT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"\.(?:use|register)\(\s*['"`](/[\w/.-]*)['"`]\s*,[^;\n]*?([A-Za-z_]\w*)(?:\.default|\(\))?\s*\)"#,
    )
});
static INCLUDE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"include_router\(\s*([\w.]+)[^)]*?prefix\s*=\s*f?["'](/[\w/-]*)["']"#));
static ROUTER_PREFIX: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?:APIRouter|Blueprint)\([^)]*?(?:url_)?prefix\s*=\s*["'](/[\w/-]*)["']"#));
static IMPORT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?:import\s+(?:\{\s*)?([A-Za-z_]\w*)[^;'"]*from\s*|(?:const|let|var)\s+(?:\{\s*)?([A-Za-z_]\w*)[^;'"=]*=\s*require\()['"]([^'"]+)['"]"#,
    )
});
static CONTROLLER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r#"@Controller\(\s*(?:\{{[^}}]*path:\s*)?['"`]/?((?:[\w-]+/)*(?:{WORDS}))['"`]"#
    ))
});
static METHOD: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r#"@Get\(\s*['"`]/?((?:[\w-]+/)*(?:{WORDS}))['"`]"#)));
static ANY_CONTROLLER: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"@Controller\(\s*(?:['"`]/?([\w/-]*)['"`])?"#));
static GLOBAL_PREFIX: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"setGlobalPrefix\(\s*['"`]/?([\w/-]+)['"`]"#));
/// Files of Next.js that answer a route.
static FILE_ROUTE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"(?:^|/)(?:app|pages)(?:/\([\w-]+\))*(/api(?:/[\w-]+)*/(?:{WORDS}))(?:/route|/index)?\.(?:ts|js|tsx|mjs)$"
    ))
});
/// Mounts in mounts: no application has more.
const DEEPEST: usize = 3;

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant")
}

/// The health route, from the surest source.
pub fn health_route(tree: &SourceTree, services: &Services) -> Known {
    let Some(dir) = services.backend.as_deref() else {
        return Known::missing("the health route of the backend");
    };
    let configured = [dir, ""]
        .into_iter()
        .flat_map(|dir| ["railway.json", "railway.toml"].map(|name| super::tree::join(dir, name)));
    for file in configured {
        if let Some(hit) = tree.text(&file).and_then(|text| SETTING.captures(text)) {
            return Known::found(&hit[1], file);
        }
    }
    let mut routes = of_code(tree, dir);
    // A name that means nothing else goes before `status` or `live`; then the shortest.
    routes.sort_by_key(|(route, _)| (!route.contains("health"), route.len(), route.clone()));
    if let Some((route, origin)) = routes.into_iter().next() {
        return Known::found(&route, origin);
    }
    let probe = tree
        .dockerfiles()
        .filter(|(file, _)| super::tree::is_below(file, dir))
        .find_map(|(file, text)| Some((PROBE.captures(text)?[1].to_owned(), file)));
    probe.map_or_else(
        || Known::missing("the health route of the backend"),
        |(route, file)| Known::found(&route, file),
    )
}

/// Routes in the code, with the prefixes of their routers.
fn of_code(tree: &SourceTree, dir: &str) -> Vec<(String, String)> {
    let mounts = mounts(tree, dir);
    let mut found = Vec::new();
    for (file, text) in tree.code(dir) {
        if let Some(hit) = FILE_ROUTE.captures(file) {
            found.push((hit[1].to_owned(), file.to_owned()));
        }
        for hit in ROUTE.captures_iter(text) {
            let (owner, route) = (&hit[1], &hit[2]);
            let origin = format!(
                "{file}:{}",
                line_of(text, hit.get(2).expect("it is no option").start())
            );
            let is_root = [
                "app",
                "server",
                "fastify",
                "api",
                "@app",
                "this.app",
                "application",
                "instance",
            ]
            .contains(&owner.trim_start_matches('@'))
                || owner == "@app";
            let own = ROUTER_PREFIX
                .captures(text)
                .map(|hit| hit[1].to_owned())
                .unwrap_or_default();
            let prefix = if is_root && !(owner == "api" || owner == "@api") {
                String::new()
            } else {
                format!("{}{own}", prefix_of(file, &mounts, 0))
            };
            found.push((format!("{}{route}", prefix.trim_end_matches('/')), origin));
        }
    }
    found.extend(of_nest(tree, dir));
    found
}

/// File of a router (without its ending) → what it is mounted at, and the file that mounts it.
fn mounts(tree: &SourceTree, dir: &str) -> BTreeMap<String, (String, String)> {
    let mut found = BTreeMap::new();
    for (file, text) in tree.code(dir) {
        let imports: BTreeMap<&str, &str> = IMPORT
            .captures_iter(text)
            .filter_map(|hit| Some((hit.get(1).or_else(|| hit.get(2))?.as_str(), hit.get(3)?.as_str())))
            .collect();
        for hit in MOUNT.captures_iter(text) {
            let router = hit.get(2).expect("it is no option").as_str();
            if let Some(path) = imports.get(router) {
                found.insert(stem(path), (hit[1].to_owned(), file.to_owned()));
            }
        }
        for hit in INCLUDE.captures_iter(text) {
            // `health.router` is of the module `health`; `health_router` was imported from one.
            let router = hit[1]
                .split('.')
                .next()
                .unwrap_or_default()
                .trim_end_matches("_router")
                .to_owned();
            found.insert(router, (hit[2].to_owned(), file.to_owned()));
        }
    }
    found
}

fn prefix_of(file: &str, mounts: &BTreeMap<String, (String, String)>, depth: usize) -> String {
    let stem = stem(file);
    match mounts.get(&stem) {
        Some((prefix, by)) if depth < DEEPEST && by != file => format!(
            "{}{}",
            prefix_of(by, mounts, depth + 1),
            prefix.trim_end_matches('/')
        ),
        _ => String::new(),
    }
}

/// The last part of a path without its ending; the folder's for an index.
fn stem(path: &str) -> String {
    let mut last = name(path);
    for end in [".js", ".ts", ".mjs", ".cjs", ".py"] {
        last = last.strip_suffix(end).unwrap_or(last);
    }
    if last == "index" || last == "__init__" {
        return name(super::tree::folder(path)).to_owned();
    }
    last.to_owned()
}

/// Controllers of `NestJS` with the global prefix.
fn of_nest(tree: &SourceTree, dir: &str) -> Vec<(String, String)> {
    let mut prefix = String::new();
    for (_, text) in tree.code(dir) {
        if let Some(hit) = GLOBAL_PREFIX
            .captures(text)
            .filter(|_| !text.contains("exclude:"))
        {
            prefix = format!("/{}", &hit[1]);
        }
    }
    let mut found = Vec::new();
    for (file, text) in tree.code(dir).filter(|(_, text)| text.contains("@Controller")) {
        if let Some(hit) = CONTROLLER.captures(text) {
            let at = hit.get(1).expect("it is no option").start();
            let own = METHOD
                .captures(text)
                .filter(|_| !text.contains("@Get()"))
                .map(|hit| format!("/{}", &hit[1]))
                .unwrap_or_default();
            found.push((
                format!("{prefix}/{}{own}", &hit[1]),
                format!("{file}:{}", line_of(text, at)),
            ));
        } else if let Some(hit) = METHOD.captures(text) {
            let of = ANY_CONTROLLER
                .captures(text)
                .and_then(|hit| hit.get(1).map(|path| path.as_str().to_owned()));
            let of = of
                .filter(|path| !path.is_empty())
                .map(|path| format!("/{path}"))
                .unwrap_or_default();
            found.push((
                format!("{prefix}{of}/{}", &hit[1]),
                format!(
                    "{file}:{}",
                    line_of(text, hit.get(1).expect("it is no option").start())
                ),
            ));
        }
    }
    found
}
