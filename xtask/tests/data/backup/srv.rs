//! Connection strings whose hosts and options stand in DNS. A name server of the test answers: in namespaces of their own its
//! process has `/etc/resolv.conf` and port 53 for itself, and the driver and the tools ask as they do anywhere.

use std::net::UdpSocket;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use mongodb::bson::doc;
use rehearsal::test_env::backup::{Mongo, Repo};
use rehearsal::test_env::process::told;
use xtask::connection::ConnectionString;
use xtask::secret::Secret;

/// Set for the process in the namespaces.
const INSIDE: &str = "TEST_WITH_NAME_SERVER";
/// The types of records, as RFC 1035 and RFC 2782 number them.
const ADDRESS: u16 = 1;
const TEXT: u16 = 16;
const SERVICE: u16 = 33;
/// The port of the SRV records that name the test's server.
static PORT: AtomicU16 = AtomicU16::new(27_017);

/// What the name server has of a cluster: the targets of `_mongodb._tcp`, and TXT records.
struct Cluster {
    name: &'static str,
    service: &'static str,
    targets: &'static [&'static str],
    texts: &'static [&'static str],
}

const fn cluster(
    name: &'static str,
    targets: &'static [&'static str],
    texts: &'static [&'static str],
) -> Cluster {
    Cluster {
        name,
        service: "mongodb",
        targets,
        texts,
    }
}

const CLUSTERS: [Cluster; 10] = [
    cluster("atlas.example.test", &["a.example.test"], &["authSource=admin"]),
    cluster(
        "set.example.test",
        &["c.example.test", "a.example.test", "b.example.test"],
        &["authSource=admin&replicaSet=rs0"],
    ),
    cluster("bare.example.test", &["a.example.test", "b.example.test"], &[]),
    cluster(
        "balanced.example.test",
        &["a.example.test"],
        &["loadBalanced=true"],
    ),
    cluster("foreign.example.test", &["a.other.test"], &[]),
    cluster("parent.example.test", &["example.test"], &[]),
    cluster(
        "twice.example.test",
        &["a.example.test"],
        &["authSource=admin", "replicaSet=rs0"],
    ),
    cluster("odd.example.test", &["a.example.test"], &["tls=false"]),
    cluster("textonly.example.test", &[], &["authSource=admin"]),
    Cluster {
        name: "named.example.test",
        service: "orders",
        targets: &["a.example.test"],
        texts: &[],
    },
];

/// What a tool with `--db shop` is given; `None` where the string is refused. The hosts are in the order of their names.
const CASES: [(&str, Option<&str>); 27] = [
    (
        "mongodb+srv://u:p@atlas.example.test",
        Some("mongodb://u:p@a/shop?tls=true&authSource=admin"),
    ),
    (
        "mongodb+srv://u:p@atlas.example.test/",
        Some("mongodb://u:p@a/shop?tls=true&authSource=admin"),
    ),
    // As Atlas shows it: the database of the path is not that of the user.
    (
        "mongodb+srv://u:p@atlas.example.test/shop?retryWrites=true&w=majority",
        Some("mongodb://u:p@a/shop?tls=true&authSource=admin"),
    ),
    (
        "mongodb+srv://u:p@atlas.example.test/?retryWrites=true&w=majority&appName=Cluster0",
        Some("mongodb://u:p@a/shop?appName=Cluster0&tls=true&authSource=admin"),
    ),
    (
        "mongodb+srv://u:p@atlas.example.test/shop?authSource=users",
        Some("mongodb://u:p@a/shop?tls=true&authSource=users"),
    ),
    (
        "MongoDB+SRV://u:p@ATLAS.example.test/shop",
        Some("mongodb://u:p@a/shop?tls=true&authSource=admin"),
    ),
    (
        " mongodb+srv://u:p%40%2F@atlas.example.test/shop\n",
        Some("mongodb://u:p%40%2F@a/shop?tls=true&authSource=admin"),
    ),
    (
        "mongodb+srv://u:p@atlas.example.test/shop?tls=false",
        Some("mongodb://u:p@a/shop?tls=false&authSource=admin"),
    ),
    (
        "mongodb+srv://u:p@atlas.example.test/shop?ssl=false",
        Some("mongodb://u:p@a/shop?tls=false&authSource=admin"),
    ),
    (
        "mongodb+srv://u:p@atlas.example.test/?tlsAllowInvalidHostnames=true",
        Some("mongodb://u:p@a/shop?tlsInsecure=true&tls=true&authSource=admin"),
    ),
    (
        "mongodb+srv://u:p@atlas.example.test/?compressors=zstd&socketTimeoutMS=5&useNewUrlParser=true",
        Some("mongodb://u:p@a/shop?tls=true&authSource=admin"),
    ),
    (
        "mongodb+srv://u:p@atlas.example.test/?readPreference=secondary&w=0",
        Some("mongodb://u:p@a/shop?tls=true&authSource=admin"),
    ),
    (
        "mongodb+srv://u:p@atlas.example.test/?authMechanism=SCRAM-SHA-256",
        Some("mongodb://u:p@a/shop?authMechanism=SCRAM-SHA-256&tls=true&authSource=admin"),
    ),
    (
        "mongodb+srv://atlas.example.test/?authMechanism=MONGODB-X509&authSource=%24external&tlsCertificateKeyFile=%2Fk.pem",
        Some(
            "mongodb://a/shop?authMechanism=MONGODB-X509&tlsCertificateKeyFile=%2Fk.pem&tls=true&authSource=%24external",
        ),
    ),
    (
        "mongodb+srv://u:p@set.example.test/shop",
        Some("mongodb://u:p@a,b,c/shop?tls=true&replicaSet=rs0&authSource=admin"),
    ),
    (
        "mongodb+srv://u:p@set.example.test/?replicaSet=other",
        Some("mongodb://u:p@a,b,c/shop?tls=true&replicaSet=other&authSource=admin"),
    ),
    // Without a TXT record the user is in the database of the path, as the drivers have it.
    (
        "mongodb+srv://u:p@bare.example.test/users",
        Some("mongodb://u:p@a,b/shop?tls=true&authSource=users"),
    ),
    (
        "mongodb+srv://u:p@bare.example.test",
        Some("mongodb://u:p@a,b/shop?tls=true&authSource=admin"),
    ),
    (
        "mongodb+srv://bare.example.test/users",
        Some("mongodb://a,b/shop?tls=true"),
    ),
    (
        "mongodb+srv://u:p@balanced.example.test",
        Some("mongodb://u:p@a/shop?tls=true&loadBalanced=true&authSource=admin"),
    ),
    (
        "mongodb+srv://u:p@named.example.test/?srvServiceName=orders",
        Some("mongodb://u:p@a/shop?tls=true&authSource=admin"),
    ),
    ("mongodb+srv://u:p@named.example.test", None),
    ("mongodb+srv://u:p@foreign.example.test", None),
    ("mongodb+srv://u:p@parent.example.test", None),
    ("mongodb+srv://u:p@twice.example.test", None),
    ("mongodb+srv://u:p@odd.example.test", None),
    ("mongodb+srv://u:p@textonly.example.test", None),
];

/// Answers on port 53 for as long as the process is.
fn serve_names() {
    let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            if let Some(answer) = answer(&question[..length]) {
                socket.send_to(&answer, from).ok();
            }
        }
    });
}

/// The answer to a question of one name.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = 12;
    while question.get(at).is_some_and(|length| *length > 0) {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8_lossy(question.get(at + 1..end)?).to_lowercase());
        at = end;
    }
    let end = at + 5;
    let wanted = u16::from_be_bytes(question.get(at + 1..at + 3)?.try_into().ok()?);
    let records = records(&labels.join("."), wanted);
    // An answer with authority, to one question; a name without any record does not exist.
    let code = if records.is_none() { 3 } else { 0 };
    let records = records.unwrap_or_default();
    let mut bytes = question.get(..2)?.to_vec();
    bytes.extend([
        0x85,
        0x80 | code,
        0,
        1,
        0,
        u8::try_from(records.len()).ok()?,
        0,
        0,
        0,
        0,
    ]);
    bytes.extend(question.get(12..end)?);
    for data in records {
        // The name of the question, the class of the internet, one second to live.
        bytes.extend([0xc0, 12]);
        bytes.extend(wanted.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 1]);
        bytes.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        bytes.extend(data);
    }
    Some(bytes)
}

/// The records of this type; `None` where there is nothing of that name.
fn records(name: &str, wanted: u16) -> Option<Vec<Vec<u8>>> {
    let text = |text: &&str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    for cluster in &CLUSTERS {
        if name == cluster.name {
            let texts = cluster.texts.iter().filter(|_| wanted == TEXT);
            return Some(texts.map(text).collect());
        }
        if name == format!("_{}._tcp.{}", cluster.service, cluster.name) && !cluster.targets.is_empty() {
            let targets = cluster.targets.iter().filter(|_| wanted == SERVICE);
            return Some(targets.map(|target| service(target)).collect());
        }
    }
    let is_member = CLUSTERS.iter().any(|cluster| cluster.targets.contains(&name));
    let address = [127, 0, 0, 1].to_vec();
    is_member.then(|| {
        if wanted == ADDRESS {
            vec![address]
        } else {
            Vec::new()
        }
    })
}

/// Priority, weight, port and target.
fn service(target: &str) -> Vec<u8> {
    let mut data = vec![0, 0, 0, 0];
    data.extend(PORT.load(Ordering::SeqCst).to_be_bytes());
    for label in target.split('.') {
        data.push(u8::try_from(label.len()).unwrap());
        data.extend(label.as_bytes());
    }
    data.push(0);
    data
}

/// `a,b` for `b.example.test:27017,a.example.test:27017`.
fn short(uri: &str) -> String {
    let uri = uri.replace(".example.test:27017", "");
    let (scheme, rest) = uri.split_once("://").unwrap();
    let (place, path) = rest.split_once('/').unwrap();
    let (user, hosts) = place.split_at(place.rfind('@').map_or(0, |at| at + 1));
    let mut hosts: Vec<&str> = hosts.split(',').collect();
    hosts.sort_unstable();
    format!("{scheme}://{user}{}/{path}", hosts.join(","))
}

fn every_string_means_what_its_records_have() {
    for (given, expected) in CASES {
        let read = ConnectionString::read(&Secret::new(given)).unwrap();
        match (read.for_tool("shop"), expected) {
            (Ok(tool), Some(expected)) => assert_eq!(short(tool.expose()), expected, "{given}"),
            (Err(_), None) => {}
            (Ok(tool), None) => panic!("{given}: taken as {}", tool.expose()),
            (Err(error), Some(_)) => panic!("{given}: {error:#}"),
        }
    }
}

/// The user is in `admin`, as the TXT record has it, and the path of the string names the database.
fn a_backup_of_a_server_that_checks_its_users_is_taken() {
    let mut server = Mongo::with_one_document();
    let create =
        doc! { "createUser": "app", "pwd": "p@ss-w0rd", "roles": [{ "role": "root", "db": "admin" }] };
    server
        .client()
        .database("admin")
        .run_command(create)
        .run()
        .unwrap();
    server.restart_with(&["--auth"]);
    PORT.store(server.port, Ordering::SeqCst);
    let repo = Repo::new(
        "mongodb+srv://app:p%40ss-w0rd@atlas.example.test/shop?tls=false&retryWrites=true&w=majority",
    );
    let created = repo.backup();
    assert_eq!(created["metadata"]["documents"], 1, "{created}");
    assert_eq!(
        created["metadata"]["host"],
        format!("a.example.test:{}", server.port)
    );
}

/// Runs by itself only in the namespaces that the next test makes.
#[test]
fn inside_of_the_namespaces() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    serve_names();
    every_string_means_what_its_records_have();
    a_backup_of_a_server_that_checks_its_users_is_taken();
}

/// The network namespace has the loopback alone, and it is down at first.
const ENTER: &str = "set -e
ip link set lo up
mount --bind \"$1\" /etc/resolv.conf
shift
exec \"$@\"
";

#[test]
fn strings_whose_hosts_and_options_stand_in_dns_mean_the_same_for_the_driver_and_the_tools() {
    // Nothing is downloaded inside.
    rehearsal::test_env::programs::built(rehearsal::test_env::programs::PRODUCT);
    let folder = tempfile::tempdir().unwrap();
    let names = folder.path().join("resolv.conf");
    std::fs::write(&names, "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n").unwrap();
    let own = std::env::current_exe().unwrap();
    let inside = |before: &[&str], flags: &str| {
        let enter = ["unshare", flags, "sh", "-c", ENTER, "enter"];
        let mut command = Command::new("env");
        command
            .arg(format!("{INSIDE}=1"))
            .args(before)
            .args(enter)
            .arg(&names)
            .arg(&own);
        command.args(["--exact", "backup::srv::inside_of_the_namespaces", "--nocapture"]);
        command.output().unwrap()
    };
    // Some systems let only the administrator make namespaces.
    let allowed = Command::new("unshare")
        .args(["-rmn", "true"])
        .output()
        .unwrap()
        .status;
    let ended = if allowed.success() {
        inside(&[], "-rmn")
    } else {
        inside(&["sudo", "--non-interactive", "--preserve-env"], "-mn")
    };
    assert!(ended.status.success(), "{}", told(&ended));
    let printed = String::from_utf8_lossy(&ended.stdout);
    assert!(printed.contains("1 passed"), "{}", told(&ended));
}
