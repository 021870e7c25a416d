//! The pins of the tools: the repository's own where it has some, otherwise those that the program carries.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use super::cache::cache_dir;

/// Folder of a repository's own pins, below its root: it takes the place of those that the program carries.
const PINS_DIR: &str = "infrastructure/tools";

/// Name below the folder, text.
const EMBEDDED: &[(&str, &str)] = &[
    (
        "tools.toml",
        include_str!("../../../../infrastructure/tools/tools.toml"),
    ),
    (
        "age/go.mod",
        include_str!("../../../../infrastructure/tools/age/go.mod"),
    ),
    (
        "age/go.sum",
        include_str!("../../../../infrastructure/tools/age/go.sum"),
    ),
    (
        "age/tools.go",
        include_str!("../../../../infrastructure/tools/age/tools.go"),
    ),
    (
        "mongo-tools/go.mod",
        include_str!("../../../../infrastructure/tools/mongo-tools/go.mod"),
    ),
    (
        "mongo-tools/go.sum",
        include_str!("../../../../infrastructure/tools/mongo-tools/go.sum"),
    ),
    (
        "mongo-tools/tools.go",
        include_str!("../../../../infrastructure/tools/mongo-tools/tools.go"),
    ),
];

/// The folder of the pins that hold for the repository at `root`. Toolchains read files, so what the program carries is
/// written to the cache, once for each state of it.
pub(super) fn folder(root: &Path) -> Result<PathBuf> {
    let own = root.join(PINS_DIR);
    if own.join("tools.toml").is_file() {
        return Ok(own);
    }
    let mut hash = Sha256::new();
    for (name, text) in EMBEDDED {
        hash.update(format!("{name}\n{}\n{text}", text.len()));
    }
    let cache = cache_dir()?;
    let folder = cache.join(format!("pins-{}", &hex::encode(hash.finalize())[..16]));
    if folder.is_dir() {
        return Ok(folder);
    }
    let draft = tempfile::tempdir_in(&cache).context("cannot make a folder in the cache")?;
    for (name, text) in EMBEDDED {
        let file = draft.path().join(name);
        let parent = file.parent().context("a file is in a folder")?;
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot make the folder {}", parent.display()))?;
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    match std::fs::rename(draft.path(), &folder) {
        // Another run was first: its folder has the same texts.
        Err(_) if folder.is_dir() => Ok(folder),
        renamed => renamed
            .with_context(|| format!("cannot write {}", folder.display()))
            .map(|()| folder),
    }
}
