//! Records: of backups, of the ledger, of releases.

use xtask::domain::ledger::{LedgerEvent, LedgerState};
use xtask::domain::manifest::BackupMetadata;
use xtask::domain::release::{Health, Release, ReleaseRecord, known_good, rolled_back_by};
use xtask::domain::release_chain::{
    RecordedRelease, ReleaseLink, backup_of, expected_live, next_of, releases_of, restores,
};

const ENVIRONMENT: &str = "production";

/// `backup-metadata.json`. A text is read with the checksum that it should have, or else no byte of it would be reached.
pub(crate) fn metadata(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(read) = BackupMetadata::from_text(text) {
        assert_eq!(reread(&read), read);
    }
    if let Ok(read) = serde_json::from_str::<BackupMetadata>(text) {
        let Ok(sealed) = read.sealed() else { return };
        assert_eq!(reread(&sealed), sealed);
    }
}

fn reread(metadata: &BackupMetadata) -> BackupMetadata {
    let text = metadata.to_text().expect("what was read is written");
    BackupMetadata::from_text(&text).expect("what was written is read")
}

/// The events of a ledger, one a line, and the releases that follow from them.
pub(crate) fn ledger_events(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut state = LedgerState::default();
    let mut events = Vec::new();
    for line in text.lines() {
        match serde_json::from_str::<LedgerEvent>(line) {
            Ok(event) => {
                let written = serde_json::to_string(&event).expect("an event is written");
                let again: LedgerEvent = serde_json::from_str(&written).expect("what was written is read");
                assert_eq!(again, event);
                state.apply(&event);
                events.push(event);
            }
            Err(error) => state.skip(error.to_string()),
        }
        if let Some(unfinished) = state.unfinished() {
            assert!(state.holds(&unfinished.id, unfinished.fence) || unfinished.ended.is_some());
        }
    }
    let effective = LedgerState::replay(&events);
    assert!(effective.operations.len() <= events.len());
    let released = releases_of(&state);
    let links: Vec<ReleaseLink> = released
        .iter()
        .map(|release| ReleaseLink::compare(ENVIRONMENT, release, None))
        .collect();
    for link in &links {
        let _chosen = backup_of(&links, &link.tag);
        let _next = next_of(&links, &link.tag);
        if let Some(release) = &link.release {
            let _live = expected_live(&state, release);
        }
    }
}

/// The messages of release tags, between lines of `%%`.
pub(crate) fn release_records(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut releases: Vec<Release> = Vec::new();
    for (number, message) in text.split("\n%%\n").enumerate() {
        let tag = format!("prod-20250131-{number:06}");
        let Ok(record) = ReleaseRecord::from_message(&tag, message) else {
            continue;
        };
        let written = record.release.message().expect("what was read is written");
        let again = ReleaseRecord::from_message(&tag, &written).expect("what was written is read");
        assert_eq!(again.release, record.release);
        let found = RecordedRelease {
            name: tag.clone(),
            message: written,
            is_recorded: true,
            is_tagged: false,
            marks: None,
            problems: Vec::new(),
        };
        let ledger = xtask::domain::release_chain::LedgerRelease {
            tag: tag.clone(),
            sha256: Some(again.sha256),
            record: None,
            adopted: false,
        };
        let link = ReleaseLink::compare(ENVIRONMENT, &ledger, Some(&found));
        assert!(
            !link.problems.is_empty() || link.release.as_ref() == Some(&record.release),
            "a link without a problem has the release"
        );
        releases.push(record.release);
    }
    let known = known_good(&releases, |release| release.health == Health::Healthy);
    let known: Vec<&str> = known.iter().map(|one| one.tag.as_str()).collect();
    for release in &releases {
        let rolled_back = rolled_back_by(&releases, &release.tag).is_some();
        assert!(!rolled_back || !known.contains(&release.tag.as_str()));
        let _restores = restores(&releases, release, "prod-20250131-000000");
    }
}
