//! `backup drill`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::data::fill;
use rehearsal::test_env::backup::{Mongo, Repo};

#[test]
fn a_drill_restores_and_compares_everything() {
    let server = Mongo::start();
    fill(&server.database());
    let repo = Repo::new(&server.uri());
    // The pins, so that the program finds the server.
    let pins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infrastructure/tools/tools.toml");
    std::fs::create_dir(repo.root().join("infrastructure/tools")).unwrap();
    std::fs::copy(pins, repo.root().join("infrastructure/tools/tools.toml")).unwrap();
    repo.backup();
    let drill = repo.xtask(&["--format", "json", "backup", "drill"]).ok().json();
    assert_eq!(
        (&drill["good"], &drill["collections"]),
        (&json!(true), &json!(10)),
        "{drill}"
    );
    assert_eq!(drill["differences"], json!([]));

    // All databases, each compared; that of the pipeline is only one of them.
    server.insert("größe-2", "sizes", mongodb::bson::doc! { "a": 1 });
    repo.xtask(&["backup", "create", "--all-databases"]).ok();
    let drill = repo.xtask(&["--format", "json", "backup", "drill"]).ok().json();
    assert_eq!(
        (&drill["good"], &drill["collections"], &drill["differences"]),
        (&json!(true), &json!(11), &json!([])),
        "{drill}"
    );

    // Never into a database that holds something.
    let mut repo = repo;
    repo.set("LIVE", &server.uri());
    repo.xtask(&["backup", "drill", "--uri-env", "LIVE"])
        .code(3)
        .says("is not empty");
}

#[test]
fn a_drill_restores_the_copy_of_another_storage_on_a_server_of_ones_own_and_drops_it_again() {
    let (server, scratch) = (Mongo::start(), Mongo::start());
    fill(&server.database());
    let place =
        |name: &str| format!("[[backup.places]]\nkind = \"directory\"\npath = \"{name}\"\nrequired = true\n");
    let storages = format!("drill_uri = \"DRILL_URI\"\n{}{}", place("first"), place("second"));
    let mut repo = Repo::with_backup(&server.uri(), &storages);
    repo.set("DRILL_URI", &scratch.uri());
    let local = PathBuf::from(repo.backup()["path"].as_str().unwrap());
    let name = local.strip_prefix(repo.root().join("first")).unwrap();
    let copy = repo.root().join("second").join(name);
    // What is on this machine is of no interest.
    let whole = std::fs::read(&local).unwrap();
    std::fs::write(&local, "").unwrap();
    for _ in 0..2 {
        let drill = repo.xtask(&["--format", "json", "backup", "drill"]).ok().json();
        let from = drill["from"].as_str().unwrap();
        assert!(drill["good"] == true && from.contains("second"), "{drill}");
        let left = scratch.database().list_collection_names().run().unwrap();
        assert!(left.iter().all(|name| name.starts_with("system.")), "{left:?}");
    }
    std::fs::write(&local, &whole).unwrap();
    let mut other = whole;
    *other.last_mut().unwrap() ^= 1;
    std::fs::write(&copy, &other).unwrap();
    repo.xtask(&["backup", "drill"])
        .code(1)
        .says("is not the backup that was stored");
    // One that is named by its path is the one that is drilled.
    repo.xtask(&["backup", "drill", local.to_str().unwrap()]).ok();
    std::fs::remove_dir_all(copy.parent().unwrap()).unwrap();
    repo.xtask(&["backup", "drill"])
        .ok()
        .says("only the local storage has");
}
