//! Snapshots of MongoDB Atlas before a release. Each trap of the program `atlas` and of its API is a case.

use std::path::Path;

use rehearsal::test_env::programs::repository;
use rehearsal::test_env::{DATABASE, TestEnv};
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::database::{Digests, Live};
use xtask::domain::inventory::Inventory;
use xtask::exec::Finished;
use xtask::secret::Secret;

const CREATE: &str = "POST /clusters/{clusterName}/backup/snapshots";
const DESCRIBE: &str = "GET /clusters/{clusterName}/backup/snapshots/{snapshotId}";
const CREATE_JOB: &str = "POST /clusters/{clusterName}/collectionRestoreJobs";
const CLUSTER: &str = "GET /clusters/{clusterName}";

const TABLE: &str = "
[environments.production.atlas]
project = \"6a793f6b2c88faeba59bae37\"
cluster = \"shop\"
public_key = \"ATLAS_PUBLIC_KEY\"
private_key = \"ATLAS_PRIVATE_KEY\"
snapshot_s = 20
";

struct Case {
    env: TestEnv,
    // Last: the test environment ends before its folder goes.
    _folder: TempDir,
}

impl Case {
    fn with(engine: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("xa").tempdir().unwrap();
        let env =
            TestEnv::start(repository(), Path::new(folder.path())).expect("the test environment starts");
        env.seed(50, 1).unwrap();
        let file = env.clone_dir().join("infrastructure/pipeline.toml");
        let pipeline = std::fs::read_to_string(&file).unwrap();
        let pipeline = pipeline.replace("[backup]\n", &format!("[backup]\nengine = \"{engine}\"\n"));
        std::fs::write(&file, pipeline + TABLE).unwrap();
        env.commit_release("v1").unwrap();
        Self { env, _folder: folder }
    }

    fn run(&self, args: &[&str]) -> Finished {
        self.env.xtask("run", args).unwrap()
    }

    fn deploy(&self) -> Finished {
        self.run(&["deploy", "--yes", "--format", "json"])
    }

    fn released(&self) -> Value {
        let done = self.deploy();
        assert_eq!(done.code, Some(0), "{}", done.error());
        let done: Value = serde_json::from_str(&done.stdout).unwrap();
        done["release"].clone()
    }

    /// A deploy that ends so, before anything is live.
    fn refused(&self, code: i32, words: &[&str]) {
        let done = self.deploy();
        let told = done.stderr_tail.join("\n");
        assert_eq!(done.code, Some(code), "{told}");
        for words in words {
            assert!(told.contains(words), "{words} is not in:\n{told}");
        }
        assert!(told.contains("nothing"), "{told}");
        let report = self.env.platform_report().unwrap();
        assert_eq!(
            report["railway"]["deployments"],
            json!([]),
            "{}",
            report["railway"]
        );
    }

    fn control(&self, path: &str, body: &Value) {
        self.env.control(path, body).unwrap();
    }

    fn fault(&self, operation: &str, kind: &str, nth: u64, times: u64, status: u16) {
        self.control(
            "/faults",
            &json!({"id": "f", "platform": "atlas", "operation": operation, "kind": kind, "nth": nth,
                    "times": times, "status": status}),
        );
    }

    fn snapshots(&self) -> Vec<Value> {
        let report = self.env.platform_report().unwrap();
        assert_eq!(report["unimplemented"], json!([]));
        report["atlas"]["snapshots"].as_array().unwrap().clone()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_release_is_kept_by_a_backup_and_a_snapshot_that_are_recorded_and_listed() {
    let case = Case::with("both");
    let release = case.released();
    let snapshots = case.snapshots();
    assert_eq!(snapshots.len(), 1, "{snapshots:?}");
    let taken = &snapshots[0];
    assert_eq!(
        taken["description"],
        format!("xtask {}", text(&release["operation"]))
    );
    assert!(release["backup"]["id"].is_string(), "{release}");
    let expected = json!({"id": taken["id"], "project": "6a793f6b2c88faeba59bae37", "cluster": "shop"});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(release["snapshot"][name], *value, "{release}");
    }
    // Without `--retention` it would be kept for a day.
    let days = |value: &Value| {
        chrono::DateTime::parse_from_rfc3339(&text(value)).unwrap() - chrono::Utc::now().fixed_offset()
    };
    assert!(
        (88..=90).contains(&days(&release["snapshot"]["expires"]).num_days()),
        "{release}"
    );

    let listed = case.run(&["backup", "list"]);
    assert!(listed.stdout.contains(&text(&taken["id"])), "{}", listed.stdout);
    assert!(
        listed.stdout.contains("not restored by us since"),
        "{}",
        listed.stdout
    );

    // The second release says what the first one can be rolled back with.
    case.env.commit_release("v3").unwrap();
    let second = case.released();
    let listed = case.run(&["releases"]);
    let line = format!(
        "data in the snapshot {} on Atlas until",
        text(&second["snapshot"]["id"])
    );
    assert!(listed.stdout.contains(&line), "{}", listed.stdout);
    let doctor = case.run(&["doctor"]);
    assert!(
        doctor
            .stdout
            .contains("the one of the connection string; cloud backup is on"),
        "{}",
        doctor.stdout
    );

    // Each request goes out twice: the first is refused with the challenge.
    let report = case.env.platform_report().unwrap();
    let asked = report["requests"].as_array().unwrap().iter();
    let created: Vec<u64> = asked
        .filter(|request| request["operation"] == CREATE)
        .map(|request| request["status"].as_u64().unwrap())
        .collect();
    assert_eq!(created, [401, 200, 401, 200]);
    // The program makes folders wherever its home is.
    assert!(!case.env.folder.join("home/config/atlascli").exists());
    assert!(case.env.clone_dir().join(".xtask/atlas/atlascli").exists());
}

#[test]
fn a_deploy_whose_snapshot_is_not_completed_and_kept_stops_before_anything_is_live() {
    let case = Case::with("atlas");
    case.control(
        "/atlas/next",
        &json!({"statuses": ["queued", "inProgress", "failed"]}),
    );
    case.refused(1, &["snapshot-failed", "failed on Atlas"]);
    case.control(
        "/atlas/next",
        &json!({"statuses": ["queued", "completed"], "keep_days": 1}),
    );
    case.refused(1, &["snapshot-short-lived"]);
    case.control("/atlas/next", &json!({"statuses": ["queued"]}));
    case.refused(1, &["snapshot-late", "within 20 s"]);
    // Credentials that are not accepted, an address that is not on the access list: `watch` would end well.
    for status in [401, 403] {
        case.fault(DESCRIBE, "status", 1, 0, status);
        // The last one is still queued: nobody can ask for another.
        case.control("/atlas/next", &json!({"statuses": ["completed"]}));
        case.control("/atlas/finish", &json!({}));
        case.refused(1, &["atlas-denied", &status.to_string()]);
        case.control("/faults/clear", &json!({}));
    }
    let before = case.snapshots().len();
    case.fault(CLUSTER, "status", 1, 0, 403);
    case.refused(1, &["HTTP 403"]);
    case.control("/faults/clear", &json!({}));
    case.control("/atlas/cluster", &json!({"name": "shop", "backupEnabled": false}));
    case.refused(3, &["cloud backup is off"]);
    case.control(
        "/atlas/cluster",
        &json!({"name": "shop", "backupEnabled": true, "standard": "mongodb://other.example:27017"}),
    );
    case.refused(3, &["is not the one of the connection string"]);
    let doctor = case.run(&["doctor"]);
    assert!(
        doctor.stdout.contains("PROBLEM  atlas cluster"),
        "{}",
        doctor.stdout
    );
    assert_eq!(
        case.snapshots().len(),
        before,
        "a snapshot of the wrong cluster was taken"
    );
}

#[test]
fn a_snapshot_is_asked_for_once_and_waited_for_whatever_happens_on_the_way() {
    let case = Case::with("atlas");
    // The answer is lost: it is found by its description.
    case.fault(CREATE, "done-then-close", 2, 1, 0);
    let release = case.released();
    assert_eq!(case.snapshots().len(), 1);
    assert!(release["backup"].is_null(), "{release}");
    assert!(release["snapshot"]["id"].is_string(), "{release}");
    // Somebody else's is under way: Atlas takes one at a time.
    case.control("/faults/clear", &json!({}));
    case.control(
        "/atlas/snapshot",
        &json!({"cluster": "shop", "description": "nightly"}),
    );
    // Too many questions, for a while.
    case.fault(DESCRIBE, "status", 1, 3, 429);
    case.env.commit_release("v3").unwrap();
    let second = case.released();
    assert_eq!(case.snapshots().len(), 3);
    assert_ne!(second["snapshot"]["id"], release["snapshot"]["id"]);

    // No rollback waits for Atlas where it is to restore the data: the plan has the way and its price.
    let tag = text(&release["tag"]);
    let plan = case.run(&[
        "rollback",
        &tag,
        "--reason",
        "x",
        "--plan",
        "--database",
        "restore",
    ]);
    let told = plan.stderr_tail.join("\n");
    assert_eq!(plan.code, Some(3), "{told}");
    assert!(told.contains(&text(&second["snapshot"]["id"])), "{told}");
    assert!(
        told.contains("nothing of ours has read it back") && told.contains("--database keep"),
        "{told}"
    );
    let kept = case.run(&[
        "rollback",
        &tag,
        "--reason",
        "x",
        "--yes",
        "--database",
        "keep",
        "--over-migrations",
    ]);
    // The first release was not made for the migrated data; what was asked for is done.
    assert_eq!(kept.code, Some(4), "{}", kept.error());
    assert_eq!(
        case.snapshots().len(),
        4,
        "what the rollback replaced is not kept"
    );
}

impl Case {
    /// Every collection of the application, each document of it.
    fn data(&self) -> Inventory {
        let live = Live::connect(&Secret::new(&self.env.uri), DATABASE).unwrap();
        live.inventory(Digests::Full).unwrap()
    }

    /// What an operation has beside the live collections.
    fn beside(&self) -> Vec<String> {
        let live = Live::connect(&Secret::new(&self.env.uri), DATABASE).unwrap();
        let names = live.listed().unwrap().into_keys();
        names.filter(|name| name.starts_with("__")).collect()
    }
}

#[test]
fn a_snapshot_becomes_a_verified_backup_that_is_restored_as_every_other_is() {
    let case = Case::with("atlas");
    // The snapshot is older than what the release does.
    let then = case.data();
    let release = case.released();
    let id = text(&release["snapshot"]["id"]);
    case.env.users_write(20, 3).unwrap();
    let now = case.data();
    assert_ne!(then, now);

    // Atlas gives up, or somebody ends the job: nothing is left beside the live collections, and nothing is proved.
    for state in ["FAILED", "CANCELED"] {
        case.control(
            "/atlas/next-job",
            &json!({"states": ["INITIALIZING", "IN_PROGRESS", state]}),
        );
        let failed = case.run(&["backup", "import", "--snapshot", &id]);
        let told = failed.stderr_tail.join("\n");
        assert_eq!(failed.code, Some(1), "{told}");
        assert!(told.contains("snapshot-not-restored"), "{told}");
        assert_eq!(case.beside(), Vec::<String>::new(), "{state}");
    }
    let listed = case.run(&["backup", "list"]);
    assert!(
        listed.stdout.contains("not restored by us since"),
        "{}",
        listed.stdout
    );
    let unknown = case.run(&["backup", "import", "--snapshot", "6a79468a2c88faebffffffff"]);
    assert_eq!(unknown.code, Some(2), "{}", unknown.error());

    // The answer to the request is lost: the job is found by the names that it was asked for.
    case.fault(CREATE_JOB, "done-then-close", 2, 1, 0);
    let imported = case.run(&["backup", "import", "--snapshot", &id, "--format", "json"]);
    assert_eq!(imported.code, Some(0), "{}", imported.error());
    let imported: Value = serde_json::from_str(&imported.stdout).unwrap();
    let backup = text(&imported["metadata"]["id"]);
    assert!(imported["metadata"]["verified"].is_string(), "{imported}");
    let jobs = case.env.platform_report().unwrap()["atlas"]["collection_restores"].clone();
    assert_eq!(jobs.as_array().unwrap().len(), 3, "{jobs}");
    assert_eq!(case.beside(), Vec::<String>::new());
    assert_eq!(case.data(), now, "the live data were changed");
    let listed = case.run(&["backup", "list"]);
    assert!(listed.stdout.contains("read back by"), "{}", listed.stdout);

    let restored = case.run(&["restore", &backup, "--yes"]);
    assert_eq!(restored.code, Some(0), "{}", restored.error());
    assert_eq!(
        then.compare(&case.data()),
        [],
        "the data are not those of the snapshot"
    );
}
