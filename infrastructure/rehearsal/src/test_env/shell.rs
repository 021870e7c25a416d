//! A person's way into the test environment: a file that makes a terminal one of the team's.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::TestEnv;

/// `rustup` and cargo keep their things in the home folder, and the team has another one.
const HEAD: &str =
    "# Makes a terminal one of the rehearsal's team: `. FILE`. The secrets are of this rehearsal only.
export CARGO_HOME=\"${CARGO_HOME:-$HOME/.cargo}\" RUSTUP_HOME=\"${RUSTUP_HOME:-$HOME/.rustup}\"
";

impl TestEnv {
    /// Writes the file, and lets `cargo xtask` run the product in the team's clone; gives the file's path.
    pub fn write_shell(&self) -> Result<PathBuf> {
        // The clone has no workspace with our alias: cargo then looks for a program of this name on PATH.
        let program = format!(
            "#!/bin/sh\nshift\nexec {} \"$@\"\n",
            quoted(self.program.as_os_str())
        );
        let path = self.folder.join("bin/cargo-xtask");
        write(&path, &program, 0o700)?;
        let exports: String = self
            .env
            .iter()
            .map(|(name, value)| format!("export {name}={}\n", quoted(value)))
            .collect();
        let file = self.folder.join("team.sh");
        let go_there = format!("cd {}\n", quoted(self.clone_dir().as_os_str()));
        write(&file, &[HEAD, &exports, &go_there].concat(), 0o600)?;
        Ok(file)
    }
}

/// One word for every shell.
fn quoted(text: &OsStr) -> String {
    format!("'{}'", text.to_string_lossy().replace('\'', r"'\''"))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let written = std::fs::write(path, text)
        .and_then(|()| std::fs::set_permissions(path, Permissions::from_mode(mode)));
    written.with_context(|| format!("cannot write {}", path.display()))
}
