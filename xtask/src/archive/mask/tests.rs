use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, deserialize_from_slice, doc, serialize_to_vec};

use super::*;

fn key() -> MaskKey {
    MaskKey::of(b"0123456789abcdef", Some("20260102-030405")).unwrap()
}

fn masked(masks: &[(&str, MaskRule)], document: &Document) -> Result<Document> {
    let mut masks = CollectionMasks::new(masks.iter().map(|(path, rule)| (*path, rule)), Some(&key()));
    let mut out = Vec::new();
    masks.apply(&serialize_to_vec(document).unwrap(), &mut out)?;
    Ok(deserialize_from_slice(&out).unwrap())
}

#[test]
fn each_mask_reaches_its_field_through_documents_and_arrays_and_leaves_all_else_as_it_is() {
    let document = doc! {
        "_id": 1, "email": "ann@example.com", "note": "stays", "age": 40,
        "orders": [{ "to": { "email": "bob@example.com" }, "n": 1 }, [{ "to": { "email": "ann@example.com" } }], 7],
        "emails": ["ann@example.com", null, ["bob@example.com"]], "secret": { "a": [1] }, "kept": "k",
    };
    let masks = [
        ("email", MaskRule::Hash),
        ("orders.to.email", MaskRule::Hash),
        ("emails", MaskRule::Hash),
        ("secret", MaskRule::Null),
        ("age", MaskRule::Fixed(FixedValue::Integer(0))),
        ("kept", MaskRule::Keep),
        ("missing.field", MaskRule::Hash),
    ];
    let found = masked(&masks, &document).unwrap();
    let [ann, bob] = ["ann@example.com", "bob@example.com"].map(|email| {
        let document = masked(&masks[..1], &doc! { "email": email }).unwrap();
        document.get_str("email").unwrap().to_owned()
    });
    assert!(
        ann != bob && ann.ends_with("@masked.invalid") && ann.len() == 47,
        "{ann}"
    );
    let expected = doc! {
        "_id": 1, "email": &ann, "note": "stays", "age": 0_i64,
        "orders": [{ "to": { "email": &bob }, "n": 1 }, [{ "to": { "email": &ann } }], 7],
        "emails": [&ann, null, [&bob]], "secret": null, "kept": "k",
    };
    assert_eq!(found, expected);
    let mut counted = CollectionMasks::new(masks.iter().map(|(path, rule)| (*path, rule)), Some(&key()));
    counted
        .apply(&serialize_to_vec(&document).unwrap(), &mut Vec::new())
        .unwrap();
    assert_eq!(counted.replaced, [1, 2, 1, 1, 1, 0, 0]);
}

#[test]
fn a_hash_keeps_the_type_and_what_has_none_is_refused_without_its_value() {
    let id = ObjectId::parse_str("0123456789abcdef01234567").unwrap();
    let uuid = Binary {
        subtype: BinarySubtype::Uuid,
        bytes: vec![9; 16],
    };
    let hash = [("v", MaskRule::Hash)];
    let of = |value: Bson| masked(&hash, &doc! { "v": value }).map(|found| found.get("v").unwrap().clone());
    assert!(matches!(of(id.into()).unwrap(), Bson::ObjectId(other) if other != id));
    let other = of(uuid.clone().into()).unwrap();
    assert!(
        matches!(&other, Bson::Binary(other) if *other != uuid && other.subtype == uuid.subtype && other.bytes.len() == 16),
        "{other}"
    );
    assert_eq!(of(Bson::Null).unwrap(), Bson::Null);
    assert_ne!(of("".into()).unwrap(), Bson::from(""));
    for value in [
        Bson::Int32(4711),
        Bson::Int64(4711),
        Bson::Double(4711.0),
        Bson::Boolean(true),
        Bson::DateTime(mongodb::bson::DateTime::from_millis(4711)),
        doc! { "inner": 4711 }.into(),
        vec![Bson::Int32(4711)].into(),
    ] {
        let error = of(value.clone()).unwrap_err().to_string();
        assert!(
            error.contains("`v` has ") && !error.contains("4711"),
            "{value}: {error}"
        );
    }
}

#[test]
fn the_key_decides_and_a_short_one_is_refused() {
    let of = |secret: &[u8], id| MaskKey::of(secret, id).unwrap().digest(TEXT, b"x");
    let secret = b"0123456789abcdef";
    assert_eq!(of(secret, None), of(secret, None));
    assert_ne!(of(secret, None), of(b"0123456789abcdeg", None));
    assert_ne!(of(secret, Some("a")), of(secret, Some("b")));
    assert!(MaskKey::of(b"0123456789abcde", None).is_err());
    assert!(!format!("{:?}", key()).contains("48"));
}
