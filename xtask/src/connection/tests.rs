use super::*;

/// What a connection string is for the driver and for a tool with `--db shop`; `None` where neither takes it.
type Case = (&'static str, Option<(&'static str, &'static str)>);

/// A plain server without options, as both see it.
const PLAIN: Option<(&str, &str)> = Some(("mongodb://h/", "mongodb://h/shop"));

/// Encrypted, by a certificate that nobody checks.
const UNCHECKED: Option<(&str, &str)> = Some((
    "mongodb://h/?tlsInsecure=true",
    "mongodb://h/shop?tlsInsecure=true&tls=true",
));

const CASES: &[Case] = &[
    ("mongodb://h", PLAIN),
    ("mongodb://h/", PLAIN),
    ("  mongodb://h/\n", PLAIN),
    ("MongoDB://h/", PLAIN),
    (
        "mongodb://h:27018",
        Some(("mongodb://h:27018/", "mongodb://h:27018/shop")),
    ),
    (
        "mongodb://a:1,b:2/?replicaSet=rs0",
        Some((
            "mongodb://a:1,b:2/?replicaSet=rs0",
            "mongodb://a:1,b:2/shop?replicaSet=rs0",
        )),
    ),
    (
        "mongodb://[::1]:27017/",
        Some(("mongodb://[::1]:27017/", "mongodb://[::1]:27017/shop")),
    ),
    (
        "mongodb://%2Ftmp%2Fmongodb-27017.sock/",
        Some((
            "mongodb://%2Ftmp%2Fmongodb-27017.sock/",
            "mongodb://%2Ftmp%2Fmongodb-27017.sock/shop",
        )),
    ),
    // Where the user is looked up.
    (
        "mongodb://u:p@h",
        Some(("mongodb://u:p@h/", "mongodb://u:p@h/shop?authSource=admin")),
    ),
    (
        "mongodb://u:p@h/other",
        Some(("mongodb://u:p@h/other", "mongodb://u:p@h/shop?authSource=other")),
    ),
    (
        "mongodb://u:p@h/shop",
        Some(("mongodb://u:p@h/shop", "mongodb://u:p@h/shop?authSource=shop")),
    ),
    (
        "mongodb://u:p%40@h/x?authSource=y",
        Some((
            "mongodb://u:p%40@h/x?authSource=y",
            "mongodb://u:p%40@h/shop?authSource=y",
        )),
    ),
    (
        "mongodb://u:p@h/x?AuthSource=y",
        Some((
            "mongodb://u:p@h/x?authSource=y",
            "mongodb://u:p@h/shop?authSource=y",
        )),
    ),
    (
        "mongodb://u:p@h/a%20b?appName=x",
        None, // no database has a space in its name
    ),
    (
        "mongodb://h/other",
        Some(("mongodb://h/other", "mongodb://h/shop")),
    ),
    ("mongodb://u:p@h/?authSource=", None),
    // Mechanisms.
    (
        "mongodb://u:p@h/x?authMechanism=SCRAM-SHA-1",
        Some((
            "mongodb://u:p@h/x?authMechanism=SCRAM-SHA-1",
            "mongodb://u:p@h/shop?authMechanism=SCRAM-SHA-1&authSource=x",
        )),
    ),
    (
        "mongodb://u:p@h/?authMechanism=scram-sha-256",
        Some((
            "mongodb://u:p@h/?authMechanism=SCRAM-SHA-256",
            "mongodb://u:p@h/shop?authMechanism=SCRAM-SHA-256&authSource=admin",
        )),
    ),
    (
        "mongodb://h/x?authMechanism=MONGODB-X509&tls=true&tlsCertificateKeyFile=/k.pem",
        Some((
            "mongodb://h/x?authMechanism=MONGODB-X509&tls=true&tlsCertificateKeyFile=%2Fk.pem",
            "mongodb://h/shop?authMechanism=MONGODB-X509&tls=true&tlsCertificateKeyFile=%2Fk.pem&authSource=%24external",
        )),
    ),
    (
        "mongodb://u:p@h/?authMechanism=PLAIN&tls=true",
        Some((
            "mongodb://u:p@h/?authMechanism=PLAIN&tls=true",
            "mongodb://u:p@h/shop?authMechanism=PLAIN&tls=true&authSource=%24external",
        )),
    ),
    (
        "mongodb://u:p@h/corp?authMechanism=PLAIN",
        Some((
            "mongodb://u:p@h/corp?authMechanism=PLAIN",
            "mongodb://u:p@h/shop?authMechanism=PLAIN&authSource=corp",
        )),
    ),
    ("mongodb://u:p@h/?authMechanism=MONGODB-X509", None),
    ("mongodb://u:p@h/?authMechanism=MONGODB-AWS", None),
    (
        "mongodb://u%40REALM@h/?authMechanism=GSSAPI&gssapiServiceName=mongo",
        None,
    ),
    ("mongodb://u:p@h/?authMechanism=NTLM", None),
    ("mongodb://u:p@h/?authMechanism=MONGODB-CR", None),
    (
        "mongodb://h/?authMechanism=MONGODB-OIDC&authMechanismProperties=ENVIRONMENT:test",
        None,
    ),
    // Protection, under the names of all years.
    (
        "mongodb://h/?ssl=true",
        Some(("mongodb://h/?tls=true", "mongodb://h/shop?tls=true")),
    ),
    (
        "mongodb://h/?ssl=true&tls=true",
        Some(("mongodb://h/?tls=true", "mongodb://h/shop?tls=true")),
    ),
    (
        "mongodb://h/?tls=true&sslCertificateAuthorityFile=%2Fca.pem",
        Some((
            "mongodb://h/?tls=true&tlsCAFile=%2Fca.pem",
            "mongodb://h/shop?tls=true&tlsCAFile=%2Fca.pem",
        )),
    ),
    (
        "mongodb://h/?tls=true&tlsAllowInvalidHostnames=true&tlsAllowInvalidCertificates=true",
        Some((
            "mongodb://h/?tls=true&tlsInsecure=true",
            "mongodb://h/shop?tls=true&tlsInsecure=true",
        )),
    ),
    (
        "mongodb://h/?tls=true&tlsInsecure=false",
        Some(("mongodb://h/?tls=true", "mongodb://h/shop?tls=true")),
    ),
    ("mongodb://h/?tls=maybe", None),
    ("mongodb://h/?tls=true&ssl=false", None),
    ("mongodb://h/?ssl=false&tls=true", None),
    // The driver takes it for TLS; mongodump alone would not.
    ("mongodb://h/?tlsInsecure=true", UNCHECKED),
    ("mongodb://h/?ssl_cert_reqs=CERT_NONE", UNCHECKED),
    ("mongodb://h/?sslValidate=false", UNCHECKED),
    ("mongodb://h/?sslVerifyCertificate=false", UNCHECKED),
    ("mongodb://h/?checkServerIdentity=false", UNCHECKED),
    ("mongodb://h/?sslAllowInvalidCertificates=true", UNCHECKED),
    ("mongodb://h/?sslInvalidHostNameAllowed=true", UNCHECKED),
    (
        "mongodb://h/?sslValidate=true&ssl_cert_reqs=CERT_REQUIRED&checkServerIdentity=true",
        PLAIN,
    ),
    (
        "mongodb://h/?ssl=true&ssl_ca_certs=%2Fca.pem&sslPEMKeyFile=%2Fk.pem",
        Some((
            "mongodb://h/?tls=true&tlsCAFile=%2Fca.pem&tlsCertificateKeyFile=%2Fk.pem",
            "mongodb://h/shop?tls=true&tlsCAFile=%2Fca.pem&tlsCertificateKeyFile=%2Fk.pem",
        )),
    ),
    (
        "mongodb://h/?tlsCAFile=%2Fca.pem",
        Some((
            "mongodb://h/?tlsCAFile=%2Fca.pem",
            "mongodb://h/shop?tlsCAFile=%2Fca.pem&tls=true",
        )),
    ),
    (
        "mongodb://h/?tlsCertificateFile=%2Fc.pem&tlsPrivateKeyFile=%2Fk.pem",
        None,
    ),
    ("mongodb://h/?ssl_certfile=%2Fc.pem&ssl_keyfile=%2Fk.pem", None),
    (
        "mongodb://h/?tls=true&tlsCertificateKeyFile=%2Fk.pem&tlsCertificateKeyFilePassword=x",
        None,
    ),
    ("mongodb://h/?tls=true&sslPass=x", None),
    // Options that `;` ends.
    (
        "mongodb://h/?w=majority;tls=true;readPreference=primary",
        Some(("mongodb://h/?tls=true", "mongodb://h/shop?tls=true")),
    ),
    (
        "mongodb://u:p@h/?replicaSet=rs0;authSource=users&w=1",
        Some((
            "mongodb://u:p@h/?replicaSet=rs0&authSource=users",
            "mongodb://u:p@h/shop?replicaSet=rs0&authSource=users",
        )),
    ),
    // No other way to the server than the one that is asked for.
    ("mongodb://h/?proxyHost=p&proxyPort=1080", None),
    // Where to.
    (
        "mongodb://h/?connect=direct",
        Some((
            "mongodb://h/?directConnection=true",
            "mongodb://h/shop?directConnection=true",
        )),
    ),
    ("mongodb://h/?connect=automatic", PLAIN),
    (
        "mongodb://h/?loadBalanced=true",
        Some((
            "mongodb://h/?loadBalanced=true",
            "mongodb://h/shop?loadBalanced=true",
        )),
    ),
    ("mongodb://a,b/?directConnection=true", None),
    (
        "mongodb://h/?replicaSet=old&replicaSet=new",
        Some(("mongodb://h/?replicaSet=new", "mongodb://h/shop?replicaSet=new")),
    ),
    // What would weaken a backup or a restore.
    ("mongodb://h/?readPreference=secondary", PLAIN),
    (
        "mongodb://h/?readPreference=nearest&readPreferenceTags=dc:ny&readPreferenceTags=",
        PLAIN,
    ),
    ("mongodb://h/?readPreferenceTags=dc:ny", PLAIN),
    (
        "mongodb://h/?readPreference=secondary&maxStalenessSeconds=120",
        PLAIN,
    ),
    ("mongodb://h/?w=0", PLAIN),
    ("mongodb://h/?w=1&journal=false&wtimeoutMS=5", PLAIN),
    ("mongodb://h/?w=majority&wtimeout=2500", PLAIN),
    ("mongodb://h/?retryWrites=false&retryReads=false", PLAIN),
    ("mongodb://h/?readConcernLevel=local", PLAIN),
    // What only tunes.
    (
        "mongodb://h/?maxPoolSize=5&minPoolSize=1&maxIdleTimeMS=9&waitQueueTimeoutMS=9",
        PLAIN,
    ),
    (
        "mongodb://h/?compressors=zstd,snappy&zlibCompressionLevel=3",
        PLAIN,
    ),
    ("mongodb://h/?socketTimeoutMS=360000&timeoutMS=10", PLAIN),
    (
        "mongodb://h/?heartbeatFrequencyMS=100&localThresholdMS=1&serverMonitoringMode=poll",
        PLAIN,
    ),
    (
        "mongodb://h/?connectTimeoutMS=300&serverSelectionTimeoutMS=500",
        Some((
            "mongodb://h/?connectTimeoutMS=300&serverSelectionTimeoutMS=500",
            "mongodb://h/shop",
        )),
    ),
    // Of other drivers.
    (
        "mongodb://h/?useNewUrlParser=true&useUnifiedTopology=true&autoReconnect=true",
        PLAIN,
    ),
    (
        "mongodb://h/?uuidRepresentation=standard&keepAlive=true&poolSize=3&family=4",
        PLAIN,
    ),
    ("mongodb://h/?an.option.nobody.knows=1&flag", PLAIN),
    (
        "mongodb://h?retryWrites=true&w=majority&appName=Cluster0",
        Some((
            "mongodb://h/?appName=Cluster0",
            "mongodb://h/shop?appName=Cluster0",
        )),
    ),
    (
        "mongodb://h/?appName=a+b%20c",
        Some((
            "mongodb://h/?appName=a%2Bb%20c",
            "mongodb://h/shop?appName=a%2Bb%20c",
        )),
    ),
    // None at all.
    ("", None),
    ("h:27017", None),
    ("postgres://h/", None),
    ("mongodb://", None),
    ("mongodb+srv://a,b/", None),
    ("mongodb+srv://h:27017/", None),
    ("mongodb://u:p@p@h/", None),
    ("mongodb://u:p?w@h/shop", None),
    ("mongodb://u:1?w=x@h/shop", None),
    ("mongodb://u:p/w@h/shop", None),
];

#[test]
fn a_connection_string_means_the_same_for_the_driver_and_the_tools() {
    let mut wrong = Vec::new();
    for (given, expected) in CASES {
        let read = ConnectionString::read(&Secret::new(*given));
        let both = read.and_then(|read| Ok((read.for_driver(), read.for_tool("shop")?)));
        let both = both
            .as_ref()
            .map(|(driver, tool)| (driver.expose(), tool.expose()));
        if both.as_ref().ok() != expected.as_ref() {
            wrong.push(format!("{given}: {both:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_refused_is_named_with_what_to_write_and_without_a_secret() {
    for (given, told) in [
        (
            "mongodb://h/?tlsPrivateKeyFile=%2Fk5ecret.pem",
            "tlsCertificateKeyFile",
        ),
        (
            "mongodb://h/?ssl_pem_passphrase=k5ecret",
            "whose key has no password",
        ),
        ("mongodb://me:pa?k5ecret@h/shop", "%3F"),
        ("mongodb://h/?tls=true&ssl=false", "contradict each other"),
        ("mongodb://h/?proxyHost=k5ecret", "proxy"),
        ("mongodb://h/?authMechanism=MONGODB-OIDC", "OIDC"),
    ] {
        let read = ConnectionString::read(&Secret::new(given));
        let error = read.and_then(|read| read.for_client()).unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.contains(told) && !error.contains("k5ecret"),
            "{given}: {error}"
        );
    }
}

#[test]
fn without_a_database_a_tool_takes_all_and_a_name_is_encoded() {
    for (given, database, expected) in [
        ("mongodb://h", "a b", "mongodb://h/a%20b"),
        ("mongodb://h/other", "", "mongodb://h/"),
        ("mongodb://u:p@h/other", "", "mongodb://u:p@h/?authSource=other"),
    ] {
        let read = ConnectionString::read(&Secret::new(given)).unwrap();
        assert_eq!(read.for_tool(database).unwrap().expose(), expected);
    }
}

#[test]
fn what_dns_adds_counts_for_a_tool_as_for_the_driver() {
    let given = "mongodb+srv://u:p@cluster.example/shopdb?retryWrites=true&srvMaxHosts=2&appName=x";
    let read = ConnectionString::read(&Secret::new(given)).unwrap();
    assert_eq!(
        read.for_driver().expose(),
        "mongodb+srv://u:p@cluster.example/shopdb?srvMaxHosts=2&appName=x"
    );
    // What the driver makes of the records: two hosts, and the TXT options authSource and replicaSet.
    let resolved = "mongodb://a.example:27017,b.example:27018/?authSource=admin&replicaSet=rs0";
    let client = ClientOptions::parse(resolved.replace("://", "://u:p@"))
        .run()
        .unwrap();
    assert_eq!(
        read.of_client("shop", &client).expose(),
        "mongodb://u:p@a.example:27017,b.example:27018/shop?appName=x&tls=true&replicaSet=rs0&authSource=admin"
    );
}

#[test]
fn options_that_do_not_count_are_named_without_their_values() {
    let read = ConnectionString::read(&Secret::new(
        "mongodb://h/?w=0&readPreference=nearest&keepAlive=7",
    ))
    .unwrap();
    let names = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(names(&read.overridden), "readPreference w");
    assert_eq!(names(&read.left_out), "keepAlive");
    assert_eq!(format!("{read:?}"), "ConnectionString { .. }");
}

#[test]
fn at_the_end_of_a_tunnel_one_server_is_asked_by_the_name_of_the_tunnel() {
    for (given, expected) in [
        (
            "mongodb://me:p%40ss@mongodb.railway.internal:27017/shop?authSource=admin&replicaSet=rs0",
            "mongodb://me:p%40ss@127.0.0.1:4711/shop?authSource=admin&directConnection=true",
        ),
        (
            "mongodb://a.internal,b.internal:1/?connect=direct&tls=true",
            "mongodb://127.0.0.1:4711/?tls=true&directConnection=true",
        ),
        (
            "mongodb://a.internal",
            "mongodb://127.0.0.1:4711/?directConnection=true",
        ),
    ] {
        let read = ConnectionString::read(&Secret::new(given)).unwrap();
        let through = read.through_tunnel(4711, "tunnel:m").unwrap();
        assert_eq!(through.expose(), expected);
        let again = ConnectionString::read(&through).unwrap();
        let tool = again.for_tool("shop").unwrap();
        assert!(
            tool.expose().contains("@127.0.0.1:4711/shop?")
                || tool.expose().contains("//127.0.0.1:4711/shop?")
        );
        assert!(tool.expose().contains("directConnection=true"));
        let hosts = again.for_client().unwrap().hosts;
        assert_eq!(hosts.iter().map(host_name).collect::<Vec<_>>(), ["tunnel:m"]);
    }
    let srv = ConnectionString::read(&Secret::new("mongodb+srv://me:pa55word@a.example/")).unwrap();
    let error = srv.through_tunnel(4711, "tunnel:m").unwrap_err().to_string();
    assert!(
        error.contains("without a tunnel") && !error.contains("pa55word"),
        "{error}"
    );
}
