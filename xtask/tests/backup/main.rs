//! Backups against a real server, the real mongodump, and stock tools.

mod places;
mod schema;
mod world;

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::sync::Database;
use rustix::process::Signal;
use serde_json::Value;
use world::{DATABASE, Outcome, Repo, Server, files_below, kill_group, tool, until};
use xtask::archive::ContentDigest;

/// Every kind of collection, index and value that the local server knows.
fn fill(database: &Database) {
    let run = |command: Document| {
        database
            .run_command(command.clone())
            .run()
            .unwrap_or_else(|error| panic!("{command}: {error}"));
    };
    let insert = |name: &str, documents: Vec<Document>| {
        database
            .collection::<Document>(name)
            .insert_many(documents)
            .run()
            .unwrap();
    };
    insert(
        "kinds",
        vec![
            every_bson_type(),
            doc! { "_id": {"a": 1, "b": [1, 2]}, "nested": {"x": [{"y": Bson::Null}]} },
        ],
    );
    run(doc! { "create": "empty" });
    run(doc! { "create": "capped", "capped": true, "size": 65536, "max": 10 });
    insert("capped", vec![doc! { "_id": 1 }, doc! { "_id": 2 }]);
    run(doc! { "create": "collated", "collation": { "locale": "de", "strength": 2 } });
    insert("collated", vec![doc! { "_id": "Ä" }]);
    run(doc! { "create": "validated", "validator": { "$jsonSchema": { "required": ["a"] } } });
    insert("validated", vec![doc! { "_id": 1, "a": 1 }]);
    run(doc! { "create": "view", "viewOn": "kinds", "pipeline": [{ "$match": { "a": 1 } }] });
    insert("dotted.name.with.parts", vec![doc! { "_id": 1 }]);
    insert("Käse 名前", vec![doc! { "_id": 1 }]);
    insert(
        "large",
        vec![
            doc! { "_id": 1, "text": "x".repeat(15 * 1024 * 1024 + 900_000) },
            doc! { "_id": 2 },
        ],
    );
    insert("indexed", (0..500).map(|n| doc! { "_id": n, "a": n, "at": Bson::DateTime(mongodb::bson::DateTime::now()), "place": { "type": "Point", "coordinates": [f64::from(n % 90), 1.0] } }).collect());
    run(doc! { "createIndexes": "indexed", "indexes": [
        { "key": { "a": 1 }, "name": "unique", "unique": true },
        { "key": { "b": -1, "a": 1 }, "name": "partial", "partialFilterExpression": { "a": { "$gt": 5 } } },
        { "key": { "at": 1 }, "name": "expiring", "expireAfterSeconds": 1_000_000 },
        { "key": { "c": 1 }, "name": "sparse", "sparse": true },
        { "key": { "$**": 1 }, "name": "wildcard" },
        { "key": { "place": "2dsphere" }, "name": "geo" },
    ] });
}

fn every_bson_type() -> Document {
    use mongodb::bson::oid::ObjectId;
    use mongodb::bson::spec::BinarySubtype;
    use mongodb::bson::{Binary, DateTime, Decimal128, JavaScriptCodeWithScope, Regex, Timestamp};
    doc! {
        "_id": ObjectId::from_bytes([7; 12]),
        "double": 1.5, "nan": f64::NAN, "negative_zero": -0.0,
        "string": "text\0with zero", "i32": 1, "i64": 1_i64 << 40, "bool": true, "null": Bson::Null,
        "date": DateTime::from_millis(-1), "timestamp": Timestamp { time: 1, increment: 2 },
        "decimal": "1.50".parse::<Decimal128>().unwrap(),
        "binary": Binary { subtype: BinarySubtype::Generic, bytes: vec![0, 255] },
        "uuid": Binary { subtype: BinarySubtype::Uuid, bytes: vec![1; 16] },
        "regex": Bson::RegularExpression(Regex { pattern: "^a".try_into().unwrap(), options: "i".try_into().unwrap() }),
        "code": Bson::JavaScriptCode("f()".into()),
        "scoped": Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code: "g()".into(), scope: doc! { "x": 1 } }),
        "symbol": Bson::Symbol("s".into()), "min": Bson::MinKey, "max": Bson::MaxKey,
        "array": [1, "two", { "three": 3.0 }], "": "an empty key", "a.b": "a dot", "$c": "a dollar",
    }
}

/// Documents (order-independent), options and indexes of every collection.
fn contents(database: &Database) -> Vec<(String, String, u64, String, Vec<String>)> {
    let mut found: Vec<_> = database
        .run_cursor_command(doc! { "listCollections": 1 })
        .run()
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| !entry.get_str("name").unwrap().starts_with("system."))
        .map(|entry| {
            let name = entry.get_str("name").unwrap().to_owned();
            let options = entry.get_document("options").unwrap().to_string();
            if entry.get_str("type").is_ok_and(|kind| kind == "view") {
                return (name, options, 0, String::new(), Vec::new());
            }
            let mut digest = ContentDigest::default();
            let mut count = 0;
            for document in database
                .collection::<RawDocumentBuf>(&name)
                .find(doc! {})
                .run()
                .unwrap()
            {
                digest.add(document.unwrap().as_bytes());
                count += 1;
            }
            let mut indexes: Vec<String> = database
                .run_cursor_command(doc! { "listIndexes": &name })
                .run()
                .unwrap()
                .map(|index| {
                    let mut index = index.unwrap();
                    // mongorestore says it, mongod leaves it out.
                    index.remove("ns");
                    index.to_string()
                })
                .collect();
            indexes.sort();
            (name, options, count, digest.to_string(), indexes)
        })
        .collect();
    found.sort();
    found
}

/// Some megabytes that do not compress, so that nothing of it hides in a buffer.
fn fill_with_noise(database: &Database, megabytes: usize) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = || -> Vec<u8> {
        let words = (0..12_500).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        words.flatten().collect()
    };
    for _ in 0..megabytes {
        let documents = (0..10).map(|_| doc! { "noise": mongodb::bson::Binary { subtype: mongodb::bson::spec::BinarySubtype::Generic, bytes: noise() } });
        database
            .collection::<Document>("noise")
            .insert_many(documents)
            .run()
            .unwrap();
    }
}

fn backup_folder(repo: &Repo) -> PathBuf {
    repo.root().join("backups")
}

/// Nothing of a failed backup is left: no file, no part of one, no configuration with a password.
#[track_caller]
fn assert_nothing_left(repo: &Repo) {
    let left: Vec<PathBuf> = [files_below(&backup_folder(repo)), files_below(&repo.tmp())].concat();
    assert!(left.is_empty(), "{left:?}");
}

/// `age -d … | tar -xzO … | mongorestore --archive`, as in the documentation.
fn restore_with_stock_tools(file: &str, key: &str, uri: &str) {
    let script = format!(
        "set -eo pipefail; '{}' -d -i '{key}' '{file}' | tar -xzO --wildcards 'data/*' | '{}' --quiet --archive --uri '{uri}'",
        tool("age").display(),
        tool("mongorestore").display()
    );
    let status = Command::new("bash")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn every_kind_of_data_comes_back_with_stock_tools_alone() {
    let (from, to) = (Server::start(), Server::start());
    fill(&from.database());
    let mut repo = Repo::new(&from.uri());
    let key = repo.root().join("key");
    let generated = Outcome::of(Command::new(tool("age-keygen")).arg("-o").arg(&key)).ok();
    let public = generated
        .stderr
        .trim()
        .trim_start_matches("Public key: ")
        .to_owned();
    repo.configure(&format!("recipients = [\"{public}\"]\nidentity = \"KEY\""));

    // Without the secret key: it is read back all the same.
    let created = repo
        .xtask(&["--format", "json", "backup", "create", "--purpose", "test"])
        .ok()
        .json();
    let metadata = &created["metadata"];
    assert_eq!(metadata["encrypted"], true);
    assert_eq!(metadata["purpose"], "test");
    assert!(metadata["verified"].is_string());
    assert_eq!(metadata["recipients"], serde_json::json!([public]));
    let path = created["path"].as_str().unwrap();
    assert!(path.ends_with(".tar.gz.age"), "{path}");

    restore_with_stock_tools(path, key.to_str().unwrap(), &to.uri());
    let (expected, restored) = (contents(&from.database()), contents(&to.database()));
    assert_eq!(expected.len(), 10);
    for (expected, restored) in expected.iter().zip(&restored) {
        assert_eq!(expected, restored);
    }
    assert_eq!(expected.len(), restored.len());

    let id = metadata["id"].as_str().unwrap();
    repo.xtask(&["backup", "verify", id])
        .code(1)
        .says("no key (age identity) was given");
    repo.set("KEY", &std::fs::read_to_string(&key).unwrap());
    repo.xtask(&["backup", "verify", id])
        .ok()
        .says("good")
        .never_says("AGE-SECRET-KEY");
    repo.xtask(&["backup", "list"]).ok().says(id).says("test");
}

#[test]
fn a_dump_that_broke_off_is_no_backup() {
    let server = Server::start();
    fill_with_noise(&server.database(), 6);
    let mut repo = Repo::new(&server.uri());
    // (what mongodump does, what is said)
    let cases = [
        (
            "killed",
            "\"$REAL\" \"$@\" | head -c 2000000; kill -9 $$",
            "ended with a signal",
        ),
        (
            "failed after a whole archive",
            "\"$REAL\" \"$@\"; exit 1",
            "exit code 1",
        ),
        (
            "cut, and yet exit 0",
            "\"$REAL\" \"$@\" | head -c 2000000; exit 0",
            "the archive",
        ),
        (
            "silent about a collection",
            "\"$REAL\" \"$@\" 2>/dev/null",
            "does not say that it finished `shop.noise`",
        ),
        (
            "of another opinion",
            "\"$REAL\" \"$@\" 2> >(sed 's/(60 documents)/(61 documents)/' >&2)",
            "61 documents of `shop.noise`, but 60 arrived",
        ),
        (
            "without a collection",
            "\"$REAL\" \"$@\" --excludeCollection noise",
            "`shop.noise` was on the server before and after",
        ),
        ("not there", "exit 127", "exit code 127"),
    ];
    for (what, script, said) in cases {
        repo.wrap("mongodump", script);
        println!("mongodump {what}");
        repo.xtask(&["backup"])
            .code(1)
            .says(said)
            .says("no backup was made");
        assert_nothing_left(&repo);
    }
}

#[test]
fn a_server_that_dies_during_the_dump_is_an_error() {
    let server = Server::start();
    fill_with_noise(&server.database(), 20);
    let mut repo = Repo::new(&server.uri());
    let script = format!(
        "\"$REAL\" \"$@\" | {{ head -c 1000000; kill -9 {}; cat; }}",
        server.pid()
    );
    repo.wrap("mongodump", &script);
    repo.xtask(&["backup"]).code(1).says("no backup was made");
    assert_nothing_left(&repo);
}

#[test]
fn a_signal_ends_everything_and_leaves_nothing() {
    let server = Server::start();
    fill_with_noise(&server.database(), 6);
    let mut repo = Repo::new(&server.uri());
    let marker = repo.root().join("marker");
    let script = format!(
        "\"$REAL\" \"$@\" | head -c 2000000; touch '{0}'; echo $$ > '{0}.pid'; exec sleep 600",
        marker.display()
    );
    repo.wrap("mongodump", &script);
    let mut command = repo.command(&["backup"]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    until("mongodump is midway", || marker.with_extension("pid").exists());
    kill_group(&child, Signal::TERM);
    Outcome::wait(child).code(1).says("interrupted");
    assert_nothing_left(&repo);
    let dump = std::fs::read_to_string(marker.with_extension("pid")).unwrap();
    let gone = || !std::path::Path::new("/proc").join(dump.trim()).exists();
    until("mongodump is gone", gone);
}

#[test]
fn a_full_disk_leaves_nothing() {
    let server = Server::start();
    fill_with_noise(&server.database(), 6);
    let repo = Repo::new(&server.uri());
    for limit_kib in [1, 1000, 4000, 5800] {
        let script = format!(
            "trap '' XFSZ; ulimit -f {limit_kib}; exec '{}' backup",
            env!("CARGO_BIN_EXE_xtask")
        );
        let mut command = Command::new("bash");
        command.args(["-c", &script]);
        repo.surround(&mut command);
        Outcome::of(&mut command)
            .code(1)
            .says("cannot write the backup")
            .says("File too large")
            .says("no backup was made");
        assert_nothing_left(&repo);
    }
    repo.xtask(&["backup"]).ok();
}

#[test]
fn refusals_say_what_to_do_and_hide_the_password() {
    let server = Server::start();
    fill_with_noise(&server.database(), 1);
    server
        .client()
        .database("admin")
        .run_command(doc! { "createUser": "owner", "pwd": "p@ss-w0rd", "roles": ["root"] })
        .run()
        .unwrap();
    server.client().database("admin").run_command(doc! { "createUser": "stranger", "pwd": "p@ss-w0rd", "roles": [{ "role": "read", "db": "other" }] }).run().unwrap();
    let server = server.restart(&["--auth"]);
    let uri = |user: &str, password: &str| format!("mongodb://{user}:{password}@127.0.0.1:{}/", server.port);
    let mut repo = Repo::new("");

    repo.xtask(&["backup"])
        .code(2)
        .says("LOCAL_MONGODB_URI is not set or empty");
    repo.set("LOCAL_MONGODB_URI", &uri("owner", "wr0ng-p%40ss"));
    repo.xtask(&["backup"])
        .code(1)
        .says("does not accept the user or the password")
        .says("next: ")
        .never_says("wr0ng");
    repo.set("LOCAL_MONGODB_URI", "mongodb://owner:p%40ss-w0rd@127.0.0.1:1/");
    repo.xtask(&["backup"])
        .code(1)
        .says("cannot be reached")
        .says("next: ")
        .never_says("ss-w0rd");
    repo.set("LOCAL_MONGODB_URI", "not a connection string with ss-w0rd");
    repo.xtask(&["backup"]).code(2).never_says("ss-w0rd");
    repo.set("LOCAL_MONGODB_URI", &uri("stranger", "p%40ss-w0rd"));
    repo.xtask(&["backup"])
        .code(1)
        .says("lacks a role")
        .says("next: ")
        .never_says("ss-w0rd");
    assert_nothing_left(&repo);
    repo.set("LOCAL_MONGODB_URI", &uri("owner", "p%40ss-w0rd"));
    repo.xtask(&["backup", "-v"])
        .ok()
        .says("10 documents")
        .never_says("ss-w0rd");
}

#[test]
fn an_empty_database_needs_a_word() {
    let server = Server::start();
    server
        .client()
        .database("shopp")
        .collection::<Document>("x")
        .insert_one(doc! {})
        .run()
        .unwrap();
    let repo = Repo::new(&server.uri());
    repo.xtask(&["backup"])
        .code(1)
        .says("there are: shopp")
        .says("--allow-empty");
    server
        .database()
        .run_command(doc! { "create": "empty" })
        .run()
        .unwrap();
    repo.xtask(&["backup"])
        .code(1)
        .says("not one document")
        .says("--allow-empty");
    assert_nothing_left(&repo);
    repo.xtask(&["backup", "--allow-empty"]).ok();
}

#[test]
fn what_restores_left_is_no_part_of_a_backup() {
    let server = Server::start();
    for name in [
        "users",
        "__old_20260101-000000-abcd_users",
        "__new_20260101-000000-abcd_users",
    ] {
        server
            .database()
            .collection::<Document>(name)
            .insert_one(doc! {})
            .run()
            .unwrap();
    }
    let repo = Repo::new(&server.uri());
    let created = repo.xtask(&["--format", "json", "backup"]).ok().json();
    let names: Vec<&str> = created["metadata"]["namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n["collection"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["users"]);
}

#[test]
fn damage_is_found_wherever_it_is() {
    let server = Server::start();
    server
        .database()
        .collection::<Document>("users")
        .insert_one(doc! { "a": 1 })
        .run()
        .unwrap();
    let repo = Repo::new(&server.uri());
    let created = repo.xtask(&["--format", "json", "backup"]).ok().json();
    let file = PathBuf::from(created["path"].as_str().unwrap());
    let id = created["metadata"]["id"].as_str().unwrap();
    for path in [file.clone(), file.with_file_name("backup-metadata.json")] {
        let whole = std::fs::read(&path).unwrap();
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 1;
        for bad in [&changed[..], &whole[..whole.len() - 1], &[]] {
            std::fs::write(&path, bad).unwrap();
            for named in [id, file.to_str().unwrap()] {
                repo.xtask(&["backup", "verify", named]).code(1).says("NOT GOOD");
            }
        }
        std::fs::write(&path, &whole).unwrap();
        repo.xtask(&["backup", "verify", id, file.to_str().unwrap()]).ok();
    }
    let verified: Value = repo
        .xtask(&["--format", "json", "backup", "verify", id])
        .ok()
        .json();
    assert_eq!(verified["backups"][0]["good"], true);
}

#[test]
fn a_copy_that_fails_is_a_warning_unless_required() {
    let server = Server::start();
    server
        .database()
        .collection::<Document>("users")
        .insert_one(doc! { "a": 1 })
        .run()
        .unwrap();
    let places = |second: &str, required: bool| {
        format!(
            "[[backup.places]]\nkind = \"directory\"\npath = \"backups\"\nrequired = true\n[[backup.places]]\nkind = \"directory\"\npath = \"{second}\"\nrequired = {required}\n"
        )
    };
    let repo = Repo::with_backup(&server.uri(), &places("second", false));
    let created = repo.xtask(&["--format", "json", "backup"]).ok().json();
    let id = created["metadata"]["id"].as_str().unwrap();
    assert_eq!(created["metadata"]["storage"].as_array().unwrap().len(), 2);
    let copy = repo.root().join("second").join(id);
    repo.xtask(&["backup", "verify", copy.to_str().unwrap()]).ok();

    // A file where the folder should be.
    std::fs::write(repo.root().join("file"), "").unwrap();
    repo.configure(&places("file/below", false));
    let created = repo.xtask(&["--format", "json", "backup"]).ok().json();
    assert_eq!(created["metadata"]["warnings"].as_array().unwrap().len(), 1);
    repo.configure(&places("file/below", true));
    repo.xtask(&["backup"])
        .code(1)
        .says("a required place has no copy")
        .says("the backup itself is good");
    repo.configure("oplog = \"require\"");
    repo.xtask(&["backup"])
        .code(2)
        .says("all databases")
        .says(DATABASE);
}
