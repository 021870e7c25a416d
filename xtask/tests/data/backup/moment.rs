//! A backup of one database is of one moment, whatever is written while mongodump reads.

use std::path::Path;
use std::process::Command;

use mongodb::bson::{Bson, Document, doc};
use serde_json::Value;

use rehearsal::test_env::backup::{Mongo, Outcome, Repo, start};
use rehearsal::test_env::process::{program, wait_until};
use rehearsal::test_env::restore::DATABASE;

/// Accounts in each of two collections, large enough that a pipe is full before the second one is read.
const ACCOUNTS: i64 = 3_000;
const BALANCE: i64 = 10;
const SUM: i64 = 2 * ACCOUNTS * BALANCE;

/// mongodump reads one collection after the other, and waits in the first one until somebody has written.
const WAITS: &str = "\"$REAL\" \"$@\" --numParallelCollections=1 | { head -c 1000000; touch midway; until [ -e go ]; do sleep 0.02; done; cat; }";

fn fill(server: &Mongo) {
    let text: String = (0..64_u64)
        .map(|n| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    for name in ["giro", "savings"] {
        let accounts = (0..ACCOUNTS).map(|n| doc! { "_id": n, "balance": BALANCE, "text": &text });
        let collection = server.database().collection::<Document>(name);
        collection.insert_many(accounts).run().unwrap();
    }
}

/// Moves money from the first accounts of one collection to the last ones of the other; each move is a transaction. Some
/// accounts are closed, some opened, one has another type of `_id` afterwards.
fn write(server: &Mongo) {
    let client = server.client();
    let database = client.database(DATABASE);
    let [giro, savings] = ["giro", "savings"].map(|name| database.collection::<Document>(name));
    for n in (0..ACCOUNTS).step_by(3) {
        let mut session = client.start_session().run().unwrap();
        session.start_transaction().run().unwrap();
        let (from, to) = (doc! { "_id": n }, doc! { "_id": ACCOUNTS - 1 - n });
        if n % 10 == 3 {
            giro.delete_one(from).session(&mut session).run().unwrap();
            let mut again =
                doc! { "_id": Bson::Double(f64::from(i32::try_from(n).unwrap())), "balance": BALANCE - 1 };
            if n % 20 == 3 {
                again.insert("_id", format!("moved {n}"));
            }
            giro.insert_one(again).session(&mut session).run().unwrap();
        } else {
            let less = doc! { "$inc": { "balance": -1 } };
            giro.update_one(from, less).session(&mut session).run().unwrap();
        }
        let more = doc! { "$inc": { "balance": 1 } };
        savings.update_one(to, more).session(&mut session).run().unwrap();
        session.commit_transaction().run().unwrap();
    }
}

/// Takes a backup during which money is moved.
fn backup_while_written(repo: &Repo, server: &Mongo) -> Value {
    let (midway, go) = (repo.root().join("midway"), repo.root().join("go"));
    let child = start(&mut repo.command(&["--format", "json", "backup"]));
    wait_until("mongodump is midway", || midway.exists());
    write(server);
    std::fs::write(&go, "").unwrap();
    let created = Outcome::wait(child).ok().json();
    std::fs::remove_file(midway).unwrap();
    std::fs::remove_file(go).unwrap();
    let id = created["metadata"]["id"].as_str().unwrap();
    repo.xtask(&["backup", "verify", id]).ok();
    created
}

/// The sum of all balances after `mongorestore` alone, and how many accounts there are.
fn restored(created: &Value) -> (i64, i64) {
    let to = Mongo::start();
    let file = created["path"].as_str().unwrap();
    let script = format!(
        "set -o pipefail; tar -xzOf '{file}' --wildcards 'data/*' | '{}' --archive --uri '{}'",
        program(&["mongorestore"]).display(),
        to.uri()
    );
    Outcome::of(Command::new("bash").args(["-ec", &script])).ok();
    totals(&to)
}

fn totals(server: &Mongo) -> (i64, i64) {
    let (mut sum, mut count) = (0, 0);
    for name in ["giro", "savings"] {
        let collection = server.database().collection::<Document>(name);
        for account in collection.find(doc! {}).run().unwrap() {
            sum += account.unwrap().get_i64("balance").unwrap();
            count += 1;
        }
    }
    (sum, count)
}

fn consistency(created: &Value) -> (&str, &str) {
    let consistency = &created["metadata"]["consistency"];
    (
        consistency["kind"].as_str().unwrap(),
        consistency["reason"].as_str().unwrap(),
    )
}

#[test]
fn a_backup_of_one_database_is_of_one_moment_while_others_write() {
    let server = Mongo::replica_set();
    fill(&server);
    let mut repo = Repo::new(&server.uri());
    repo.wrap("mongodump", WAITS);

    let created = backup_while_written(&repo, &server);
    let (kind, reason) = consistency(&created);
    assert_eq!(kind, "point-in-time", "{reason}");
    assert!(
        reason.contains("documents that changed during the dump"),
        "{reason}"
    );
    assert_eq!(restored(&created), (SUM, 2 * ACCOUNTS));
    assert!(
        created["metadata"]["change_start"]["mark"].is_string(),
        "{created}"
    );
    let left = server.database().list_collection_names().run().unwrap();
    assert_eq!(left.len(), 2, "{left:?}");

    // What it would be without: the two collections do not fit together.
    server.database().drop().run().unwrap();
    fill(&server);
    repo.configure("oplog = \"never\"");
    let torn = backup_while_written(&repo, &server);
    assert_eq!(consistency(&torn).0, "per-collection");
    assert_ne!(restored(&torn).0, SUM);
    assert_eq!(totals(&server).0, SUM);
}

#[test]
fn a_differential_backup_is_of_one_moment_too_and_quiet_ones_need_no_second_pass() {
    let server = Mongo::replica_set();
    fill(&server);
    let mut repo = Repo::new(&server.uri());
    repo.add_remote();
    repo.configure("incremental_above = 0");
    let full = repo.backup();
    let (kind, reason) = consistency(&full);
    assert_eq!(kind, "point-in-time", "{reason}");
    assert!(reason.contains("nothing changed during the dump"), "{reason}");
    repo.wrap("mongodump", WAITS);
    let created = backup_while_written(&repo, &server);
    assert_eq!(created["metadata"]["kind"], "differential");
    assert_eq!(consistency(&created).0, "point-in-time");
    assert_eq!(totals(&server).0, SUM);
    assert!(Path::new(created["path"].as_str().unwrap()).exists());
}

#[test]
fn what_no_stream_can_tell_is_told_and_the_backup_is_taken_all_the_same() {
    let server = Mongo::replica_set();
    fill(&server);
    let mut repo = Repo::new(&server.uri());
    repo.wrap("mongodump", WAITS);
    let (midway, go) = (repo.root().join("midway"), repo.root().join("go"));
    let child = start(&mut repo.command(&["--format", "json", "backup"]));
    wait_until("mongodump is midway", || midway.exists());
    server.insert(DATABASE, "late", doc! { "_id": 1 });
    std::fs::write(go, "").unwrap();
    let created = Outcome::wait(child).ok().json();
    let (kind, reason) = consistency(&created);
    assert_eq!(kind, "per-collection");
    assert!(
        reason.contains("`create` of `late` came during the dump"),
        "{reason}"
    );

    let alone = Mongo::standalone();
    alone.insert(DATABASE, "users", doc! { "_id": 1 });
    let repo = Repo::new(&alone.uri());
    let created = repo.backup();
    let (kind, reason) = consistency(&created);
    assert_eq!(kind, "per-collection");
    assert!(reason.contains("cannot be followed"), "{reason}");
    let metadata = &created["metadata"];
    assert_eq!(metadata["change_start"], Value::Null);
    let why = metadata["no_change_start"].as_str().unwrap();
    assert!(why.contains("no member of a replica set"), "{why}");
    // What the server lists before the dump rules it out: nothing is followed.
    let options = doc! { "create": "metered", "timeseries": { "timeField": "at" } };
    alone.database().run_command(options).run().unwrap();
    let created = repo.backup();
    assert_eq!(
        consistency(&created),
        ("per-collection", "changes of `shop.metered` cannot be followed")
    );
    repo.configure("oplog = \"require\"");
    repo.xtask(&["backup"])
        .code(2)
        .says("backup.oplog = \"require\" cannot be had");
}
