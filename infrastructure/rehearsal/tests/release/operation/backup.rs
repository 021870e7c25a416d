//! Every step of a backup, and everything that can go wrong in the middle of it. After each: no backup is listed that does
//! not verify, the last good one is still there, nothing plain and no part of one is left, and the next backup succeeds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret as _;
use xtask::domain::inventory::Inventory;
use xtask::exec::Finished;

use super::disturbed::ended_well;
use super::fault::{Asks, COLUMNS, Library, how};
use super::table::{Cell, Table};
use rehearsal::test_env::restore::{RestoreEnv, seed};

/// Of so many cells one is in the sample.
const SAMPLE: usize = 11;
/// How an encrypted file begins.
const ENCRYPTED: &[u8] = b"age-encryption.org/";
const METADATA: &str = "backup-metadata.";
const PLACES: [&str; 2] = ["backups", "second"];

/// The steps: their moments, and what each asks.
const STEPS: [(&str, &str, Asks); 17] = [
    ("list the collections", "read:1:*/pipeline.toml", Asks::Database),
    ("reserve a folder", "mkdir:1:*/backups/.partial-*", Asks::File),
    ("start mongodump", "start:1:*mongodump", Asks::Command),
    ("make the file", "create:1:*/.mongodb-backup-*", Asks::File),
    ("write the file", "write:1:*/.mongodb-backup-*", Asks::File),
    ("flush the file", "sync:1:*/.mongodb-backup-*", Asks::File),
    (
        "list the collections again",
        "sync:1:*/.mongodb-backup-*",
        Asks::Database,
    ),
    (
        "name the file",
        "sync:1:*/backups/.partial-????????-??????",
        Asks::File,
    ),
    (
        "read the file back",
        "read:1:*/backups/.partial-*/mongodb-backup-*",
        Asks::File,
    ),
    (
        "write the metadata",
        "write:1:*/backups/.partial-*/.backup-metadata.*",
        Asks::File,
    ),
    ("name the backup", "rename:1:*/backups/.partial-*", Asks::File),
    (
        "reserve a folder for the copy",
        "mkdir:1:*/second/.partial-*",
        Asks::File,
    ),
    (
        "write the copy",
        "write:1:*/second/.partial-*/mongodb-backup-*",
        Asks::File,
    ),
    (
        "flush the copy",
        "sync:1:*/second/.partial-*/mongodb-backup-*",
        Asks::File,
    ),
    (
        "compare the copy",
        "read:2:*/second/.partial-*/mongodb-backup-*",
        Asks::File,
    ),
    ("name the copy", "rename:1:*/second/.partial-*", Asks::File),
    (
        "record the copy",
        "write:1:*/backups/2*/.backup-metadata.*",
        Asks::File,
    ),
];

/// A database with one good backup in two places.
struct Kept {
    env: RestoreEnv,
    library: Library,
    data: Inventory,
    secret: String,
}

impl Kept {
    fn new() -> Self {
        let env = RestoreEnv::behind_proxy();
        seed(&env);
        let key = age::x25519::Identity::generate();
        let [first, second] = PLACES;
        env.configure(|pipeline| {
            let place =
                format!("[[backup.places]]\nkind = \"directory\"\npath = \"{first}\"\nrequired = true\n");
            let changed = format!(
                "[backup]\nrecipients = [\"{}\"]\nidentity = \"TEST_IDENTITY\"\n{place}{}",
                key.to_public(),
                place.replace(first, second)
            );
            pipeline.replace(&place, &changed)
        });
        let kept = Self {
            library: Library::compile(env.dir.path()),
            data: env.inventory(),
            secret: key.to_string().expose_secret().to_owned(),
            env,
        };
        kept.ok(&["backup"]);
        kept
    }

    fn run(&self, args: &[&str], env: &[(&'static str, String)]) -> Finished {
        let own = [
            ("TEST_IDENTITY", self.secret.clone()),
            ("TMPDIR", self.temporary().display().to_string()),
        ];
        self.env.finished(args, own.iter().chain(env))
    }

    fn ok(&self, args: &[&str]) -> Finished {
        let finished = self.run(args, &[]);
        assert_eq!(finished.code, Some(0), "{args:?}: {}", finished.error());
        finished
    }

    /// Where our program puts temporary files.
    fn temporary(&self) -> PathBuf {
        let folder = self.env.dir.path().join("tmp");
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn places(&self) -> [PathBuf; 2] {
        PLACES.map(|name| self.env.root().join(name))
    }

    /// What counts as a backup: id and place.
    fn listed(&self) -> BTreeSet<(String, String)> {
        let listed = self.ok(&["backup", "list"]);
        let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
        assert_eq!(listed["problems"], serde_json::json!([]));
        let backups = listed["backups"].as_array().unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let kept = backups.iter().flat_map(|backup| {
            assert!(!backup["verified"].is_null(), "{backup}");
            let places = backup["places"].as_array().unwrap().iter();
            places.map(move |place| (text(&backup["id"]), text(place)))
        });
        kept.collect()
    }

    fn disturb(&self, cell: &Cell) -> String {
        let before = self.listed();
        let (_, at, asks) = STEPS[cell.row];
        let proxy = self.env.proxy.as_ref().unwrap();
        let how = how(cell.column, asks, proxy);
        let ended = self.run(&["backup"], &self.library.env("", at, &how));
        proxy.mend();
        let told = &cell.told;
        let verdict = ended_well(&ended, told);
        let after = self.listed();
        assert!(after.is_superset(&before), "{told}: a backup has gone");
        let new: BTreeSet<&String> = after.difference(&before).map(|(id, _)| id).collect();
        let new = new.len();
        assert!(new <= 1, "{told}: {after:?}");
        if ended.code == Some(0) {
            assert_eq!(new, 1, "{told}: it said that it succeeded");
        }
        self.assert_good(&after, told);
        self.assert_nothing_left(ended.code.is_none(), told);
        assert_eq!(self.data.compare(&self.env.inventory()), [], "{told}: live data");
        self.ok(&["backup"]);
        self.assert_nothing_left(false, &format!("{told}, and the next one"));
        self.keep_the_last();
        match (ended.code, new) {
            (Some(0), _) | (_, 0) => verdict,
            _ => format!("{verdict}, and the backup is good"),
        }
    }

    /// Each backup that is listed is good in every storage that has its name.
    fn assert_good(&self, kept: &BTreeSet<(String, String)>, told: &str) {
        for id in ids(kept) {
            let folders = self.places().map(|place| place.join(&id));
            for folder in folders.iter().filter(|folder| folder.exists()) {
                let verified = self.run(&["backup", "verify", folder.to_str().unwrap()], &[]);
                assert_eq!(
                    verified.code,
                    Some(0),
                    "{told}: {}: {}",
                    folder.display(),
                    verified.error()
                );
            }
        }
    }

    /// No part of a backup, unless its maker was killed; and nothing that can be read without the key.
    fn assert_nothing_left(&self, killed: bool, told: &str) {
        for file in self.places().iter().flat_map(|place| files_below(place)) {
            let metadata = file.file_name().unwrap().to_string_lossy().contains(METADATA);
            let bytes = std::fs::read(&file).unwrap();
            let closed = bytes.is_empty() || bytes.starts_with(ENCRYPTED);
            assert!(metadata || closed, "{told}: {} can be read", file.display());
        }
        let mut parts = names_in(&self.temporary());
        for place in self.places() {
            let names = names_in(&place).into_iter();
            parts.extend(names.filter(|name| name.starts_with('.')));
        }
        assert!(killed || parts.is_empty(), "{told}: {parts:?} are left");
        std::fs::remove_dir_all(self.temporary()).unwrap();
    }

    /// Drops all but the newest: there are many of them here.
    fn keep_the_last(&self) {
        for id in ids(&self.listed()).iter().rev().skip(1) {
            for place in self.places() {
                std::fs::remove_dir_all(place.join(id)).ok();
            }
        }
    }
}

fn ids(kept: &BTreeSet<(String, String)>) -> BTreeSet<String> {
    kept.iter().map(|(id, _)| id.clone()).collect()
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().into_iter().flatten();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    entries.map(name).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let paths = names_in(folder).into_iter().map(|name| folder.join(name));
    let (folders, mut files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    files.extend(folders.iter().flat_map(|folder| files_below(folder)));
    files
}

#[test]
#[ignore = "the stage `faults` of `cargo xtask ci`"]
fn every_step_of_a_backup_is_disturbed() {
    let table = Table {
        name: "steps of a backup".to_owned(),
        columns: COLUMNS.to_vec(),
        one_of: SAMPLE,
        offset: 0,
        is_of_parts: false,
    };
    let rows = |_: &Kept| STEPS.iter().map(|(step, _, _)| (*step).to_owned()).collect();
    table.run(Kept::new, rows, Kept::disturb);
}
