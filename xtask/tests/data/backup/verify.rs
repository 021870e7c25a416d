//! `backup verify` by the command line.

use std::path::PathBuf;

use serde_json::Value;

use rehearsal::test_env::backup::{Mongo, Repo};

#[test]
fn damage_is_found_wherever_it_is() {
    let server = Mongo::with_one_document();
    let repo = Repo::new(&server.uri());
    let created = repo.backup();
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
