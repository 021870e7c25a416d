use super::*;
use crate::domain::content_digest::ContentDigest;

/// A local server has none.
#[test]
fn a_migration_that_made_a_collection_time_series_blocks_a_restore() {
    let record = |collection: &str, kind| NamespaceRecord {
        database: "shop".into(),
        collection: collection.into(),
        kind,
        documents: 0,
        bytes: 0,
        crc: String::new(),
        content_digest: ContentDigest::default(),
        options: serde_json::json!({}),
        indexes: Vec::new(),
        uuid: None,
    };
    let backup = [
        record("measured", NamespaceKind::Collection),
        record("shown", NamespaceKind::View),
        record("stays", NamespaceKind::Collection),
        record("was", NamespaceKind::Timeseries),
    ];
    let listed = |name: &str, kind| {
        let options = mongodb::bson::Document::new();
        let listed = Listed {
            kind,
            options,
            identity: None,
        };
        (name.to_owned(), listed)
    };
    let live = BTreeMap::from([
        listed("measured", NamespaceKind::Timeseries),
        listed("shown", NamespaceKind::Timeseries),
        listed("stays", NamespaceKind::Collection),
        listed("was", NamespaceKind::Timeseries),
        listed("new", NamespaceKind::Timeseries),
    ]);
    let all = Selection::default();
    assert_eq!(
        blocking_timeseries(&live, "shop", &backup, &all),
        ["measured", "shown"]
    );
    assert!(blocking_timeseries(&live, "other", &backup, &all).is_empty());
    let others: Selection = serde_json::from_str(r#"["stays"]"#).unwrap();
    assert!(blocking_timeseries(&live, "shop", &backup, &others).is_empty());
    let mut found = RestorePreflight::default();
    found.timeseries(&live, "shop", &backup, &all);
    assert!(found.require_no_problem().is_err() && found.problems.len() == 2);
}

/// A local server reports neither of these.
#[test]
fn an_index_build_and_too_little_room_block_a_restore() {
    let mut found = RestorePreflight::default();
    found.index_builds(None);
    found.index_builds(Some(Vec::new()));
    assert_eq!((found.problems.len(), found.warnings.len()), (0, 1));
    found.index_builds(Some(vec!["shop.users".into()]));
    assert_eq!(
        found.problems,
        ["an index of `shop.users` is being built: renaming would fail"]
    );
    // The disk of this machine, for what will be written after the swap.
    found.rescue_file(Path::new("/operations"), 64 << 20, 64 << 20);
    assert_eq!(found.problems.len(), 1);
    found.rescue_file(Path::new("/operations"), (64 << 20) - 1, 64 << 20);
    assert!(
        found.problems[1].contains("the rescue file of what was written"),
        "{found:?}"
    );
}
