use serde_json::{Value, json};

use super::*;

/// A pipeline with approvals, tests, notifications; more may follow.
fn config(more: &str) -> Config {
    let text = include_str!("../../../infrastructure/pipeline.toml");
    Config::parse(Path::new("pipeline.toml"), &format!("{text}\n{more}")).unwrap()
}

fn deploy(config: &Config) -> Workflow {
    generate(config, &["HEALTH_EMAIL".to_owned()]).unwrap().remove(0)
}

/// Every job of every workflow: the path of its workflow, its name, its meaning.
fn jobs(config: &Config) -> Vec<(String, String, Value)> {
    let workflows = generate(config, &[]).unwrap();
    let jobs = workflows.into_iter().flat_map(|workflow| {
        let jobs = meaning(&workflow.text).unwrap()["jobs"]
            .as_object()
            .unwrap()
            .clone();
        jobs.into_iter()
            .map(move |(name, job)| (workflow.path.clone(), name, job))
    });
    jobs.collect()
}

fn states(root: &Path, config: &Config) -> Vec<(String, WorkflowState)> {
    let compared = compare(root, config, &[]).unwrap();
    let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    compared.iter().map(|one| (name(&one.path), one.state)).collect()
}

#[test]
fn comments_pins_and_the_order_of_keys_are_no_difference_and_pins_are_kept() {
    let wanted = deploy(&config("")).text;
    let mut found = wanted.replace("@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0", "@v6");
    assert_ne!(found, wanted);
    found = found.replace(
        "  workflow_dispatch:\n",
        "  # Ours.\n  workflow_dispatch: # by hand\n",
    );
    found = found.replace(
        "          fetch-depth: 0\n          persist-credentials: false\n",
        "          persist-credentials: false\n          fetch-depth: 0\n",
    );
    let own = "./.github/actions/xtask";
    assert_eq!(
        state_of(&wanted, &found, own).unwrap(),
        (WorkflowState::Same, Vec::new())
    );
    let kept = kept_pins(&wanted, &found, own);
    assert!(kept.contains("actions/checkout@v6\n") && !kept.contains("actions/checkout@08"));
    assert!(
        kept.contains("actions/upload-artifact@bbbca2"),
        "others have their pins"
    );
}

#[test]
fn what_a_workflow_lacks_is_named_with_its_place() {
    let wanted = deploy(&config("")).text;
    let found = wanted.replacen(
        "          PROD_JWT_SECRET: ${{ secrets.PROD_JWT_SECRET }}\n",
        "",
        1,
    );
    let found = found.replace("branches: [main]", "branches: [master]");
    let (state, differences) = state_of(&wanted, &found, "").unwrap();
    assert_eq!(state, WorkflowState::Edited);
    assert_eq!(
        differences,
        [
            "jobs.request.steps[4].env.PROD_JWT_SECRET is missing: \"${{ secrets.PROD_JWT_SECRET }}\"",
            "on.push.branches[0] is \"master\", not \"main\"",
        ]
    );
}

#[test]
fn a_file_that_nobody_edited_is_replaced_and_an_edited_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let before = config("");
    let all = [
        "production-deploy.yml",
        "production-rollback.yml",
        "approval-sweeper.yml",
        "restore-drill.yml",
    ];
    let each = |state| all.map(|name| (name.to_owned(), state)).to_vec();
    assert_eq!(states(folder.path(), &before), each(WorkflowState::Missing));
    std::fs::create_dir_all(folder.path().join(WORKFLOWS_DIR)).unwrap();
    for workflow in generate(&before, &[]).unwrap() {
        std::fs::write(folder.path().join(&workflow.path), &workflow.text).unwrap();
    }
    assert_eq!(states(folder.path(), &before), each(WorkflowState::Same));

    let mut after = before.clone();
    after.default_environment = "live".to_owned();
    let environment = after.environments["production"].clone();
    after.environments.insert("live".to_owned(), environment);
    assert_eq!(states(folder.path(), &after), each(WorkflowState::Outdated));
    refuse_edited(&compare(folder.path(), &after, &[]).unwrap()).unwrap();
    let file = folder.path().join(WORKFLOWS_DIR).join(all[1]);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("timeout-minutes: 60", "timeout-minutes: 90")).unwrap();
    let error = refuse_edited(&compare(folder.path(), &after, &[]).unwrap()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("somebody else: .github/workflows/production-rollback.yml"),
        "{error}"
    );

    // Without reviewers nothing waits for them.
    let mut signed = before;
    signed.approval.method = crate::config::ApprovalMethod::SignedTag;
    let states = states(folder.path(), &signed);
    assert_eq!(states[2], (all[2].to_owned(), WorkflowState::NotNeeded));
    assert!(!deploy(&signed).text.contains("approval-1"));
}

#[test]
fn names_that_yaml_reads_otherwise_are_quoted() {
    let mut config = config("");
    config.git.branch = "1.0".to_owned();
    config.approval.environments = vec!["on".to_owned(), "two: words # \"x\"".to_owned()];
    let meaning = meaning(&deploy(&config).text).unwrap();
    assert_eq!(meaning["on"]["push"]["branches"][0], "1.0");
    assert_eq!(meaning["jobs"]["approval-1"]["environment"], "on");
    assert_eq!(meaning["jobs"]["approval-2"]["environment"], "two: words # \"x\"");
    assert_eq!(meaning["jobs"]["deploy"]["needs"], "approval-2");
}

#[test]
fn containers_of_all_suites_are_beside_each_of_them() {
    let services =
        |config: &Config| meaning(&deploy(config).text).unwrap()["jobs"]["test"]["services"].clone();
    assert_eq!(services(&config("")), serde_json::Value::Null);
    let more = "[tests.backend.services.mongodb]\nimage = \"mongo:8.0\"\nports = [27017]\nready = \"mongosh --eval 'db.hello()'\"\n\
                [tests.frontend.services.redis]\nimage = \"redis:8\"\nports = [6379]\nenv = { A = \"1: # x\" }\n";
    let options = "--health-cmd \"mongosh --eval 'db.hello()'\" --health-interval 2s --health-timeout 5s --health-retries 60";
    let wanted = json!({
        "mongodb": { "image": "mongo:8.0", "ports": ["27017:27017"], "options": options },
        "redis": { "image": "redis:8", "ports": ["6379:6379"], "env": { "A": "1: # x" } },
    });
    assert_eq!(services(&config(more)), wanted);
}

#[test]
fn workflows_install_rclone_where_a_storage_needs_it() {
    assert!(!deploy(&config("")).text.contains("rclone"));
    let bucket = "[[backup.places]]\nkind = \"s3\"\nbucket = \"shop-backups\"\nprefix = \"prod\"\nregion = \"eu-central-1\"\nrequired = true\n";
    let text = deploy(&config(bucket)).text;
    let step = "\n      - name: Install rclone\n        run: |\n          sudo apt-get update --quiet\n          sudo apt-get install --yes --no-install-recommends rclone\n";
    assert!(text.contains(step), "{text}");
    let locked = format!("{bucket}object_lock = {{ mode = \"compliance\", days = 30 }}\n");
    let text = deploy(&config(&locked)).text;
    assert!(
        text.contains("          go install github.com/rclone/rclone@v1.75"),
        "{text}"
    );
}

/// Atlas takes only addresses of its list, and machines of GitHub have another one each time.
#[test]
fn each_job_that_reaches_the_database_runs_where_pipeline_toml_says() {
    let mut config = config("");
    for (labels, expected) in [
        (vec!["ubuntu-latest"], json!("ubuntu-latest")),
        (vec!["self-hosted", "on"], json!(["self-hosted", "on"])),
    ] {
        config.workflows.runs_on = labels.into_iter().map(str::to_owned).collect();
        for (path, name, job) in jobs(&config) {
            let reaches = job.to_string().contains("secrets.PROD_MONGODB_URI");
            let machine = if reaches {
                &expected
            } else {
                &json!("ubuntu-latest")
            };
            assert_eq!(&job["runs-on"], machine, "{path} {name}");
        }
    }
}

#[test]
fn jobs_that_may_take_a_snapshot_install_the_program_that_takes_it() {
    let jobs_with = |config: &Config| -> Vec<String> {
        let with = jobs(config)
            .into_iter()
            .filter(|(.., job)| job.to_string().contains("mongodb-atlas-cli"));
        with.map(|(_, name, _)| name).collect()
    };
    assert_eq!(jobs_with(&config("")), [""; 0]);
    let table = "[environments.production.atlas]\nproject = \"5f4007f327a3bd7b6f4103c5\"\ncluster = \"Shop\"\n\
                 public_key = \"ATLAS_PUBLIC_KEY\"\nprivate_key = \"ATLAS_PRIVATE_KEY\"\n";
    assert_eq!(
        jobs_with(&config(table)),
        ["deploy", "request", "rollback", "validate"]
    );
}

#[test]
fn a_plan_is_made_by_a_job_that_sees_drafts_where_backups_are_in_them() {
    let contents = |config: &Config| {
        let rollback = generate(config, &[]).unwrap().remove(1);
        let meaning = meaning(&rollback.text).unwrap();
        meaning["jobs"]["validate"]["permissions"]["contents"].clone()
    };
    assert_eq!(contents(&config("")), "read");
    let drafts = "[[backup.places]]\nkind = \"github\"\nrequired = true\n";
    assert_eq!(contents(&config(drafts)), "write");
}

#[test]
fn what_a_rollback_of_normal_urgency_showed_is_bound_to_what_it_runs() {
    let rollback = generate(&config(""), &[]).unwrap().remove(1);
    let meaning = meaning(&rollback.text).unwrap();
    let steps = |job: &str| meaning["jobs"][job]["steps"].as_array().unwrap().clone();
    let step = |job: &str, id: &str| steps(job).into_iter().find(|step| step["id"] == id).unwrap();
    let plan = step("validate", "plan")["run"].clone();
    assert!(
        plan.as_str()
            .unwrap()
            .trim_end()
            .ends_with(" --plan --plan-file .xtask/planned.json"),
        "{plan}"
    );
    let with = |job: &str, action: &str| {
        let uses = |step: &&Value| step["uses"].as_str().is_some_and(|uses| uses.contains(action));
        steps(job).iter().find(uses).unwrap().clone()
    };
    let kept = with("validate", "upload-artifact");
    assert_eq!(
        (&kept["with"]["name"], &kept["with"]["path"]),
        (&json!("planned"), &json!(".xtask/planned.json"))
    );
    let fetched = with("rollback", "download-artifact");
    assert_eq!(
        (&fetched["with"]["name"], &fetched["with"]["path"]),
        (&json!("planned"), &json!(".xtask"))
    );
    let prepare = step("rollback", "prepare");
    let run = prepare["run"].as_str().unwrap();
    assert!(
        run.contains("${PLANNED:+--planned ") && run.contains("${COMPARE:+--delta "),
        "{run}"
    );
    // Where the file is missing the command fails: only a critical rollback runs without a plan that was shown.
    assert_eq!(
        prepare["env"]["PLANNED"],
        "${{ inputs.urgency != 'critical' && '.xtask/planned.json' || '' }}"
    );
    let asked = &meaning["on"]["workflow_dispatch"]["inputs"]["compare"];
    assert_eq!(asked["options"], json!(["counts", "none"]));
    assert_eq!(
        prepare["env"]["COMPARE"],
        "${{ inputs.urgency == 'critical' && inputs.compare || '' }}"
    );
}

/// GitHub gives another job no output that has the letters of a secret of this one: it would arrive empty, with a warning
/// ("Skip output 'plan' since it may contain secret", actions/runner, `JobExtension.cs`).
#[test]
fn no_job_with_secrets_has_outputs() {
    for (path, name, job) in jobs(&config("")) {
        let secrets = job.to_string().contains("secrets.");
        assert!(
            !secrets || job["outputs"].is_null(),
            "{path} {name}: {}",
            job["outputs"]
        );
    }
}

/// The name of an artifact stays taken when a job of the run is run again (409 Conflict, actions/upload-artifact `docs/MIGRATION.md`).
#[test]
fn a_job_that_is_run_again_can_keep_its_artifacts() {
    for (path, _, job) in jobs(&config("")) {
        let uploads = |step: &&Value| {
            step["uses"]
                .as_str()
                .is_some_and(|uses| uses.contains("upload-artifact"))
        };
        for step in job["steps"].as_array().unwrap().iter().filter(uploads) {
            let name = step["with"]["name"].as_str().unwrap();
            // Each attempt makes a backup with an id of its own.
            let is_new = name.contains("backup-id") || name.contains("rescue-id");
            assert!(is_new || step["with"]["overwrite"] == true, "{path}: {name}");
        }
    }
}
