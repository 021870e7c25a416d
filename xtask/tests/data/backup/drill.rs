//! `backup drill`.

use std::path::Path;

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
