//! What is released is what was committed, whatever the clone and its git are set to.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use xshell::{Shell, cmd};

use crate::operation::case::Case;

/// A file of a folder: its content, and whether it can be executed.
type Files = BTreeMap<String, (Vec<u8>, bool)>;

/// Something that makes a checkout or an upload differ from the commit.
struct Disturbance {
    name: &'static str,
    before_commit: fn(&Case),
    after_commit: fn(&Case),
    end: fn(&Case),
}

const DISTURBANCES: [Disturbance; 7] = [
    Disturbance {
        name: "committed files that .gitignore names",
        before_commit: |case| {
            write(case, ".gitignore", "/.xtask\ndist/\n");
            write(case, "backend/dist/app.js", "built\n");
            write(case, "frontend/dist/app.js", "built\n");
            git(case, &["add", "--force", "backend/dist", "frontend/dist"]);
        },
        after_commit: |_| (),
        end: |_| (),
    },
    Disturbance {
        name: "committed files that the user's own excludes name",
        before_commit: |case| {
            write(case, "backend/ca.pem", "public\n");
            git(case, &["add", "--force", "backend/ca.pem"]);
            std::fs::write(case.env.folder.join("excludes"), "*.pem\n").unwrap();
        },
        after_commit: |case| {
            let excludes = case.env.folder.join("excludes");
            git(
                case,
                &[
                    "config",
                    "--global",
                    "core.excludesFile",
                    excludes.to_str().unwrap(),
                ],
            );
        },
        end: |case| git(case, &["config", "--global", "--unset", "core.excludesFile"]),
    },
    Disturbance {
        name: "a sparse checkout",
        before_commit: |case| write(case, "backend/extra/rules.txt", "rules\n"),
        after_commit: |case| {
            git(
                case,
                &["sparse-checkout", "set", "--no-cone", "/*", "!/backend/extra/"],
            );
        },
        end: |case| git(case, &["sparse-checkout", "disable"]),
    },
    Disturbance {
        name: "a hook that fails where nothing is installed",
        before_commit: |_| (),
        after_commit: |case| {
            let hook = case.env.folder.join("hooks/post-checkout");
            std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
            std::fs::write(&hook, "#!/bin/sh\nexit 2\n").unwrap();
            std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
            git(
                case,
                &[
                    "config",
                    "core.hooksPath",
                    hook.parent().unwrap().to_str().unwrap(),
                ],
            );
        },
        end: |case| git(case, &["config", "--unset", "core.hooksPath"]),
    },
    Disturbance {
        name: "line ends that git changes on checkout",
        before_commit: |_| (),
        after_commit: |case| git(case, &["config", "core.autocrlf", "true"]),
        end: |case| git(case, &["config", "--unset", "core.autocrlf"]),
    },
    Disturbance {
        name: "export-ignore, symbolic links, executable and odd names",
        before_commit: |case| {
            write(
                case,
                ".gitattributes",
                "*.kept export-ignore\n*.txt export-subst\n",
            );
            write(case, "backend/a.kept", "kept\n");
            write(case, "backend/format.txt", "$Format:%H$\n");
            write(case, "backend/odd ä \"name\"\n.txt", "odd\n");
            write(case, "backend/run.sh", "#!/bin/sh\n");
            let folder = case.env.clone_dir().join("backend");
            std::fs::set_permissions(folder.join("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
            symlink("app.toml", folder.join("linked.toml")).unwrap();
        },
        after_commit: |_| (),
        end: |_| (),
    },
    Disturbance {
        name: "attributes of the user that filter files",
        before_commit: |case| write(case, "backend/notes.txt", "committed\n"),
        after_commit: |case| {
            let attributes = case.env.folder.join("attributes");
            std::fs::write(&attributes, "*.txt filter=shout\n").unwrap();
            git(
                case,
                &["config", "core.attributesFile", attributes.to_str().unwrap()],
            );
            git(case, &["config", "filter.shout.smudge", "tr a-z A-Z"]);
            git(case, &["config", "filter.shout.clean", "tr A-Z a-z"]);
        },
        end: |case| git(case, &["config", "--unset", "core.attributesFile"]),
    },
];

#[test]
fn what_is_uploaded_is_what_was_committed() {
    let case = Case::new();
    let mut differences = Vec::new();
    for disturbance in &DISTURBANCES {
        (disturbance.before_commit)(&case);
        let commit = case.env.commit_release("v1").unwrap();
        (disturbance.after_commit)(&case);
        let deployed = case.run(&["deploy"], &[]);
        (disturbance.end)(&case);
        if deployed.code != Some(0) {
            differences.push(format!("{}: {}", disturbance.name, deployed.error()));
            continue;
        }
        let (backend, frontend) = released(&case);
        for (part, released) in [("backend", backend), ("frontend", frontend)] {
            if let Some(difference) = difference(&committed(&case, &commit, part), &released) {
                differences.push(format!("{}: {part}: {difference}", disturbance.name));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Something in a commit that cannot be released as it was committed.
struct Unreleasable {
    commit: fn(&Case),
    revert: fn(&Case),
    /// What the refusal names.
    named: &'static str,
}

const UNRELEASABLE: [Unreleasable; 4] = [
    Unreleasable {
        commit: |case| {
            let head = read_git(case, &["rev-parse", "HEAD"]);
            let entry = format!("160000,{},backend/vendor", head.trim());
            git(case, &["update-index", "--add", "--cacheinfo", &entry]);
            std::fs::create_dir(case.env.clone_dir().join("backend/vendor")).unwrap();
        },
        revert: |case| git(case, &["rm", "--quiet", "--cached", "backend/vendor"]),
        named: "empty folders in the place of submodules: \"backend/vendor\"",
    },
    Unreleasable {
        commit: |case| {
            let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
            write(case, "frontend/logo.png", pointer);
        },
        revert: |case| git(case, &["rm", "--quiet", "frontend/logo.png"]),
        named: "pointers of Git LFS, without their content: \"frontend/logo.png\"",
    },
    Unreleasable {
        commit: |case| {
            write(case, ".ignore", "generated/\n");
            write(case, "backend/generated/api.js", "generated\n");
        },
        revert: |case| git(case, &["rm", "--quiet", "-r", ".ignore", "backend/generated"]),
        named: "leaves these committed files out: \"backend/generated/api.js\"",
    },
    Unreleasable {
        commit: |case| {
            write(case, "backend/node_modules/kept/index.js", "kept\n");
            git(case, &["add", "--force", "backend/node_modules"]);
        },
        revert: |case| git(case, &["rm", "--quiet", "-r", "backend/node_modules"]),
        named: "leaves these committed files out: \"backend/node_modules/kept/index.js\"",
    },
];

#[test]
fn what_would_not_be_released_as_committed_is_refused_by_name() {
    let case = Case::new();
    let mut missed = Vec::new();
    for unreleasable in &UNRELEASABLE {
        (unreleasable.commit)(&case);
        case.env.commit_release("v1").unwrap();
        let planned = case.run(&["deploy", "--plan"], &[]);
        let told = planned.stderr_tail.join("\n");
        if planned.code != Some(3) || !told.contains(unreleasable.named) {
            missed.push(format!("{}: exit {:?} {told}", unreleasable.named, planned.code));
        }
        (unreleasable.revert)(&case);
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// Runs git in the team's clone.
fn git(case: &Case, args: &[&str]) {
    read_git(case, args);
}

fn read_git(case: &Case, args: &[&str]) -> String {
    let sh = Shell::new().unwrap();
    sh.change_dir(case.env.clone_dir());
    case.env
        .in_env(cmd!(sh, "git {args...}"))
        .output()
        .unwrap()
        .checked()
        .unwrap()
        .stdout
}

fn write(case: &Case, name: &str, text: &str) {
    let path = case.env.clone_dir().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// What the commit has below a folder; a symbolic link stands for what it leads to, as in an upload.
fn committed(case: &Case, commit: &str, folder: &str) -> Files {
    let listed = read_git(case, &["ls-tree", "-r", "-z", &format!("{commit}:{folder}")]);
    let entries = listed.split_terminator('\0').map(|entry| {
        let (meta, name) = entry.split_once('\t').unwrap();
        let target = if meta.starts_with("120000") {
            read_git(case, &["cat-file", "blob", &format!("{commit}:{folder}/{name}")])
        } else {
            name.to_owned()
        };
        let text = read_git(
            case,
            &["cat-file", "blob", &format!("{commit}:{folder}/{target}")],
        );
        (name.to_owned(), (text.into_bytes(), meta.starts_with("100755")))
    });
    entries.collect()
}

/// What the platforms have of the deployments that are live: backend and frontend.
fn released(case: &Case) -> (Files, Files) {
    let report = case.env.platform_report().unwrap();
    let live = |platform: &str| report[platform]["live"].as_str().unwrap().to_owned();
    let state = case.env.folder.join("platform");
    let site = state
        .join("vercel")
        .join(live("vercel"))
        .join(".vercel/output/static");
    (
        files(&state.join("railway/images").join(live("railway"))),
        files(&site),
    )
}

fn files(folder: &Path) -> Files {
    let mut found = Files::new();
    collect(folder, folder, &mut found);
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Files) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let can_run = path.metadata().unwrap().permissions().mode() & 0o100 != 0;
            found.insert(name, (std::fs::read(&path).unwrap(), can_run));
        }
    }
}

fn difference(committed: &Files, released: &Files) -> Option<String> {
    let missing: Vec<&String> = committed
        .keys()
        .filter(|name| !released.contains_key(*name))
        .collect();
    let added: Vec<&String> = released
        .keys()
        .filter(|name| !committed.contains_key(*name))
        .collect();
    let changed: Vec<&String> = committed
        .iter()
        .filter(|(name, file)| released.get(*name).is_some_and(|found| found != *file))
        .map(|(name, _)| name)
        .collect();
    (committed != released).then(|| format!("missing {missing:?}, added {added:?}, changed {changed:?}"))
}
