//! What must be uploaded so that the platform can build an application: its folder, or the root that it shares.

use serde_json::Value;

use super::Known;
use super::package::Package;
use super::tree::{SourceTree, folder, join, name};

pub(super) const RAILWAY_FILES: &[&str] = &["railway.json", "railway.toml", "nixpacks.toml", "Procfile"];

/// The platform's file in a folder.
pub fn railway_file(tree: &SourceTree, dir: &str) -> Option<String> {
    RAILWAY_FILES
        .iter()
        .map(|name| join(dir, name))
        .find(|file| tree.has(file))
}

/// The texts of the platform's files in a folder, together.
pub fn railway_text(tree: &SourceTree, dir: &str) -> Option<String> {
    let texts: Vec<&str> = RAILWAY_FILES
        .iter()
        .filter_map(|name| tree.text(&join(dir, name)))
        .collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// Whether a text of commands or paths names a folder as a whole.
pub(super) fn names_folder(text: &str, dir: &str) -> bool {
    !dir.is_empty()
        && text.match_indices(dir).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + dir.len()..].chars().next();
            let ends = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && !"_-@".contains(c));
            ends(before) && ends(after)
        })
}

pub(super) fn railway_source(tree: &SourceTree, packages: &[Package], dir: &str) -> Known {
    if dir.is_empty() {
        return Known::found(".", "the application is in the root");
    }
    if let Some(text) = railway_text(tree, "")
        .filter(|_| railway_file(tree, dir).is_none_or(|file| name(&file) == "Procfile"))
    {
        let file = railway_file(tree, "").unwrap_or_default();
        if names_folder(&text, dir) {
            return Known::found(".", format!("{file} in the root has commands for {dir}"));
        }
        return Known::found(
            ".",
            format!("{file} is in the root and would not be read in {dir}"),
        );
    }
    let copies = tree.dockerfiles().find(|(file, text)| {
        (super::tree::is_below(file, dir)
            || railway_text(tree, dir).is_some_and(|config| config.contains(*file)))
            && text.lines().any(|line| copies_from(line, dir))
    });
    if let Some((file, _)) = copies {
        return Known::found(".", format!("{file} copies {dir}/… from the root"));
    }
    match of_workspace(tree, packages, dir) {
        Some(why) => Known::found(".", why),
        None => Known::found(dir, manifest_of(packages, dir)),
    }
}

pub(super) fn vercel_source(tree: &SourceTree, packages: &[Package], dir: &str) -> Known {
    if dir.is_empty() {
        return Known::found(".", "the application is in the root");
    }
    let linked = join(dir, ".vercel/project.json");
    if tree.text(&linked).is_some() {
        return Known::found(dir, linked);
    }
    if tree.text(".vercel/project.json").is_some() {
        return Known::found(".", ".vercel/project.json in the root");
    }
    if tree
        .text("vercel.json")
        .is_some_and(|text| names_folder(text, dir))
    {
        return Known::found(".", format!("vercel.json in the root has commands for {dir}"));
    }
    let leaves = tree
        .text(&join(dir, "vercel.json"))
        .is_some_and(|text| text.contains("cd .."));
    if leaves {
        return Known::found(".", format!("{dir}/vercel.json installs from the root"));
    }
    match of_workspace(tree, packages, dir) {
        Some(why) => Known::found(".", format!("{why}; Root Directory on Vercel is {dir}")),
        None => Known::found(dir, manifest_of(packages, dir)),
    }
}

fn manifest_of(packages: &[Package], dir: &str) -> String {
    let package = packages
        .iter()
        .find(|package| package.dir == dir && (package.server().is_some() || package.pages().is_some()));
    let used =
        package.and_then(|package| Some((&package.file, package.pages().or_else(|| package.server())?)));
    used.map_or_else(
        || format!("the folder {dir}"),
        |(file, framework)| format!("{file} uses {framework}"),
    )
}

/// Why an application cannot be built from its folder alone.
fn of_workspace(tree: &SourceTree, packages: &[Package], dir: &str) -> Option<String> {
    let package = packages
        .iter()
        .find(|package| package.dir == dir && !package.is_python)?;
    let shared = packages
        .iter()
        .filter(|other| other.dir != dir && !other.dir.is_empty());
    let mut shared = shared
        .filter_map(|other| other.name.clone())
        .filter(|name| package.dependencies.contains(name));
    if let Some(name) = shared.next() {
        return Some(format!("{} uses {name} of this repository", package.file));
    }
    let root = packages
        .iter()
        .find(|root| root.dir.is_empty() && root.has_workspaces)?;
    let lock = [
        "package-lock.json",
        "yarn.lock",
        "pnpm-lock.yaml",
        "bun.lock",
        "bun.lockb",
    ];
    let own = lock.iter().any(|name| tree.has(&join(dir, name)));
    let of_root = lock.iter().find(|name| tree.has(name))?;
    (!own).then(|| {
        format!(
            "a workspace of {}: its only lock file is {of_root} in the root",
            root.file
        )
    })
}

fn copies_from(line: &str, dir: &str) -> bool {
    let mut words = line.split_whitespace();
    let copies = words
        .next()
        .is_some_and(|word| word.eq_ignore_ascii_case("COPY") || word.eq_ignore_ascii_case("ADD"));
    copies
        && !line.contains("--from=")
        && words.any(|word| {
            word.trim_matches(['"', '[', ','])
                .trim_start_matches("./")
                .split('/')
                .zip(dir.split('/'))
                .filter(|(a, b)| a == b)
                .count()
                == dir.split('/').count()
        })
}

/// The setting `rootDirectory` of a link of Vercel: folder of the link, value.
pub fn root_directories(tree: &SourceTree) -> Vec<(String, String)> {
    let links = tree
        .texts
        .iter()
        .filter(|(file, _)| file.ends_with(".vercel/project.json"));
    links
        .filter_map(|(file, text)| {
            let link: Value = serde_json::from_str(text).ok()?;
            let root = link["settings"]["rootDirectory"]
                .as_str()
                .filter(|root| !root.is_empty() && *root != ".")?;
            Some((folder(folder(file)).to_owned(), root.trim_matches('/').to_owned()))
        })
        .collect()
}
