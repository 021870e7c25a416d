//! Workflows that `generate` writes: ours are such, and the linters find nothing in any combination of optional parts.

use std::path::Path;
use std::process::Command;

use crate::docs::commands::{commands, refusal};
use dev::tools::resolve_one;
use rehearsal::test_env::programs::repository;
use xtask::config::Config;
use xtask::workflows::{self, WorkflowState};

/// Each part of pipeline.toml that changes the workflows, in its forms.
const PARTS: &[&[(&str, &str)]] = &[
    &[
        ("source", ""),
        (
            "released",
            "[workflows]\nsetup = \"owner/tool/setup-action@08c6903cd8c0fde910a37f88322edcfb5dd907a8\"\nruns_on = [\"self-hosted\", \"linux\"]\n",
        ),
    ],
    &[
        ("no-tests", ""),
        ("tests", "[tests.all]\ndir = \".\"\ncommand = [\"true\"]\n"),
        (
            "tests-with-token-and-services",
            "[tests.all]\ndir = \".\"\ncommand = [\"true\"]\nenv = [\"NPM_TOKEN\"]\n\
             [tests.all.services.mongodb]\nimage = \"mongo:8.0\"\nports = [27017]\nready = \"mongosh --eval 'db.hello()'\"\n\
             [tests.all.services.postgres]\nimage = \"postgres:17\"\nports = [5432]\nenv = { POSTGRES_PASSWORD = \"of tests: #1\" }\n",
        ),
    ],
    &[
        ("two-reviews", ""),
        (
            "one-review-of-rollbacks-too",
            "[approval]\nrequired = 1\nrollback = \"production-rollback\"\n",
        ),
        ("no-review", "[approval]\nrequired = 0\n"),
        ("signed", "[approval]\nmethod = \"signed-tag\"\n"),
    ],
    &[("quiet", ""), ("slack", "[notify]\nslack = \"SLACK\"\n")],
    &[
        ("clear", ""),
        (
            "encrypted-in-azure",
            "[backup]\nidentity = \"KEY\"\n[[backup.places]]\nkind = \"azure\"\ncontainer = \"c\"\n",
        ),
    ],
];

/// An environment that has a backend and nothing else.
const WITHOUT_DATABASE: &str = r#"[environments.production]
tag_prefix = "prod"
[environments.production.railway]
project = "prj"
environment = "env"
token = "PROD_RAILWAY_TOKEN"
[[environments.production.backends]]
name = "api"
platform = "railway"
service = "svc"
folder = "backend"
url = "https://api.example.com"
"#;

/// What adds a step to each job that deploys. Ours, which are checked too, have none.
const SNAPSHOTS: &str = r#"
[environments.production.atlas]
project = "5f4007f327a3bd7b6f4103c5"
cluster = "Shop"
public_key = "ATLAS_PUBLIC_KEY"
private_key = "ATLAS_PRIVATE_KEY"
"#;

fn base() -> String {
    let text = std::fs::read_to_string(repository().join("infrastructure/pipeline.toml")).unwrap();
    let (_, environments) = text.split_once("[environments.production]").unwrap();
    format!("[environments.production]{environments}{SNAPSHOTS}")
}

/// Every combination: name and text of pipeline.toml.
fn combinations() -> Vec<(String, String)> {
    let mut all = vec![(
        String::new(),
        "schema = \"pipeline/1\"\ndefault_environment = \"production\"\n".to_owned(),
    )];
    for part in PARTS {
        let longer = all.iter().flat_map(|(name, text)| {
            part.iter()
                .map(move |(form, more)| (format!("{name}{form}-"), format!("{text}{more}")))
        });
        all = longer.collect();
    }
    all
}

/// Both outputs of a linter that found something.
fn complaints(name: &str, arguments: &[&str], folder: &Path) -> Option<String> {
    let tool = resolve_one(repository(), name).unwrap();
    let output = Command::new(&tool.path)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (!output.status.success()).then(|| text.concat())
}

#[test]
fn our_own_workflows_are_what_generate_writes() {
    let root = repository();
    let config = Config::read(&root.join("infrastructure/pipeline.toml")).unwrap();
    let health: Vec<String> = xtask::health::secret_names(root).unwrap().into_iter().collect();
    let compared = workflows::compare(root, &config, &health).unwrap();
    assert_eq!(workflows::out_of_step(&compared), Vec::<String>::new());
    assert!(compared.iter().all(|one| one.state == WorkflowState::Same) && compared.len() == 4);
    for workflow in workflows::generate(&config, &health).unwrap() {
        let ours = std::fs::read_to_string(root.join(&workflow.path)).unwrap();
        assert_eq!(
            ours, workflow.text,
            "{}: run `cargo xtask generate`",
            workflow.path
        );
    }
}

/// A frontend and nothing else; text that is no Markdown comes out as it is.
const ONLY_A_FRONTEND: &str = r#"[environments.production]
tag_prefix = "live"
[environments.production.vercel]
org = "team_x"
token = "PROD_VERCEL_TOKEN"
[[environments.production.frontends]]
name = "web"
platform = "vercel"
project = "prj_x"
folder = "web"
domain = "www.example.com"
"#;

#[test]
fn the_guide_of_a_team_names_its_parts_and_no_command_for_what_it_does_not_have() {
    let environments = base();
    let mut count = 0;
    for (name, text) in combinations() {
        for (environment, has) in [
            (environments.as_str(), [true, true, true]),
            (WITHOUT_DATABASE, [true, false, false]),
            (ONLY_A_FRONTEND, [false, true, false]),
        ] {
            let text = format!(
                "{}{environment}",
                text.replace("pipeline/1", if has[2] { "pipeline/1" } else { "pipeline/2" })
            );
            let config = Config::parse(Path::new("pipeline.toml"), &text).unwrap();
            let guide = workflows::guide(&config).unwrap();
            let [backends, frontends, database] = has;
            let prefix = if backends { "prod" } else { "live" };
            for (wanted, part) in [
                (true, format!("tag `{prefix}-YYYYMMDD-HHMMSS`").as_str()),
                (backends, "| Railway, service `"),
                (frontends, "| Vercel, project `"),
                (frontends, "vercel rollback"),
                (database, "cargo xtask restore"),
                (database, "cargo xtask backup"),
                (database, "rescue file kept"),
                (database, "mongorestore"),
                (
                    name.contains("one-review-of-rollbacks-too"),
                    "environment production-rollback approves",
                ),
            ] {
                let part = part.replace("rescue file kept", "kept in a rescue file");
                assert_eq!(guide.contains(&part), wanted, "{name}: {part}\n{guide}");
            }
            assert!(
                !guide.contains("<<") && !guide.contains("#if") && !guide.contains("](EMERGENCY"),
                "{guide}"
            );
            for command in commands(&guide) {
                let refused = refusal(&command);
                assert!(refused.is_none(), "{name}: {command}: {refused:?}");
                count += 1;
            }
        }
    }
    assert!(count > 1_000, "{count}");
}

#[test]
fn linters_find_nothing_in_any_combination_of_optional_parts() {
    let folder = tempfile::tempdir().unwrap();
    let github = folder.path().join(".github");
    let workflows_dir = github.join("workflows");
    std::fs::create_dir_all(&workflows_dir).unwrap();
    std::fs::copy(repository().join(".github/zizmor.yml"), github.join("zizmor.yml")).unwrap();
    let environments = base();
    let mut files = Vec::new();
    let whole = combinations()
        .into_iter()
        .map(|(name, text)| (name, format!("{text}{environments}")));
    let without_database = combinations().into_iter().map(|(name, text)| {
        let text = text.replace("pipeline/1", "pipeline/2");
        (format!("no-database-{name}"), format!("{text}{WITHOUT_DATABASE}"))
    });
    for (name, text) in whole.chain(without_database) {
        let config = Config::parse(Path::new("pipeline.toml"), &text).unwrap();
        for workflow in workflows::generate(&config, &[]).unwrap() {
            let file = format!("{name}{}", workflow.path.rsplit('/').next().unwrap());
            let backs_up = workflow.text.contains("xtask backup") || file.ends_with("restore-drill.yml");
            assert!(!(backs_up && name.starts_with("no-database")), "{file}");
            std::fs::write(workflows_dir.join(&file), workflow.text).unwrap();
            files.push(format!(".github/workflows/{file}"));
        }
    }
    assert!(files.len() > 300, "{}", files.len());
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let actionlint = [&["-no-color", "-shellcheck=", "-pyflakes="][..], &files].concat();
    let zizmor = [
        "--offline",
        "--no-progress",
        "--color",
        "never",
        "--quiet",
        ".github",
    ];
    for (tool, arguments) in [("actionlint", &actionlint[..]), ("zizmor", &zizmor[..])] {
        if let Some(text) = complaints(tool, arguments, folder.path()) {
            panic!("{tool}: {}", text.chars().take(6_000).collect::<String>());
        }
    }
}
