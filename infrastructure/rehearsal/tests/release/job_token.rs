//! A git remote that refuses tags as GitHub does to the token of a workflow's job.

use std::path::Path;

use rehearsal::test_env::TestEnv;
use rehearsal::test_env::programs::repository;
use serde_json::Value;
use xtask::exec::Finished;

struct Case {
    env: TestEnv,
}

impl Case {
    fn xtask(&self, name: &str, args: &[&str]) -> Finished {
        let job = [("GITHUB_ACTIONS", "true")];
        self.env
            .xtask_in(&self.env.clone_dir(), name, args, &job)
            .unwrap()
    }

    fn tag(&self, name: &str, args: &[&str]) -> String {
        let done = self.xtask(name, &[args, &["--yes", "--format", "json"]].concat());
        assert_eq!(done.code, Some(0), "{}", done.stderr_tail.join("\n"));
        let done: Value = serde_json::from_str(&done.stdout).unwrap();
        done["release"]["tag"].as_str().unwrap().to_owned()
    }

    fn listed(&self) -> Vec<String> {
        self.env.release_tags().unwrap()
    }
}

fn change_workflow(env: &TestEnv, text: &str) {
    let folder = env.clone_dir().join(".github/workflows");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("ci.yml"), text).unwrap();
}

#[test]
fn a_release_is_recorded_and_found_where_the_remote_refuses_its_tag() {
    let folder = tempfile::Builder::new().prefix("xj").tempdir().unwrap();
    let case = Case {
        env: TestEnv::start(repository(), Path::new(folder.path())).expect("the test environment starts"),
    };
    let env = &case.env;
    env.seed(50, 1).unwrap();
    // What a job changes is live only when its backup is on no machine that is gone with it.
    let file = env.clone_dir().join("infrastructure/pipeline.toml");
    let pipeline = std::fs::read_to_string(&file).unwrap();
    let elsewhere = "required = true\noff_machine = true\n";
    std::fs::write(&file, pipeline.replace("required = true\n", elsewhere)).unwrap();
    let hook = env.refuse_tags_of_other_workflows().unwrap();
    change_workflow(env, "on: push\n");
    env.commit_release("v1").unwrap();
    let first = case.tag("deploy-1", &["deploy"]);
    change_workflow(env, "on: [push, pull_request]\n");
    env.commit_release("v1").unwrap();
    let second = case.tag("deploy-2", &["deploy"]);

    let rollback = ["rollback", &first, "--reason", "prices are missing"];
    let plan = case.xtask("plan", &[&rollback[..], &["--plan"]].concat());
    let third = case.tag("rollback", &rollback);
    assert!(
        plan.stdout
            .contains("the job's token cannot push the tag (.github/workflows/ci.yml differ from main)"),
        "{}",
        plan.stdout
    );
    assert!(
        !env.tags_of_remote().unwrap().contains(&third),
        "the hook took the tag"
    );
    assert_eq!(case.listed(), [&third, &second, &first].map(String::clone));
    let health = case.xtask("compare", &["health", "--compare", &third]);
    assert_eq!(health.code, Some(0), "{}", health.stderr_tail.join("\n"));

    // The release without a tag can be rolled back to, and is what the next one replaces.
    let again = ["rollback", &second, "--reason", "it was not the prices"];
    let fourth = case.tag("rollback-2", &again);
    let back = ["rollback", &third, "--reason", "it was"];
    let fifth = case.tag("rollback-3", &back);
    let tags = env.tags_of_remote().unwrap();
    assert!(
        tags.contains(&fourth) && !tags.contains(&third) && !tags.contains(&fifth),
        "{tags}"
    );

    // With a token that may, the tags follow.
    std::fs::remove_file(hook).unwrap();
    let sixth = case.tag("rollback-4", &["rollback", &fourth, "--reason", "once more"]);
    let tags = env.tags_of_remote().unwrap();
    for tag in [&first, &second, &third, &fourth, &fifth, &sixth] {
        assert!(tags.contains(tag.as_str()), "{tag}: {tags}");
    }
}
