//! mongodump's archives.

use xtask::archive::{ArchiveReader, Check, Event, scan};

/// Reads the bytes as an archive, twice: event by event, and in the one pass that a verification makes.
pub(crate) fn run(bytes: &[u8]) {
    let (read, whole) = read(bytes);
    let scanned = scan(bytes, Check::Strict, 1, &mut |_| ());
    if let Ok(scan) = scanned {
        let documents: u64 = scan.namespaces.iter().map(|namespace| namespace.documents).sum();
        assert!(whole && documents == read, "two ways to read an archive agree");
    }
}

/// Documents up to the end or the first error, and whether there was none.
fn read(bytes: &[u8]) -> (u64, bool) {
    let Ok(mut reader) = ArchiveReader::new(bytes) else {
        return (0, false);
    };
    let (mut count_read, mut bytes_read) = (0, 0);
    let whole = loop {
        match reader.next_event() {
            Ok(Some(Event::Documents { documents, count, .. })) => {
                bytes_read += documents.len();
                count_read += count;
            }
            Ok(Some(Event::End { .. })) => {}
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    assert!(bytes_read <= bytes.len() && reader.offset() <= bytes.len() as u64);
    (count_read, whole)
}
