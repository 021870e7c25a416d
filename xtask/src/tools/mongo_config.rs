//! The configuration through which the MongoDB tools get the connection string, never by argument.
//!
//! It is never in a file that has a name: not even a SIGKILL at a bad moment leaves a password behind, and nobody else can open it.
//! A tool reads it from one of the three files that every child is given. Our own entry below `/proc` is closed to it, as to all
//! others, where it is not run by root ([`crate::exec::hide_environment`]).

use std::fs::File;
use std::io::{Seek as _, Write as _};

use anyhow::{Context as _, Result};

use crate::connection::ConnectionString;
use crate::error::catalogue::database as errors;
use crate::secret::Secret;

/// The value for `--config` of a tool that has the configuration as its standard input.
pub const STDIN: &str = "/dev/stdin";
/// The same of one whose standard input is an archive, and which prints nothing on standard output: that is the file then.
pub const STDOUT: &str = "/dev/stdout";

/// The configuration for a tool that is given `--db database`, or no database where it is empty.
pub fn text(uri: &Secret, database: &str) -> Result<String> {
    let uri = ConnectionString::read(uri).map_err(errors::connection_string_unusable)?;
    let uri = uri.for_tool(database)?;
    // A JSON string is a YAML string.
    let value = serde_json::to_string(uri.expose()).context("cannot write the tool's configuration")?;
    Ok(format!("uri: {value}\n"))
}

/// The same as a file without a name.
pub fn file(uri: &Secret, database: &str) -> Result<File> {
    let text = text(uri, database)?;
    let write = || {
        let mut file = nameless()?;
        file.write_all(text.as_bytes())?;
        file.rewind()?;
        anyhow::Ok(file)
    };
    write().context("cannot make the tool's configuration")
}

/// In memory; its mode keeps others out who find it open in a child.
#[cfg(target_os = "linux")]
fn nameless() -> Result<File> {
    use rustix::fs::{MemfdFlags, Mode, fchmod, memfd_create};

    let memory = File::from(memfd_create("mongo-tools.yaml", MemfdFlags::CLOEXEC)?);
    fchmod(&memory, Mode::RUSR | Mode::WUSR)?;
    Ok(memory)
}

#[cfg(not(target_os = "linux"))]
fn nameless() -> Result<File> {
    Ok(tempfile::tempfile()?)
}

#[cfg(test)]
mod tests {
    use xshell::{Shell, cmd};

    use super::*;
    use crate::exec::Exec;

    #[test]
    fn a_tool_reads_it_from_a_file_that_it_is_given() {
        let uri = Secret::new("mongodb://u:quo\"te@h");
        let expected = "uri: \"mongodb://u:quo\\\"te@h/shop?authSource=admin\"\n";
        assert_eq!(text(&uri, "shop").unwrap(), expected);
        let sh = Shell::new().unwrap();
        let read = "read -r line < /dev/stdout; echo \"$line\" >&2";
        let given = Exec::new(cmd!(sh, "sh -c {read}")).stdout_file(file(&uri, "shop").unwrap());
        let (_, finished) = given.stream_in(|_| Ok(())).unwrap();
        assert_eq!(finished.code, Some(0));
        assert_eq!(finished.stderr_tail.join("\n").trim_end(), expected.trim_end());
    }
}
