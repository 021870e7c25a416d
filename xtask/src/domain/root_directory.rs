//! Which folder of a commit a platform is given.

use std::path::{Component, Path, PathBuf};

/// The folder to give to a platform so that it builds `source`: with a root directory it builds that folder *of what it
/// is given*, so the folder itself would be looked for below itself. `None` where nothing of the commit has it there.
/// `exists` tells which folders the commit has.
pub fn folder_for(
    source: &Path,
    root_directory: Option<&str>,
    exists: impl Fn(&Path) -> bool,
) -> Option<PathBuf> {
    let plain = |path: &Path| -> PathBuf {
        let parts = path.components();
        parts
            .filter(|part| matches!(part, Component::Normal(_)))
            .collect()
    };
    let source = plain(source);
    let root = plain(Path::new(root_directory.unwrap_or_default()));
    if source.ends_with(&root) {
        let above = source.components().count() - root.components().count();
        return Some(source.components().take(above).collect());
    }
    exists(&source.join(root)).then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_a_root_directory_the_folder_that_holds_it_is_given() {
        let cases = [
            ("backend", None, Some("backend")),
            ("backend", Some(""), Some("backend")),
            ("backend", Some("/"), Some("backend")),
            ("backend", Some("/backend"), Some("")),
            ("./backend/", Some("backend/"), Some("")),
            ("apps/api", Some("api"), Some("apps")),
            ("apps/api", Some("/apps/api"), Some("")),
            (".", Some("/backend"), Some("")),
            ("backend", Some("/server"), None),
            ("backend", Some("end"), None),
        ];
        for (source, root, expected) in cases {
            let folder = folder_for(Path::new(source), root, |path| path == Path::new("backend"));
            assert_eq!(folder, expected.map(PathBuf::from), "{source} {root:?}");
        }
    }
}
