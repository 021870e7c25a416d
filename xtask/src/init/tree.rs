//! The files of a repository, read once: what git has, or every file where there is no git.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use regex::{Captures, Match};

use crate::tools::git::Git;

/// A larger file holds no configuration.
const FILE_LIMIT_BYTES: usize = 256 << 10;
/// All texts together.
const TOTAL_LIMIT_BYTES: usize = 64 << 20;
/// Folders that hold what was built or installed.
const BUILT: &[&str] = &[
    "node_modules",
    ".git",
    "dist",
    ".next",
    ".nuxt",
    ".turbo",
    ".output",
    "coverage",
    "venv",
    ".venv",
    "site-packages",
    "__pycache__",
    "target",
];
/// Folders that hold no running application: archives, examples, tests, mobile applications.
const ASIDE: &[&str] = &[
    "archive",
    "archived",
    "archives",
    "old",
    "legacy",
    "deprecated",
    "backup",
    "backups",
    "bak",
    "attic",
    "unused",
    "trash",
    "example",
    "examples",
    "sample",
    "samples",
    "template",
    "templates",
    "starter",
    "demo",
    "demos",
    "playground",
    "sandbox",
    "docs",
    "doc",
    "documentation",
    "e2e",
    "cypress",
    "playwright",
    "test",
    "tests",
    "__tests__",
    "spec",
    "fixtures",
    "mocks",
    "__mocks__",
    "storybook",
    ".storybook",
    "mobile",
    "android",
    "ios",
    "infrastructure",
];
/// Ends of names that are read.
const READ: &[&str] = &[
    ".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs", ".mts", ".cts", ".py", ".prisma", ".json", ".toml", ".yml",
    ".yaml", ".md", ".html", ".vue", ".svelte", ".txt", ".sh", ".graphql",
];
const LOCK_FILES: &[&str] = &["package-lock.json", "pnpm-lock.yaml", "npm-shrinkwrap.json"];
/// Links of the platforms: ignored by git, so each is asked for by its name.
const LINK: &str = ".vercel/project.json";

/// Names with these beginnings end in pages that everybody can read.
const PUBLIC: &[&str] = &[
    "VITE_",
    "NEXT_PUBLIC_",
    "REACT_APP_",
    "NUXT_PUBLIC_",
    "PUBLIC_",
    "GATSBY_",
    "VUE_APP_",
    "NG_APP_",
];

/// The files of a repository and the texts of those that matter.
#[derive(Debug)]
pub struct SourceTree {
    pub root: PathBuf,
    pub files: Vec<String>,
    pub texts: BTreeMap<String, String>,
}

impl SourceTree {
    /// Reads the folder; nothing is followed out of it.
    pub fn read(root: &Path) -> Result<Self> {
        let git = Git::at(root, "origin");
        let mut files = match git.work_tree_files() {
            Ok(files) if !files.is_empty() => files,
            _ => walked(root)?,
        };
        files.retain(|file| !file.split('/').any(|part| BUILT.contains(&part)));
        files.sort();
        files.dedup();
        let links = folders(&files).into_iter().map(|folder| join(&folder, LINK));
        let links: Vec<String> = links.filter(|link| !files.contains(link)).collect();
        let mut texts = BTreeMap::new();
        let mut left = TOTAL_LIMIT_BYTES;
        for file in files.iter().filter(|file| is_read(file)).chain(&links) {
            let text = read_text(&root.join(file));
            let text = if is_env(name(file)) {
                text.map(|text| public_lines(&text))
            } else {
                text
            };
            if let Some(text) = text.filter(|text| text.len() <= left) {
                left -= text.len();
                texts.insert(file.clone(), text);
            }
        }
        Ok(Self {
            root: root.to_owned(),
            files,
            texts,
        })
    }

    /// The text of a file, where it is there and was read.
    pub fn text(&self, file: &str) -> Option<&str> {
        self.texts.get(file).map(String::as_str)
    }

    pub fn has(&self, file: &str) -> bool {
        self.files
            .binary_search_by(|known| known.as_str().cmp(file))
            .is_ok()
    }

    /// Files with this name, archives and examples excepted.
    pub fn named<'a>(
        &'a self,
        matches: impl Fn(&str) -> bool + 'a,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts
            .iter()
            .filter(move |(file, _)| matches(name(file)) && !is_aside(file))
            .map(|(file, text)| (file.as_str(), text.as_str()))
    }

    /// Every Dockerfile.
    pub fn dockerfiles(&self) -> impl Iterator<Item = (&str, &str)> {
        self.named(|name| {
            name == "Dockerfile" || name.starts_with("Dockerfile.") || name.ends_with(".Dockerfile")
        })
    }

    /// Code below a folder, archives, examples and tests excepted.
    pub fn code<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts
            .iter()
            .filter(move |(file, _)| {
                is_below(file, folder) && is_code(file) && !is_aside(file) && !is_test(file)
            })
            .map(|(file, text)| (file.as_str(), text.as_str()))
    }
}

/// `folder/name`; the empty folder is the root.
pub fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

/// The folder of a file; empty for the root.
pub fn folder(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

pub fn name(file: &str) -> &str {
    file.rsplit_once('/').map_or(file, |(_, name)| name)
}

pub fn is_below(file: &str, folder: &str) -> bool {
    folder.is_empty()
        || file
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
}

/// Whether a name has one of these ends.
pub fn ends_in(name: &str, ends: &[&str]) -> bool {
    ends.iter().any(|end| name.ends_with(end))
}

/// What one of the forms of a pattern matched, each of which has one group.
pub fn matched<'a>(hit: &Captures<'a>) -> Match<'a> {
    let forms = hit.iter().skip(1).flatten();
    forms.into_iter().next().expect("one of the forms matched")
}

/// The line of a byte, from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Whether a folder of the path holds no running application.
pub fn is_aside(file: &str) -> bool {
    folder(file).split('/').any(|part| {
        let part = part.to_ascii_lowercase();
        let marked = [
            "-old",
            "_old",
            ".old",
            "-backup",
            "_backup",
            "-archive",
            "_archive",
            "-bak",
            "-copy",
            "-legacy",
            "-deprecated",
        ]
        .iter()
        .any(|end| part.ends_with(end));
        marked || part.starts_with("old-") || part.starts_with("old_") || ASIDE.contains(&part.as_str())
    })
}

fn is_test(file: &str) -> bool {
    let name = name(file);
    [".test.", ".spec.", ".stories."]
        .iter()
        .any(|part| name.contains(part))
        || name.starts_with("test_")
        || name == "conftest.py"
}

fn is_code(file: &str) -> bool {
    let ends = [
        ".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs", ".mts", ".cts", ".py", ".prisma",
    ];
    ends_in(file, &ends) && !ends_in(file, &[".min.js", ".d.ts"])
}

fn is_read(file: &str) -> bool {
    let name = name(file);
    if LOCK_FILES.contains(&name) {
        return false;
    }
    let special = [
        "dockerfile",
        "procfile",
        "pipfile",
        ".railwayignore",
        ".vercelignore",
        ".dockerignore",
        ".gitignore",
    ];
    let small = name.to_ascii_lowercase();
    READ.iter().any(|end| small.ends_with(end))
        || special.iter().any(|start| {
            small == *start
                || small.starts_with(&format!("{start}."))
                || small.ends_with(&format!(".{start}"))
        })
        || is_env_example(name)
        || is_env(name)
}

/// A file with the values of variables, which some teams commit.
pub fn is_env(name: &str) -> bool {
    name == ".env" || name.starts_with(".env.") && !is_env_example(name)
}

/// Whether its value ends in pages that everybody can read.
pub fn is_public(name: &str) -> bool {
    PUBLIC.iter().any(|start| name.starts_with(start))
}

/// Lines of variables that everybody may read: the values of the others are never kept.
fn public_lines(text: &str) -> String {
    let is_public = |line: &&str| is_public(line.trim().trim_start_matches("export "));
    text.lines()
        .filter(is_public)
        .map(|line| format!("{line}\n"))
        .collect()
}

/// A file that names variables without their values: never `.env` itself.
pub fn is_env_example(name: &str) -> bool {
    let small = name.to_ascii_lowercase();
    let marked = ["example", "sample", "template", "dist", "defaults"];
    small.contains("env")
        && small.split(['.', '-', '_']).any(|part| marked.contains(&part))
        && !READ.iter().any(|end| small.ends_with(end) && *end != ".txt")
}

fn folders(files: &[String]) -> Vec<String> {
    let manifests = files
        .iter()
        .filter(|file| ["package.json", "vercel.json"].contains(&name(file)));
    let mut folders: Vec<String> = manifests.map(|file| folder(file).to_owned()).collect();
    folders.push(String::new());
    folders.sort();
    folders.dedup();
    folders
}

/// A text that is neither a link nor larger than what configuration is.
pub fn read_text(path: &Path) -> Option<String> {
    let is_file = std::fs::symlink_metadata(path).is_ok_and(|data| data.is_file());
    let file = is_file.then(|| std::fs::File::open(path).ok()).flatten()?;
    String::from_utf8(crate::exec::read_bounded(file, FILE_LIMIT_BYTES).ok()?).ok()
}

/// Every file below a folder that is no clone. Links are not followed.
fn walked(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let mut open = vec![String::new()];
    while let Some(below) = open.pop() {
        for entry in std::fs::read_dir(root.join(&below))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let kind = entry.file_type()?;
            if kind.is_dir() && !BUILT.contains(&name.as_str()) {
                open.push(join(&below, &name));
            } else if kind.is_file() {
                files.push(join(&below, &name));
            }
        }
    }
    Ok(files)
}
