//! Places other than one folder, and what is done with backups afterwards.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::schema;
use rehearsal::test_env::backup::{Mongo, Outcome, Repo, age, files_below};
use rehearsal::test_env::platform::Platform;
use rehearsal::test_env::process::program;
use rehearsal::test_env::programs::{REHEARSAL, built};
use rehearsal::test_env::zipped;
use xtask::domain::ledger::OperationOutcome;
use xtask::operation::ledger::{Ledger, LockTiming, Start};
use xtask::tools::git::Git;

#[test]
fn metadata_follow_their_schema() {
    let server = Mongo::with_one_document();
    let repo = Repo::new(&server.uri());
    let path = PathBuf::from(repo.backup()["path"].as_str().unwrap());
    let read =
        |path: &Path| -> Value { serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap() };
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../infrastructure/schemas/backup-metadata.schema.json");
    let schema = read(&root);
    let mut metadata = read(&path.with_file_name("backup-metadata.json"));
    assert_eq!(
        schema::problems(&schema, &schema, &metadata, ""),
        Vec::<String>::new()
    );
    metadata["hash"] = json!("0");
    metadata["namespaces"][0]["type"] = json!("table");
    metadata["more"] = json!(1);
    assert_eq!(schema::problems(&schema, &schema, &metadata, "").len(), 3);
}

#[test]
fn old_backups_go_but_not_the_last_one_nor_what_a_release_needs() {
    let server = Mongo::with_one_document();
    let repo = Repo::new(&server.uri());
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
            .args(args);
        repo.surround(&mut command);
        Outcome::of(&mut command).ok();
    };
    repo.add_remote();
    git(&["commit", "-q", "--allow-empty", "-m", "first"]);

    let ids: Vec<String> = (0..3)
        .map(|_| repo.backup()["metadata"]["id"].as_str().unwrap().to_owned())
        .collect();
    repo.configure("retention_days = 1");
    age(&repo.backups());
    git(&[
        "tag",
        "-a",
        "local-20260101-000000",
        "-m",
        &json!({ "backup": { "id": ids[1] } }).to_string(),
    ]);
    git(&["push", "-q", "origin", "local-20260101-000000"]);
    let plan = repo.xtask(&["--format", "json", "backup", "prune"]).ok().json();
    let deleted = |plan: &Value| -> Vec<bool> {
        plan["backups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["delete"] == true)
            .collect()
    };
    assert_eq!(deleted(&plan), [true, false, false], "{plan}");
    assert_eq!(
        files_below(&repo.root().join("backups")).len(),
        6,
        "a plan deletes nothing"
    );
    repo.xtask(&["--yes", "backup", "prune"])
        .ok()
        .says("deleted")
        .says("needs it")
        .says("the last verified one");
    repo.xtask(&["backup", "list"])
        .ok()
        .never_says(&ids[0])
        .says(&ids[1])
        .says(&ids[2]);
    git(&["remote", "set-url", "origin", "nowhere.git"]);
    repo.xtask(&["--yes", "backup", "prune"])
        .code(1)
        .says("which backups the releases need");
}

#[test]
fn copies_of_a_backup_folder_are_one_backup_and_go_together() {
    let server = Mongo::with_one_document();
    let repo = Repo::new(&server.uri());
    repo.add_remote();
    let created = repo.backup();
    let id = created["metadata"]["id"].as_str().unwrap();
    let folder = repo.backups().join(id);
    let text = std::fs::read_to_string(folder.join("backup-metadata.json")).unwrap();
    let stored: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(created["metadata"], stored, "what is printed is what is stored");

    let copy = |name: &str| {
        let target = repo.backups().join(name);
        std::fs::create_dir(&target).unwrap();
        for file in files_below(&folder) {
            std::fs::copy(&file, target.join(file.file_name().unwrap())).unwrap();
        }
        target
    };
    let copies = ["20200101-000000", "20990101-000000"].map(copy);
    copy("kept by hand");
    let last = repo.backup()["metadata"]["id"].as_str().unwrap().to_owned();
    let listed = |repo: &Repo| -> Vec<String> {
        let shown = repo.xtask(&["--format", "json", "backup", "list"]).ok().json();
        let backups = shown["backups"].as_array().unwrap().iter();
        backups
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(listed(&repo), [id, &last]);
    // The folder of its own name is gone: a copy is the backup.
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(listed(&repo), [id, &last]);
    repo.xtask(&["backup", "verify", id]).ok();
    // Two storages that are one folder, too.
    repo.configure(
        "retention_days = 1\n[[backup.places]]\nkind = \"directory\"\npath = \"backups\"\nrequired = true\n\
         [[backup.places]]\nkind = \"directory\"\npath = \"./backups\"\nrequired = false",
    );
    age(&repo.backups());
    repo.xtask(&["--yes", "backup", "prune"]).ok();
    assert!(copies.iter().all(|copy| !copy.exists()));
    assert_eq!(listed(&repo), [last.as_str()]);
}

/// One folder that cannot be changed, and one in which something cannot be deleted once its metadata are gone.
#[test]
fn what_cannot_be_deleted_is_named_the_rest_goes_and_half_a_backup_is_none() {
    use std::os::unix::fs::PermissionsExt as _;

    let server = Mongo::with_one_document();
    let repo = Repo::new(&server.uri());
    repo.add_remote();
    let ids = [(); 4].map(|()| repo.backup()["metadata"]["id"].as_str().unwrap().to_owned());
    repo.configure("retention_days = 1");
    age(&repo.backups());
    let folder = |number: usize| repo.backups().join(&ids[number]);
    let beside = folder(1).join("beside");
    std::fs::create_dir(&beside).unwrap();
    std::fs::write(beside.join("file"), "").unwrap();
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set(&folder(0), 0o555);
    set(&beside, 0o555);
    let refused = repo.xtask(&["--yes", "backup", "prune"]);
    refused.code(1);
    for number in 0..2 {
        refused.says(&format!("cannot remove {}", folder(number).display()));
    }
    assert!(!folder(2).exists() && folder(3).exists());
    assert_eq!(files_below(&folder(0)).len(), 2, "it is whole");
    repo.xtask(&["backup", "list"])
        .ok()
        .says(&ids[0])
        .never_says(&ids[1]);
    repo.xtask(&["backup", "verify", &ids[1]]).code(1);
    set(&folder(0), 0o755);
    set(&beside, 0o755);
    repo.xtask(&["--yes", "backup", "prune"]).ok();
    repo.xtask(&["backup", "list"])
        .ok()
        .never_says(&ids[0])
        .says(&ids[3]);
}

/// The simulator of GitHub; ends when it is dropped.
fn platform(folder: &Path) -> Platform {
    let config = json!({
        "railway": { "project": "p", "environment": "e", "environment_name": "local", "service": "s", "token": "t" },
        "vercel": { "org": "team_x", "project": "prj_x", "token": "t", "domain": "www.example.org" },
        "github": { "owner": "o", "repo": "r", "token": "token-of-github" },
    });
    std::fs::create_dir_all(folder).unwrap();
    Platform::start(&built(REHEARSAL), folder, &folder.join("log"), &config).unwrap()
}

/// The simulator, and `gh` of this repository that asks it.
fn with_github(repo: &mut Repo) -> Platform {
    let platform = platform(&repo.root().join("p"));
    let wrappers = repo.root().join("wrappers");
    std::fs::create_dir_all(&wrappers).unwrap();
    std::os::unix::fs::symlink(built("standin-gh"), wrappers.join("gh")).unwrap();
    repo.path.push(wrappers);
    let gh = repo.root().join("gh");
    std::fs::create_dir_all(&gh).unwrap();
    std::fs::write(
        gh.join("config.yml"),
        format!(
            "http_unix_socket: {}\n",
            platform.addresses.github_socket.display()
        ),
    )
    .unwrap();
    repo.set("GH_CONFIG_DIR", gh.to_str().unwrap());
    repo.set("GH_TOKEN", "token-of-github");
    platform
}

#[test]
fn github_keeps_encrypted_backups_and_gives_them_back() {
    let server = Mongo::with_one_document();
    let mut repo = Repo::new(&server.uri());
    let _platform = with_github(&mut repo);

    let places = "[[backup.places]]\nkind = \"directory\"\npath = \"backups\"\nrequired = true\n[[backup.places]]\nkind = \"github\"\nrequired = true\n[github]\nrepository = \"o/r\"\n";
    repo.configure(places);
    repo.xtask(&["backup"])
        .code(1)
        .says("only encrypted backups go to GitHub");
    std::fs::remove_dir_all(repo.root().join("backups")).unwrap();

    let generated = Outcome::of(&mut Command::new(program(&["age-keygen"])));
    generated.ok();
    let secret = generated
        .stdout
        .lines()
        .find(|line| line.starts_with("AGE-SECRET-KEY"))
        .unwrap();
    let public = generated
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "))
        .unwrap();
    repo.set("KEY", secret);
    repo.configure(&format!(
        "recipients = [\"{public}\"]\nidentity = \"KEY\"\n{places}"
    ));
    let created = repo.backup();
    let id = created["metadata"]["id"].as_str().unwrap().to_owned();
    let stored = created["metadata"]["storage"].as_array().unwrap();
    assert_eq!(
        (stored.len(), &stored[1]["kind"], &stored[1]["verified"]),
        (2, &json!("github"), &json!(true))
    );

    std::fs::remove_dir_all(repo.root().join("backups")).unwrap();
    repo.xtask(&["backup", "list"]).ok().says(&id).says("github o/r");
    let fetched = repo.xtask(&["backup", "fetch", &id]).ok().stdout.clone();
    assert!(fetched.contains(".xtask/backups/"), "{fetched}");
    repo.xtask(&["backup", "verify", &id]).ok();

    // Half of a download that broke off is gone on with, and a wrong half is thrown away.
    let whole = std::fs::read(fetched.trim()).unwrap();
    let local = repo.root().join(".xtask/backups");
    std::fs::remove_dir_all(local.join(&id)).unwrap();
    let partial = local.join(format!(".fetch-{id}"));
    std::fs::create_dir_all(&partial).unwrap();
    let name = Path::new(fetched.trim()).file_name().unwrap().to_owned();
    std::fs::write(partial.join(&name), vec![7; whole.len() / 2]).unwrap();
    repo.xtask(&["backup", "fetch", &id]).ok();
    assert_eq!(std::fs::read(fetched.trim()).unwrap(), whole);
    repo.xtask(&["backup", "fetch", "20200101-000000"])
        .code(1)
        .says("no storage has a backup");
}

#[test]
fn a_copy_that_fails_is_a_warning_unless_required() {
    let server = Mongo::with_one_document();
    let places = |second: &str, required: bool| {
        format!(
            "[[backup.places]]\nkind = \"directory\"\npath = \"backups\"\nrequired = true\n[[backup.places]]\nkind = \"directory\"\npath = \"{second}\"\nrequired = {required}\n"
        )
    };
    let repo = Repo::with_backup(&server.uri(), &places("second", false));
    let created = repo.backup();
    let id = created["metadata"]["id"].as_str().unwrap();
    assert_eq!(created["metadata"]["storage"].as_array().unwrap().len(), 2);
    let copy = repo.root().join("second").join(id);
    repo.xtask(&["backup", "verify", copy.to_str().unwrap()]).ok();

    // A file where the folder should be.
    std::fs::write(repo.root().join("file"), "").unwrap();
    repo.configure(&places("file/below", false));
    let created = repo.backup();
    assert_eq!(created["metadata"]["warnings"].as_array().unwrap().len(), 1);
    repo.configure(&places("file/below", true));
    repo.xtask(&["backup"])
        .code(1)
        .says("a required storage has no copy")
        .says("the backup itself is good");
}

#[test]
fn a_backup_in_the_clear_is_refused_where_others_can_read_it() {
    let server = Mongo::with_one_document();
    let mut repo = Repo::new(&server.uri());
    let outputs = repo.root().join("outputs");
    let azure = "[[backup.places]]\nkind = \"azure\"\ncontainer = \"copies\"\n";
    // A storage off the machine, although it is not required.
    repo.configure(azure);
    repo.xtask(&["backup"])
        .code(1)
        .says("only encrypted backups go to Azure (container copies)")
        .says("next: write identity = ");
    // A job of a workflow keeps what it is told as an artifact, which others can download.
    repo.configure("");
    repo.xtask(&["backup"]).ok();
    std::fs::remove_dir_all(repo.backups()).unwrap();
    repo.set("GITHUB_ACTIONS", "true");
    repo.set("GITHUB_OUTPUT", outputs.to_str().unwrap());
    repo.xtask(&["backup"])
        .code(1)
        .says("only encrypted backups go to GitHub (artifacts of workflow runs)");
    assert!(!outputs.exists(), "the workflow is told of nothing to upload");
    repo.assert_nothing_left();
    repo.configure("unencrypted = \"let-others-read-them\"");
    repo.xtask(&["backup"]).ok();
    assert!(outputs.exists());

    // The key alone is enough: its public side encrypts. Without its value nothing is written in the clear.
    repo.configure("identity = \"KEY\"");
    repo.xtask(&["backup"]).code(2).says("KEY is not set or empty");
    let generated = Outcome::of(&mut Command::new(program(&["age-keygen"])));
    repo.set("KEY", &generated.ok().stdout);
    let created = repo.backup();
    let public = generated
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "));
    assert_eq!(
        (
            &created["metadata"]["encrypted"],
            &created["metadata"]["recipients"]
        ),
        (&json!(true), &json!([public.unwrap()]))
    );
    let id = created["metadata"]["id"].as_str().unwrap();
    repo.xtask(&["backup", "verify", id]).ok();
}

/// Records in the ledger that an operation took this backup.
fn record(repo: &Repo, id: &str, hash: &str) {
    let start = Start {
        kind: "deploy".into(),
        reason: "deploy".into(),
        target: "a commit".into(),
        plan_sha256: String::new(),
        plan: Value::Null,
        over: None,
    };
    let mut ledger = Ledger::with_timing(Git::at(repo.root(), "origin"), "local", LockTiming::default());
    let held = ledger.begin(start).unwrap();
    held.step("backup", json!({"id": id, "hash": hash})).unwrap();
    held.finish(OperationOutcome::Done, Value::Null).unwrap();
}

#[test]
fn a_forged_backup_is_not_taken() {
    let server = Mongo::with_one_document();
    let mut repo = Repo::with_backup(&server.uri(), "[github]\nrepository = \"o/r\"");
    let platform = with_github(&mut repo);
    repo.add_remote();
    let created = repo.backup();
    let id = created["metadata"]["id"].as_str().unwrap();
    let folder = PathBuf::from(created["path"].as_str().unwrap());
    let folder = folder.parent().unwrap();
    let artifact = json!({"name": format!("mongodb-backup-{id}"), "zip": zipped(folder)});
    let upload = |run: u64, change: &Value| {
        if !change.is_null() {
            let mut fields = change.clone();
            fields["id"] = json!(run);
            platform.control("/github/runs", &fields).unwrap();
        }
        let mut body = artifact.clone();
        body["run"] = json!(run);
        platform.control("/github/artifacts", &body).unwrap();
    };
    let kept = repo.root().join("kept");
    std::fs::rename(folder, &kept).unwrap();

    // Whoever can open a pull request, or push a branch, can upload an artifact of this name.
    let foreign = [
        json!({"head_branch": "evil"}),
        json!({"head_repository_id": 99, "event": "pull_request"}),
        json!({"head_repository_id": 99}),
        json!({"event": "pull_request_target"}),
        json!({"path": ".github/workflows/labeler.yml"}),
        json!({"path": "evil/.github/workflows/production-deploy.yml"}),
        Value::Null,
    ];
    for (run, change) in (20..).zip(&foreign) {
        upload(run, change);
    }
    repo.xtask(&["backup", "fetch", id])
        .code(1)
        .says("does not come from our workflows on main")
        .says("no storage has a backup");
    upload(40, &json!({"event": "push"}));
    upload(41, &foreign[0]);
    let fetched = repo.xtask(&["backup", "fetch", id]).ok().stdout.clone();
    let local = Path::new(fetched.trim()).parent().unwrap();
    std::fs::remove_dir_all(local).unwrap();

    // From our own workflow, and in our own folder: what an operation recorded is another file.
    record(&repo, id, &"0".repeat(64));
    let replaced = "has another hash than its record: it was replaced";
    repo.xtask(&["backup", "fetch", id]).code(1).says(replaced);
    std::fs::rename(&kept, folder).unwrap();
    for command in [
        &["backup", "verify", id][..],
        &["backup", "drill", id],
        &["restore", id, "--plan"],
    ] {
        repo.xtask(command).code(1).says(replaced);
    }
}
