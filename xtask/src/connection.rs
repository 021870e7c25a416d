//! The connection string of a MongoDB deployment, as an application has it: what it means for the driver and for
//! mongodump and mongorestore, which must be the same.
//!
//! Applications' strings have options of other drivers, options that only tune, and options that would weaken a backup or a
//! restore. The driver refuses unknown ones; the tools read times in another unit, look the user up in the database of
//! `--db`, and ignore what they do not know. So each gets a string of its own, and what either is told beside the options
//! is what the driver makes of the whole: hosts and options of DNS records included.

mod options;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use anyhow::{Result, bail};
use mongodb::options::{ClientOptions, Credential, ServerAddress, Tls};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::catalogue::database as errors;
use crate::report;
use crate::secret::Secret;
use crate::sync::lock;
use options::{Rule, rule};

/// Everything but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A member of a deployment under one name, however it is written: lower case, without the dot that ends a name of DNS, with its
/// port; this machine has one name.
pub fn member(host: &str) -> String {
    let host = host.trim().to_ascii_lowercase();
    let (name, port) = match host.rsplit_once(':') {
        // An IPv6 address without a port has more than one colon, and no brackets.
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit())
                && !port.is_empty()
                && (!name.contains(':') || name.ends_with(']')) =>
        {
            (name, port)
        }
        _ => (host.as_str(), "27017"),
    };
    let name = match name.trim_matches(['[', ']']).trim_end_matches('.') {
        "localhost" | "::1" => "127.0.0.1",
        other => other,
    };
    format!("{name}:{port}")
}

/// The members of a list with commas, as backups have it. Two lists are of one deployment where one member is in both: DNS gives
/// the members in any order, and single ones are exchanged.
pub fn members_of(hosts: &str) -> BTreeSet<String> {
    let named = hosts.split(',').filter(|host| !host.trim().is_empty());
    named.map(member).collect()
}

/// Where tunnels begin.
const LOOPBACK: &str = "127.0.0.1";
/// What leads a driver from one server to others, which a tunnel does not lead to.
const TO_OTHERS: [&str; 5] = [
    "directConnection",
    "loadBalanced",
    "replicaSet",
    "srvMaxHosts",
    "srvServiceName",
];

/// Seconds that a server may be silent, where the usual limits do not fit it.
const SILENCE_VARIABLE: &str = "XTASK_DATABASE_SILENCE_S";

/// How long a server, or a tool that asks it, may be silent before it is given up: `usual`, unless the environment has another limit.
///
/// # Errors
/// Usage (exit 2) where the variable holds no number of seconds.
pub fn longest_silence(usual: Duration) -> Result<Duration> {
    let Some(text) = std::env::var_os(SILENCE_VARIABLE).filter(|text| !text.is_empty()) else {
        return Ok(usual);
    };
    let seconds = text
        .to_str()
        .and_then(|text| text.trim().parse().ok())
        .filter(|seconds| *seconds > 0);
    let seconds = seconds.ok_or_else(|| errors::silence_invalid(SILENCE_VARIABLE))?;
    Ok(Duration::from_secs(seconds))
}

/// Tunnels that this process opened: the port of this machine, and what the server at the end is called.
static TUNNELS: Mutex<BTreeMap<u16, String>> = Mutex::new(BTreeMap::new());

/// What a server is called in messages and records. The beginning of a tunnel is another one each time: its end counts.
pub fn host_name(address: &ServerAddress) -> String {
    let name = match address {
        ServerAddress::Tcp { host, port } if host == LOOPBACK => {
            port.and_then(|port| lock(&TUNNELS).get(&port).cloned())
        }
        _ => None,
    };
    name.unwrap_or_else(|| address.to_string())
}

/// A connection string in its parts.
#[derive(Clone)]
pub struct ConnectionString {
    /// Whether the host is the name of DNS records.
    srv: bool,
    /// `user:password@`, encoded as it was given, or nothing.
    user: String,
    hosts: String,
    /// The database of the path, encoded as it was given.
    database: String,
    /// What counts, under its name of today, with its decoded value.
    options: Vec<(&'static str, String)>,
    /// Names of options that only tune, or that other drivers have.
    left_out: BTreeSet<String>,
    /// Names of options that would weaken a backup or a restore.
    overridden: BTreeSet<String>,
}

impl ConnectionString {
    /// Reads a connection string. No value of it is ever in an error.
    pub fn read(uri: &Secret) -> Result<Self> {
        let text = uri.expose().trim();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None => bail!("it has no scheme: it must begin with mongodb:// or mongodb+srv://"),
        };
        let srv = match scheme.as_str() {
            "mongodb" => false,
            "mongodb+srv" => true,
            _ => bail!("it must begin with mongodb:// or mongodb+srv://"),
        };
        let (main, query) = rest.split_once('?').unwrap_or((rest, ""));
        if query.contains('@') && !main.contains('@') {
            bail!(
                "a `?` stands before an `@`: write special characters of a user, a password or an option as %3F, %40, %2F"
            );
        }
        let (user, place) = main.split_at(main.rfind('@').map_or(0, |at| at + 1));
        let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
        let mut read = Self {
            srv,
            user: user.to_owned(),
            hosts: hosts.to_owned(),
            database: database.to_owned(),
            options: Vec::new(),
            left_out: BTreeSet::new(),
            overridden: BTreeSet::new(),
        };
        // Tools and older drivers end an option with `;` too (mongo-go-driver, `extractQueryArgsFromURI`).
        for pair in query.split(['&', ';']).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            read.take(name, &percent_decode_str(value).decode_utf8_lossy())?;
        }
        Ok(read)
    }

    fn take(&mut self, given: &str, value: &str) -> Result<()> {
        match rule(given, value) {
            Rule::Keep(name, value) => {
                // One of the two would be in the clear, and which is another question to each reader.
                let both = self
                    .options
                    .iter()
                    .find(|(other, _)| *other == name && name == "tls");
                if both.is_some_and(|(_, other)| *other != value) {
                    bail!("`tls` and `ssl` contradict each other");
                }
                // Where an option is repeated, the last one counts, as for the tools.
                self.options.retain(|(other, _)| *other != name);
                self.options.push((name, value));
            }
            Rule::LeaveOut => drop(self.left_out.insert(given.to_owned())),
            Rule::Override => drop(self.overridden.insert(given.to_owned())),
            Rule::Refuse(instead) => bail!("it has `{given}`: {instead}"),
        }
        Ok(())
    }

    /// The members that the string itself names: DNS is not asked.
    pub fn members(&self) -> BTreeSet<String> {
        members_of(&self.hosts)
    }

    /// The string for the driver.
    pub fn for_driver(&self) -> Secret {
        let scheme = if self.srv { "mongodb+srv" } else { "mongodb" };
        let options = self.options.iter().map(|(name, value)| (*name, value.as_str()));
        let (user, hosts) = (&self.user, &self.hosts);
        Secret::new(format!(
            "{scheme}://{user}{hosts}/{}{}",
            self.database,
            query(options)
        ))
    }

    /// The same database at the end of a tunnel, which begins at this port of this machine: the one server there is asked, and
    /// none that it names. It is called `name` from then on.
    pub fn through_tunnel(&self, port: u16, name: &str) -> Result<Secret> {
        if self.srv {
            bail!("mongodb+srv:// names servers that are reached without a tunnel");
        }
        self.warn_once();
        lock(&TUNNELS).insert(port, name.to_owned());
        let mut there = self.clone();
        there.hosts = format!("{LOOPBACK}:{port}");
        there.options.retain(|(option, _)| !TO_OTHERS.contains(option));
        there.options.push(("directConnection", "true".to_owned()));
        Ok(there.for_driver())
    }

    /// What the driver makes of it; DNS is asked where the string names its records.
    ///
    /// # Errors
    /// `connection_string_unusable`; the driver's words have no password.
    pub fn for_client(&self) -> Result<ClientOptions> {
        let parsed = ClientOptions::parse(self.for_driver().expose()).run();
        parsed.map_err(|error| errors::connection_string_unusable(error).into())
    }

    /// The string for a tool that is given `--db database`, or no database where it is empty.
    ///
    /// The tools refuse a `--db` other than the database of the string, and look the user up in that of `--db` unless
    /// `authSource` stands there. So that is always written, as the driver understood it: for `mongodb+srv` it stands in a
    /// TXT record, which an `authSource` of the path would hide.
    pub fn for_tool(&self, database: &str) -> Result<Secret> {
        Ok(self.of_client(database, &self.for_client()?))
    }

    fn of_client(&self, database: &str, client: &ClientOptions) -> Secret {
        let mut options: Vec<(&str, &str)> = self
            .options
            .iter()
            .filter(|(name, _)| options::is_for_tools(name))
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let mut add = |name: &'static str, value: &'static str| {
            if !options.iter().any(|(other, _)| *other == name) {
                options.push((name, value));
            }
        };
        // The driver takes `tlsInsecure` for `tls` too, and mongodump would connect in the clear (mongo-go-driver, `connstring`).
        if self.srv || matches!(client.tls, Some(Tls::Enabled(_))) {
            add("tls", "true");
        }
        let mut hosts = self.hosts.clone();
        if self.srv {
            hosts = client
                .hosts
                .iter()
                .map(ServerAddress::to_string)
                .collect::<Vec<_>>()
                .join(",");
            if client.load_balanced == Some(true) {
                add("loadBalanced", "true");
            }
        }
        let source = client
            .credential
            .as_ref()
            .and_then(|login: &Credential| login.source.as_deref());
        for (name, value) in [
            ("replicaSet", client.repl_set_name.as_deref()),
            ("authSource", source),
        ] {
            if let Some(value) = value {
                options.retain(|(other, _)| *other != name);
                options.push((name, value));
            }
        }
        let database = utf8_percent_encode(database, RESERVED);
        let (user, options) = (&self.user, query(options.into_iter()));
        Secret::new(format!("mongodb://{user}{hosts}/{database}{options}"))
    }

    /// Writes once, to stderr, which options do not count. Their values are nobody's business.
    pub fn warn_once(&self) {
        static TOLD: LazyLock<Mutex<BTreeSet<String>>> = LazyLock::new(Mutex::default);
        let listed = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
        let mut notes = Vec::new();
        if !self.left_out.is_empty() {
            notes.push(format!(
                "left out, because they only tune or are another driver's: {}",
                listed(&self.left_out)
            ));
        }
        if !self.overridden.is_empty() {
            notes.push(format!(
                "overridden, because they weaken a backup or a restore: {}",
                listed(&self.overridden)
            ));
        }
        for note in notes {
            if lock(&TOLD).insert(note.clone()) {
                report::progress(&format!("options of the connection string {note}"));
            }
        }
    }
}

impl std::fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionString").finish_non_exhaustive()
    }
}

fn query<'a>(options: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in options {
        let mark = if text.is_empty() { '?' } else { '&' };
        let value = utf8_percent_encode(value, RESERVED);
        write!(text, "{mark}{name}={value}").expect("writing to a string");
    }
    text
}

#[cfg(test)]
mod tests;
