//! The health route of the backend: the platform's setting first, then the code with what its routers are mounted at.

mod mounts;

use std::sync::LazyLock;

use regex::Regex;

use super::Known;
use super::tree::{SourceTree, line_of, matched};
use mounts::Mounts;

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
    LazyLock::new(|| pattern(r#"setGlobalPrefix\(\s*(?:['"`]/?([\w/-]+)['"`]|([A-Za-z_]\w*))"#));
/// Files of Next.js that answer a route.
static FILE_ROUTE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"(?:^|/)(?:app|pages)(?:/\([\w-]+\))*(/api(?:/[\w-]+)*/(?:{WORDS}))(?:/route|/index)?\.(?:ts|js|tsx|mjs)$|(?:^|/)app((?:/(?:\([\w-]+\)|[\w-]+))*/(?:{WORDS}))/route\.(?:ts|js|mjs)$"
    ))
});
/// A folder whose name is no part of the route.
static GROUP: LazyLock<Regex> = LazyLock::new(|| pattern(r"/\([\w-]+\)"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant")
}

/// The health route, from the surest source.
pub fn health_route(tree: &SourceTree, dir: Option<&str>) -> Known {
    let Some(dir) = dir else {
        return Known::missing("the health route");
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
        || Known::missing("the health route"),
        |(route, file)| Known::found(&route, file),
    )
}

/// Routes in the code, with the prefixes of their routers.
fn of_code(tree: &SourceTree, dir: &str) -> Vec<(String, String)> {
    let mounts = Mounts::read(tree, dir);
    let mut found = Vec::new();
    for (file, text) in tree.code(dir) {
        if let Some(hit) = FILE_ROUTE.captures(file) {
            let route = GROUP.replace_all(matched(&hit).as_str(), "").into_owned();
            found.push((route, file.to_owned()));
        }
        for hit in ROUTE.captures_iter(text) {
            let (owner, route) = (&hit[1], &hit[2]);
            let at = hit.get(2).expect("it is no option").start();
            let origin = format!("{file}:{}", line_of(text, at));
            // `@app` of Python, `this.app` of a class.
            let router = owner.rsplit(['.', '@']).next().unwrap_or_default();
            found.push((format!("{}{route}", mounts.prefix(file, router)), origin));
        }
    }
    found.extend(of_nest(tree, dir));
    found
}

/// Controllers of `NestJS` with the global prefix.
fn of_nest(tree: &SourceTree, dir: &str) -> Vec<(String, String)> {
    let mut prefix = String::new();
    for (_, text) in tree.code(dir) {
        if let Some(hit) = GLOBAL_PREFIX
            .captures(text)
            .filter(|_| !text.contains("exclude:"))
        {
            prefix = hit
                .get(1)
                .map_or_else(|| constant(text, &hit[2]), |path| Some(path.as_str().to_owned()))
                .map_or_else(String::new, |path| format!("/{path}"));
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

/// The path that a name stands for.
fn constant(text: &str, name: &str) -> Option<String> {
    let path = pattern(&format!(
        r#"\b{name}\s*(?::\s*string\s*)?=\s*['"`]/?([\w/-]+)['"`]"#
    ));
    Some(path.captures(text)?[1].to_owned())
}

#[cfg(test)]
mod tests;
