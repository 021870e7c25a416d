//! A backup of production in another environment: masked, and never in a protected one.

use std::collections::BTreeSet;
use std::process::Output;

use mongodb::bson::{Bson, Document, doc};
use rehearsal::test_env::process::told;
use rehearsal::test_env::restore::{DATABASE, RestoreEnv};
use xtask::database::{Digests, Live};
use xtask::secret::Secret;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const STAGING: &str = r#"
[environments.staging]
tag_prefix = "staging"
railway = { project = "p", environment = "e", service = "s", token = "T", source = "backend", url = "http://127.0.0.1:1" }
vercel = { org = "o", project = "p", token = "T", source = "frontend", domain = "staging.example.com" }
mongodb = { uri = "TEST_MONGODB_URI", database = "shop_staging" }
[mask]
"users.email" = "hash"
"users.address.street" = "null"
"users.name" = { fixed = "a person" }
"users.level" = "keep"
"orders.buyers.email" = "hash"
"#;

/// Each of these is in the backup, and must be nowhere in the target.
fn originals() -> Vec<String> {
    let of = |n: i32| {
        [
            format!("user{n}@example.com"),
            format!("{n} Secret Street"),
            format!("Ann {n} Lee"),
        ]
    };
    (0..40).flat_map(of).collect()
}

fn fill(env: &RestoreEnv) {
    let users = (0..40).map(|n| {
        doc! { "_id": n, "email": format!("user{n}@example.com"), "level": n % 3, "name": format!("Ann {n} Lee"),
        "address": { "street": format!("{n} Secret Street"), "city": "Basel" } }
    });
    env.collection("users").insert_many(users).run().unwrap();
    let orders = (0..40).map(|n| {
        let buyers = [n, (n + 1) % 40].map(|n| doc! { "email": format!("user{n}@example.com") });
        doc! { "_id": n, "buyers": buyers.to_vec() }
    });
    env.collection("orders").insert_many(orders).run().unwrap();
    env.command(doc! { "createIndexes": "users", "indexes": [
        { "key": { "email": 1 }, "name": "email", "unique": true },
    ] });
    env.command(doc! { "create": "leveled", "viewOn": "users", "pipeline": [{ "$match": { "level": 1 } }] });
}

fn run(env: &RestoreEnv, args: &[&str], more: &[(&str, &str)]) -> Output {
    let mut command = env.xtask(&[args, &["--format", "json"]].concat());
    command.env("MASK_KEY", SECRET).envs(more.iter().copied());
    command.output().unwrap()
}

fn ok(env: &RestoreEnv, args: &[&str], more: &[(&str, &str)]) -> serde_json::Value {
    let output = run(env, args, more);
    assert!(output.status.success(), "{args:?}: {}", told(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(env: &RestoreEnv, code: i32, args: &[&str], more: &[(&str, &str)]) -> String {
    let output = run(env, args, more);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", told(&output));
    told(&output)
}

fn target(env: &RestoreEnv, database: &str) -> Live {
    Live::connect(&Secret::new(env.server.uri()), database).unwrap()
}

/// Reads every byte of every collection of a database, those beside the live ones too.
fn require_no_original(live: &Live) {
    let originals = originals();
    let mut documents = 0;
    for (name, listed) in live.listed().unwrap() {
        if listed.kind == xtask::domain::manifest::NamespaceKind::View {
            continue;
        }
        live.scan(&name, |raw| {
            documents += 1;
            let text = String::from_utf8_lossy(raw);
            let found = originals.iter().find(|original| text.contains(original.as_str()));
            assert_eq!(found, None, "{name}: {text}");
            Ok(())
        })
        .unwrap();
    }
    assert!(documents >= 80, "{documents}");
}

#[test]
fn a_copy_for_another_environment_has_no_original_value_and_the_same_references_and_unique_indexes() {
    let env = RestoreEnv::start();
    env.configure(|pipeline| {
        let key = "[restore]\nmask_key = \"MASK_KEY\"";
        pipeline.replacen("[restore]", key, 1) + STAGING
    });
    fill(&env);
    let production = env.inventory();
    let backup = env.backup();
    let backup = backup.to_str().unwrap();
    let to_staging = ["restore", backup, "--to", "staging"];

    let plan = ok(&env, &[&to_staging[..], &["--plan"]].concat(), &[]);
    assert_eq!(
        (&plan["copied"]["documents"], &plan["replaced"]["documents"]),
        (&80.into(), &0.into())
    );
    // Where nothing is, nobody is asked.
    let done = ok(&env, &to_staging, &[]);
    assert_eq!(done["masked"]["orders.buyers.email"], 80, "{done}");
    assert_eq!(done["masked"]["users.level"], 0, "{done}");
    assert_eq!(production.compare(&env.inventory()), []);
    let staging = target(&env, "shop_staging");
    require_no_original(&staging);
    let mut expected = production.clone();
    let masked = staging.inventory(Digests::Full).unwrap();
    for (name, facts) in &mut expected.collections {
        facts.content_digest = masked.collections[name].content_digest;
    }
    assert_eq!(
        expected.compare(&masked),
        [],
        "indexes, options, views and counts are the backup's"
    );

    let users = staging.database().collection::<Document>("users");
    let orders = staging.database().collection::<Document>("orders");
    let mut emails = BTreeSet::new();
    for n in 0..40 {
        let user = users.find_one(doc! { "_id": n }).run().unwrap().unwrap();
        let email = user.get_str("email").unwrap().to_owned();
        let address = user.get_document("address").unwrap();
        assert!(
            address.get("street") == Some(&Bson::Null) && address.get_str("city").is_ok(),
            "{user}"
        );
        assert_eq!(
            (user.get_str("name").unwrap(), user.get_i32("level").unwrap()),
            ("a person", n % 3)
        );
        let order = orders.find_one(doc! { "_id": n }).run().unwrap().unwrap();
        let buyers = order.get_array("buyers").unwrap();
        assert_eq!(buyers[0].as_document().unwrap().get_str("email").unwrap(), email);
        emails.insert(email);
    }
    assert_eq!(emails.len(), 40);
    let twice = doc! { "_id": "twice", "email": emails.first().unwrap() };
    users.insert_one(twice).run().unwrap_err();

    // What is there is replaced only where somebody has confirmed it, and can be had again.
    users
        .insert_one(doc! { "_id": "of staging", "email": "s" })
        .run()
        .unwrap();
    refused(&env, 3, &to_staging, &[]);
    let again = ok(&env, &[&to_staging[..], &["--yes"]].concat(), &[]);
    assert!(
        users
            .find_one(doc! { "_id": "of staging" })
            .run()
            .unwrap()
            .is_none()
    );
    require_no_original(&staging);
    let operation = again["operation"].as_str().unwrap();
    ok(
        &env,
        &["restore", "--undo", operation, "--env", "staging", "--yes"],
        &[],
    );
    assert!(
        users
            .find_one(doc! { "_id": "of staging" })
            .run()
            .unwrap()
            .is_some()
    );
}

#[test]
fn no_copy_goes_into_a_protected_database_whatever_it_is_called() {
    let env = RestoreEnv::start();
    env.configure(|pipeline| {
        let key = "[restore]\nmask_key = \"MASK_KEY\"";
        let other = pipeline.replacen("[restore]", key, 1) + STAGING;
        other.replace("shop_staging", DATABASE)
    });
    fill(&env);
    let production = env.inventory();
    let backup = env.backup();
    let backup = backup.to_str().unwrap();
    let uri = env.server.uri();
    let elsewhere = uri
        .replace("127.0.0.1", "localhost")
        .replacen("mongodb://", "mongodb://127.0.0.1:1,", 1);
    let target_uri = [("TARGET", elsewhere.as_str())];
    refused(&env, 2, &["restore", backup, "--to", "production"], &[]);
    refused(
        &env,
        3,
        &["restore", backup, "--to", "production", "--env", "staging"],
        &[],
    );
    refused(&env, 2, &["restore", backup, "--to", "nowhere"], &[]);
    let same = refused(&env, 3, &["restore", backup, "--to", "staging", "--yes"], &[]);
    assert!(same.contains("is the database of `production`"), "{same}");
    let by_variable = ["restore", backup, "--to-uri-env", "TARGET", "--yes"];
    let same = refused(&env, 3, &by_variable, &target_uri);
    assert!(same.contains("is the database of `production`"), "{same}");
    assert!(!same.contains("mongodb://"), "{same}");
    assert_eq!(production.compare(&env.inventory()), []);

    // Another database of that server is another target: by its variable, with a ledger under its name.
    let other = [("TARGET", uri.as_str())];
    let options = ["--to-uri-env", "TARGET", "--to-database", "scratch", "--yes"];
    let short = [("TARGET", uri.as_str()), ("MASK_KEY", "short")];
    refused(&env, 2, &[&["restore", backup], &options[..]].concat(), &short);
    let done = ok(&env, &[&["restore", backup], &options[..]].concat(), &other);
    require_no_original(&target(&env, "scratch"));
    assert!(done["environment"].as_str().unwrap().starts_with("to-"), "{done}");
    let operation = done["operation"].as_str().unwrap();
    ok(
        &env,
        &[&["restore", "--undo", operation], &options[..]].concat(),
        &other,
    );
    assert!(
        target(&env, "scratch")
            .inventory(Digests::None)
            .unwrap()
            .collections
            .is_empty()
    );
    assert_eq!(production.compare(&env.inventory()), []);

    // A typing error in a mask, and a value that has no hash, let nothing through.
    for (wrong, right, code) in [
        ("\"user.email\"", "\"users.email\"", 2),
        ("\"users.address\"", "\"users.address.street\"", 1),
    ] {
        env.configure(|pipeline| {
            let key = "[restore]\nmask_key = \"MASK_KEY\"";
            let other = pipeline.replacen("[restore]", key, 1) + STAGING;
            other
                .replace(&format!("{right} = \"null\""), &format!("{right} = \"hash\""))
                .replace(right, wrong)
        });
        refused(&env, code, &["restore", backup, "--to", "staging"], &[]);
        assert!(target(&env, "shop_staging").listed().unwrap().is_empty());
    }
}
