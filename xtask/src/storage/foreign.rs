//! A dump that mongodump wrote by itself, given where a backup is asked for: nothing is recorded of it that it could be
//! checked by, but the operator is in need of it, and a command makes a backup of it.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use flate2::read::GzDecoder;

use crate::archive::{GZIP, MAGIC};
use crate::error::CliError;
use crate::error::catalogue::backup as errors;

/// How the files of a dump's folder end.
const IN_FOLDER: [&str; 2] = [".bson", ".metadata.json"];

/// The error for a path that has no metadata beside it.
pub(super) fn without_metadata(path: &Path) -> CliError {
    let of_folder = path.is_file() && is_in_folder(path);
    let dump = path.parent().filter(|_| of_folder).unwrap_or(path);
    let shown = shlex::try_quote(&dump.to_string_lossy())
        .map_or_else(|_| String::new(), std::borrow::Cow::into_owned);
    let is_dump =
        of_folder || (path.is_dir() && has_files_of_dump(path)) || is_archive(path).unwrap_or(false);
    if is_dump {
        errors::dump_of_mongodump(path.display(), shown)
    } else {
        errors::without_metadata(path.display())
    }
}

/// Whether mongodump wrote the archive, compressed or not. Others compress with gzip as well, and so do our own files.
fn is_archive(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut start = [0; MAGIC.len()];
    file.read_exact(&mut start)?;
    if start.starts_with(&GZIP) {
        file.rewind()?;
        GzDecoder::new(file).read_exact(&mut start)?;
    }
    Ok(start == MAGIC)
}

/// The name of a file of a dump, without the end that a compressed one has.
pub fn plain_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_suffix(".gz").unwrap_or(&name).to_owned()
}

fn is_in_folder(path: &Path) -> bool {
    let plain = plain_name(path);
    IN_FOLDER.iter().any(|end| plain.ends_with(end))
}

/// Whether mongodump wrote the folder, of one database or of several.
fn has_files_of_dump(folder: &Path) -> bool {
    let paths = |folder: &Path| {
        let entries = folder.read_dir().into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let has_some = |folder: &Path| paths(folder).iter().any(|path| is_in_folder(path));
    has_some(folder) || paths(folder).iter().any(|below| has_some(below))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

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
        let packed = |bytes: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        write("dump.gz", &packed(&[&MAGIC[..], b"more"].concat()));
        write("folder.tar.gz", &packed(b"shop/users.bson"));
        write("cut.gz", &[0x1f, 0x8b, 8, 0, 0]);
        write("plain/shop/users.bson", b"");
        write("database/users.metadata.json", b"");
        write("packed/shop/users.bson.gz", b"");
        write("mongodb-backup-20260102-030405.tar.gz", &packed(b"manifest"));
        write("renamed.tar.gz", &packed(b"manifest"));
        write("text", b"hello, world");
        write("empty", b"");
        write("other/readme", b"");
        for (name, code, part) in [
            ("dump.archive", "dump_of_mongodump", "backup import /"),
            ("dump.gz", "dump_of_mongodump", "backup import /"),
            ("plain", "dump_of_mongodump", "backup import /"),
            ("database", "dump_of_mongodump", "backup import /"),
            ("packed", "dump_of_mongodump", "backup import /"),
            ("plain/shop/users.bson", "dump_of_mongodump", "plain/shop"),
            ("packed/shop/users.bson.gz", "dump_of_mongodump", "packed/shop"),
            ("database/users.metadata.json", "dump_of_mongodump", "database"),
            ("renamed.tar.gz", "without_metadata", "beside it"),
            ("folder.tar.gz", "without_metadata", "unpack"),
            ("cut.gz", "without_metadata", "beside it"),
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
