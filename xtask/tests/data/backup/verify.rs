//! `backup verify` by the command line.

use std::path::PathBuf;
use std::process::Command;

use mongodb::bson::doc;
use serde_json::Value;
use xtask::database::{Digests, Live, backup_inventory};
use xtask::domain::manifest::NamespaceRecord;
use xtask::secret::Secret;

use rehearsal::test_env::backup::{Mongo, Outcome, Repo};
use rehearsal::test_env::process::program;

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

#[test]
fn a_dump_of_stock_tools_gets_the_command_that_makes_a_verified_backup_of_it() {
    let server = Mongo::with_one_document();
    server.insert("shop", "a/b%24 é", doc! { "n": 1 });
    for made in [
        doc! { "create": "seen", "viewOn": "users", "pipeline": [] },
        doc! { "create": "words", "collation": { "locale": "fr" } },
        doc! { "createIndexes": "users", "indexes": [{ "key": { "a": -1 }, "name": "by a", "unique": true }] },
    ] {
        server.database().run_command(made).run().unwrap();
    }
    let repo = Repo::new(&server.uri());
    repo.add_remote();
    let mongodump = program(&["mongodump"]);
    let dump = |args: &[&str]| {
        let mut command = Command::new(&mongodump);
        command.args(["--uri", &server.uri(), "--db", "shop"]).args(args);
        command.current_dir(repo.root());
        Outcome::of(&mut command).ok();
    };
    dump(&["--archive=dump.archive"]);
    dump(&["--archive=dump.archive.gz", "--gzip"]);
    dump(&["--out=folder"]);
    dump(&["--out=packed", "--gzip"]);
    let live = Live::connect(&Secret::new(server.uri()), "shop").unwrap();
    let expected = live.inventory(Digests::Full).unwrap();
    for named in [
        "dump.archive",
        "dump.archive.gz",
        "folder",
        "folder/shop",
        "packed",
        "packed/shop",
    ] {
        let next = &format!("cargo xtask backup import {named}");
        repo.xtask(&["backup", "verify", named])
            .code(1)
            .says("is a dump of mongodump")
            .says(next)
            .never_says("cannot open");
        repo.xtask(&["restore", named, "--plan"])
            .code(2)
            .says("is a dump of mongodump")
            .says(next);
        let imported = repo
            .xtask(&["--format", "json", "backup", "import", named])
            .ok()
            .json();
        let id = imported["metadata"]["id"].as_str().unwrap();
        assert!(imported["metadata"]["verified"].is_string(), "{imported}");
        repo.xtask(&["backup", "verify", id]).ok();
        let plan = repo
            .xtask(&["--format", "json", "restore", id, "--plan"])
            .ok()
            .json();
        assert_eq!(plan["problems"].to_string(), "[]", "{plan}");
        let records: Vec<NamespaceRecord> =
            serde_json::from_value(imported["metadata"]["namespaces"].clone()).unwrap();
        assert_eq!(
            expected.compare(&backup_inventory(&records, "shop")),
            [],
            "{named}"
        );
    }
    std::fs::write(
        repo.root().join("cut.archive"),
        &std::fs::read(repo.root().join("dump.archive")).unwrap()[..300],
    )
    .unwrap();
    std::fs::write(repo.root().join("empty"), "").unwrap();
    std::fs::remove_file(repo.root().join("folder/shop/users.metadata.json")).ok();
    std::fs::create_dir(repo.root().join("other")).unwrap();
    std::fs::create_dir(repo.root().join("other/elsewhere")).unwrap();
    let backups = || {
        let listed = repo.xtask(&["--format", "json", "backup", "list"]).ok().json();
        listed["backups"].as_array().unwrap().len()
    };
    let before = backups();
    for (named, why) in [
        ("cut.archive", "cannot be imported"),
        ("empty", "cannot be imported"),
        ("folder", "metadata.json is missing"),
        ("other", "nothing of the database `shop`"),
    ] {
        repo.xtask(&["backup", "import", named]).code(2).says(why);
    }
    assert_eq!(backups(), before);
    let file = PathBuf::from(repo.backup()["path"].as_str().unwrap());
    std::fs::remove_file(file.with_file_name("backup-metadata.json")).unwrap();
    repo.xtask(&["restore", file.to_str().unwrap(), "--plan"])
        .code(2)
        .says("has no backup-metadata.json")
        .says("docs/EMERGENCY.md");
}

#[test]
fn a_key_that_is_missing_or_another_one_is_named_by_its_variable_and_is_no_damage() {
    let server = Mongo::with_one_document();
    let mut repo = Repo::new(&server.uri());
    let key = || {
        let made = Outcome::of(&mut Command::new(program(&["age-keygen"])));
        let secret = made
            .stdout
            .lines()
            .find(|line| line.starts_with("AGE-SECRET-KEY"));
        let public = made
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix("# public key: "));
        (secret.unwrap().to_owned(), public.unwrap().to_owned())
    };
    let ((secret, public), (other, _)) = (key(), key());
    for args in [
        &["init", "-q"][..],
        &["init", "-q", "--bare", "remote.git"],
        &["remote", "add", "origin", "remote.git"],
    ] {
        let mut git = Command::new("git");
        git.args(args);
        repo.surround(&mut git);
        Outcome::of(&mut git).ok();
    }
    repo.configure(&format!("recipients = [\"{public}\"]\nidentity = \"BACKUP_KEY\""));
    let id = repo.backup()["metadata"]["id"].as_str().unwrap().to_owned();
    for (value, said) in [
        ("", "the environment variable BACKUP_KEY is not set"),
        (
            other.as_str(),
            "other keys than the one in the environment variable BACKUP_KEY",
        ),
        ("nonsense", "BACKUP_KEY holds no usable age identity"),
    ] {
        repo.set("BACKUP_KEY", value);
        repo.xtask(&["backup", "verify", &id])
            .code(1)
            .says(said)
            .never_says("fetch another copy");
        repo.xtask(&["restore", &id, "--plan"])
            .code(2)
            .says(said)
            .never_says("another copy");
    }
    repo.set("BACKUP_KEY", &format!("{secret}\n"));
    repo.xtask(&["backup", "verify", &id]).ok();
}
