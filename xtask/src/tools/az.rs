//! `az storage blob`: files in a container of Azure Blob Storage. The connection string goes by the environment.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use xshell::{Cmd, Shell, cmd};

use crate::exec::Exec;
use crate::secret::Secret;

const QUERY_DEADLINE: Duration = Duration::from_mins(2);
const TRANSFER_DEADLINE: Duration = Duration::from_hours(6);

/// One blob.
#[derive(Debug, Clone, Deserialize)]
pub struct Blob {
    pub name: String,
}

/// One container.
#[derive(Debug, Clone)]
pub struct Blobs {
    sh: Shell,
    container: String,
    connection: Secret,
}

impl Blobs {
    pub fn new(sh: Shell, container: &str, connection: Secret) -> Self {
        Self {
            sh,
            container: container.to_owned(),
            connection,
        }
    }

    /// All blobs whose names begin like this.
    pub fn list(&self, prefix: &str) -> Result<Vec<Blob>> {
        let (sh, container, names) = (&self.sh, &self.container, "[].{name:name}");
        self.query(cmd!(
            sh,
            "az storage blob list --container-name {container} --prefix {prefix} --num-results * --query {names} --output json"
        ))
        .json()
        .with_context(|| format!("cannot list the container {container}"))
    }

    /// Uploads a file; a blob of this name is an error, unless it may be replaced.
    pub fn upload(&self, file: &Path, name: &str, replace: bool) -> Result<()> {
        let (sh, container, replace) = (&self.sh, &self.container, replace.to_string());
        self.query(cmd!(
            sh,
            "az storage blob upload --container-name {container} --name {name} --file {file} --overwrite {replace} --no-progress --output none"
        ))
        .deadline(TRANSFER_DEADLINE)
        .run()
        .with_context(|| format!("cannot upload {name} to the container {container}"))
    }

    /// Hands the bytes of a blob from `offset_bytes` on to `consume`.
    ///
    /// `az` writes to a file by name: it is given the one that stands for its standard output, and one connection,
    /// so that the parts come in order.
    pub fn read(
        &self,
        name: &str,
        offset_bytes: u64,
        consume: &mut dyn FnMut(&mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        let (sh, container) = (&self.sh, &self.container);
        let from = offset_bytes.to_string();
        // A range needs its end too; the service cuts it at the end of the blob.
        let end = i64::MAX.to_string();
        let ranged: &[&str] = if offset_bytes == 0 {
            &[]
        } else {
            &["--start-range", &from, "--end-range", &end]
        };
        let exec = self
            .query(cmd!(
                sh,
                "az storage blob download --container-name {container} --name {name} --file /dev/stdout --max-connections 1 {ranged...} --no-progress --output none"
            ))
            .deadline(TRANSFER_DEADLINE);
        let (consumed, finished) = exec.stream_out(|mut stdout| consume(&mut stdout))?;
        consumed?;
        finished
            .checked()
            .with_context(|| format!("cannot download {name} from the container {container}"))?;
        Ok(())
    }

    /// Deletes a blob.
    pub fn delete(&self, name: &str) -> Result<()> {
        let (sh, container) = (&self.sh, &self.container);
        self.query(cmd!(
            sh,
            "az storage blob delete --container-name {container} --name {name} --output none"
        ))
        .run()
        .with_context(|| format!("cannot delete {name} in the container {container}"))
    }

    fn query(&self, command: Cmd<'_>) -> Exec {
        Exec::new(command)
            .secret_env("AZURE_STORAGE_CONNECTION_STRING", &self.connection)
            .inherit(&["AZURE_CONFIG_DIR", "REQUESTS_CA_BUNDLE"])
            .env("AZURE_CORE_COLLECT_TELEMETRY", "false")
            .env("AZURE_CORE_NO_COLOR", "true")
            .env("AZURE_CORE_ONLY_SHOW_ERRORS", "true")
            .deadline(QUERY_DEADLINE)
    }
}
