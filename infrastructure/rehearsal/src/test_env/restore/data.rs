//! Data of every kind, and what an application makes of them.

use mongodb::bson::{Document, doc};

use super::RestoreEnv;

/// Data of every kind that a restore must keep.
pub fn seed(env: &RestoreEnv) {
    let users: Vec<Document> = (0..200)
        .map(|n| doc! { "_id": n, "email": format!("user{n}@example.com"), "visits": i64::from(n), "active": n % 3 == 0 })
        .collect();
    env.collection("users").insert_many(users).run().unwrap();
    env.command(doc! { "createIndexes": "users", "indexes": [
        { "key": { "email": 1 }, "name": "email", "unique": true },
        { "key": { "visits": -1, "email": 1 }, "name": "visits", "partialFilterExpression": { "active": true } },
    ] });
    // Far from expiring here: how TTL indexes are kept from working in the shadow is tested where they are made.
    let old = mongodb::bson::DateTime::from_millis(0);
    let sessions: Vec<Document> = (0..50)
        .map(|n| doc! { "_id": format!("s{n}"), "seen": old })
        .collect();
    env.collection("sessions").insert_many(sessions).run().unwrap();
    let expiry = doc! { "key": { "seen": 1 }, "name": "seen", "expireAfterSeconds": 2_000_000_000_i64 };
    env.command(doc! { "createIndexes": "sessions", "indexes": [expiry] });
    // A document that its own validator refuses.
    env.collection("orders")
        .insert_one(doc! { "_id": 1, "total": "much" })
        .run()
        .unwrap();
    let validator = doc! { "total": { "$type": "number" } };
    env.command(doc! { "collMod": "orders", "validator": validator, "validationLevel": "moderate" });
    env.command(doc! { "create": "log", "capped": true, "size": 100_000, "max": 500 });
    let lines: Vec<Document> = (0_i32..30).map(|n| doc! { "_id": n, "line": "x" }).collect();
    env.collection("log").insert_many(lines).run().unwrap();
    env.command(doc! { "create": "words", "collation": { "locale": "fr", "strength": 2 } });
    env.collection("words")
        .insert_one(doc! { "_id": "été" })
        .run()
        .unwrap();
    env.command(doc! { "create": "empty" });
    env.command(
        doc! { "create": "active_users", "viewOn": "users", "pipeline": [{ "$match": { "active": true } }] },
    );
}

/// What an application and a migration do after a backup: documents of every collection change, collections come and go.
pub fn change(env: &RestoreEnv) {
    env.collection("users")
        .update_many(doc! { "active": true }, doc! { "$inc": { "visits": 1 } })
        .run()
        .unwrap();
    env.collection("users")
        .delete_many(doc! { "_id": { "$lt": 7 } })
        .run()
        .unwrap();
    env.collection("users")
        .insert_one(doc! { "_id": "new", "email": "new@example.com" })
        .run()
        .unwrap();
    env.collection("payments")
        .insert_one(doc! { "_id": 1, "amount": 12.5 })
        .run()
        .unwrap();
    env.command(doc! { "drop": "empty" });
    env.command(doc! { "drop": "active_users" });
    env.command(doc! { "create": "rich_users", "viewOn": "users", "pipeline": [] });
    env.command(doc! { "dropIndexes": "users", "index": "visits" });
    env.command(doc! { "collMod": "orders", "validator": {} });
}
