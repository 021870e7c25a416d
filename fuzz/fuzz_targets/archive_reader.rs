//! `cargo +nightly fuzz run archive_reader -- -seed_inputs=../xtask/tests/fixtures/mongodump-100.12.2-oplog.archive`
#![no_main]

use libfuzzer_sys::fuzz_target;
use xtask::archive::{ArchiveReader, Event};

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = ArchiveReader::new(bytes) else { return };
    let mut seen = 0;
    while let Ok(Some(event)) = reader.next_event() {
        if let Event::Documents { documents, .. } = event {
            seen += documents.len();
        }
    }
    assert!(seen <= bytes.len() && reader.offset() <= bytes.len() as u64);
});
