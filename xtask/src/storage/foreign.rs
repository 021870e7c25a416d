//! A dump that mongodump wrote by itself, given where a backup is asked for: nothing is recorded of it that it could be
//! checked by, but the operator is in need of it, and a command restores it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::CliError;
use crate::error::catalogue::backup as errors;

/// What a mongodump archive begins with.
const ARCHIVE: [u8; 4] = [0x6d, 0xe2, 0x99, 0x81];
/// What gzip begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Names of our own files begin like this.
const OWN_PREFIX: &str = "mongodb-backup-";

/// The error for a path that has no metadata beside it.
pub(super) fn without_metadata(path: &Path) -> CliError {
    let shown = shlex::try_quote(&path.to_string_lossy())
        .map_or_else(|_| String::new(), std::borrow::Cow::into_owned);
    let is_own = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(OWN_PREFIX));
    if path.is_dir() {
        return match files_of_dump(path) {
            Some(gzip) => errors::dump_of_mongodump(path.display(), format!("{gzip}{shown}")),
            None => errors::without_metadata(path.display()),
        };
    }
    let mut start = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    if read.is_ok() && start == ARCHIVE {
        return errors::dump_of_mongodump(path.display(), format!("--archive={shown}"));
    }
    if read.is_ok() && start.starts_with(&GZIP) && !is_own {
        return errors::dump_of_mongodump(path.display(), format!("--gzip --archive={shown}"));
    }
    errors::without_metadata(path.display())
}

/// The option for a folder that mongodump wrote, of one database or of several; `None` where it wrote none of it.
fn files_of_dump(folder: &Path) -> Option<&'static str> {
    let named = |folder: &Path| {
        let entries = folder.read_dir().into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.find_map(|name| {
            let gzip = [".bson.gz", ".metadata.json.gz"]
                .iter()
                .any(|end| name.ends_with(end));
            let plain = [".bson", ".metadata.json"].iter().any(|end| name.ends_with(end));
            if gzip {
                Some("--gzip ")
            } else {
                plain.then_some("")
            }
        })
    };
    named(folder).or_else(|| {
        let entries = folder.read_dir().into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).find_map(|below| named(&below))
    })
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
        write("dump.archive", &[&ARCHIVE[..], b"more"].concat());
        write("dump.gz", &[0x1f, 0x8b, 8, 0, 0]);
        write("plain/shop/users.bson", b"");
        write("database/users.metadata.json", b"");
        write("packed/shop/users.bson.gz", b"");
        write("mongodb-backup-20260102-030405.tar.gz", &[0x1f, 0x8b, 8, 0, 0]);
        write("text", b"hello, world");
        write("empty", b"");
        write("other/readme", b"");
        for (name, code, part) in [
            ("dump.archive", "dump_of_mongodump", "mongorestore --archive="),
            ("dump.gz", "dump_of_mongodump", "mongorestore --gzip --archive="),
            ("plain", "dump_of_mongodump", "mongorestore /"),
            ("database", "dump_of_mongodump", "mongorestore /"),
            ("packed", "dump_of_mongodump", "mongorestore --gzip /"),
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
