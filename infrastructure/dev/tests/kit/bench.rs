//! Every bench has one form, and compares only what did the same work. Nothing here depends on how long anything took.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use rehearsal::test_env::programs::repository;
use serde_json::Value;

/// The smallest data, once.
fn bench(what: &str) -> Value {
    let root = repository();
    let output = Command::new(env!("CARGO_BIN_EXE_xtask-dev"))
        .args(["--format", "json", "bench", what, "--scale", "1", "--rounds", "1"])
        .current_dir(root)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", root.join("target/tmp"))
        .envs(toolchain())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Where cargo and its toolchains are: the folder of another user has none, and the bench builds the product.
fn toolchain() -> [(&'static str, PathBuf); 2] {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap());
    [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")].map(|(name, folder)| {
        let given = std::env::var_os(name).map(PathBuf::from);
        (name, given.unwrap_or_else(|| home.join(folder)))
    })
}

/// Gives the rows, in the order of the sides.
fn rows(report: &Value) -> &Vec<Value> {
    assert_eq!(report["schema"], "bench/1");
    assert!(report["machine"]["cores"].as_u64().unwrap() > 0);
    let rows = report["rows"].as_array().unwrap();
    for row in rows {
        for figure in [
            "elapsed_s",
            "median_s",
            "p95_s",
            "cpu_s",
            "elapsed_ratio",
            "load_1m",
        ] {
            assert!(row[figure].is_f64(), "{figure}: {row}");
        }
        for figure in ["runs", "rss_largest_bytes", "rss_together_bytes"] {
            assert!(row[figure].is_u64(), "{figure}: {row}");
        }
        assert_eq!(row["outcome"], rows[0]["outcome"]);
    }
    assert_eq!(rows[0]["elapsed_ratio"], 1.0);
    rows
}

fn sides(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["side"].as_str().unwrap()).collect()
}

#[test]
fn digests_are_those_of_a_plain_loop() {
    let report = bench("digest");
    let rows = rows(&report);
    assert_eq!(sides(rows), ["sha256sum", "plain loop", "ours"]);
    // One of each collection.
    assert_eq!(rows[0]["outcome"].as_str().unwrap().lines().count(), 4);
    assert!(report["growth"].as_array().unwrap().is_empty());
}

#[test]
fn health_asks_what_a_loop_of_curl_asks() {
    let report = bench("health");
    let rows = rows(&report);
    assert_eq!(sides(rows), ["loop of curl", "ours"]);
    let asked: Vec<String> = (0..6).map(|number| format!("/check/{number} 1×")).collect();
    assert_eq!(rows[0]["outcome"], asked.join(", "));
}

#[test]
fn the_loss_is_what_a_hash_map_of_everything_finds() {
    let report = bench("delta");
    let rows = rows(&report);
    assert_eq!(sides(rows), ["all in a hash map", "ours"]);
    assert_eq!(rows[0]["outcome"], "52 created, 52 changed, 52 deleted");
}
