//! What goes into a backup comes out of it again, with stock tools alone.

use std::path::Path;
use std::process::{Command, Stdio};

use mongodb::bson::doc;
use xtask::archive::{ArchiveReader, ContainerReader, Event};

use super::data::{contents, fill, fill_with_noise};
use rehearsal::test_env::backup::{Mongo, Outcome, Repo, is_mongod, start};
use rehearsal::test_env::process::{program, wait_until};
use rehearsal::test_env::restore::DATABASE;

/// `age -d … | tar -xzO … | mongorestore --archive`, as in the documentation.
fn restore_with_stock_tools(file: &str, key: &str, uri: &str) {
    let age = program(&["age"]);
    run(&format!(
        "'{}' -d -i '{key}' '{file}' | tar -xzO --wildcards 'data/*' | '{}' --archive --uri '{uri}'",
        age.display(),
        program(&["mongorestore"]).display()
    ));
}

/// A line of shell, with our own PATH and nothing else.
#[track_caller]
fn run(script: &str) {
    let mut command = Command::new("bash");
    command
        .args(["-c", &format!("set -eo pipefail; {script}")])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .stdin(Stdio::null());
    Outcome::of(&mut command).ok();
}

#[test]
fn every_kind_of_data_comes_back_with_stock_tools_alone() {
    let (from, to) = (Mongo::start(), Mongo::start());
    fill(&from.database());
    let mut repo = Repo::new(&from.uri());
    let key = repo.root().join("key");
    let generated = Outcome::of(Command::new(program(&["age-keygen"])).arg("-o").arg(&key));
    generated.ok();
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
fn all_databases_come_back_and_the_oplog_has_what_was_written_meanwhile() {
    let (from, to) = (Mongo::replica_set(), Mongo::replica_set());
    fill(&from.database());
    fill_with_noise(&from.client().database("größe-2"), 3);
    let everything =
        |server: &Mongo| [DATABASE, "größe-2"].map(|name| contents(&server.client().database(name)));
    let before = everything(&from);
    // A database in the connection string does not narrow what is dumped.
    let mut repo = Repo::new(&format!("{}shop", from.uri()));
    // mongodump waits midway, with its oplog begun, until somebody has written.
    let (midway, go) = (repo.root().join("midway"), repo.root().join("go"));
    repo.wrap(
        "mongodump",
        "\"$REAL\" \"$@\" | { head -c 1000000; touch midway; until [ -e go ]; do sleep 0.02; done; cat; }",
    );
    let child = start(&mut repo.command(&["--format", "json", "backup", "create", "--all-databases"]));
    wait_until("mongodump is midway", || midway.exists());
    from.insert(
        DATABASE,
        "written meanwhile",
        doc! { "_id": "the document written meanwhile" },
    );
    std::fs::write(go, "").unwrap();
    let created = Outcome::wait(child).ok().json();
    let metadata = &created["metadata"];
    assert_eq!(metadata["consistency"]["kind"], "point-in-time", "{metadata}");
    let warned = metadata["warnings"][0].as_str().unwrap();
    assert!(
        warned.contains("`shop.written meanwhile` was created during the dump: it is not in"),
        "{warned}"
    );

    let file = created["path"].as_str().unwrap();
    let oplog = oplog_of(Path::new(file));
    assert!(!oplog.is_empty());
    if is_mongod() {
        let written = b"the document written meanwhile";
        assert!(oplog.windows(written.len()).any(|window| window == written));
    }

    // The local server gives mongodump only the oldest entry of its oplog, and knows no `applyOps`, without which
    // mongorestore replays nothing: it takes what was dumped.
    let (replay, expected) = if is_mongod() {
        ("--oplogReplay", everything(&from))
    } else {
        ("", before)
    };
    let (mongorestore, uri) = (program(&["mongorestore"]), to.uri());
    run(&format!(
        "tar -xzOf '{file}' --wildcards 'data/*' | '{}' --archive {replay} --uri '{uri}'",
        mongorestore.display()
    ));
    assert_eq!(expected, everything(&to));
    repo.xtask(&["backup", "verify", metadata["id"].as_str().unwrap()])
        .ok();
}

/// The raw entries of the oplog in a backup.
fn oplog_of(file: &Path) -> Vec<u8> {
    let mut reader = ArchiveReader::new(ContainerReader::open(file, None, 1).unwrap()).unwrap();
    let mut found = Vec::new();
    loop {
        let (at, bytes) = match reader.next_event().unwrap() {
            Some(Event::Documents {
                namespace, documents, ..
            }) => (namespace, documents.to_vec()),
            Some(Event::End { .. }) => continue,
            None => return found,
        };
        if reader.prelude().namespaces[at].name() == "oplog" {
            found.extend(bytes);
        }
    }
}

#[test]
fn which_moment_a_backup_is_of_is_decided_and_told() {
    let (replica_set, alone) = (Mongo::replica_set(), Mongo::standalone());
    let taken = |server: &Mongo, oplog: &str, args: &[&str]| {
        server.insert(DATABASE, "users", doc! { "a": 1 });
        let repo = Repo::new(&server.uri());
        repo.configure(&format!("oplog = \"{oplog}\""));
        repo.xtask(&[&["--format", "json", "backup", "create"], args].concat())
    };
    let all = &["--all-databases"][..];
    for (server, oplog, args, kind, why) in [
        (
            &replica_set,
            "auto",
            all,
            "point-in-time",
            "the oplog of the replica set",
        ),
        (
            &replica_set,
            "require",
            all,
            "point-in-time",
            "the oplog of the replica set",
        ),
        (&replica_set, "never", all, "per-collection", "\"never\""),
        (
            &replica_set,
            "auto",
            &[],
            "point-in-time",
            "nothing changed during the dump",
        ),
        (&replica_set, "require", &[], "point-in-time", "as of "),
        (&alone, "auto", &[], "per-collection", "cannot be followed"),
        (
            &alone,
            "auto",
            all,
            "per-collection",
            "no member of a replica set",
        ),
    ] {
        let metadata = taken(server, oplog, args).ok().json()["metadata"].clone();
        assert_eq!(metadata["consistency"]["kind"], kind, "{metadata}");
        let reason = metadata["consistency"]["reason"].as_str().unwrap();
        assert!(reason.contains(why), "{reason}");
        let has_oplog = metadata["namespaces"]
            .as_array()
            .unwrap()
            .iter()
            .any(|n| n["database"] == "");
        assert_eq!(has_oplog, kind == "point-in-time" && !args.is_empty());
    }
    for (server, args, why) in [
        (&alone, &[][..], "cannot be followed"),
        (&alone, all, "no member of a replica set"),
    ] {
        taken(server, "require", args)
            .code(2)
            .says("\"require\" cannot be had")
            .says(why)
            .says("next: ");
    }
}

#[test]
fn what_restores_left_is_no_part_of_a_backup() {
    let server = Mongo::start();
    for name in [
        "users",
        "__old_20260101-000000-abcd_users",
        "__new_20260101-000000-abcd_users",
    ] {
        server.insert(DATABASE, name, doc! {});
    }
    let repo = Repo::new(&server.uri());
    let created = repo.backup();
    let names: Vec<&str> = created["metadata"]["namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n["collection"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["users"]);
}

#[test]
fn options_of_an_application_neither_stop_nor_weaken_a_backup() {
    let server = Mongo::with_one_document();
    let options = "directConnection=true&useNewUrlParser=true&readPreference=secondary&w=0&retryWrites=false\
                   &socketTimeoutMS=1000&serverSelectionTimeoutMS=900&compressors=zstd,snappy&maxPoolSize=1";
    let repo = Repo::new(&format!("{}?{options}", server.uri()));
    repo.xtask(&["backup"])
        .ok()
        .says("weaken a backup or a restore: readPreference, retryWrites, w")
        .says("another driver's: compressors, maxPoolSize, socketTimeoutMS, useNewUrlParser");
}
