//! What an upload consists of, for the plan: how much it is, and which rules leave out a part of it.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::Checkout;
use crate::report;

/// The rules that `railway up` follows in a folder without `.git` (it walks with the library `ignore`, CLI 5.71,
/// `controllers/upload.rs`); `.gitignore` counts for nothing there. `.ignore` is refused where it leaves out a committed file.
const RULES: &str = ".railwayignore";
/// Railway documents no limit, and answers 413 to what is too large: reported for 40 MB
/// (github.com/railwayapp/cli/issues/288) and 270 MB (github.com/railwayapp/cli/issues/401).
const REFUSED_BYTES: u64 = 40_000_000;

/// What is uploaded for a backend.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct UploadSize {
    files: usize,
    /// Before compression.
    bytes: u64,
    /// How many committed files the rules leave out.
    left_out: usize,
    /// The files with such rules, in and above the folder.
    rules: Vec<String>,
}

impl Checkout {
    /// What is uploaded of a folder.
    pub(super) fn upload_size(&self, folder: &Path) -> Result<UploadSize> {
        let excluded = self.export.excluded_by(RULES)?;
        let mut size = UploadSize::default();
        for file in self.export.files(folder)? {
            if excluded.contains(&file) {
                size.left_out += 1;
                continue;
            }
            let path = self.path(Path::new(&file));
            let metadata = path
                .symlink_metadata()
                .with_context(|| format!("cannot read {file}"))?;
            size.files += 1;
            size.bytes += metadata.len();
        }
        let rules = self.export.files(Path::new(""))?.into_iter();
        size.rules = rules
            .filter(|file| {
                let file = Path::new(file);
                let of_folder = file.parent().unwrap_or(Path::new(""));
                file.ends_with(RULES) && (of_folder.starts_with(folder) || folder.starts_with(of_folder))
            })
            .collect();
        Ok(size)
    }
}

impl UploadSize {
    /// A note of the plan about what `what` is.
    pub(super) fn note(&self, what: &str) -> String {
        let mut note = format!(
            "the upload of {what} has {} files, {}",
            self.files,
            report::bytes(self.bytes)
        );
        if !self.rules.is_empty() {
            let rules = self.rules.join(", ");
            note += &format!(
                "; the rules in {rules} leave out {} committed files",
                self.left_out
            );
        }
        if self.bytes >= REFUSED_BYTES {
            note += "; Railway documents no limit and has refused uploads of 40 MB, compressed (413): leave out what a build does not \
                     need, by .railwayignore";
        }
        note
    }
}
