//! `rclone`: files in a bucket of S3, or wherever else it reaches.
//!
//! What it does beside its description is met here (`docs/REALITY.md`): `copyto` replaces a file of the same name, with
//! `--immutable` too; `cat` of a file that is not there is empty and succeeds; a bucket that is not there is an empty folder to
//! other commands. Its configuration goes by the environment: it is on no disk and in no argument.

mod conf;
mod fault;

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use xshell::{Cmd, Shell, cmd};

use self::fault::{DIRECTORY_NOT_FOUND, FILE_NOT_FOUND, StorageFault};
use crate::error::catalogue::storage as errors;
use crate::exec::{Exec, Finished};
use crate::secret::Secret;

const QUERY_DEADLINE: Duration = Duration::from_mins(5);
const TRANSFER_DEADLINE: Duration = Duration::from_hours(6);
/// Larger files go in parts, each of which the service checks. rclone takes larger parts where there would be over 10,000.
const PART: &str = "16Mi";
/// Our name for the remote of a bucket.
const BUCKET_REMOTE: &str = "BACKUPS";
/// How rclone behaves; on the command line they would be in every message.
const BEHAVIOUR: &[(&str, &str)] = &[
    ("RCLONE_ASK_PASSWORD", "false"),
    ("RCLONE_CONTIMEOUT", "15s"),
    // Of silence, not of the whole transfer.
    ("RCLONE_TIMEOUT", "2m"),
    // Of a whole command: each request is tried again by itself.
    ("RCLONE_RETRIES", "1"),
    ("RCLONE_LOW_LEVEL_RETRIES", "4"),
    ("RCLONE_STATS", "0"),
];
/// What rclone needs of our environment for the user's own configuration.
const OWN_CONFIGURATION: &[&str] = &["RCLONE_CONFIG", "SSH_AUTH_SOCK"];
/// The password of a configuration that is encrypted.
const CONFIGURATION_PASSWORD: &str = "RCLONE_CONFIG_PASS";
/// No file is read: this name stands for none.
const NO_FILE: &str = "/notfound";

/// A bucket of S3.
#[derive(Debug)]
pub struct S3Access<'a> {
    pub bucket: &'a str,
    pub endpoint: Option<&'a str>,
    pub region: &'a str,
    pub provider: Option<&'a str>,
    pub path_style: Option<bool>,
    /// Id of the key, the key, and the token of credentials that end by themselves.
    pub credentials: (Secret, Secret, Option<Secret>),
}

/// What was uploaded is locked so.
#[derive(Debug, Clone)]
pub struct UploadLock {
    pub mode: &'static str,
    /// RFC 3339.
    pub until: String,
}

/// A file of a remote.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RemoteFile {
    /// Below the folder that was listed.
    pub path: String,
}

/// One bucket, or one folder of a remote.
#[derive(Debug, Clone)]
pub struct Remote {
    sh: Shell,
    /// `remote:bucket`, `remote:folder` or `remote:`.
    root: String,
    is_bucket: bool,
    settings: Vec<(String, String)>,
    secrets: Vec<(String, Secret)>,
    inherited: Vec<&'static str>,
}

impl Remote {
    /// A bucket; it must be there.
    ///
    /// # Errors
    /// Usage (exit 2) where rclone is not on PATH.
    pub fn bucket(sh: Shell, s3: &S3Access) -> Result<Self> {
        require()?;
        let (key, secret, token) = &s3.credentials;
        let variable = |name: &str| format!("RCLONE_CONFIG_{BUCKET_REMOTE}_{name}");
        let provider = if s3.endpoint.is_some() { "Other" } else { "AWS" };
        let mut settings = vec![
            ("RCLONE_CONFIG".to_owned(), NO_FILE.to_owned()),
            (variable("TYPE"), "s3".to_owned()),
            (variable("PROVIDER"), s3.provider.unwrap_or(provider).to_owned()),
            (variable("REGION"), s3.region.to_owned()),
            // A bucket is made by people, with versions, locks and rights as they want them.
            (variable("NO_CHECK_BUCKET"), "true".to_owned()),
            (variable("UPLOAD_CUTOFF"), PART.to_owned()),
            (variable("CHUNK_SIZE"), PART.to_owned()),
        ];
        settings.extend(
            s3.endpoint
                .map(|address| (variable("ENDPOINT"), address.to_owned())),
        );
        settings.extend(
            s3.path_style
                .map(|path_style| (variable("FORCE_PATH_STYLE"), path_style.to_string())),
        );
        let mut secrets = vec![
            (variable("ACCESS_KEY_ID"), key.clone()),
            (variable("SECRET_ACCESS_KEY"), secret.clone()),
        ];
        secrets.extend(token.clone().map(|token| (variable("SESSION_TOKEN"), token)));
        Ok(Self {
            sh,
            root: format!("{BUCKET_REMOTE}:{}", s3.bucket),
            is_bucket: true,
            settings,
            secrets,
            inherited: Vec::new(),
        })
    }

    /// A folder of a remote of `configuration`, the text of an `rclone.conf`, or of the user's own.
    ///
    /// # Errors
    /// Usage (exit 2) where rclone is not on PATH or the text is no such file.
    pub fn named(sh: Shell, remote: &str, folder: &str, configuration: Option<&Secret>) -> Result<Self> {
        require()?;
        let (mut settings, mut secrets, mut inherited) = (Vec::new(), Vec::new(), Vec::new());
        if let Some(text) = configuration {
            conf::read(text, remote, &mut settings, &mut secrets)?;
            settings.push(("RCLONE_CONFIG".to_owned(), NO_FILE.to_owned()));
        } else {
            inherited.extend(OWN_CONFIGURATION);
            let password = crate::context::env_nonempty(CONFIGURATION_PASSWORD).map(Secret::new);
            secrets.extend(password.map(|password| (CONFIGURATION_PASSWORD.to_owned(), password)));
        }
        Ok(Self {
            sh,
            root: format!("{remote}:{folder}"),
            is_bucket: false,
            settings,
            secrets,
            inherited,
        })
    }

    /// All files below a folder (empty, or ends in a slash).
    pub fn list(&self, folder: &str) -> Result<Vec<RemoteFile>> {
        let (sh, at) = (&self.sh, self.at(folder));
        // One request for each thousand names, and none for each file.
        let finished = self
            .query(cmd!(
                sh,
                "rclone lsjson --recursive --files-only --no-modtime --no-mimetype --fast-list {at}"
            ))
            .output()?;
        // A folder comes with the first file in it. A bucket does not.
        if finished.code == Some(DIRECTORY_NOT_FOUND) && !self.is_bucket {
            return Ok(Vec::new());
        }
        let finished = self
            .judge(finished)
            .with_context(|| format!("cannot list {at}"))?;
        serde_json::from_str(&finished.stdout)
            .with_context(|| format!("`{}` returned invalid JSON", finished.command))
    }

    /// Uploads a file that is new; one of this name is an error where the service can tell.
    pub fn upload_new(&self, file: &Path, name: &str, lock: Option<&UploadLock>) -> Result<()> {
        if !self.is_bucket {
            return self.upload(file, name, &["--ignore-times"], lock);
        }
        let only_new = ["--no-check-dest", "--header-upload", "If-None-Match: *"];
        let uploaded = self.upload(file, name, &only_new, lock);
        match &uploaded {
            Err(error)
                if StorageFault::in_text(&format!("{error:#}")) == Some(StorageFault::NotImplemented) =>
            {
                self.upload(file, name, &["--no-check-dest"], lock)
            }
            _ => uploaded,
        }
    }

    /// Uploads a file in the place of another.
    pub fn replace(&self, file: &Path, name: &str, lock: Option<&UploadLock>) -> Result<()> {
        // Where two files may have one name, rclone has to find the one that is replaced.
        let options = [if self.is_bucket {
            "--no-check-dest"
        } else {
            "--ignore-times"
        }];
        self.upload(file, name, &options, lock)
    }

    fn upload(&self, file: &Path, name: &str, options: &[&str], lock: Option<&UploadLock>) -> Result<()> {
        let (sh, at) = (&self.sh, self.at(name));
        let mut exec = self.query(cmd!(sh, "rclone copyto {options...} {file} {at}"));
        if let Some(lock) = lock {
            let variable = |name: &str| format!("RCLONE_CONFIG_{BUCKET_REMOTE}_OBJECT_LOCK_{name}");
            exec = exec
                .env(&variable("MODE"), lock.mode)
                .env(&variable("RETAIN_UNTIL_DATE"), &lock.until);
        }
        let finished = exec.deadline(TRANSFER_DEADLINE).output()?;
        self.judge(finished)
            .with_context(|| format!("cannot upload {at}"))
            .map(drop)
    }

    /// The mode in which the service has locked a file; `None` where it has not, or rclone is too old to see it.
    pub fn lock_of(&self, name: &str) -> Result<Option<String>> {
        #[derive(Deserialize)]
        struct Stated {
            #[serde(rename = "Metadata", default)]
            metadata: std::collections::BTreeMap<String, String>,
        }
        let (sh, at) = (&self.sh, self.at(name));
        let finished = self
            .query(cmd!(sh, "rclone lsjson --stat --metadata --no-modtime {at}"))
            .output()?;
        let finished = self
            .judge(finished)
            .with_context(|| format!("cannot inspect {at}"))?;
        let mut stated: Stated = serde_json::from_str(&finished.stdout)
            .with_context(|| format!("`{}` returned invalid JSON", finished.command))?;
        Ok(stated.metadata.remove("object-lock-mode"))
    }

    /// Hands the bytes of a file from `offset_bytes` on to `consume`. There are none of a file that is not there.
    pub fn read(
        &self,
        name: &str,
        offset_bytes: u64,
        consume: &mut dyn FnMut(&mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        let (sh, at, offset) = (&self.sh, self.at(name), offset_bytes.to_string());
        let exec = self
            .query(cmd!(sh, "rclone cat --offset {offset} {at}"))
            .deadline(TRANSFER_DEADLINE);
        let (consumed, finished) = exec.stream_out(|mut stdout| consume(&mut stdout))?;
        consumed?;
        self.judge(finished)
            .with_context(|| format!("cannot download {at}"))
            .map(drop)
    }

    /// Deletes a file; one that is gone already is no error.
    pub fn delete(&self, name: &str) -> Result<()> {
        let (sh, at) = (&self.sh, self.at(name));
        let finished = self.query(cmd!(sh, "rclone deletefile {at}")).output()?;
        let is_gone = [Some(FILE_NOT_FOUND), Some(DIRECTORY_NOT_FOUND)].contains(&finished.code);
        if is_gone && !self.is_bucket {
            return Ok(());
        }
        if finished.code == Some(FILE_NOT_FOUND) {
            return Ok(());
        }
        self.judge(finished)
            .with_context(|| format!("cannot delete {at}"))
            .map(drop)
    }

    fn at(&self, name: &str) -> String {
        if self.root.ends_with(':') {
            format!("{}{name}", self.root)
        } else {
            format!("{}/{name}", self.root)
        }
    }

    fn query(&self, command: Cmd<'_>) -> Exec {
        let mut exec = Exec::new(command)
            .inherit(&self.inherited)
            .inherit(&["RCLONE_CA_CERT"])
            .deadline(QUERY_DEADLINE);
        for (name, value) in BEHAVIOUR {
            exec = exec.env(name, value);
        }
        for (name, value) in &self.settings {
            exec = exec.env(name, value);
        }
        for (name, value) in &self.secrets {
            exec = exec.secret_env(name, value);
        }
        exec
    }

    /// The ending where it is good, else an error with what to do about it where that can be told.
    fn judge(&self, finished: Finished) -> Result<Finished> {
        if finished.code == Some(0) {
            return Ok(finished);
        }
        let fault = match StorageFault::of(&finished) {
            Some(fault) => Some(fault),
            None if self.is_bucket && finished.code == Some(DIRECTORY_NOT_FOUND) => {
                Some(StorageFault::NoBucket)
            }
            None => None,
        };
        let error = finished.error();
        Err(match fault {
            Some(fault) => error.context(fault.error(&self.root)),
            None => error,
        })
    }
}

fn require() -> Result<()> {
    if which::which("rclone").is_err() {
        bail!(errors::rclone_missing());
    }
    Ok(())
}
