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
    ("proxyhost", "proxyHost"),
    ("proxyport", "proxyPort"),
    ("proxyusername", "proxyUsername"),
    ("proxypassword", "proxyPassword"),
    ("ssl", "tls"),
    ("tls", "tls"),
    ("sslca", "tlsCAFile"),
    ("sslcertificateauthorityfile", "tlsCAFile"),
    ("tlscafile", "tlsCAFile"),
    ("sslclientcertificatekeyfile", "tlsCertificateKeyFile"),
    ("tlscertificatekeyfile", "tlsCertificateKeyFile"),
    ("sslclientcertificatekeypassword", "tlsCertificateKeyFilePassword"),
    ("tlscertificatekeyfilepassword", "tlsCertificateKeyFilePassword"),
    // The tools know one switch for all three.
    ("sslinsecure", "tlsInsecure"),
    ("tlsinsecure", "tlsInsecure"),
    ("tlsallowinvalidcertificates", "tlsInsecure"),
    ("tlsallowinvalidhostnames", "tlsInsecure"),
];

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
            "authMechanism" => Rule::Keep(today, value.to_ascii_uppercase()),
            "tlsInsecure" if !is_true(value) => Rule::LeaveOut,
            _ => Rule::Keep(today, value.to_owned()),
        };
    }
    match name.as_str() {
        "connect" if value.eq_ignore_ascii_case("direct") => Rule::Keep("directConnection", "true".into()),
        "gssapiservicename" => Rule::Keep("authMechanismProperties", format!("SERVICE_NAME:{value}")),
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
