//! Packing a folder as `railway up` does.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Never uploaded.
const ALWAYS_IGNORED: [&str; 2] = [".git", "node_modules"];

/// A gzipped tar archive of the folder without what `.railwayignore` names.
///
/// `.gitignore` counts only inside a git repository, and deployed trees are none: a `.env` in them would be uploaded.
pub(super) fn pack(folder: &Path) -> Result<Vec<u8>> {
    if !folder.exists() {
        bail!("Failed to read `{}` for upload: no such path", folder.display());
    }
    let rules = match std::fs::read_to_string(folder.join(".railwayignore")) {
        Ok(text) => text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect(),
        Err(_) => Vec::new(),
    };
    let mut files = Vec::new();
    collect(folder, Path::new(""), &rules, &mut files)?;
    files.sort();
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for relative in files {
        let path = folder.join(&relative);
        builder
            .append_path_with_name(&path, &relative)
            .with_context(|| format!("cannot pack {}", path.display()))?;
    }
    Ok(builder.into_inner()?.finish()?)
}

fn collect(folder: &Path, below: &Path, rules: &[String], files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder.join(below))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let relative = below.join(&name);
        if ALWAYS_IGNORED.contains(&name.as_str())
            || rules.iter().any(|rule| is_ignored(rule, &name, &relative))
        {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(folder, &relative, rules, files)?;
        } else {
            files.push(relative);
        }
    }
    Ok(())
}

/// The part of the ignore rules that is used here: names with `*`, and paths from the root.
fn is_ignored(rule: &str, name: &str, relative: &Path) -> bool {
    let rule = rule.trim_end_matches('/');
    match rule
        .strip_prefix('/')
        .or_else(|| rule.contains('/').then_some(rule))
    {
        Some(path) => relative == Path::new(path),
        None => wildcard(rule, name),
    }
}

fn wildcard(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => {
            let Some(tail) = name.strip_prefix(start) else {
                return false;
            };
            (0..=tail.len())
                .filter(|&at| tail.is_char_boundary(at))
                .any(|at| wildcard(rest, &tail[at..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_not_packed() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "app.toml",
            ".env",
            "a.log",
            "logs/x",
            "keep/a.log.txt",
            ".git/config",
            "deep/secret.txt",
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        std::fs::write(
            folder.path().join(".railwayignore"),
            "# secrets\n.env\n*.log\n/logs\ndeep/secret.txt\n",
        )
        .unwrap();
        let bytes = pack(folder.path()).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names, [".railwayignore", "app.toml", "keep/a.log.txt"]);
    }
}
