//! The key of the backups, made once: a secret of the environment on GitHub, which gives no secret back, and a file for
//! the people who keep it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::archive::Identities;
use crate::context::Context;
use crate::exec::read_bounded;
use crate::report;
use crate::secret::Secret;
use crate::tools::gh::GitHub;

const FILE: &str = "backup-age-identity.txt";
const LIMIT_BYTES: usize = 64 << 10;
/// Only the user may read it.
const PRIVATE_MODE: u32 = 0o600;

/// Where the key is written: below the folder for local state, which is never committed.
pub fn file(ctx: &Context) -> PathBuf {
    ctx.root.join(&ctx.config.state_dir).join("keys").join(FILE)
}

/// Whether the named secret is the key of the backups and can be made here: no public key is configured that it would
/// have to belong to.
pub fn can_be_made(ctx: &Context, secret: &str) -> bool {
    let config = &ctx.config.backup;
    config.recipients.is_empty() && config.identity.as_deref() == Some(secret)
}

/// Makes the key, writes it to the file, and sets it as the secret. A key that an earlier attempt wrote is taken.
pub fn make(ctx: &Context, github: &GitHub, secret: &str) -> Result<()> {
    ctx.state_dir("keys")?;
    let path = file(ctx);
    let key = match std::fs::File::open(&path) {
        Ok(earlier) => {
            let bytes = read_bounded(earlier, LIMIT_BYTES)?;
            Secret::new(String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))?)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => write_new(&path)?,
        Err(error) => return Err(error).with_context(|| format!("cannot open {}", path.display())),
    };
    Identities::parse(key.expose()).with_context(|| format!("{} holds no usable key", path.display()))?;
    github.set_secret(&ctx.env_name, secret, &key)?;
    report::progress(&format!(
        "the key that reads backups is in {}: without it no backup can be restored, and GitHub gives no secret back. Give \
         the file to two people who keep it outside of GitHub and of this machine, set {secret} to its text where \
         somebody may roll back, then remove it",
        path.display()
    ));
    Ok(())
}

fn write_new(path: &Path) -> Result<Secret> {
    let key = Identities::generate();
    let cannot = || format!("cannot write {}", path.display());
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE_MODE)
        .open(path)
        .with_context(cannot)?;
    file.write_all(key.expose().as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(cannot)?;
    Ok(key)
}
