use std::process::Command;

use super::*;

/// A bare repository and clones of it, on a machine without any git configuration.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let world = Self { dir };
        world.git(
            ".",
            &["init", "--quiet", "--bare", "--initial-branch=main", "remote.git"],
        );
        world
    }

    fn git(&self, dir: &str, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.com"])
            .args(args)
            .current_dir(self.dir.path().join(dir))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn clone(&self, name: &str) -> Git {
        self.git(".", &["clone", "--quiet", "remote.git", name]);
        Git::at(&self.dir.path().join(name), "origin")
    }

    fn commit(&self, clone: &str, file: &str, text: &str) -> CommitId {
        let path = self.dir.path().join(clone).join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self.git(clone, &["add", "--all"]);
        self.git(clone, &["commit", "--quiet", "--message", text]);
        self.git(clone, &["rev-parse", "HEAD"]).parse().unwrap()
    }
}

#[test]
fn clean_pushed_and_changed_are_told_apart() {
    let world = World::new();
    let git = world.clone("a");
    let first = world.commit("a", "backend/app", "one");
    world.git("a", &["push", "--quiet", "origin", "HEAD:main"]);
    assert!(git.uncommitted().unwrap().is_empty() && git.is_pushed("main").unwrap());

    let second = world.commit("a", "backend/migrations/ä 1", "two");
    assert!(!git.is_pushed("main").unwrap());
    assert!(git.is_ancestor(&first, &second).unwrap() && !git.is_ancestor(&second, &first).unwrap());
    let below = |path: &str| git.changed_paths(&first, &second, &[path.to_owned()]).unwrap();
    assert_eq!(below("backend/migrations"), ["backend/migrations/ä 1"]);
    assert!(below("frontend").is_empty());
    let paths = ["backend/migrations", "backend/migration", "backend/*/ä*"].map(str::to_owned);
    assert_eq!(
        git.never_committed(&second, &paths).unwrap(),
        ["backend/migration"]
    );
    assert_eq!(git.never_committed(&first, &paths).unwrap(), paths);
    world.git("a", &["rm", "--quiet", "-r", "backend/migrations"]);
    let third = world.commit("a", "backend/app", "three");
    assert_eq!(
        git.never_committed(&third, &paths).unwrap(),
        ["backend/migration"],
        "what was removed has been there"
    );

    std::fs::write(world.dir.path().join("a/new file"), "").unwrap();
    assert_eq!(git.uncommitted().unwrap(), ["new file"]);
}

#[test]
fn a_shallow_clone_does_not_claim_to_know_ancestors() {
    let world = World::new();
    world.clone("a");
    let first = world.commit("a", "f", "one");
    world.commit("a", "f", "two");
    world.git("a", &["push", "--quiet", "origin", "HEAD:main"]);
    let url = format!("file://{}/remote.git", world.dir.path().display());
    world.git(".", &["clone", "--quiet", "--depth=1", &url, "shallow"]);
    let shallow = Git::at(&world.dir.path().join("shallow"), "origin");
    let head = shallow.head().unwrap();
    shallow.is_ancestor(&first, &head).unwrap_err();
}

#[test]
fn tags_of_the_remote_keep_their_message_and_never_change() {
    let world = World::new();
    let git = world.clone("a");
    let first = world.commit("a", "f", "one");
    let second = world.commit("a", "f", "two");
    let message = "Release\n\n# not a comment\n\n{\"schema\":\"release/1\"}\n";
    let name = "prod-20260102-030405";
    assert!(git.tag(name).unwrap().is_none());
    git.push_annotated_tag(name, message, &first).unwrap();
    git.push_annotated_tag(name, message, &first).unwrap();
    git.push_annotated_tag(name, message, &second).unwrap_err();
    git.push_annotated_tag("prod-20260102-030406", "\n\n\0\n".trim_matches('\0'), &second)
        .unwrap();
    assert_eq!(
        world.git("a", &["tag", "--list"]),
        "",
        "none is made in the clone"
    );
    world.git("a", &["push", "--quiet", "origin", "HEAD:refs/tags/prod-light"]);
    world.git("a", &["push", "--quiet", "origin", "HEAD:refs/tags/staging-1"]);

    let other = world.clone("b");
    world.git("b", &["tag", "--force", name, second.as_str()]);
    let releases = other.recorded_releases("prod").unwrap();
    let names: Vec<&str> = releases.iter().map(|release| release.name.as_str()).collect();
    assert_eq!(names, [name, "prod-20260102-030406", "prod-light"]);
    assert_eq!(releases[0].message, message);
    assert_eq!(releases[0].marks.as_ref(), Some(&first));
    assert!(other.tag(name).unwrap().unwrap().tagged_at.is_some());
    assert_eq!(other.tag("prod-light").unwrap().unwrap().message, None);
    // The user's own tag of the same name is untouched, and is not taken for the remote's.
    assert_eq!(other.resolve(name).unwrap(), second);
    other.push_tag(name).unwrap_err();
}

#[test]
fn a_chain_grows_by_one_writer_at_a_time() {
    let world = World::new();
    let (a, b) = (world.clone("a"), world.clone("b"));
    let name = "refs/xtask/ledger/production";
    assert_eq!(a.remote_ref(name).unwrap(), None);
    let first = a.commit_message(None, "one: \"ä\"\n\n# two\n").unwrap();
    a.push_commit(&first, name).unwrap();
    let loser = b.commit_message(None, "other").unwrap();
    b.push_commit(&loser, name).unwrap_err();
    b.fetch_chain(name, None, &first).unwrap();
    let second = b.commit_message(Some(&first), "two").unwrap();
    b.push_commit(&second, name).unwrap();
    let late = a.commit_message(Some(&first), "late").unwrap();
    a.push_commit(&late, name).unwrap_err();
    assert_eq!(a.remote_ref(name).unwrap().as_ref(), Some(&second));
    a.fetch_chain(name, Some(&first), &second).unwrap();
    let all = a.messages(None, &second).unwrap();
    let texts: Vec<&str> = all.iter().map(|message| message.text.trim_end()).collect();
    assert_eq!(texts, ["one: \"ä\"\n\n# two", "two"]);
    assert_eq!(a.messages(Some(&first), &second).unwrap().len(), 1);
}

/// As another process leaves it in the middle of its fetch: the last commit is written before those that it stands on.
#[test]
fn a_chain_of_which_only_the_end_is_here_is_fetched() {
    let world = World::new();
    let (a, b) = (world.clone("a"), world.clone("b"));
    let name = "refs/xtask/ledger/production";
    let first = a.commit_message(None, "one").unwrap();
    let second = a.commit_message(Some(&first), "two").unwrap();
    a.push_commit(&second, name).unwrap();
    let raw = a.local(&["cat-file", "commit", second.as_str()]).unwrap();
    let raw = raw.read().unwrap();
    let written = b
        .local(&["hash-object", "-t", "commit", "-w", "--stdin"])
        .unwrap();
    assert_eq!(written.stdin(raw).read().unwrap(), second.to_string());
    b.fetch_chain(name, None, &second).unwrap();
    assert_eq!(b.messages(None, &second).unwrap().len(), 2);
}

#[test]
fn a_submodule_that_moved_at_or_above_a_path_counts_as_a_change_of_it() {
    let world = World::new();
    let git = world.clone("a");
    let elsewhere = world.commit("a", "app", "one");
    let entry = |commit: &CommitId| format!("160000,{commit},services/backend");
    let link = |commit: &CommitId, message: &str| -> CommitId {
        world.git("a", &["update-index", "--add", "--cacheinfo", &entry(commit)]);
        world.git("a", &["commit", "--quiet", "--message", message]);
        git.head().unwrap()
    };
    let first = link(&elsewhere, "link");
    let second = link(&first, "move");
    // As users set it to keep `git diff` short.
    world.git("a", &["config", "diff.ignoreSubmodules", "all"]);
    let changed = |path: &str| git.changed_paths(&first, &second, &[path.to_owned()]).unwrap();
    for path in [
        "services/backend/migrations",
        "services/backend",
        "services",
        "services/*/migrations",
    ] {
        assert_eq!(changed(path), ["services/backend"], "{path}");
    }
    assert!(changed("services/frontend").is_empty() && changed("app").is_empty());
    assert_eq!(git.submodules(&second).unwrap(), ["services/backend"]);
}

#[test]
fn settings_of_the_user_change_no_answer() {
    let world = World::new();
    let git = world.clone("a");
    let key = world.dir.path().join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()])
        .status();
    assert!(made.unwrap().success());
    let hooks = world.dir.path().join("hooks");
    std::fs::create_dir(&hooks).unwrap();
    for hook in ["pre-push", "reference-transaction", "post-checkout", "fsmonitor"] {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(hooks.join(hook), "#!/bin/sh\nexit 2\n").unwrap();
        std::fs::set_permissions(hooks.join(hook), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    world.git("a", &["config", "gpg.format", "ssh"]);
    world.git("a", &["config", "user.signingKey", key.to_str().unwrap()]);
    world.git("a", &["config", "commit.gpgSign", "true"]);
    let first = world.commit("a", "f", "one");
    world.git("a", &["tag", "--annotate", "--message=mine", "local-1"]);
    let fsmonitor = hooks.join("fsmonitor");
    let settings = [
        ("log.showSignature", "true"),
        ("log.date", "relative"),
        ("color.ui", "always"),
        ("core.quotePath", "true"),
        ("core.hooksPath", hooks.to_str().unwrap()),
        ("core.fsmonitor", fsmonitor.to_str().unwrap()),
        ("i18n.logOutputEncoding", "ISO-8859-1"),
        ("i18n.commitEncoding", "ISO-8859-1"),
        ("push.followTags", "true"),
        ("push.gpgSign", "true"),
        ("push.pushOption", "unknown"),
        ("tag.gpgSign", "true"),
        ("status.showUntrackedFiles", "no"),
        ("remote.origin.mirror", "true"),
        ("submodule.recurse", "true"),
        ("column.ui", "always"),
        ("core.abbrev", "4"),
        ("diff.external", "false"),
        ("diff.noprefix", "true"),
        ("diff.relative", "true"),
        ("diff.renames", "copies"),
        ("diff.submodule", "log"),
        ("fetch.prune", "true"),
        ("fetch.pruneTags", "true"),
        ("log.follow", "true"),
        ("push.default", "nothing"),
        ("status.relativePaths", "true"),
        ("status.short", "false"),
        ("tag.sort", "-refname"),
    ];
    for (name, value) in settings {
        world.git("a", &["config", name, value]);
    }
    assert_eq!(
        git.people_since(None, &first).unwrap()[0].author,
        "ann@example.com"
    );
    assert_eq!(git.commit_times(None, &first, 1).unwrap().len(), 1);
    std::fs::write(world.dir.path().join("a/ä"), "").unwrap();
    assert_eq!(git.uncommitted().unwrap(), ["ä"]);

    let name = "refs/xtask/ledger/production";
    let record = git.commit_message(None, "één\n").unwrap();
    git.push_commit(&record, name).unwrap();
    assert_eq!(git.messages(None, &record).unwrap()[0].text, "één\n");
    git.push_annotated_tag("prod-1", "Release\n", &first).unwrap();
    let tags = world.git("remote.git", &["tag", "--list"]);
    assert_eq!(tags, "prod-1", "only what was named is pushed");
}

#[test]
fn what_this_clone_replaces_or_grafts_is_released_as_it_was_committed() {
    let world = World::new();
    let git = world.clone("a");
    let first = world.commit("a", "f", "one");
    let second = world.commit("a", "f", "two");
    world.git("a", &["replace", second.as_str(), first.as_str()]);
    let folder = world.dir.path().join("files");
    std::fs::create_dir(&folder).unwrap();
    let export = git
        .export(&second, &folder, &world.dir.path().join("index"))
        .unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("f")).unwrap(), "two");
    assert_eq!(export.differences().unwrap(), [""; 0]);
    world.git("a", &["replace", "--delete", second.as_str()]);
    std::fs::write(world.dir.path().join("a/.git/info/grafts"), format!("{second}\n")).unwrap();
    assert!(git.is_ancestor(&first, &second).unwrap());
}

/// Whoever may push can make such references, and rules of the remote may forbid to delete them.
#[test]
fn a_reference_that_is_no_release_costs_only_itself() {
    let world = World::new();
    let git = world.clone("a");
    let commit = world.commit("a", "f", "one");
    let name = "prod-20260102-030405";
    git.push_annotated_tag(name, "Release\n\n{\n}\n", &commit)
        .unwrap();
    let blob = world.git("a", &["rev-parse", "HEAD:f"]);
    let tree = world.git("a", &["rev-parse", "HEAD^{tree}"]);
    let tag = |message: &[u8]| {
        let head = format!("object {commit}\ntype commit\ntag x\ntagger x <x@invalid> 1 +0000\n\n");
        let made = git.local(&["hash-object", "-t", "tag", "-w", "--stdin"]).unwrap();
        let object = [head.as_bytes(), message].concat();
        made.stdin(object).read().unwrap()
    };
    let references = [
        ("tags/prod-20260102-000001", blob.clone()),
        ("tags/prod-20260102-000002", tree),
        ("tags/prod-20260102-000003", tag(b"Release \xff\xfe\n")),
        ("tags/prod-20260102-000004", tag(&vec![b'x'; 40 << 20])),
        ("xtask/releases/prod-20260102-000005", blob.clone()),
        ("tags/prod-20260102-000006", commit.to_string()),
    ];
    for (reference, object) in &references {
        world.git(
            "a",
            &["push", "--quiet", "origin", &format!("{object}:refs/{reference}")],
        );
    }
    let recorded = git.recorded_releases("prod").unwrap();
    let problems: Vec<_> = recorded
        .iter()
        .map(|one| (&one.name[14..], one.problems.join("; ")))
        .collect();
    let expected = [
        ("000001", ""),
        ("000002", ""),
        ("000003", "the tag prod-20260102-000003: its message is not UTF-8"),
        (
            "000004",
            "the tag prod-20260102-000004: its message has 41943136 bytes",
        ),
        (
            "000005",
            "the record at refs/xtask/releases/prod-20260102-000005: it is a blob",
        ),
        ("000006", ""),
        ("030405", ""),
    ];
    assert_eq!(
        problems,
        expected.map(|(name, problem)| (name, problem.to_owned()))
    );
    let good = recorded.last().unwrap();
    assert_eq!(good.message, "Release\n\n{\n}\n");
    assert_eq!(good.marks.as_ref(), Some(&commit));
    assert!(recorded[..6].iter().all(|one| one.message.is_empty()));
}

#[test]
fn a_tag_whose_push_failed_does_not_stay_here() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let git = world.clone("a");
    let commit = world.commit("a", "f", "one");
    let hook = world.dir.path().join("remote.git/hooks/pre-receive");
    std::fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    git.push_annotated_tag("prod-1", "Release\n", &commit)
        .unwrap_err();
    assert_eq!(world.git("a", &["tag", "--list"]), "");
    std::fs::remove_file(hook).unwrap();
    git.push_annotated_tag("prod-1", "Release\n", &commit).unwrap();
}

#[test]
fn a_chain_with_a_message_that_is_no_text_is_read_to_its_end() {
    let world = World::new();
    let git = world.clone("a");
    let name = "refs/xtask/ledger/production";
    let first = git.commit_message(None, "one\n").unwrap();
    let tree = world.git("a", &["rev-parse", &format!("{first}^{{tree}}")]);
    let head = format!(
        "tree {tree}\nparent {first}\nauthor x <x@invalid> 1 +0000\ncommitter x <x@invalid> 1 +0000\n\n"
    );
    let made = git
        .local(&["hash-object", "-t", "commit", "-w", "--stdin"])
        .unwrap();
    let bad: CommitId = made
        .stdin([head.as_bytes(), b"two \xff\n"].concat())
        .read()
        .unwrap()
        .parse()
        .unwrap();
    let last = git.commit_message(Some(&bad), "three\n").unwrap();
    git.push_commit(&last, name).unwrap();
    let texts: Vec<String> = git
        .messages(None, &last)
        .unwrap()
        .into_iter()
        .map(|one| one.text)
        .collect();
    assert_eq!(texts, ["one\n", "two \u{fffd}\n", "three\n"]);
}
