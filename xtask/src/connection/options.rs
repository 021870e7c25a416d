//! What each option of a connection string is for us.

/// What becomes of an option.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// It counts, under this name and with this value.
    Keep(&'static str, String),
    /// It only tunes, or is one of another driver.
    LeaveOut,
    /// It would weaken a backup or a restore: the usual value counts.
    Override,
    /// Without it there is no connection, and neither the driver nor the tools can have it so: what to write is here.
    Refuse(&'static str),
}

/// Where the deployment is, who we are, and how the connection is protected; with the names of earlier years.
const KEPT: &[(&str, &str)] = &[
    ("appname", "appName"),
    ("authmechanism", "authMechanism"),
    ("authmechanismproperties", "authMechanismProperties"),
    ("authsource", "authSource"),
    ("connecttimeoutms", "connectTimeoutMS"),
    ("directconnection", "directConnection"),
    ("loadbalanced", "loadBalanced"),
    ("replicaset", "replicaSet"),
    ("serverselectiontimeoutms", "serverSelectionTimeoutMS"),
    ("srvmaxhosts", "srvMaxHosts"),
    ("srvservicename", "srvServiceName"),
    ("ssl", "tls"),
    ("tls", "tls"),
    ("sslca", "tlsCAFile"),
    ("sslcertificateauthorityfile", "tlsCAFile"),
    ("tlscafile", "tlsCAFile"),
    ("sslcafile", "tlsCAFile"),
    ("ssl_ca_certs", "tlsCAFile"),
    ("sslclientcertificatekeyfile", "tlsCertificateKeyFile"),
    ("tlscertificatekeyfile", "tlsCertificateKeyFile"),
    ("sslpemkeyfile", "tlsCertificateKeyFile"),
    // The tools know one switch for all three.
    ("sslinsecure", "tlsInsecure"),
    ("tlsinsecure", "tlsInsecure"),
    ("tlsallowinvalidcertificates", "tlsInsecure"),
    ("tlsallowinvalidhostnames", "tlsInsecure"),
    ("sslallowinvalidcertificates", "tlsInsecure"),
    ("sslallowinvalidhostnames", "tlsInsecure"),
    ("sslinvalidhostnameallowed", "tlsInsecure"),
];

/// The same switch the other way round: drivers before `tlsInsecure` (C#, Node.js, Python) ask whether to check.
const CHECKS: &[&str] = &[
    "sslverifycertificate",
    "sslvalidate",
    "checkserveridentity",
    "ssl_match_hostname",
    "ssl_cert_reqs",
];
/// What these have where nothing is checked.
const UNCHECKED: [&str; 3] = ["false", "0", "cert_none"];

/// A certificate and its key in two files: mongodump has options for them in a string, the driver has none.
const TWO_FILES: &[&str] = &[
    "tlscertificatefile",
    "tlsprivatekeyfile",
    "sslcert",
    "sslkey",
    "ssl_certfile",
    "ssl_keyfile",
];
const ONE_FILE: &str =
    "write the certificate and its key into one file, and name that in tlsCertificateKeyFile";

/// The password of such a file.
const KEY_PASSWORDS: &[&str] = &[
    "tlscertificatekeyfilepassword",
    "sslclientcertificatekeypassword",
    "sslpemkeypassword",
    "ssl_pem_passphrase",
    "sslpass",
];
const PLAIN_KEY: &str =
    "name a file in tlsCertificateKeyFile that only you can read, whose key has no password";

/// What a backup reads and what a restore's writes need is decided here, not by an application's taste.
const OVERRIDDEN: &[&str] = &[
    "readpreference",
    "readpreferencetags",
    "maxstaleness",
    "maxstalenessseconds",
    "readconcernlevel",
    "retryreads",
    "retrywrites",
    "w",
    "wtimeout",
    "wtimeoutms",
    "j",
    "journal",
    "fsync",
    "safe",
    "slaveok",
];

/// The tools know no proxy, and would connect without it.
const PROXY: &[&str] = &["proxyhost", "proxyport", "proxyusername", "proxypassword"];
const NO_PROXY: &str =
    "mongodump connects through no proxy: run this where the server can be reached without one";

const NO_CR: &str = "no server since 4.0 has this mechanism: write SCRAM-SHA-1, or leave it out";

/// Its tokens come from the program that connects: mongodump asks for none.
const NO_OIDC: &str = "mongodump has no OIDC: name a user with a password or a certificate";

/// Not for the tools: they take its milliseconds for seconds, and DNS is asked for them.
const NOT_FOR_TOOLS: &[&str] = &[
    "connectTimeoutMS",
    "serverSelectionTimeoutMS",
    "srvMaxHosts",
    "srvServiceName",
];

/// The rule for an option as it is written; names count in any case.
pub(super) fn rule(given: &str, value: &str) -> Rule {
    let name = given.to_ascii_lowercase();
    if let Some((_, today)) = KEPT.iter().find(|(known, _)| *known == name) {
        return match *today {
            "authMechanism" if value.eq_ignore_ascii_case("MONGODB-CR") => Rule::Refuse(NO_CR),
            "authMechanism" if value.eq_ignore_ascii_case("MONGODB-OIDC") => Rule::Refuse(NO_OIDC),
            "authMechanism" => Rule::Keep(today, value.to_ascii_uppercase()),
            "tlsInsecure" if !is_true(value) => Rule::LeaveOut,
            _ => Rule::Keep(today, value.to_owned()),
        };
    }
    match name.as_str() {
        "connect" if value.eq_ignore_ascii_case("direct") => Rule::Keep("directConnection", "true".into()),
        "gssapiservicename" => Rule::Keep("authMechanismProperties", format!("SERVICE_NAME:{value}")),
        name if CHECKS.contains(&name) && UNCHECKED.contains(&value.to_ascii_lowercase().as_str()) => {
            Rule::Keep("tlsInsecure", "true".into())
        }
        name if TWO_FILES.contains(&name) => Rule::Refuse(ONE_FILE),
        name if PROXY.contains(&name) => Rule::Refuse(NO_PROXY),
        name if KEY_PASSWORDS.contains(&name) => Rule::Refuse(PLAIN_KEY),
        name if OVERRIDDEN.contains(&name) => Rule::Override,
        _ => Rule::LeaveOut,
    }
}

fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

/// Whether mongodump and mongorestore are told this option.
pub(super) fn is_for_tools(name: &str) -> bool {
    !NOT_FOR_TOOLS.contains(&name)
}
