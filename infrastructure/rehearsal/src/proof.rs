//! The proof of a rehearsal: what is asked of the database, the platforms and the git remote themselves.

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use xshell::{Shell, cmd};
use xtask::backup::BackupFile;
use xtask::database::{Digests, Live};
use xtask::domain::inventory::Inventory;
use xtask::domain::manifest::BackupMetadata;
use xtask::secret::Secret;

use crate::test_env::{Served, TestEnv};

/// What was shown to hold.
#[derive(Debug, Serialize)]
pub struct Proof {
    collections: usize,
    documents: u64,
    /// What differed from the backup before the rollback: so the comparison can say no.
    differed_before: Vec<String>,
    /// Documents that were written after the backup and are found in the collections set aside.
    kept_of_later_writes: u64,
    /// What users must see afterwards.
    serves: Served,
    tags: Vec<String>,
}

impl Proof {
    /// Before the rollback: the database must differ from the newest backup that a release was taken with.
    pub fn before(env: &TestEnv, serves: &Served) -> Result<(BackupMetadata, Self)> {
        let backup = newest_backup(env)?;
        let differences = differences(env, &backup)?;
        ensure!(
            !differences.is_empty(),
            "the database equals the backup before the rollback: the proof could not fail"
        );
        let proof = Self {
            collections: backup.namespaces.len(),
            documents: backup.documents,
            differed_before: differences,
            kept_of_later_writes: 0,
            serves: serves.clone(),
            tags: Vec::new(),
        };
        Ok((backup, proof))
    }

    /// After the rollback: data, platforms and records agree with the release gone back to.
    pub fn after(
        &mut self,
        env: &TestEnv,
        backup: &BackupMetadata,
        written: u64,
        tags: &[&str],
    ) -> Result<()> {
        let differences = differences(env, backup)?;
        ensure!(
            differences.is_empty(),
            "the database differs from the backup:\n  {}",
            differences.join("\n  ")
        );
        self.kept_of_later_writes = kept(env, backup)?;
        ensure!(
            self.kept_of_later_writes == written,
            "users wrote {written} documents after the backup, {} of them are in the collections set aside",
            self.kept_of_later_writes
        );
        let served = env.served()?;
        ensure!(
            served == self.serves,
            "users see {served:?} instead of {:?}",
            self.serves
        );
        for tag in tags {
            self.check_tag(env, tag)?;
        }
        let seen = env.platform_report()?;
        let unknown = &seen["unimplemented"];
        ensure!(
            unknown.as_array().is_some_and(Vec::is_empty),
            "the platforms were asked what they do not know: {unknown}"
        );
        Ok(())
    }

    fn check_tag(&mut self, env: &TestEnv, tag: &str) -> Result<()> {
        let sh = Shell::new().context("cannot start a shell")?;
        sh.change_dir(env.folder.join("origin.git"));
        let message = env
            .in_env(cmd!(sh, "git for-each-ref --format=%(contents) refs/tags/{tag}"))
            .read()?;
        xtask::domain::release::Release::from_message(tag, &message)?;
        self.tags.push(tag.to_owned());
        Ok(())
    }

    /// The proof for people.
    pub fn text(&self) -> String {
        format!(
            "proved: {} collections with {} documents, their indexes and options equal the backup (before the rollback {} \
             differed); {} documents that users wrote after the backup are kept; the backend serves {}, the frontend too; \
             the records of {} are on the remote\n",
            self.collections,
            self.documents,
            self.differed_before.len(),
            self.kept_of_later_writes,
            self.serves.backend,
            self.tags.join(", "),
        )
    }
}

pub(crate) fn live(env: &TestEnv) -> Result<Live> {
    Live::connect(&Secret::new(&env.uri), &env.database)
}

/// The newest backup in the storage of the rehearsal.
pub fn newest_backup(env: &TestEnv) -> Result<BackupMetadata> {
    let place = &env.backups;
    let folders = std::fs::read_dir(place).with_context(|| format!("cannot list {}", place.display()))?;
    let newest = folders
        .filter_map(|entry| Some(entry.ok()?.path()))
        .max()
        .context("there is no backup")?;
    Ok(BackupFile::in_folder(&newest)?.metadata)
}

/// Every difference between the backup and the live database, with the collection's name.
pub fn differences(env: &TestEnv, backup: &BackupMetadata) -> Result<Vec<String>> {
    let found = live(env)?.inventory(Digests::Full)?;
    let wanted = xtask::database::backup_inventory(&backup.namespaces, &env.database);
    Ok(wanted.compare(&found).iter().map(ToString::to_string).collect())
}

/// Properties in all collections set aside that the backup has not: what users wrote after it. Where documents were put back in
/// place, the rescue file has them: here users only insert.
pub(crate) fn kept(env: &TestEnv, backup: &BackupMetadata) -> Result<u64> {
    let database = live(env)?;
    let names = database
        .database()
        .list_collection_names()
        .run()
        .context("cannot list the collections")?;
    let is_aside = |name: &&String| name.starts_with("__old_") && name.ends_with("_properties");
    let aside: Vec<&String> = names.iter().filter(is_aside).collect();
    if aside.is_empty() {
        let rescue = newest_backup(env)?;
        let is_rescue = ["overwritten in place", "rescue of restore"]
            .iter()
            .any(|begin| rescue.purpose.starts_with(begin));
        ensure!(
            is_rescue,
            "no collection was set aside for `properties`, and there is no rescue file"
        );
        let own = rescue.namespaces.iter().find(|n| n.collection == "properties");
        return Ok(own.map_or(0, |own| own.documents));
    }
    let at_backup = backup
        .namespaces
        .iter()
        .find(|namespace| namespace.collection == "properties");
    let at_backup = at_backup.context("the backup has no `properties`")?.documents;
    let written = aside.into_iter().map(|name| {
        let count = database
            .database()
            .collection::<mongodb::bson::RawDocumentBuf>(name)
            .count_documents(mongodb::bson::doc! {})
            .run()?;
        count
            .checked_sub(at_backup)
            .with_context(|| format!("`{name}` has fewer documents than the backup"))
    });
    written.sum()
}

/// The data without the record of migrations: the sample application writes there when it migrated, and no two runs are alike.
pub fn without_record_of_migrations(mut data: Inventory) -> Inventory {
    if let Some(migrations) = data.collections.get_mut("_migrations") {
        migrations.content_digest = None;
    }
    data
}
