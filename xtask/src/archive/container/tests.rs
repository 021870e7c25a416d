//! Files that no writer of ours made: each must end in an error, for the right reason, in bounded memory.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::gzip::MemberWriter;
use super::tar_member::{BLOCK_BYTES, header, padding};
use super::*;
use crate::domain::manifest::{MANIFEST_SCHEMA, Manifest};

fn member(name: &str, content: &[u8]) -> Vec<u8> {
    let length = content.len() as u64;
    [
        &header(name, length).unwrap()[..],
        content,
        &vec![0; padding(length)],
    ]
    .concat()
}

fn manifest(chunks: u64, archive_bytes: u64, chunk_bytes: u64) -> Vec<u8> {
    let manifest = Manifest {
        schema: MANIFEST_SCHEMA.into(),
        id: "20250131-235959".into(),
        created: chrono::DateTime::UNIX_EPOCH,
        server_version: "8".into(),
        tool_version: "100".into(),
        archive_bytes,
        chunk_bytes,
        chunks,
        base: None,
        namespaces: Vec::new(),
    };
    member(MANIFEST_NAME, &serde_json::to_vec(&manifest).unwrap())
}

const TAR_END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

fn foreign_gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn own_gzip(content: &[u8]) -> Vec<u8> {
    MemberWriter::new(1).unwrap().member(content).unwrap()
}

/// Reads a file to the end: its bytes, or the error.
fn read(file: &[u8]) -> Result<Vec<u8>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backup");
    std::fs::write(&path, file).unwrap();
    let mut reader = ContainerReader::open(&path, None, 2).map_err(|error| format!("{error:#}"))?;
    let mut bytes = Vec::new();
    reader
        .read_to_end(&mut bytes)
        .map_err(|error| format!("{:#}", anyhow::Error::from(error)))?;
    assert!(reader.manifest().is_some());
    assert_eq!(reader.finish().unwrap(), {
        let digest = digest_file(&path).unwrap();
        assert_eq!(digest.size_bytes, file.len() as u64);
        digest
    });
    Ok(bytes)
}

fn good() -> Vec<Vec<u8>> {
    vec![
        member("data/00000000", &[1; 1024]),
        member("data/00000001", &[2; 1000]),
        manifest(2, 2024, 1024),
        TAR_END.to_vec(),
    ]
}

#[test]
fn any_valid_gzip_of_a_good_tar_is_read() {
    let tar = good().concat();
    let expected = [vec![1; 1024], vec![2; 1000]].concat();
    let (half, rest) = tar.split_at(700);
    let padded = [tar.clone(), vec![0; 10240 - tar.len() % 10240]].concat();
    let files = [
        own_gzip(&tar),
        foreign_gzip(&tar),
        [own_gzip(half), own_gzip(rest)].concat(),
        [own_gzip(half), foreign_gzip(rest)].concat(),
        [foreign_gzip(half), own_gzip(rest)].concat(),
        [foreign_gzip(half), foreign_gzip(rest)].concat(),
        foreign_gzip(&padded),
    ];
    for (number, file) in files.iter().enumerate() {
        assert_eq!(read(file).as_ref(), Ok(&expected), "file {number}");
    }
}

#[test]
fn hostile_tars_are_refused() {
    let with = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut members = good();
        change(&mut members);
        members.concat()
    };
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_path("data/00000000").unwrap();
    link.set_link_name("/etc/passwd").unwrap();
    link.set_size(0);
    link.set_cksum();
    let mut outside = link.clone();
    outside.set_entry_type(tar::EntryType::Regular);
    // The crate refuses to write such a name.
    outside.as_mut_bytes()[..17].copy_from_slice(b"../../etc/passwd\0");
    outside.set_cksum();
    let huge_chunk = header("data/00000000", u64::from(u32::MAX)).unwrap().to_vec();
    let huge_manifest = header(MANIFEST_NAME, 1 << 32).unwrap().to_vec();
    let claimed_manifest = [
        header(MANIFEST_NAME, 100 << 20).unwrap().to_vec(),
        vec![b' '; 512],
    ]
    .concat();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (with(&|m| m[0] = link.as_bytes().to_vec()), "plain file"),
        (with(&|m| m[0] = outside.as_bytes().to_vec()), "should be"),
        (with(&|m| m.swap(0, 1)), "should be"),
        (with(&|m| drop(m.remove(0))), "should be"),
        (with(&|m| m.insert(1, member("other", b"x"))), "should be"),
        (with(&|m| drop(m.remove(2))), "header is damaged"),
        (with(&|m| m.truncate(2)), "before the manifest"),
        (with(&|m| m.truncate(3)), "no end"),
        (
            with(&|m| m.insert(3, member("data/00000002", &[3; 10]))),
            "after the manifest",
        ),
        (with(&|m| m.push(vec![0, 1])), "after the manifest"),
        (with(&|m| m.push(vec![0; 3 << 20])), "has data after"),
        (with(&|m| m.push(vec![0; 3])), "no end"),
        (with(&|m| m[2] = manifest(3, 2024, 1024)), "chunks"),
        (with(&|m| m[2] = manifest(2, 2025, 1024)), "chunks"),
        (with(&|m| m[2] = manifest(2, 2024, 512)), "chunks of"),
        (with(&|m| m[2] = member(MANIFEST_NAME, b"{}")), "not readable"),
        (with(&|m| m[1] = member("data/00000001", &[2; 1025])), "larger"),
        (
            with(&|m| m.insert(2, member("data/00000002", &[3; 10]))),
            "smaller",
        ),
        (with(&|m| m[0] = member("data/00000000", b"")), "impossible size"),
        (with(&|m| m[0] = huge_chunk.clone()), "impossible size"),
        (with(&|m| m[2] = huge_manifest.clone()), "impossible size"),
        (
            with(&|m| drop(m.splice(2.., [claimed_manifest.clone()]))),
            "cut short",
        ),
        (with(&|m| *m[1].last_mut().unwrap() = 9), "padding"),
        (with(&|m| m[0].truncate(800)), "header is damaged"),
        (
            with(&|m| m.splice(.., [vec![0; 100 << 20]]).for_each(drop)),
            "header is damaged",
        ),
        (vec![], "before the manifest"),
    ];
    for (number, (tar, expected)) in cases.into_iter().enumerate() {
        for file in [
            foreign_gzip(&tar),
            tar.chunks(MAX_CHUNK_BYTES).flat_map(own_gzip).collect(),
        ] {
            let error = read(&file).expect_err("must be refused");
            assert!(
                error.contains(expected),
                "case {number}: {error:?} lacks {expected:?}"
            );
        }
    }
}

#[test]
fn hostile_gzip_is_refused() {
    let tar = good().concat();
    let own = own_gzip(&tar);
    let foreign = foreign_gzip(&tar);
    let mut claims_more = own.clone();
    claims_more[16..20].copy_from_slice(&1_000_000_u32.to_le_bytes());
    let mut claims_all = own.clone();
    claims_all[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (tar.clone(), "not gzip"),
        (b"x".to_vec(), "not gzip"),
        ([&own[..], b"garbage"].concat(), "not gzip"),
        ([&foreign[..], b"garbage"].concat(), "not gzip"),
        ([&own[..], &[0; 512]].concat(), "not gzip"),
        (own[..own.len() - 1].to_vec(), "cut short"),
        (own[..10].to_vec(), "damaged"),
        (foreign[..foreign.len() - 1].to_vec(), "damaged"),
        (claims_more, "cut short"),
        (claims_all, "impossible length"),
    ];
    for (number, (file, expected)) in cases.into_iter().enumerate() {
        let error = read(&file).expect_err("must be refused");
        assert!(
            error.contains(expected),
            "case {number}: {error:?} lacks {expected:?}"
        );
    }
}

#[test]
fn a_reader_dropped_early_ends_its_threads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backup");
    let parts = (0..64).flat_map(|n| own_gzip(&member(&chunk_name(n), &[7; 1024])));
    std::fs::write(&path, parts.collect::<Vec<u8>>()).unwrap();
    let mut reader = ContainerReader::open(&path, None, 2).unwrap();
    reader.read_exact(&mut [0; 10]).unwrap();
    // `finish` joins the thread that feeds the workers: it would hang here if it were stuck.
    assert_eq!(reader.finish().unwrap(), digest_file(&path).unwrap());
}
