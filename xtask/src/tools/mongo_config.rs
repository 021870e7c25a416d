//! The configuration file through which the MongoDB tools get the connection string, never by argument.
//!
//! On Linux it is never on a disk: it lies in our memory, and the tool opens it through `/proc`. So not even a SIGKILL
//! at a bad moment leaves a password behind. Elsewhere it is a file that only its owner reads, in a folder of its own.
//! Either goes when this value is dropped: drop it as soon as the tool has read it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::secret::Secret;

/// Everything but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A `--config` file; gone on drop.
#[derive(Debug)]
pub struct ConfigFile {
    location: ConfigLocation,
}

impl ConfigFile {
    /// Writes the connection string for a tool that is given `--db database`, or no database where it is empty.
    pub fn write(uri: &Secret, database: &str) -> Result<Self> {
        let uri = for_database(uri, database);
        let (location, mut file) = ConfigLocation::make().context("cannot make the tool's configuration")?;
        // A JSON string is a YAML string.
        let value = serde_json::to_string(uri.expose()).context("cannot write the tool's configuration")?;
        writeln!(file, "uri: {value}")
            .and_then(|()| file.flush())
            .context("cannot write the tool's configuration")?;
        Ok(Self { location })
    }

    /// The value for `--config`.
    pub fn path(&self) -> &Path {
        &self.location.path
    }
}

/// Where the configuration is, and what must live as long as it is read.
#[derive(Debug)]
struct ConfigLocation {
    path: PathBuf,
    #[cfg(target_os = "linux")]
    _memory: File,
    #[cfg(not(target_os = "linux"))]
    _folder: tempfile::TempDir,
}

impl ConfigLocation {
    /// Not inherited by children: they open it by our process's entry, which only our own user may.
    #[cfg(target_os = "linux")]
    fn make() -> Result<(Self, File)> {
        use std::os::fd::AsRawFd as _;

        use rustix::fs::{MemfdFlags, Mode, fchmod, memfd_create};

        let memory = File::from(memfd_create("mongo-tools.yaml", MemfdFlags::CLOEXEC)?);
        fchmod(&memory, Mode::RUSR | Mode::WUSR)?;
        let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), memory.as_raw_fd()));
        let writer = memory.try_clone()?;
        let location = Self {
            path,
            _memory: memory,
        };
        Ok((location, writer))
    }

    #[cfg(not(target_os = "linux"))]
    fn make() -> Result<(Self, File)> {
        use std::fs::Permissions;
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

        // tempfile makes folders as the umask allows.
        let folder = tempfile::Builder::new()
            .prefix("xtask-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()?;
        let path = folder.path().join("mongo-tools.yaml");
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(&path)?;
        let location = Self {
            path,
            _folder: folder,
        };
        Ok((location, file))
    }
}

/// The same server and user, with `database` as the connection string's database.
///
/// The tools refuse a `--db` other than the database in the connection string; and what stands there is also the
/// database that the user is looked up in, unless `authSource` says otherwise. So that is made explicit.
fn for_database(uri: &Secret, database: &str) -> Secret {
    let text = uri.expose();
    let Some((scheme, rest)) = text.split_once("://") else {
        return uri.clone();
    };
    let (main, query) = rest.split_once('?').unwrap_or((rest, ""));
    let after_user = main.rfind('@').map_or(0, |at| at + 1);
    let path = main[after_user..].find('/').map(|at| after_user + at);
    let (hosts, from) = path.map_or((main, ""), |at| (&main[..at], &main[at + 1..]));
    let mut query = query.to_owned();
    let stated = query
        .split('&')
        .any(|option| option.to_ascii_lowercase().starts_with("authsource="));
    if after_user > 0 && !stated {
        let source = if from.is_empty() { "admin" } else { from };
        let separator = if query.is_empty() { "" } else { "&" };
        query = format!("{query}{separator}authSource={source}");
    }
    let database = utf8_percent_encode(database, RESERVED);
    let mark = if query.is_empty() { "" } else { "?" };
    Secret::new(format!("{scheme}://{hosts}/{database}{mark}{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_replaced_and_the_users_database_kept() {
        for (given, expected) in [
            ("mongodb://h:1", "mongodb://h:1/shop"),
            ("mongodb://h:1/", "mongodb://h:1/shop"),
            ("mongodb://a,b:2/other?w=1", "mongodb://a,b:2/shop?w=1"),
            ("mongodb://u:p@h", "mongodb://u:p@h/shop?authSource=admin"),
            (
                "mongodb://u:p@h/?w=1",
                "mongodb://u:p@h/shop?w=1&authSource=admin",
            ),
            (
                "mongodb+srv://u:p@h/other",
                "mongodb+srv://u:p@h/shop?authSource=other",
            ),
            (
                "mongodb://u:p%40@h/x?authSource=y",
                "mongodb://u:p%40@h/shop?authSource=y",
            ),
            (
                "mongodb://u:p@h/x?AuthSource=y",
                "mongodb://u:p@h/shop?AuthSource=y",
            ),
        ] {
            assert_eq!(
                for_database(&Secret::new(given), "shop").expose(),
                expected,
                "{given}"
            );
        }
        for (given, database, expected) in [
            ("mongodb://h", "a b", "mongodb://h/a%20b"),
            ("mongodb://h/other", "", "mongodb://h/"),
            ("mongodb://u:p@h/other", "", "mongodb://u:p@h/?authSource=other"),
        ] {
            assert_eq!(for_database(&Secret::new(given), database).expose(), expected);
        }
    }

    #[test]
    fn only_the_owner_reads_the_file_and_it_goes_away() {
        use std::os::unix::fs::PermissionsExt as _;

        let config = ConfigFile::write(&Secret::new("mongodb://u:quo\"te@h"), "shop").unwrap();
        let path = config.path().to_owned();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let expected = "uri: \"mongodb://u:quo\\\"te@h/shop?authSource=admin\"\n";
        // Another process reads it from its beginning, as often as it likes.
        for _ in 0..2 {
            let read = std::process::Command::new("cat").arg(&path).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&read.stdout), expected);
        }
        drop(config);
        // The same number may already be that of another file.
        let target = std::fs::read_link(&path).unwrap_or_default();
        assert!(
            !target.to_string_lossy().contains("mongo-tools.yaml"),
            "{target:?}"
        );
    }
}
