//! The configuration file through which the MongoDB tools get the connection string, never by argument.
//!
//! On Linux it is never on a disk: it lies in our memory, and the tool opens it through `/proc`. So not even a SIGKILL
//! at a bad moment leaves a password behind. Elsewhere it is a file that only its owner reads, in a folder of its own.
//! Either goes when this value is dropped: drop it as soon as the tool has read it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::connection::ConnectionString;
use crate::error::catalogue::database as errors;
use crate::secret::Secret;

/// A `--config` file; gone on drop.
#[derive(Debug)]
pub struct ConfigFile {
    location: ConfigLocation,
}

impl ConfigFile {
    /// Writes the connection string for a tool that is given `--db database`, or no database where it is empty.
    pub fn write(uri: &Secret, database: &str) -> Result<Self> {
        let uri = ConnectionString::read(uri).map_err(errors::connection_string_unusable)?;
        let uri = uri.for_tool(database)?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
