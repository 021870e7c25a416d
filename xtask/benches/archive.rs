//! Throughput of taking and verifying a backup, from a recorded archive so that no server is the limit.
//!
//! `cargo bench -p xtask --bench archive -- [MEGABYTES] [LEVEL…]`; with `--profile dev` as people run it. The last line is
//! what it replaces, the pipeline of `gzip`, `sha256sum` and `gzip -t` on the same bytes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use age::secrecy::ExposeSecret;
use anyhow::{Context, Result};
use mongodb::bson::{doc, serialize_to_vec};
use rand::{Rng, SeedableRng, rngs::StdRng};
use xtask::archive::crc::Crc64;
use xtask::archive::{Check, ContainerOptions, Identities, Recipients, store, verify};
use xtask::domain::manifest::{Consistency, ConsistencyKind};

fn main() -> Result<()> {
    // `cargo bench` adds `--bench`.
    let numbers: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let megabytes = numbers.first().copied().unwrap_or(256);
    let levels = if numbers.len() > 1 { &numbers[1..] } else { &[2] };
    let folder = tempfile::tempdir()?;
    let archive = folder.path().join("archive");
    record(&archive, megabytes * 1_000_000)?;
    for level in levels {
        for encrypted in [false, true] {
            measure(folder.path(), &archive, u8::try_from(*level)?, encrypted)?;
        }
    }
    pipeline(folder.path(), &archive)
}

/// `tar czf` of a dump, its checksum and the test of the result, by the tools that one would use.
fn pipeline(folder: &Path, archive: &Path) -> Result<()> {
    let bytes = std::fs::metadata(archive)?.len() as f64;
    for (what, script) in [
        (
            "store ",
            "tar -C \"$0\" -czf \"$0/p.tar.gz\" archive && sha256sum \"$0/p.tar.gz\" > \"$0/p.sum\"",
        ),
        (
            "verify",
            "sha256sum --quiet -c \"$0/p.sum\" && gzip -t \"$0/p.tar.gz\"",
        ),
    ] {
        let (begun, cpu_begun) = (Instant::now(), children_cpu_seconds()?);
        let status = std::process::Command::new("bash")
            .args(["-c", script])
            .arg(folder)
            .status()?;
        anyhow::ensure!(status.success(), "the pipeline failed");
        let (seconds, cpu) = (begun.elapsed().as_secs_f64(), children_cpu_seconds()? - cpu_begun);
        let size = std::fs::metadata(folder.join("p.tar.gz"))?.len();
        println!(
            "{what} by tar, gzip and sha256sum: {:6.0} MB/s, {:5.2} CPU-s/GB, ratio {:.2}",
            bytes / 1e6 / seconds,
            cpu / (bytes / 1e9),
            bytes / size as f64
        );
    }
    Ok(())
}

fn measure(folder: &Path, archive: &Path, level: u8, encrypted: bool) -> Result<()> {
    let key = age::x25519::Identity::generate();
    let recipients = encrypted
        .then(|| Recipients::parse(&[key.to_public().to_string()]))
        .transpose()?;
    let options = ContainerOptions {
        level,
        ..ContainerOptions::new(folder, "20250131-235959", recipients)
    };
    let bytes = std::fs::metadata(archive)?.len() as f64;
    let (begun, cpu_begun) = (Instant::now(), cpu_seconds()?);
    let stored = store(File::open(archive)?, &options, chrono::Utc::now(), &mut |_| {})?;
    let reason = "benchmark".to_owned();
    let metadata = stored.metadata(Consistency {
        kind: ConsistencyKind::PerCollection,
        reason,
    });
    let path = stored.commit()?;
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds()? - cpu_begun);
    println!(
        "store  level {level} encrypted {encrypted:5}: {:6.0} MB/s, {:5.2} CPU-s/GB, ratio {:.2}, peak {} MB",
        bytes / 1e6 / seconds,
        cpu / (bytes / 1e9),
        bytes / metadata.size as f64,
        peak_megabytes()?
    );
    let identities = encrypted
        .then(|| Identities::parse(key.to_string().expose_secret()))
        .transpose()?;
    let (begun, cpu_begun) = (Instant::now(), cpu_seconds()?);
    let report = verify(
        &path,
        Some(&metadata),
        identities.as_ref(),
        Check::Strict,
        &mut |_| {},
    )?;
    anyhow::ensure!(report.is_good(), "{:?}", report.problems);
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds()? - cpu_begun);
    println!(
        "verify level {level} encrypted {encrypted:5}: {:6.0} MB/s, {:5.2} CPU-s/GB, peak {} MB",
        bytes / 1e6 / seconds,
        cpu / (bytes / 1e9),
        peak_megabytes()?
    );
    std::fs::remove_file(path).context("cannot remove the backup")
}

/// Writes an archive of about 500-byte documents that compress as business data does.
fn record(path: &Path, bytes: u64) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let words = [
        "garden",
        "terrace",
        "quiet",
        "central",
        "renovated",
        "balcony",
        "parking",
        "view",
        "metro",
        "light",
    ];
    let mut random = StdRng::seed_from_u64(1);
    let mut batch = Vec::new();
    while batch.len() < 16_000_000 {
        let text: Vec<&str> = (0..25)
            .map(|_| words[random.random_range(0..words.len())])
            .collect();
        let document = doc! {
            "_id": format!("{:032x}", random.random::<u128>()), "price": random.random_range(500_i64..5_000_000),
            "text": text.join(" "), "owner": format!("{:024x}", random.random::<u64>()), "area": random.random::<f64>(),
            "city": words[random.random_range(0..words.len())], "published": random.random::<bool>(),
            "location": { "type": "Point", "coordinates": [random.random::<f64>(), random.random::<f64>()] },
        };
        batch.extend(serialize_to_vec(&document)?);
    }
    file.write_all(&[0x6d, 0xe2, 0x99, 0x81])?;
    let header =
        doc! { "concurrent_collections": 1, "version": "0.1", "server_version": "8", "tool_version": "0" };
    file.write_all(&serialize_to_vec(&header)?)?;
    let entry = doc! { "db": "app", "collection": "c", "metadata": "{}", "size": 0, "type": "collection" };
    file.write_all(&serialize_to_vec(&entry)?)?;
    file.write_all(&[0xff; 4])?;
    let header = doc! { "db": "app", "collection": "c", "EOF": false, "CRC": 0_i64 };
    file.write_all(&serialize_to_vec(&header)?)?;
    let mut crc = Crc64::new();
    for _ in 0..bytes.div_ceil(batch.len() as u64) {
        crc.update(&batch);
        file.write_all(&batch)?;
    }
    file.write_all(&[0xff; 4])?;
    let end = doc! { "db": "app", "collection": "c", "EOF": true, "CRC": crc.value().cast_signed() };
    file.write_all(&serialize_to_vec(&end)?)?;
    file.write_all(&[0xff; 4])?;
    Ok(file.flush()?)
}

/// User and system time of this process, from `/proc`.
fn cpu_seconds() -> Result<f64> {
    stat_seconds(11)
}

/// The same of the processes that were waited for.
fn children_cpu_seconds() -> Result<f64> {
    stat_seconds(13)
}

fn stat_seconds(first: usize) -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .context("no stat")?
        .split_whitespace()
        .collect();
    let ticks: f64 = fields[first].parse::<f64>()? + fields[first + 1].parse::<f64>()?;
    Ok(ticks / 100.0)
}

fn peak_megabytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1000)
}
