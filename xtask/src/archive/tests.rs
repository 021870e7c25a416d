//! Tests of whole backup files: round trips, stock tools, every flip and truncation, hostile files.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use age::secrecy::ExposeSecret;
use proptest::prelude::*;

use super::container::ContainerOptions;
use super::testing::*;
use super::*;
use crate::domain::manifest::{BackupMetadata, Consistency, ConsistencyKind};

const ID: &str = "20250131-235959";

fn options(folder: &Path, recipient: Option<&str>) -> ContainerOptions {
    let recipients = recipient.map(|key| Recipients::parse(&[key]).unwrap());
    ContainerOptions {
        chunk_bytes: 4096,
        workers: 3,
        ..ContainerOptions::new(folder, ID, recipients)
    }
}

fn store_in(archive: &[u8], options: &ContainerOptions) -> anyhow::Result<StoredBackup> {
    store(
        archive,
        options,
        "2025-01-31T23:59:59Z".parse().unwrap(),
        &mut |_| {},
    )
}

fn consistency() -> Consistency {
    Consistency {
        kind: ConsistencyKind::PerCollection,
        reason: "test".into(),
    }
}

/// A committed backup of `archive`.
fn backup(folder: &Path, archive: &[u8], recipient: Option<&str>) -> (PathBuf, BackupMetadata) {
    let stored = store_in(archive, &options(folder, recipient)).unwrap();
    let metadata = stored.metadata(consistency());
    (stored.commit().unwrap(), metadata)
}

fn check(path: &Path, metadata: &BackupMetadata, identities: Option<&Identities>) -> VerifyReport {
    let opened = ContainerReader::open(path, identities, 2);
    verify(path, opened, Some(metadata), Check::Strict, &mut |_| {}).unwrap()
}

fn sample() -> Vec<u8> {
    let namespaces = [
        namespace("users", vec![documents(30, 400), documents(40, 200)]),
        namespace("empty", vec![]),
        TestNamespace {
            kind: "view",
            ..namespace("shown", vec![])
        },
        namespace("book$ings.of größe 名前", vec![documents(100, 60)]),
    ];
    archive(&namespaces, &[0, 3, 1])
}

/// A key pair: (secret, public).
fn key() -> (String, String) {
    let key = age::x25519::Identity::generate();
    (
        key.to_string().expose_secret().to_owned(),
        key.to_public().to_string(),
    )
}

fn leftovers(folder: &Path) -> Vec<PathBuf> {
    folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

/// Runs a program with nothing of our environment but PATH.
fn run(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed on PATH for this test: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", output.status);
    writing.join().unwrap().unwrap();
    output.stdout
}

#[test]
fn round_trip_plain_and_encrypted() {
    let (secret, public) = key();
    for recipient in [None, Some(public.as_str())] {
        let folder = tempfile::tempdir().unwrap();
        let archive = sample();
        let (path, metadata) = backup(folder.path(), &archive, recipient);
        let identities = recipient.map(|_| Identities::parse(&secret).unwrap());
        assert_eq!(leftovers(folder.path()), std::slice::from_ref(&path));
        assert_eq!(metadata.encrypted, recipient.is_some());
        assert_eq!(metadata.size_bytes, fs::metadata(&path).unwrap().len());

        let report = check(&path, &metadata, identities.as_ref());
        assert_eq!(report.problems, Vec::<String>::new());
        let manifest = report.manifest.unwrap();
        let counts: Vec<u64> = manifest.namespaces.iter().map(|n| n.documents).collect();
        assert_eq!(counts, [70, 0, 0, 100]);
        let mut digest = ContentDigest::default();
        for document in [documents(30, 400), documents(40, 200)].concat() {
            digest.add(&document);
        }
        assert_eq!(manifest.namespaces[0].content_digest, digest);
        assert_eq!(manifest.archive_bytes, archive.len() as u64);
        assert_eq!(manifest.chunks, archive.len().div_ceil(4096) as u64);

        let mut reader = ContainerReader::open(&path, identities.as_ref(), 2).unwrap();
        let mut restored = Vec::new();
        reader.read_to_end(&mut restored).unwrap();
        assert!(restored == archive);
        assert_eq!(reader.manifest(), Some(&manifest));
        let digest = reader.finish().unwrap();
        assert_eq!(
            (digest.size_bytes, &digest.sha256),
            (metadata.size_bytes, &metadata.hash)
        );
        verify_file(&path, &digest).unwrap();
        assert!(
            verify_file(
                &path,
                &FileDigest {
                    size_bytes: digest.size_bytes + 1,
                    ..digest.clone()
                }
            )
            .is_err()
        );
        assert!(
            verify_file(
                &path,
                &FileDigest {
                    sha256: "0".repeat(64),
                    ..digest
                }
            )
            .is_err()
        );
    }
}

#[test]
fn stock_tools_give_back_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample();
    let (plain, _) = backup(folder.path(), &archive, None);
    let tar = ["-xzO", "--wildcards", "data/*"];
    assert!(run("tar", &tar, &fs::read(&plain).unwrap()) == archive);
    let listed = String::from_utf8(run("tar", &["-tz"], &fs::read(&plain).unwrap())).unwrap();
    assert!(
        listed.starts_with("data/00000000\ndata/00000001\n") && listed.ends_with("\nmanifest.json\n"),
        "{listed}"
    );

    let (secret, public) = key();
    let (encrypted, _) = backup(folder.path(), &archive, Some(&public));
    let key_file = folder.path().join("key");
    fs::write(&key_file, &secret).unwrap();
    let tar_gz = run(
        "age",
        &["-d", "-i", key_file.to_str().unwrap()],
        &fs::read(&encrypted).unwrap(),
    );
    assert!(run("tar", &tar, &tar_gz) == archive);

    // And the other way: what stock age made, we read.
    let again = run("age", &["-r", &public], &fs::read(&plain).unwrap());
    let theirs = folder.path().join("theirs.age");
    fs::write(&theirs, again).unwrap();
    let mut restored = Vec::new();
    let identities = Identities::parse(&secret).unwrap();
    ContainerReader::open(&theirs, Some(&identities), 2)
        .unwrap()
        .read_to_end(&mut restored)
        .unwrap();
    assert!(restored == archive);
}

#[test]
fn ssh_keys_encrypt_and_decrypt() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("id");
    run(
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "", "-f", key_file.to_str().unwrap()],
        b"",
    );
    let public = fs::read_to_string(key_file.with_extension("pub")).unwrap();
    let identities = Identities::parse(&fs::read_to_string(&key_file).unwrap()).unwrap();
    let (path, metadata) = backup(folder.path(), &sample(), Some(&public));
    assert_eq!(
        check(&path, &metadata, Some(&identities)).problems,
        Vec::<String>::new()
    );

    let (other, _) = key();
    let error = ContainerReader::open(&path, Some(&Identities::parse(&other).unwrap()), 1).unwrap_err();
    assert!(format!("{error:#}").contains("other keys"), "{error:#}");
    let error = ContainerReader::open(&path, None, 1).unwrap_err();
    assert!(format!("{error:#}").contains("no key"), "{error:#}");
    let locked = folder.path().join("locked");
    run(
        "ssh-keygen",
        &[
            "-q",
            "-t",
            "ed25519",
            "-N",
            "secret",
            "-f",
            locked.to_str().unwrap(),
        ],
        b"",
    );
    let error = Identities::parse(&fs::read_to_string(&locked).unwrap()).unwrap_err();
    assert!(error.to_string().contains("passphrase"), "{error}");
}

/// The same numbers in every run: a failure can be repeated.
fn positions(count: usize, below: usize) -> impl Iterator<Item = (usize, u8)> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let at = usize::try_from(state >> 20).unwrap() % below;
        (at, 1 << (state % 8))
    })
    .take(count)
}

#[test]
fn every_flip_and_truncation_is_found() {
    let (secret, public) = key();
    for recipient in [None, Some(public.as_str())] {
        let folder = tempfile::tempdir().unwrap();
        let (path, metadata) = backup(folder.path(), &sample(), recipient);
        let identities = recipient.map(|_| Identities::parse(&secret).unwrap());
        let good = fs::read(&path).unwrap();
        for (at, bit) in positions(500, good.len()) {
            let mut damaged = good.clone();
            damaged[at] ^= bit;
            fs::write(&path, &damaged).unwrap();
            let report = check(&path, &metadata, identities.as_ref());
            assert!(
                report.problems.iter().any(|p| p.contains("SHA-256")),
                "byte {at}: {:?}",
                report.problems
            );
        }
        for (length, _) in positions(200, good.len()) {
            fs::write(&path, &good[..length]).unwrap();
            let report = check(&path, &metadata, identities.as_ref());
            // Also without the metadata's help: a cut file never reaches its end.
            assert!(report.manifest.is_none() && !report.is_good(), "cut to {length}");
        }
    }
}

#[test]
fn damage_is_found_inside_even_when_the_metadata_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let (path, metadata) = backup(folder.path(), &sample(), None);
    let good = fs::read(&path).unwrap();
    let mut found = 0;
    for (at, bit) in positions(500, good.len()) {
        let mut damaged = good.clone();
        damaged[at] ^= bit;
        fs::write(&path, &damaged).unwrap();
        let digest = container::digest_file(&path).unwrap();
        let mut forged = metadata.clone();
        (forged.size_bytes, forged.hash) = (digest.size_bytes, digest.sha256);
        let report = check(&path, &forged, None);
        if report.is_good() {
            // Only bytes of gzip headers that mean nothing: time, hints, system.
            assert_eq!(report.manifest.unwrap().namespaces, metadata.namespaces);
        } else {
            found += 1;
        }
    }
    assert!(found > 450, "{found} of 500");
}

#[test]
fn a_failed_archive_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample();
    for length in [0, 3, 100, archive.len() / 2, archive.len() - 1] {
        store_in(&archive[..length], &options(folder.path(), None)).unwrap_err();
        assert_eq!(leftovers(folder.path()), Vec::<PathBuf>::new());
    }
    drop(store_in(&archive, &options(folder.path(), None)).unwrap());
    assert_eq!(leftovers(folder.path()), Vec::<PathBuf>::new());
    store_in(&archive, &options(folder.path(), None))
        .unwrap()
        .commit()
        .unwrap();
    let error = store_in(&archive, &options(folder.path(), None)).unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
}

#[test]
fn wrong_metadata_or_manifest_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (path, good) = backup(folder.path(), &sample(), None);
    let changed = |change: &dyn Fn(&mut BackupMetadata)| {
        let mut metadata = good.clone();
        change(&mut metadata);
        check(&path, &metadata, None).problems.join("; ")
    };
    assert_eq!(changed(&|_| {}), "");
    assert!(changed(&|m| m.size_bytes += 1).contains("size"));
    assert!(changed(&|m| m.id = "20250131-000000".into()).contains("id"));
    assert!(changed(&|m| m.file = "other".into()).contains("file name"));
    assert!(changed(&|m| m.documents += 1).contains("documents"));
    assert!(changed(&|m| m.namespaces[0].documents += 1).contains("`app.users` differs in documents"));
    assert!(
        changed(&|m| m.namespaces[3].content_digest = ContentDigest::default()).contains("content digest")
    );
    assert!(changed(&|m| m.namespaces[0].indexes.clear()).contains("indexes"));
    assert!(changed(&|m| drop(m.namespaces.pop())).contains("number of namespaces"));
    let without = verify(
        &path,
        ContainerReader::open(&path, None, 2),
        None,
        Check::Outline,
        &mut |_| {},
    )
    .unwrap();
    assert!(without.problems.join("").contains("no metadata"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_archive_comes_back(sizes in prop::collection::vec(0..9000usize, 0..20), chunk in 1..20usize) {
        let folder = tempfile::tempdir().unwrap();
        let blocks = sizes.iter().map(|size| documents(1, *size)).collect();
        let bytes = archive(&[namespace("c", blocks)], &[]);
        let options = ContainerOptions { chunk_bytes: chunk * 512, ..options(folder.path(), None) };
        let stored = store_in(&bytes, &options).unwrap();
        let metadata = stored.metadata(consistency());
        let path = stored.commit().unwrap();
        let report = check(&path, &metadata, None);
        prop_assert_eq!(report.problems, Vec::<String>::new());
        let mut restored = Vec::new();
        ContainerReader::open(&path, None, 2).unwrap().read_to_end(&mut restored).unwrap();
        prop_assert!(restored == bytes);
    }

    #[test]
    fn arbitrary_files_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), start in 0..4usize) {
        let starts: [&[u8]; 4] = [b"", &[0x1f, 0x8b, 8, 0], b"age-encryption.org/v1\n", &[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0, b'X', b'B', 4, 0]];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, [starts[start], &bytes].concat()).unwrap();
        let report = verify(&path, ContainerReader::open(&path, None, 2), None, Check::Strict, &mut |_| {}).unwrap();
        prop_assert!(!report.is_good() && report.manifest.is_none());
    }
}
