//! Packing a folder as `railway up` does (`src/controllers/upload.rs` of railwayapp/cli, which walks with the same library).

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use ignore::WalkBuilder;

/// Never uploaded, wherever they stand in the path.
const ALWAYS_IGNORED: [&str; 2] = [".git", "node_modules"];

/// A gzipped tar archive of the folder, without what ignore rules name.
///
/// `.railwayignore` and `.ignore` count everywhere, also in the folders above. Inside a git work tree, which a linked work
/// tree is too, so do `.gitignore` of the folder and of those above, `.git/info/exclude` and the user's own
/// `core.excludesFile`: committed files are left out without a word. Outside one, a `.env` would be uploaded.
pub(super) fn pack(folder: &Path) -> Result<Vec<u8>> {
    std::fs::metadata(folder)
        .with_context(|| format!("Failed to read `{}` for upload: no such path", folder.display()))?;
    let mut walk = WalkBuilder::new(folder);
    walk.add_custom_ignore_filename(".railwayignore")
        .follow_links(true)
        .hidden(false);
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for entry in walk.build() {
        let entry = entry?;
        let path = entry.path();
        let is_ignored = |name: &OsStr| ALWAYS_IGNORED.iter().any(|ignored| name == *ignored);
        if path
            .components()
            .any(|component| is_ignored(component.as_os_str()))
        {
            continue;
        }
        let stripped = Path::new(".").join(path.strip_prefix(folder)?);
        builder
            .append_path_with_name(path, stripped)
            .with_context(|| format!("cannot pack {}", path.display()))?;
    }
    Ok(builder.into_inner()?.finish()?)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    fn packed(folder: &Path) -> Vec<String> {
        let bytes = pack(folder).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let files = archive.entries().unwrap().filter_map(|entry| {
            let entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            entry.header().entry_type().is_file().then_some(name)
        });
        let mut files: Vec<String> = files.collect();
        files.sort();
        files
    }

    #[test]
    fn what_is_ignored_is_not_packed() {
        let folder = folder_with(&[
            ("app.toml", ""),
            (".env", ""),
            ("a.log", ""),
            ("logs/x", ""),
            ("keep/a.log.txt", ""),
            ("node_modules/x", ""),
            ("searched/x", ""),
            ("deep/secret.txt", ""),
            (
                ".railwayignore",
                "# secrets\n.env\n*.log\n/logs\ndeep/secret.txt\n",
            ),
            (".ignore", "searched\n"),
            (".gitignore", "app.toml\n"),
        ]);
        let names = packed(folder.path());
        assert_eq!(
            names,
            [
                ".gitignore",
                ".ignore",
                ".railwayignore",
                "app.toml",
                "keep/a.log.txt"
            ]
        );
    }

    #[test]
    fn a_git_work_tree_brings_the_rules_of_git() {
        let folder = folder_with(&[
            ("backend/app.toml", ""),
            ("backend/dist/app.js", ""),
            (".gitignore", "dist\n"),
        ]);
        let backend = folder.path().join("backend");
        assert_eq!(packed(&backend), ["app.toml", "dist/app.js"]);
        let made = Command::new("git")
            .args(["init", "--quiet"])
            .current_dir(folder.path())
            .status();
        assert!(made.unwrap().success());
        assert_eq!(packed(&backend), ["app.toml"]);
    }
}
