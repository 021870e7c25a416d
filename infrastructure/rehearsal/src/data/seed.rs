//! `rehearsal seed`: several collections with the indexes and options that a restore has to bring back.

use anyhow::{Context as _, Result};
use clap::Args;
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use mongodb::sync::{Client, Database};
use serde_json::json;

use super::documents;
use super::random::Random;
use crate::backend::hash_password;

/// Documents of one insert.
const BATCH: usize = 1000;
/// Entries of the capped log.
const LOG_ENTRIES: i64 = 50;

/// What to fill and how.
#[derive(Debug, Args)]
pub struct Options {
    /// Environment variable with the connection string
    #[arg(long, value_name = "VARIABLE")]
    uri_env: String,
    /// Database to fill
    #[arg(long)]
    database: String,
    /// Documents in all collections together, about
    #[arg(long, default_value_t = 20_000)]
    documents: u32,
    /// The same seed makes the same data
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Address of the user who may log in
    #[arg(long, default_value = "tester@rehearsal.example")]
    test_email: String,
    /// Environment variable with that user's password ("rehearsal" when not set)
    #[arg(long, value_name = "VARIABLE", default_value = "REHEARSAL_TEST_PASSWORD")]
    test_password_env: String,
}

/// Fills the database and prints what is there.
pub fn run(options: &Options) -> Result<()> {
    let uri = std::env::var(&options.uri_env)
        .with_context(|| format!("the variable {} is missing", options.uri_env))?;
    let client = Client::with_options(
        ClientOptions::parse(uri)
            .run()
            .context("the connection string is not valid")?,
    )?;
    let database = client.database(&options.database);
    create(&database).context("cannot create the collections")?;
    // Before the documents: the local server does not end the build of an index of 100,000 documents (`create_index retrying on
    // write conflicts`, in its log for more than nine minutes).
    index(&database).context("cannot build the indexes")?;
    let counts = fill(&database, options)?;
    println!("{}", json!({"database": options.database, "documents": counts}));
    Ok(())
}

fn command(database: &Database, command: Document) -> Result<()> {
    let name = command.keys().next().cloned().unwrap_or_default();
    database
        .run_command(command)
        .run()
        .with_context(|| format!("the command {name} failed"))?;
    Ok(())
}

/// Collections whose options matter, and a view.
fn create(database: &Database) -> Result<()> {
    command(
        database,
        doc! {
            "create": "users",
            "validator": {"$jsonSchema": {
                "bsonType": "object",
                "required": ["email", "password"],
                "properties": {"email": {"bsonType": "string"}, "password": {"bsonType": "object"}},
            }},
            "validationLevel": "strict",
            "validationAction": "error",
        },
    )?;
    command(
        database,
        doc! {"create": "audit_log", "capped": true, "size": 1_048_576, "max": 1000},
    )?;
    command(
        database,
        doc! {"create": "cities", "collation": {"locale": "en", "strength": 2}},
    )?;
    command(database, doc! {"create": "reports"})?;
    command(
        database,
        doc! {
            "create": "featured_properties",
            "viewOn": "properties",
            "pipeline": [{"$match": {"featured": true}}, {"$project": {"title": 1, "slug": 1}}],
        },
    )
}

fn fill(database: &Database, options: &Options) -> Result<serde_json::Value> {
    let total = i64::from(options.documents);
    let (properties, users, bookings) = (total / 2, total / 10, total / 4);
    let sessions = (total - properties - users - bookings).max(0);
    let seeded = |part: u64| Random::new(options.seed.wrapping_mul(1000).wrapping_add(part));

    let mut random = seeded(1);
    insert(
        database,
        "properties",
        (0..properties).map(|number| documents::property(&mut random, number)),
    )?;
    let mut random = seeded(2);
    insert(
        database,
        "users",
        (0..users).map(|number| documents::user(&mut random, number)),
    )?;
    insert(
        database,
        "users",
        std::iter::once(test_user(options, &mut random)?),
    )?;
    let mut random = seeded(3);
    insert(
        database,
        "bookings",
        (0..bookings).map(|number| documents::booking(&mut random, number, properties)),
    )?;
    let mut random = seeded(4);
    insert(
        database,
        "sessions",
        (0..sessions).map(|number| documents::session(&mut random, number)),
    )?;
    let mut random = seeded(5);
    insert(
        database,
        "audit_log",
        (0..LOG_ENTRIES).map(|number| documents::log_entry(&mut random, number)),
    )?;
    insert(
        database,
        "cities",
        ["Graz", "Wien", "Porto"]
            .into_iter()
            .map(|name| doc! {"_id": name}),
    )?;
    let types = documents::all_types();
    let types_count = types.len();
    insert(database, "types", types.into_iter())?;
    Ok(json!({
        "properties": properties, "users": users + 1, "bookings": bookings, "sessions": sessions,
        "audit_log": LOG_ENTRIES, "cities": 3, "types": types_count, "reports": 0,
    }))
}

fn test_user(options: &Options, random: &mut Random) -> Result<Document> {
    let password = std::env::var(&options.test_password_env).unwrap_or_else(|_| "rehearsal".to_owned());
    let salt = random.bytes(16);
    let hash = hash_password(&password, &salt)?;
    Ok(documents::test_user(&options.test_email, salt, hash))
}

fn insert(database: &Database, name: &str, documents: impl Iterator<Item = Document>) -> Result<()> {
    let collection = database.collection::<Document>(name);
    let mut documents = documents.peekable();
    while documents.peek().is_some() {
        let batch: Vec<Document> = documents.by_ref().take(BATCH).collect();
        collection
            .insert_many(batch)
            .run()
            .with_context(|| format!("cannot insert into {name}"))?;
    }
    Ok(())
}

/// Unique, partial, sparse, TTL, geographic and compound indexes.
fn index(database: &Database) -> Result<()> {
    command(
        database,
        doc! {"createIndexes": "properties", "indexes": [
            {"key": {"slug": 1}, "name": "slug_unique", "unique": true, "sparse": true},
            {"key": {"address.city": 1, "price": -1}, "name": "city_price"},
            {"key": {"location": "2dsphere"}, "name": "location_2dsphere"},
            {"key": {"created_at": -1}, "name": "featured_recent", "partialFilterExpression": {"featured": true}},
        ]},
    )?;
    command(
        database,
        doc! {"createIndexes": "users", "indexes": [{"key": {"email": 1}, "name": "email_unique", "unique": true}]},
    )?;
    command(
        database,
        doc! {"createIndexes": "bookings", "indexes": [
            {"key": {"property": 1}, "name": "one_active", "unique": true,
             "partialFilterExpression": {"status": "active"}},
            {"key": {"guest": 1, "from": 1}, "name": "guest_from"},
        ]},
    )?;
    command(
        database,
        doc! {"createIndexes": "sessions", "indexes": [
            {"key": {"expires_at": 1}, "name": "expires", "expireAfterSeconds": 0},
        ]},
    )
}
