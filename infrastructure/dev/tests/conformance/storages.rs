//! What every storage of named files must do, whatever the service: keep, list, resume, find out damage, prune.

use std::path::{Path, PathBuf};

use rehearsal::test_env::backup::{Repo, age};
use serde_json::{Value, json};

/// The files of a storage, by another way than ours.
pub(super) trait Files {
    /// The names of all.
    fn names(&self, repo: &Repo) -> Vec<String>;
    fn download(&self, repo: &Repo, name: &str, to: &Path);
    fn replace(&self, repo: &Repo, file: &Path, name: &str);
}

/// Below this the backups are, in the storages of this suite.
const PREFIX: &str = "prod/db/";

/// The whole table. `places` is the configuration: a required directory `backups`, then the storage.
pub(super) fn keeps_backups(repo: &Repo, files: &dyn Files, kind: &str, places: &str) {
    let created = repo.backup();
    let id = created["metadata"]["id"].as_str().unwrap().to_owned();
    let stored = &created["metadata"]["storage"][1];
    assert_eq!(
        (&stored["kind"], &stored["verified"]),
        (&json!(kind), &json!(true))
    );
    let names = files.names(repo);
    assert!(
        names
            .iter()
            .all(|name| name.starts_with(&format!("{PREFIX}{id}/")))
            && names.len() == 2,
        "{names:?}"
    );
    fetched_resumed_and_checked(repo, files, kind, &id);
    pruned(repo, files, places, &id);
}

fn fetched_resumed_and_checked(repo: &Repo, files: &dyn Files, kind: &str, id: &str) {
    std::fs::remove_dir_all(repo.backups()).unwrap();
    repo.xtask(&["backup", "list"])
        .ok()
        .says(id)
        .says(&format!("{kind} "));
    let path = PathBuf::from(repo.xtask(&["backup", "fetch", id]).ok().stdout.trim());
    repo.xtask(&["backup", "verify", id]).ok();
    let text = std::fs::read_to_string(path.with_file_name("backup-metadata.json")).unwrap();
    let metadata: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        metadata["storage"][1]["kind"], kind,
        "the storage names itself: {metadata}"
    );

    // A download that broke off is gone on with.
    let whole = std::fs::read(&path).unwrap();
    let folder = path.parent().unwrap();
    let partial = folder.with_file_name(format!(".fetch-{id}"));
    std::fs::remove_dir_all(folder).unwrap();
    std::fs::create_dir_all(&partial).unwrap();
    std::fs::write(partial.join(path.file_name().unwrap()), &whole[..whole.len() / 2]).unwrap();
    repo.xtask(&["backup", "fetch", id])
        .ok()
        .never_says("starting again");
    assert_eq!(std::fs::read(&path).unwrap(), whole);

    // What was damaged there is not taken for the backup.
    std::fs::remove_dir_all(folder).unwrap();
    let damaged = repo.root().join("damaged");
    let mut bytes = whole.clone();
    bytes[whole.len() / 2] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let name = format!("{PREFIX}{id}/{}", path.file_name().unwrap().to_str().unwrap());
    files.replace(repo, &damaged, &name);
    repo.xtask(&["backup", "fetch", id])
        .code(1)
        .says("not the backup that was stored");
    std::fs::write(&damaged, whole).unwrap();
    files.replace(repo, &damaged, &name);
}

fn pruned(repo: &Repo, files: &dyn Files, places: &str, first: &str) {
    repo.add_remote();
    let second = repo.backup()["metadata"]["id"].as_str().unwrap().to_owned();
    repo.configure(&format!("retention_days = 1\n{places}"));
    let aged = repo.root().join("aged");
    std::fs::create_dir(&aged).unwrap();
    let name = format!("{PREFIX}{first}/backup-metadata.json");
    let file = aged.join("backup-metadata.json");
    files.download(repo, &name, &file);
    age(&aged);
    age(&repo.backups());
    files.replace(repo, &file, &name);
    repo.xtask(&["--yes", "backup", "prune"])
        .ok()
        .says("deleted")
        .says("the last verified one");
    let names = files.names(repo);
    assert!(
        names.iter().all(|name| name.contains(&second)) && names.len() == 2,
        "{names:?} {first}"
    );
}
