//! Time-series collections are restored by stock tools: the commands that the plan names do what they claim, and nothing else.

use std::path::Path;
use std::process::Command;

use mongodb::bson::{DateTime, Document, doc};
use mongodb::sync::Database;
use rehearsal::test_env::process::told;
use rehearsal::test_env::proxy::kept_buckets;
use rehearsal::test_env::restore::{RestoreEnv, change, seed};
use serde_json::Value;

const NAME: &str = "metered * it's (1)";

fn lines(report: &Value) -> Vec<&str> {
    let lines = report["time_series"].as_array().unwrap();
    lines.iter().map(|line| line.as_str().unwrap()).collect()
}

/// What stands behind the words of a line.
fn command_in(line: &str) -> &str {
    let at = line.find("tar ").unwrap();
    &line[at..]
}

/// As a person types it, where `URI.yaml` is.
fn typed(command: &str, folder: &Path) {
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("set -eo pipefail; {command}")])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .current_dir(folder);
    let output = bash.output().unwrap();
    assert!(output.status.success(), "{command}: {}", told(&output));
}

fn buckets(database: &Database, name: &str) -> Vec<Document> {
    let found = database.collection(name).find(doc! {}).run().unwrap();
    found.map(Result::unwrap).collect()
}

#[test]
fn the_commands_of_the_plan_restore_a_time_series_and_nothing_else() {
    let env = RestoreEnv::behind_proxy();
    seed(&env);
    let measured = |second: i64| doc! { "at": DateTime::from_millis(second * 1000), "value": second };
    // What the local server takes back of its own options.
    let options = doc! { "timeField": "at", "bucketMaxSpanSeconds": 3600, "bucketRoundingSeconds": 3600 };
    env.command(doc! { "create": NAME, "timeseries": options });
    let metered = env.collection(NAME);
    metered.insert_many((0..50).map(measured)).run().unwrap();
    let database = env.database();
    let backed_up = buckets(&database, &format!("system.buckets.{NAME}"));
    let backup = env.backup();
    let backup = backup.to_str().unwrap();
    let plan = env.ok(&["restore", backup, "--plan"]);
    assert_eq!(lines(&plan["loss"]).len(), 1, "as in the backup: {plan}");

    change(&env);
    metered.insert_one(measured(86_400)).run().unwrap();
    let changed = env.inventory();
    let plan = env.ok(&["restore", backup, "--plan"]);
    let [what, beside, in_place] = lines(&plan["loss"])[..] else {
        panic!("{plan}");
    };
    assert!(what.ends_with("2 buckets instead of 1"), "{what}");
    assert!(beside.contains("first into another database"), "{beside}");
    assert!(in_place.contains("with the writers stopped"), "{in_place}");
    let unread = env.ok(&["restore", backup, "--plan", "--delta", "none"]);
    assert!(
        lines(&unread["loss"])[0].contains("were not compared"),
        "{unread}"
    );

    // Most connection strings name the database.
    let proxy = env.proxy.as_ref().unwrap();
    let uri = proxy.through(&env.server.uri()) + "shop?directConnection=true";
    std::fs::write(env.root().join("URI.yaml"), format!("uri: \"{uri}\"\n")).unwrap();
    proxy.take_buckets();
    typed(command_in(beside), &env.root());
    assert_eq!(changed.compare(&env.inventory()), [], "nothing live is changed");
    let restored = env.server.client().database("shop_restored");
    let mut names = restored.list_collection_names().run().unwrap();
    names.retain(|name| !name.starts_with("system."));
    names.sort();
    assert_eq!(names, [NAME.to_owned(), kept_buckets(NAME)]);
    assert_eq!(buckets(&restored, &kept_buckets(NAME)), backed_up);

    typed(command_in(in_place), &env.root());
    assert_eq!(buckets(&database, &kept_buckets(NAME)), backed_up);
    database
        .collection::<Document>(&kept_buckets(NAME))
        .drop()
        .run()
        .unwrap();
    let (mut changed, mut live) = (changed, env.inventory());
    assert!(changed.collections.remove(NAME).is_some() && live.collections.remove(NAME).is_some());
    assert_eq!(changed.compare(&live), [], "no other collection is replaced");
    // The local server made no measurements of them, so it still is not as in the backup: the report has the same commands.
    let done = env.ok(&["restore", backup]);
    assert_eq!(&lines(&done)[1..], [beside, in_place]);
}
