//! The real `railway` and `vercel` in place of their stand-ins: the same story against the same simulator. What they ask
//! of the platforms and what comes of it must be the same; a difference is a fault of the stand-in.
//!
//! Run by `cargo xtask ci --conformance`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use xtask::commands::rehearse::{Served, World};

/// What a story came to.
#[derive(Debug, PartialEq)]
struct Told {
    served: Vec<Served>,
    /// Verdict and health of each operation.
    reports: Vec<Value>,
    /// Variables as the platform has them at the end: names only.
    calls: BTreeSet<(String, String)>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn real(name: &str) -> PathBuf {
    let found = xtask::tools::resolve::resolve(root(), &[name.to_owned()]).unwrap();
    found[0].path.clone()
}

/// Deploy, deploy with a migration and a changed variable, rollback, undo.
fn story(programs: &[(&str, PathBuf)]) -> Told {
    let folder = tempfile::Builder::new().prefix("xtask-conf-").tempdir().unwrap();
    let mut world = World::start(root(), folder.path(), Path::new(env!("CARGO_BIN_EXE_xtask"))).unwrap();
    for (name, path) in programs {
        world.use_program(name, path).unwrap();
    }
    world.seed(100, 1).unwrap();
    let (mut served, mut reports) = (Vec::new(), Vec::new());
    let mut run = |name: &str, args: &[&str], env: &[(&str, &str)]| {
        let ended = world
            .xtask_in(
                &world.clone_dir(),
                name,
                &[args, &["--yes", "--format", "json"]].concat(),
                env,
            )
            .unwrap()
            .checked()
            .unwrap();
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        served.push(world.served().unwrap());
        reports.push(report["release"]["health"].clone());
        report
    };
    world.commit_release("v1").unwrap();
    let first = run("first", &["deploy"], &[]);
    let tag = first["release"]["tag"].as_str().unwrap().to_owned();
    world.commit_release("v3").unwrap();
    run(
        "second",
        &["deploy"],
        &[("PROD_JWT_SECRET", "another-secret-of-the-test")],
    );
    let back = run("back", &["rollback", &tag, "--reason", "conformance"], &[]);
    let operation = back["release"]["operation"].as_str().unwrap().to_owned();
    run("undo", &["rollback", "--undo", &operation], &[]);
    let seen = world.platform_report().unwrap();
    assert_eq!(seen["unimplemented"], serde_json::json!([]));
    let calls = seen["requests"].as_array().unwrap().iter().map(|request| {
        let text = |name: &str| request[name].as_str().unwrap().to_owned();
        (text("platform"), text("operation"))
    });
    let calls = calls.filter(|(platform, _)| platform != "services").collect();
    Told {
        served,
        reports,
        calls,
    }
}

#[test]
#[ignore = "needs the real railway and vercel: cargo xtask ci --conformance"]
fn the_real_programs_do_and_ask_what_the_stand_ins_do_and_ask() {
    let standins = story(&[]);
    let real = story(&[("railway", real("railway")), ("vercel", real("vercel"))]);
    assert_eq!(real, standins);
}
