//! What the routers of an application are mounted at: by which file, under which prefix.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::pattern;
use crate::init::tree::{SourceTree, ends_in, folder};

/// `import a, { b } from 'x'`.
static IMPORT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"import\s+([\w{},*$\s]+?)\s+from\s*['"]([^'"]+)['"]"#));
/// `const { a } = require('x')`.
static REQUIRE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"(?:const|let|var)\s+([\w{},:$\s]+?)=\s*(?:await\s+)?(?:require|import)\(\s*['"]([^'"]+)['"]"#)
});
/// `from x import a, b`, and the names in brackets.
static FROM: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?m)^from\s+([\w.]+)\s+import\s+(?:\(([^)]*)\)|([^\n#(]+))"));
static NAME: LazyLock<Regex> = LazyLock::new(|| pattern(r"[A-Za-z_]\w*"));
/// `app.use('/x', before, router)`, also `route` of Hono; `app.use(router)`.
static USED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"([A-Za-z_]\w*)\.(?:use|register|route)\(\s*(?:['"`](/[\w/.-]*)['"`]\s*,[^;\n]*?)?([A-Za-z_]\w*)(?:\.default|\(\))?\s*\)"#,
    )
});
/// `app.use('/x', require('./y'))`.
static USED_INLINE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"([A-Za-z_]\w*)\.use\(\s*(?:['"`](/[\w/.-]*)['"`]\s*,[^;\n]*?)?require\(\s*['"]([^'"]+)['"]\s*\)(?:\.default|\(\))?\s*\)"#,
    )
});
/// `server.register(routes, { prefix: '/x' })`, also with `import('./routes')`.
static REGISTERED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"([A-Za-z_]\w*)\.register\(\s*(?:(?:import|require)\(\s*['"]([^'"]+)['"]\s*\)|([A-Za-z_]\w*))\s*,\s*\{[^}]*?prefix\s*:\s*['"`](/[\w/.-]*)['"`]"#,
    )
});
/// `app.include_router(a.router, prefix="/x")` and `app.register_blueprint(a, url_prefix="/x")`.
static INCLUDED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"([A-Za-z_]\w*)\.(include_router|register_blueprint)\(\s*([\w.]+)(?:[^)]*?prefix\s*=\s*f?["'](/[\w/-]*)["'])?"#,
    )
});
/// A router that has a prefix by itself: `APIRouter(prefix=…)`, `Blueprint(…, url_prefix=…)`, `new Router({ prefix: … })`,
/// `new Hono().basePath(…)`.
static OWN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r#"([A-Za-z_]\w*)\s*(?::\s*[\w.]+\s*)?=\s*(?:new\s+)?"#,
        r#"(?:[\w.]*(?:APIRouter|Blueprint)\([^)]*?prefix\s*=\s*["']"#,
        r#"|\w*(?:Router|Elysia)\(\s*\{[^}]*?prefix\s*:\s*['"`]"#,
        r#"|\w*Hono(?:<[^>]*>)?\([^)]*\)\s*\.basePath\(\s*['"`])(/[\w/-]*)"#
    ))
});
/// Mounts in mounts: no application has more.
const DEEPEST: usize = 5;
const ENDS: &[&str] = &[".js", ".ts", ".mjs", ".cjs", ".mts", ".cts", ".py"];
/// Words behind the name of the module that a router is of.
const ROUTER_WORDS: &[&str] = &[
    "_router",
    "Router",
    "_routes",
    "Routes",
    "_bp",
    "_blueprint",
    "Blueprint",
];

/// Where a router is mounted.
#[derive(Debug)]
struct Mount {
    prefix: String,
    /// The file, and the router or application in it.
    by: (String, String),
    /// Whether the router's own prefix does not count.
    replaces: bool,
}

/// The mounts of an application. A router is a file and a name in it; the empty name is what the file exports.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    of: BTreeMap<(String, String), Mount>,
    /// Prefixes that routers have by themselves.
    own: BTreeMap<(String, String), String>,
    /// Names of a file that are those of another one: routes may stand in another file than their router.
    imported: BTreeMap<(String, String), String>,
}

impl Mounts {
    /// Reads the code below a folder.
    pub(super) fn read(tree: &SourceTree, dir: &str) -> Self {
        let mut mounts = Self::default();
        for (file, text) in tree.code(dir) {
            for hit in OWN.captures_iter(text) {
                let key = (file.to_owned(), hit[1].to_owned());
                mounts.own.insert(key, hit[2].to_owned());
            }
            mounts.mounted_by(tree, dir, file, text);
        }
        mounts
    }

    fn mounted_by(&mut self, tree: &SourceTree, dir: &str, file: &str, text: &str) {
        let imports = imports(tree, dir, file, text);
        let local = |name: &str| (file.to_owned(), name.to_owned());
        let homes = imports
            .iter()
            .map(|(name, (home, _))| (local(name), home.clone()));
        self.imported.extend(homes);
        let named = |name: &str| imports.get(name).cloned().unwrap_or_else(|| local(name));
        let at = |spec: &str| Some((resolved(tree, dir, file, spec)?, String::new()));
        let mut note = |router: Option<(String, String)>, prefix: &str, by: &str, replaces| {
            let by = local(by);
            if let Some(router) = router.filter(|router| *router != by) {
                let prefix = prefix.trim_end_matches('/').to_owned();
                self.of.entry(router).or_insert(Mount { prefix, by, replaces });
            }
        };
        for hit in REGISTERED.captures_iter(text) {
            let router = match hit.get(2) {
                Some(spec) => at(spec.as_str()),
                None => Some(named(&hit[3])),
            };
            note(router, &hit[4], &hit[1], false);
        }
        for hit in USED.captures_iter(text) {
            let prefix = hit.get(2).map_or("", |prefix| prefix.as_str());
            note(Some(named(&hit[3])), prefix, &hit[1], false);
        }
        for hit in USED_INLINE.captures_iter(text) {
            let prefix = hit.get(2).map_or("", |prefix| prefix.as_str());
            note(at(&hit[3]), prefix, &hit[1], false);
        }
        for hit in INCLUDED.captures_iter(text) {
            let name = hit[3].split('.').next().unwrap_or_default();
            let module = ROUTER_WORDS
                .iter()
                .find_map(|word| name.strip_suffix(word))
                .unwrap_or(name);
            let router = match imports.get(name) {
                Some(found) => Some(found.clone()),
                None => at(module).or_else(|| Some(local(name))),
            };
            let prefix = hit.get(4).map(|prefix| prefix.as_str());
            let replaces = prefix.is_some() && &hit[2] == "register_blueprint";
            note(router, prefix.unwrap_or_default(), &hit[1], replaces);
        }
    }

    /// Everything before the routes of a router.
    pub(super) fn prefix(&self, file: &str, router: &str) -> String {
        let key = (file.to_owned(), router.to_owned());
        let home = self.imported.get(&key).map_or(file, String::as_str);
        self.prefix_at(home, router, 0)
    }

    fn prefix_at(&self, file: &str, router: &str, depth: usize) -> String {
        let key = |name: &str| (file.to_owned(), name.to_owned());
        let own = self.own.get(&key(router)).map_or("", String::as_str);
        let mount = self.of.get(&key(router)).or_else(|| self.of.get(&key("")));
        match mount.filter(|mount| depth < DEEPEST && mount.by != key(router)) {
            Some(mount) => {
                let above = self.prefix_at(&mount.by.0, &mount.by.1, depth + 1);
                let own = if mount.replaces { "" } else { own };
                format!("{above}{}{own}", mount.prefix)
            }
            None => own.to_owned(),
        }
    }
}

/// Each imported name, and what it is: the file of this repository.
fn imports(tree: &SourceTree, dir: &str, file: &str, text: &str) -> BTreeMap<String, (String, String)> {
    let mut found = BTreeMap::new();
    let names = |text: &str| -> Vec<String> {
        let names = NAME.find_iter(text).map(|name| name.as_str().to_owned());
        names.filter(|name| name != "as").collect()
    };
    for hit in IMPORT.captures_iter(text).chain(REQUIRE.captures_iter(text)) {
        if let Some(at) = resolved(tree, dir, file, &hit[2]) {
            found.extend(
                names(&hit[1])
                    .into_iter()
                    .map(|name| (name, (at.clone(), String::new()))),
            );
        }
    }
    for hit in FROM.captures_iter(text) {
        let all = hit
            .get(2)
            .or_else(|| hit.get(3))
            .expect("one of the forms matched");
        for name in names(all.as_str()) {
            let module = format!("{}.{name}", hit[1].trim_end_matches('.'));
            let module = if hit[1].ends_with('.') {
                format!("{}{name}", &hit[1])
            } else {
                module
            };
            let at = resolved(tree, dir, file, &module).or_else(|| resolved(tree, dir, file, &hit[1]));
            if let Some(at) = at {
                found.insert(name, (at, String::new()));
            }
        }
    }
    found
}

/// The file that an import names.
fn resolved(tree: &SourceTree, dir: &str, from: &str, spec: &str) -> Option<String> {
    let wanted = if ends_in(from, &[".py"]) {
        let dots = spec.chars().take_while(|c| *c == '.').count();
        let path = spec.trim_start_matches('.').replace('.', "/");
        match dots {
            0 => path,
            dots => beside(from, &format!("{}{path}", "../".repeat(dots - 1))),
        }
    } else if spec.starts_with('.') {
        beside(from, spec)
    } else {
        spec.trim_start_matches(['@', '~', '/']).to_owned()
    };
    let wanted = module(&wanted);
    let is_it = |file: &str| {
        let rest = module(file).strip_suffix(wanted);
        rest.is_some_and(|rest| rest.is_empty() || !spec.starts_with('.') && rest.ends_with('/'))
    };
    let mut files = tree.code(dir).map(|(file, _)| file);
    files.find(|file| *file != from && is_it(file)).map(str::to_owned)
}

/// A path as it is seen from the folder of a file.
fn beside(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder(from).split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The path without its ending; the folder's for an index.
fn module(path: &str) -> &str {
    let path = ENDS.iter().find_map(|end| path.strip_suffix(end)).unwrap_or(path);
    ["/index", "/__init__"]
        .iter()
        .find_map(|end| path.strip_suffix(end))
        .unwrap_or(path)
}
