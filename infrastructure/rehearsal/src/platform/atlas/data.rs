//! What a snapshot holds: every collection of the server as it was.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::sync::Client;

/// Databases of the server itself.
const OF_THE_SERVER: [&str; 3] = ["admin", "config", "local"];

#[derive(Debug, Default)]
pub(super) struct Data {
    /// By `database.collection`.
    collections: BTreeMap<String, Stored>,
}

#[derive(Debug, Default)]
struct Stored {
    options: Document,
    indexes: Vec<Document>,
    documents: Vec<RawDocumentBuf>,
}

impl Data {
    pub(super) fn read(uri: &str) -> Result<Self> {
        let client = Client::with_uri_str(uri).context("no server behind the cluster")?;
        let mut collections = BTreeMap::new();
        for database in client.list_database_names().run()? {
            if OF_THE_SERVER.contains(&database.as_str()) {
                continue;
            }
            let database = client.database(&database);
            let listed = database.run_cursor_command(doc! {"listCollections": 1}).run()?;
            for listed in listed {
                let listed = listed?;
                let name = listed.get_str("name")?;
                // Views and time series are restored by no collection restore (docs, "Restore a Collection").
                if listed.get_str("type").is_ok_and(|kind| kind != "collection")
                    || name.starts_with("system.")
                {
                    continue;
                }
                let indexes = database.run_cursor_command(doc! {"listIndexes": name}).run()?;
                let documents = database.collection::<RawDocumentBuf>(name).find(doc! {}).run()?;
                let stored = Stored {
                    options: listed.get_document("options").cloned().unwrap_or_default(),
                    indexes: indexes.collect::<Result<_, _>>()?,
                    documents: documents.collect::<Result<_, _>>()?,
                };
                collections.insert(format!("{}.{name}", database.name()), stored);
            }
        }
        Ok(Self { collections })
    }

    pub(super) fn bytes(&self) -> u64 {
        let documents = self.collections.values().flat_map(|stored| &stored.documents);
        documents.map(|document| document.as_bytes().len() as u64).sum()
    }

    pub(super) fn has(&self, namespace: &str) -> bool {
        self.collections.contains_key(namespace)
    }

    pub(super) fn count(&self, namespace: &str) -> u64 {
        self.collections
            .get(namespace)
            .map_or(0, |stored| stored.documents.len() as u64)
    }

    /// Writes a collection under another name, where nothing is; gives the name that it got.
    pub(super) fn write(&self, uri: &str, source: &str, target: &str) -> Result<String> {
        let stored = self
            .collections
            .get(source)
            .context("the snapshot has no such collection")?;
        let (database, wanted) = target.split_once('.').context("a name without a database")?;
        let database = Client::with_uri_str(uri)?.database(database);
        let taken = database.list_collection_names().run()?;
        let mut name = wanted.to_owned();
        while taken.contains(&name) {
            name.push_str("_restored");
        }
        let mut create = doc! {"create": &name};
        create.extend(stored.options.clone());
        database.run_command(create).run()?;
        let indexes: Vec<Document> = stored
            .indexes
            .iter()
            .filter(|index| index.get_str("name").is_ok_and(|name| name != "_id_"))
            .cloned()
            .collect();
        if !indexes.is_empty() {
            database
                .run_command(doc! {"createIndexes": &name, "indexes": indexes})
                .run()?;
        }
        let collection = database.collection::<RawDocumentBuf>(&name);
        if !stored.documents.is_empty() {
            let made = collection.insert_many(&stored.documents).run()?;
            ensure!(
                made.inserted_ids.len() == stored.documents.len(),
                "not all were written"
            );
        }
        Ok(format!("{}.{name}", database.name()))
    }

    /// Replaces everything that another server has: as a restore to a cluster does.
    pub(super) fn replace(&self, uri: &str) -> Result<()> {
        let client = Client::with_uri_str(uri)?;
        for database in client.list_database_names().run()? {
            if !OF_THE_SERVER.contains(&database.as_str()) {
                client.database(&database).drop().run()?;
            }
        }
        for namespace in self.collections.keys() {
            self.write(uri, namespace, namespace)?;
        }
        Ok(())
    }
}
