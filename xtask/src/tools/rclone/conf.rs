//! The text of an `rclone.conf` as variables of rclone's environment, so that no file with secrets is written.

use anyhow::{Result, bail};

use crate::error::catalogue::storage as errors;
use crate::secret::Secret;

/// Parts of the names of keys whose values are secret.
const SECRET_PARTS: &[&str] = &[
    "pass",
    "secret",
    "token",
    "key",
    "auth",
    "account",
    "credential",
    "sas",
];

/// Reads every section, because one remote may stand on another (`crypt`, `alias`).
///
/// # Errors
/// Usage (exit 2) where the text is no such file or has no section `remote`.
pub(super) fn read(
    text: &Secret,
    remote: &str,
    settings: &mut Vec<(String, String)>,
    secrets: &mut Vec<(String, Secret)>,
) -> Result<()> {
    let mut section = None;
    let mut is_known = false;
    for (number, line) in (1..).zip(text.expose().lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_known |= name == remote;
            section = Some(name);
            continue;
        }
        let (Some(section), Some((key, value))) = (section, line.split_once('=')) else {
            bail!(errors::remote_configuration_unusable(number));
        };
        let (key, value) = (key.trim(), value.trim());
        // As rclone's `fs.ConfigToEnv` makes it.
        let variable = format!("RCLONE_CONFIG_{section}_{}", key.replace('-', "_")).to_uppercase();
        if SECRET_PARTS.iter().any(|part| key.contains(part)) {
            secrets.push((variable, Secret::new(value)));
        } else {
            settings.push((variable, value.to_owned()));
        }
    }
    if !is_known {
        bail!(errors::remote_unknown(remote));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_becomes_variables_and_what_is_secret_stays_so() {
        let text = "# made by rclone\n[store]\ntype = sftp\nhost = h.example\npass = obscured==\n\n[backups]\ntype = crypt\nremote = store:b\nno-hash = true\n";
        let (mut settings, mut secrets) = (Vec::new(), Vec::new());
        read(&Secret::new(text), "backups", &mut settings, &mut secrets).unwrap();
        let shown: Vec<String> = settings
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            shown,
            [
                "RCLONE_CONFIG_STORE_TYPE=sftp",
                "RCLONE_CONFIG_STORE_HOST=h.example",
                "RCLONE_CONFIG_BACKUPS_TYPE=crypt",
                "RCLONE_CONFIG_BACKUPS_REMOTE=store:b",
                "RCLONE_CONFIG_BACKUPS_NO_HASH=true",
            ]
        );
        let (name, value) = &secrets[0];
        assert_eq!(
            (name.as_str(), value.expose()),
            ("RCLONE_CONFIG_STORE_PASS", "obscured==")
        );
    }

    #[test]
    fn what_is_no_configuration_or_of_another_remote_is_refused() {
        let refused = |text: &str| {
            let error = read(&Secret::new(text), "drive", &mut Vec::new(), &mut Vec::new()).unwrap_err();
            error.downcast_ref::<crate::error::CliError>().unwrap().code
        };
        // An encrypted file, a file of another kind, another remote.
        assert_eq!(
            refused("# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\nAAAA\n"),
            Some("remote_configuration_unusable")
        );
        assert_eq!(refused("type = drive"), Some("remote_configuration_unusable"));
        assert_eq!(refused("[other]\ntype = drive"), Some("remote_unknown"));
    }
}
