//! Applications of an nx repository: a project.json each; what they use is in the manifest of the root.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::Package;
use crate::init::tree::{SourceTree, folder, is_aside, name};

/// What a file of code imports, without the path inside of a package.
static IMPORTED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?:from|import|require\()\s*['"]((?:@[\w.-]+/)?[\w.-]+)"#)
        .expect("the pattern is a constant")
});
/// Executors that mean a framework, whatever the code imports.
const EXECUTORS: &[(&str, &str)] = &[
    ("@nx/next", "next"),
    ("@nx/vite", "vite"),
    ("@nx/angular", "@angular/core"),
    ("@angular-devkit", "@angular/core"),
    ("@angular/build", "@angular/core"),
    ("@nrwl/angular", "@angular/core"),
    ("@nrwl/next", "next"),
    ("@nx/remix", "@remix-run/react"),
    ("@nx/nuxt", "nuxt"),
];

/// Whether the root is the manifest of several applications, and none itself.
pub(super) fn has_projects(tree: &SourceTree) -> bool {
    tree.has("nx.json")
        && tree
            .texts
            .iter()
            .any(|(file, text)| name(file) == "project.json" && is_application(file, text))
}

fn is_application(file: &str, text: &str) -> bool {
    let project: Value = serde_json::from_str(text).unwrap_or_default();
    !is_aside(file) && project["projectType"] == "application" && !folder(file).ends_with("-e2e")
}

/// The application of a project.json, where its folder has no manifest of its own.
pub(super) fn project(tree: &SourceTree, file: &str, text: &str) -> Option<Package> {
    let dir = folder(file);
    let own = crate::init::tree::join(dir, "package.json");
    if !is_application(file, text) || tree.has(&own) || !tree.has("nx.json") {
        return None;
    }
    let project: Value = serde_json::from_str(text).ok()?;
    let root: Value = serde_json::from_str(tree.text("package.json")?).ok()?;
    let known: BTreeSet<String> = ["dependencies", "devDependencies"]
        .iter()
        .filter_map(|kind| root[*kind].as_object())
        .flat_map(|all| all.keys().cloned())
        .collect();
    let mut dependencies: BTreeSet<String> = tree
        .code(dir)
        .flat_map(|(_, code)| IMPORTED.captures_iter(code).map(|hit| hit[1].to_owned()))
        .filter(|name| known.contains(name))
        .collect();
    let executed = EXECUTORS.iter().filter(|(executor, _)| text.contains(executor));
    dependencies.extend(executed.map(|(_, framework)| (*framework).to_owned()));
    let targets = project["targets"].as_object().into_iter().flatten();
    // A test of nx runs from the root, with another command than the folder's own.
    let scripts: BTreeMap<String, String> = targets
        .filter(|(target, _)| *target != "test")
        .map(|(target, _)| (target.clone(), String::new()))
        .collect();
    Some(Package {
        dir: dir.to_owned(),
        file: file.to_owned(),
        name: None,
        dependencies,
        scripts,
        is_python: false,
        has_workspaces: false,
        is_library: false,
        has_page: tree.has(&crate::init::tree::join(dir, "index.html")),
    })
}
