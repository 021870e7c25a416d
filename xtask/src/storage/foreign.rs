//! A dump that mongodump wrote by itself, given where a backup is asked for: nothing is recorded of it that it could be
//! checked by, but the operator is in need of it, and a command makes a backup of it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::archive::{GZIP, MAGIC};
use crate::error::CliError;
use crate::error::catalogue::backup as errors;

/// Names of our own files begin like this.
const OWN_PREFIX: &str = "mongodb-backup-";

/// The error for a path that has no metadata beside it.
pub(super) fn without_metadata(path: &Path) -> CliError {
    let shown = shlex::try_quote(&path.to_string_lossy())
        .map_or_else(|_| String::new(), std::borrow::Cow::into_owned);
    let is_own = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(OWN_PREFIX));
    let is_dump = if path.is_dir() {
        has_files_of_dump(path)
    } else {
        let mut start = [0; 4];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
        read.is_ok() && (start == MAGIC || (start.starts_with(&GZIP) && !is_own))
    };
    if is_dump {
        errors::dump_of_mongodump(path.display(), shown)
    } else {
        errors::without_metadata(path.display())
    }
}

/// The name of a file of a dump, without the end that a compressed one has.
pub fn plain_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_suffix(".gz").unwrap_or(&name).to_owned()
}

/// Whether mongodump wrote the folder, of one database or of several.
fn has_files_of_dump(folder: &Path) -> bool {
    let paths = |folder: &Path| {
        let entries = folder.read_dir().into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let has_some = |folder: &Path| {
        paths(folder).iter().any(|path| {
            let plain = plain_name(path);
            [".bson", ".metadata.json"].iter().any(|end| plain.ends_with(end))
        })
    };
    has_some(folder) || paths(folder).iter().any(|below| has_some(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_dump_is_told_apart_and_gets_its_command() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, bytes: &[u8]| {
            std::fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            std::fs::write(path(name), bytes).unwrap();
        };
        write("dump.archive", &[&MAGIC[..], b"more"].concat());
        write("dump.gz", &[0x1f, 0x8b, 8, 0, 0]);
        write("plain/shop/users.bson", b"");
        write("database/users.metadata.json", b"");
        write("packed/shop/users.bson.gz", b"");
        write("mongodb-backup-20260102-030405.tar.gz", &[0x1f, 0x8b, 8, 0, 0]);
        write("text", b"hello, world");
        write("empty", b"");
        write("other/readme", b"");
        for (name, code, part) in [
            ("dump.archive", "dump_of_mongodump", "backup import /"),
            ("dump.gz", "dump_of_mongodump", "backup import /"),
            ("plain", "dump_of_mongodump", "backup import /"),
            ("database", "dump_of_mongodump", "backup import /"),
            ("packed", "dump_of_mongodump", "backup import /"),
            (
                "mongodb-backup-20260102-030405.tar.gz",
                "without_metadata",
                "beside it",
            ),
            ("text", "without_metadata", "beside it"),
            ("empty", "without_metadata", "beside it"),
            ("other", "without_metadata", "beside it"),
        ] {
            let error = without_metadata(&path(name));
            assert_eq!(error.code, Some(code), "{name}");
            assert!(
                error.next.as_ref().is_some_and(|next| next.contains(part)),
                "{error:?}"
            );
        }
    }
}
