//! What takes the place of a frontend that this machine cannot build.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A page in the place of a frontend that cannot be built on this machine.
const PAGE: &str = "<!doctype html>\n<html lang=\"en\"><head><title>Rehearsal</title></head><body><p>In the place of the frontend.</p></body></html>\n";
/// What a health route answers.
const WELL: &str = "{\"status\":\"ok\"}\n";

/// The paths that checks ask a part for. Without a name, the first of its list is meant.
pub(super) fn routes(health: &str, list: &str, part: &str, is_first: bool) -> Vec<String> {
    let named = format!("\"${{{list}.{part}}}");
    let unnamed = is_first.then(|| format!("\"${{{list}}}"));
    let starts = [Some(named), unnamed].into_iter().flatten();
    let rests = starts.flat_map(|start| health.split(&start).skip(1).collect::<Vec<_>>());
    let paths = rests.filter_map(|rest| rest.split('"').next());
    let fixed = paths.filter(|path| path.starts_with('/') && !path.contains("${"));
    fixed.map(|path| path.replace("$$", "$")).collect()
}

/// A page in the place of the frontend, and what its own routes would answer; nothing is built.
pub(super) fn write_page(folder: &Path, routes: &[String]) -> Result<()> {
    std::fs::write(folder.join("index.html"), PAGE)?;
    for route in routes.iter().filter(|route| *route != "/") {
        let file = folder.join(route.trim_matches('/'));
        let file = if file.is_dir() {
            file.join("index.html")
        } else {
            file
        };
        std::fs::create_dir_all(file.parent().unwrap_or(folder))?;
        std::fs::write(file, WELL)?;
    }
    let file = folder.join("package.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        return Ok(());
    };
    let mut package: Value = serde_json::from_str(&text).context("package.json is not valid")?;
    if let Some(scripts) = package["scripts"].as_object_mut() {
        scripts.remove("build");
    }
    std::fs::write(&file, package.to_string()).context("cannot write package.json")
}
