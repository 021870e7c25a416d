//! What an application and its migrations do between the commands of an operator.

use mongodb::bson::{Bson, DateTime, doc};
use rehearsal::data::random::Random;
use rehearsal::test_env::restore::RestoreEnv;
use rehearsal::test_env::restore::shapes::{METERED, NAMES, NOT_RESTORED, SHAPES, document, id};
use xtask::domain::inventory::is_application;
use xtask::domain::manifest::NamespaceKind;

/// The collections that are live.
pub fn collections(env: &RestoreEnv) -> Vec<String> {
    let listed = env.live().listed().unwrap().into_iter();
    let own =
        listed.filter(|(name, listed)| listed.kind == NamespaceKind::Collection && is_application(name));
    own.map(|(name, _)| name).collect()
}

/// Some changes, without those that only a migration makes where `documents_only`; gives what was done. What the server refuses
/// (a unique key, a validator) is not done.
pub fn change(env: &RestoreEnv, random: &mut Random, documents_only: bool) -> String {
    let count = random.range(1, 4);
    let kinds = if documents_only { 7 } else { 15 };
    let done: Vec<String> = (0..count).map(|_| change_once(env, random, kinds)).collect();
    done.join(", ")
}

fn change_once(env: &RestoreEnv, random: &mut Random, kinds: i64) -> String {
    let names = collections(env);
    let any = names.is_empty().then(|| "users".to_owned());
    let name = any.unwrap_or_else(|| random.pick(&names).clone());
    let collection = env.collection(&name);
    match random.range(0, kinds) {
        0..=3 => {
            let id = id(random);
            let written = document(random, id.clone());
            let stored = if random.range(0, 2) == 0 {
                collection.insert_one(written).run().is_ok()
            } else {
                let filter = doc! { "_id": { "$eq": id } };
                collection.replace_one(filter, written).upsert(true).run().is_ok()
            };
            format!("write into {name:?}: {stored}")
        }
        4 => {
            let number = random.range(0, 1000);
            let set = doc! { "$set": { "changed": number } };
            let ok = collection.update_many(doc! {}, set).run().is_ok();
            format!("update all of {name:?}: {ok}")
        }
        5 => {
            let limit = random.range(0, 30);
            let ok = collection
                .delete_many(doc! { "_id": { "$lt": limit } })
                .run()
                .is_ok();
            format!("delete of {name:?}: {ok}")
        }
        6 => {
            let at = DateTime::from_millis(random.range(0, 1_000_000_000));
            let measured = doc! { "at": at, "from": "b", "value": 1 };
            // Where there is none, it would be made as another kind of collection.
            let listed = env.live().listed().unwrap();
            let is_there = listed.contains_key(METERED);
            let ok = is_there && env.collection(METERED).insert_one(measured).run().is_ok();
            format!("measure: {ok}")
        }
        7 => {
            let fresh = *random.pick(&NAMES);
            let (shape, make) = random.pick(&SHAPES);
            if names.iter().any(|name| name == fresh) {
                return "nothing".to_owned();
            }
            make(env, fresh, random);
            format!("make {fresh:?}: {shape}")
        }
        8 => {
            env.database().run_command(doc! { "drop": &name }).run().ok();
            format!("drop {name:?}")
        }
        9 => {
            let other = *random.pick(&NAMES);
            let of = env.database().name().to_owned();
            let rename = doc! { "renameCollection": format!("{of}.{name}"), "to": format!("{of}.{other}") };
            let ok = env
                .server
                .client()
                .database("admin")
                .run_command(rename)
                .run()
                .is_ok();
            format!("rename {name:?} to {other:?}: {ok}")
        }
        10 => {
            let index = doc! { "key": { "changed": 1, "n": -1 }, "name": "by change" };
            let made = doc! { "createIndexes": &name, "indexes": [index] };
            let ok = env.database().run_command(made).run().is_ok();
            format!("index on {name:?}: {ok}")
        }
        11 => {
            let view = *random.pick(&["a view", "another view", "users"]);
            let made = doc! { "create": view, "viewOn": &name, "pipeline": Bson::Array(Vec::new()) };
            let ok = env.database().run_command(made).run().is_ok();
            format!("view {view:?} on {name:?}: {ok}")
        }
        13 => {
            let fresh = *random.pick(&NOT_RESTORED);
            let written = document(random, 1);
            let ok = env.collection(fresh).insert_one(written).run().is_ok();
            format!("make {fresh:?}, which no restore takes: {ok}")
        }
        14 => {
            drop_not_restored(env);
            "drop what no restore takes".to_owned()
        }
        _ => {
            let dropped = doc! { "drop": *random.pick(&["a view", "view of a view", "another view"]) };
            let ok = env.database().run_command(dropped.clone()).run().is_ok();
            format!("{dropped}: {ok}")
        }
    }
}

/// A migration gives up the names that no restore takes.
pub fn drop_not_restored(env: &RestoreEnv) {
    for name in NOT_RESTORED {
        env.database().run_command(doc! { "drop": name }).run().ok();
    }
}
