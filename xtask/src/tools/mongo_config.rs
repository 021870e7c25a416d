//! The configuration file through which the MongoDB tools get the connection string, never by argument.
//!
//! The file is readable by its owner only, in a folder of its own, and is removed when this value is dropped: drop it
//! as soon as the tool has read it.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result};

use crate::secret::Secret;

/// A `--config` file on the disk; removed on drop.
#[derive(Debug)]
pub struct ConfigFile {
    file: tempfile::NamedTempFile,
    _folder: tempfile::TempDir,
}

impl ConfigFile {
    /// Writes the connection string for a tool that is given `--db database`.
    pub fn write(uri: &Secret, database: &str) -> Result<Self> {
        let uri = for_database(uri, database);
        // tempfile makes files with mode 0600, but folders as the umask allows.
        let folder = tempfile::Builder::new()
            .prefix("xtask-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .context("cannot make a private folder for the tool's configuration")?;
        let mut file = tempfile::Builder::new()
            .suffix(".yaml")
            .tempfile_in(folder.path())
            .context("cannot make the tool's configuration file")?;
        // A JSON string is a YAML string.
        let value = serde_json::to_string(uri.expose()).context("cannot write the tool's configuration")?;
        writeln!(file, "uri: {value}")
            .and_then(|()| file.flush())
            .context("cannot write the tool's configuration")?;
        Ok(Self {
            file,
            _folder: folder,
        })
    }

    /// The value for `--config`.
    pub fn path(&self) -> &std::path::Path {
        self.file.path()
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
    let database = percent_encode(database);
    let mark = if query.is_empty() { "" } else { "?" };
    Secret::new(format!("{scheme}://{hosts}/{database}{mark}{query}"))
}

fn percent_encode(text: &str) -> String {
    let encoded = text.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    encoded.collect()
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
        assert_eq!(
            for_database(&Secret::new("mongodb://h"), "a b").expose(),
            "mongodb://h/a%20b"
        );
    }

    #[test]
    fn only_the_owner_reads_the_file_and_it_goes_away() {
        let config = ConfigFile::write(&Secret::new("mongodb://u:quo\"te@h"), "shop").unwrap();
        let path = config.path().to_owned();
        let mode = |p: &std::path::Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "uri: \"mongodb://u:quo\\\"te@h/shop?authSource=admin\"\n"
        );
        drop(config);
        assert!(!path.parent().unwrap().exists());
    }
}
