//! Backups that hold what changed since a full one: taken, verified, drilled, pruned, and restored without this program.

use std::path::{Path, PathBuf};
use std::process::Command;

use mongodb::bson::{Document, doc};
use serde_json::Value;

use super::data::contents;
use rehearsal::test_env::backup::{Mongo, Outcome, Repo, age, files_below};
use rehearsal::test_env::process::program;

/// Documents that do not pack well.
fn fill(server: &Mongo) {
    let text = |number: u64| -> String {
        let word = |n: u64| (number * 31 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..20).map(|n| format!("{:016x}", word(n))).collect()
    };
    let documents = (0..1_500_i64).map(|number| doc! { "_id": number, "text": text(number.cast_unsigned()) });
    let items = server.database().collection::<Document>("items");
    items.insert_many(documents).run().unwrap();
}

fn change(server: &Mongo, number: i64) {
    let items = server.database().collection::<Document>("items");
    let changed = doc! { "$set": { "changed": true } };
    items.update_one(doc! { "_id": number }, changed).run().unwrap();
    items.delete_one(doc! { "_id": number + 1 }).run().unwrap();
    items.insert_one(doc! { "_id": 10_000 + number }).run().unwrap();
}

fn text<'a>(backup: &'a Value, name: &str) -> &'a str {
    backup["metadata"][name].as_str().unwrap_or_default()
}

/// As in the documentation: each segment is unpacked with its range of the base's archive.
fn restore_with_stock_tools(base: &str, later: &str, uri: &str, folder: &Path) {
    let script = format!(
        "cd '{}'
tar -xzOf '{base}' --wildcards 'data/*' > base.archive
mkdir later && tar -xzf '{later}' -C later
for segment in later/diff/*; do
  IFS=. read -r _ offset length _ <<< \"${{segment##*/}}\"
  tail -c +$((offset + 1)) base.archive | head -c \"$length\" > range
  zstd -q -d --patch-from=range -c \"$segment\"
done > later.archive
'{}' --archive=later.archive --uri '{uri}'",
        folder.display(),
        program(&["mongorestore"]).display()
    );
    Outcome::of(Command::new("bash").args(["-ec", &script])).ok();
}

fn has_zstd() -> bool {
    let version = Command::new("zstd").arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

#[test]
fn a_differential_backup_is_as_good_as_its_base_and_never_without_it() {
    let (server, restored) = (Mongo::start(), Mongo::start());
    fill(&server);
    let repo = Repo::new(&server.uri());
    repo.add_remote();
    repo.configure("incremental_above = 0\nretention_days = 1");
    let full = repo.backup();
    assert_eq!(text(&full, "kind"), "full", "{full}");
    assert!(
        text(&full, "kind_reason").contains("no full backup of the last 7 days"),
        "{full}"
    );
    change(&server, 7);
    let expected = contents(&server.database());
    let later = repo.backup();
    assert_eq!(text(&later, "kind"), "differential", "{later}");
    let (base, id) = (text(&full, "id"), text(&later, "id"));
    assert_eq!(later["metadata"]["base"]["id"], base);
    assert_eq!(later["metadata"]["base"]["hash"], text(&full, "hash"));
    let size = |backup: &Value| backup["metadata"]["size"].as_u64().unwrap();
    assert!(
        size(&later) < size(&full) / 20,
        "{} of {}",
        size(&later),
        size(&full)
    );

    repo.xtask(&["backup", "verify", id]).ok().says("good");
    repo.xtask(&["backup", "drill", id]).ok();
    repo.xtask(&["backup", "list"])
        .ok()
        .says(&format!("differential, on {base}"));
    repo.xtask(&["backup", "fetch", id]).ok().says(base);
    let path = |backup: &Value| backup["path"].as_str().unwrap().to_owned();
    if has_zstd() {
        restore_with_stock_tools(&path(&full), &path(&later), &restored.uri(), &repo.tmp());
        assert_eq!(contents(&restored.database()), expected);
    }

    // A third one on the same base stays, and with it the base; the second goes.
    change(&server, 70);
    let third = repo.backup();
    assert_eq!(third["metadata"]["base"]["id"], base);
    age(&repo.backups());
    let plan = repo.xtask(&["--format", "json", "backup", "prune"]).ok().json();
    let backups = plan["backups"].as_array().unwrap();
    let deleted: Vec<bool> = backups.iter().map(|one| one["delete"] == true).collect();
    assert_eq!(deleted, [false, true, false], "{plan}");
    let why = backups[0]["why"].as_str().unwrap();
    assert!(why.contains("builds on it"), "{plan}");

    let file = PathBuf::from(path(&full));
    let whole = std::fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    std::fs::write(&file, damaged).unwrap();
    for id in [id, text(&third, "id")] {
        let verified = repo.xtask(&["backup", "verify", id]);
        verified.code(1).says(base).says("damaged");
        repo.xtask(&["restore", id, "--plan"]).code(1).says(base);
    }
    let folder = file.parent().unwrap();
    let aside = repo.tmp().join("aside");
    std::fs::rename(folder, &aside).unwrap();
    repo.xtask(&["backup", "drill", id])
        .code(1)
        .says(&format!("cannot be read without the full backup {base}"));
    // Nothing to build on: a full one, whatever the newest is.
    assert_eq!(text(&repo.backup(), "kind"), "full");
    assert_eq!(files_below(&aside).len(), 2);
}

#[test]
fn a_base_that_only_others_can_read_makes_a_full_backup() {
    let server = Mongo::with_one_document();
    let (_, public) = xtask::archive::Identities::ephemeral();
    let repo = Repo::new(&server.uri());
    repo.configure(&format!("incremental_above = 0\nrecipients = [\"{public}\"]"));
    repo.backup();
    let second = repo.backup();
    assert_eq!(text(&second, "kind"), "full", "{second}");
    assert!(
        text(&second, "kind_reason").contains("only the public keys"),
        "{second}"
    );
}
