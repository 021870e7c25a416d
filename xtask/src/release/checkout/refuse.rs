//! What a release cannot contain as it was committed: it is refused by name, before anything is uploaded.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Checkout;
use crate::error::CliError;
use crate::error::catalogue::release as errors;

/// Files with rules that decide what `railway up` leaves out, also in the folders above (it walks with the library
/// `ignore`); inside a git work tree, those of git do too.
const RULES: [&str; 3] = [".railwayignore", ".ignore", ".git"];
/// Left out by `railway up` wherever it stands.
const NEVER_UPLOADED: &str = "node_modules";
/// How a file begins in whose place Git LFS keeps the content.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";
/// How many paths a message names.
const NAMED: usize = 10;

impl Checkout {
    /// Refused unless the folder holds what was committed, and nothing else.
    pub(super) fn compare(&self) -> Result<()> {
        let differences = self.export.differences()?;
        refuse(&differences, errors::not_as_committed)
    }

    pub(super) fn refuse_pointers(&self, sources: &[&Path]) -> Result<()> {
        let mut pointers = Vec::new();
        for source in sources {
            for file in self.export.files(source)? {
                if is_pointer(&self.path(Path::new(&file))) {
                    pointers.push(file);
                }
            }
        }
        refuse(&pointers, errors::only_pointers)
    }

    /// `railway up` would leave them out without a word.
    pub(super) fn refuse_left_out(&self, source: &Path) -> Result<()> {
        let installed = self.export.files(source)?.into_iter();
        let mut left_out: Vec<String> = installed
            .filter(|file| file.split('/').any(|part| part == NEVER_UPLOADED))
            .collect();
        let excluded = self.export.excluded_by(".ignore")?.into_iter();
        left_out.extend(excluded.filter(|file| Path::new(file).starts_with(source)));
        refuse(&left_out, |files| {
            errors::left_out_of_upload(files, NEVER_UPLOADED)
        })
    }
}

/// A folder of the repository without `.`: the root is the empty path.
pub(super) fn plain(path: &Path) -> PathBuf {
    path.components()
        .filter(|component| !matches!(component, std::path::Component::CurDir))
        .collect()
}

pub(super) fn refuse_submodules(submodules: &[String], sources: &[&Path]) -> Result<()> {
    let inside = submodules.iter().filter(|path| {
        let path = Path::new(path);
        sources
            .iter()
            .any(|source| path.starts_with(source) || source.starts_with(path))
    });
    let inside: Vec<String> = inside.cloned().collect();
    refuse(&inside, errors::empty_submodules)
}

/// Rules of folders above would count for an upload.
pub(super) fn refuse_rules_above(folder: &Path) -> Result<()> {
    let above = folder.ancestors().skip(1);
    let found = above
        .flat_map(|folder| RULES.iter().map(move |name| folder.join(name)))
        .find(|path| path.exists());
    found.map_or(Ok(()), |found| Err(errors::rules_above(found.display()).into()))
}

fn is_pointer(file: &Path) -> bool {
    let Ok(mut file) = std::fs::File::open(file) else {
        return false;
    };
    let mut start = [0; LFS_POINTER.len()];
    file.read_exact(&mut start).is_ok() && start == LFS_POINTER
}

fn refuse(paths: &[String], error: impl FnOnce(String) -> CliError) -> Result<()> {
    if paths.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = paths.iter().take(NAMED).map(|path| format!("{path:?}")).collect();
    let more = paths.len() - named.len();
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    Err(error(format!("{}{more}", named.join(", "))).into())
}
