//! Data in a server, and the backup of them.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::Utc;
use xshell::{Cmd, cmd};

use super::data::DATABASE;
use super::ground::{ENVIRONMENT, Ground, Repository, URI_VARIABLE};
use xtask::archive::{ContainerOptions, store};
use xtask::backup::write_metadata;
use xtask::database::Live;
use xtask::domain::manifest::{Consistency, ConsistencyKind};
use xtask::exec::{Exec, shell_in};
use xtask::report;
use xtask::secret::Secret;
use xtask::tools::mongo_server;

/// The local server takes some MB a second.
const FILL_DEADLINE: Duration = Duration::from_hours(1);
const BACKUP_ID: &str = "20250131-235959";

/// A server for a while, and how its clients are run.
pub(super) struct Server<'a> {
    pub(super) uri: &'a Secret,
    path: OsString,
}

/// Runs `body` with an empty server.
pub(super) fn with_server<T>(ground: &Ground, body: impl FnOnce(&Server) -> Result<T>) -> Result<T> {
    let path = ground.path(&["mongodump", "mongorestore", "mongodb-server"])?;
    mongo_server::with_scratch(&ground.ctx, |uri| body(&Server { uri, path }))
}

impl Server<'_> {
    /// The command, with the tools on PATH and the connection string in its environment.
    pub(super) fn client(&self, command: Cmd<'_>) -> Exec {
        self.reached_by(Exec::new(command))
    }

    /// The same of a command that is made already.
    pub(super) fn reached_by(&self, exec: Exec) -> Exec {
        exec.env("PATH", &self.path).secret_env(URI_VARIABLE, self.uri)
    }

    /// Writes an archive of what is in it.
    pub(super) fn dump(&self, archive: &Path) -> Result<()> {
        let sh = shell_in(archive.parent().unwrap_or(archive))?;
        let uri = self.uri.expose();
        self.client(cmd!(
            sh,
            "mongodump --quiet --uri {uri} --db {DATABASE} --archive={archive}"
        ))
        .run()
    }

    /// mongorestore of an archive. The connection string of a scratch server may be seen on the command line.
    pub(super) fn mongorestore(&self, archive: &Path, options: &[&str]) -> Result<Exec> {
        let sh = shell_in(archive.parent().unwrap_or(archive))?;
        let uri = self.uri.expose();
        Ok(self.client(cmd!(
            sh,
            "mongorestore --quiet --uri {uri} --archive={archive} {options...}"
        )))
    }

    /// Puts the archive into the empty server.
    pub(super) fn fill(&self, archive: &Path) -> Result<()> {
        let _ticker = report::Ticker::start("filling the server");
        self.mongorestore(archive, &[])?.deadline(FILL_DEADLINE).run()
    }

    /// The database in it.
    pub(super) fn live(&self) -> Result<Live> {
        Live::connect(self.uri, DATABASE)
    }
}

/// Keeps the archive as a backup of the repository; gives its folder.
pub(super) fn keep(repository: &Repository, archive: &Path) -> Result<PathBuf> {
    let folder = repository.root.join("backups").join(BACKUP_ID);
    std::fs::create_dir_all(&folder)?;
    let file = File::open(archive).context("cannot open the recorded archive")?;
    let options = ContainerOptions::new(&folder, BACKUP_ID, None);
    let stored = store(file, &options, Utc::now(), &mut |_| {})?;
    let mut metadata = stored.metadata(Consistency {
        kind: ConsistencyKind::PerCollection,
        reason: "nothing writes during the benchmark".to_owned(),
    });
    metadata.environment = ENVIRONMENT.to_owned();
    stored.commit()?;
    write_metadata(&folder, &metadata)?;
    Ok(folder)
}
