//! Documents of every collection; together they use every type that a server stores.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{
    Binary, Bson, DateTime, Decimal128, Document, JavaScriptCodeWithScope, Regex, Timestamp, cstr, doc,
};

use super::random::Random;

/// The oldest date of the data: 2025-01-01.
const EPOCH_MS: i64 = 1_735_689_600_000;
const DAY_MS: i64 = 86_400_000;

const CITIES: [(&str, f64, f64); 8] = [
    ("Graz", 15.44, 47.07),
    ("Wien", 16.37, 48.21),
    ("Linz", 14.29, 48.31),
    ("Porto", -8.61, 41.15),
    ("Łódź", 19.46, 51.76),
    ("Kyōto", 135.77, 35.01),
    ("Oslo", 10.75, 59.91),
    ("Quito", -78.47, -0.18),
];

/// An id that depends on the kind of document and its number only.
pub(super) fn id(kind: u8, number: i64) -> ObjectId {
    let mut bytes = [0_u8; 12];
    bytes[0] = 0x67;
    bytes[1] = kind;
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    ObjectId::from_bytes(bytes)
}

fn date(random: &mut Random, days: i64) -> DateTime {
    DateTime::from_millis(EPOCH_MS + random.range(0, days * DAY_MS))
}

fn decimal(text: &str) -> Decimal128 {
    text.parse().expect("a valid decimal")
}

/// A property in the form of release v1.
pub(super) fn property(random: &mut Random, number: i64) -> Document {
    let (city, longitude, latitude) = *random.pick(&CITIES);
    let amenities: Vec<Bson> = (0..random.range(0, 4))
        .map(|_| Bson::from(*random.pick(&["wifi", "lift", "garage", "garden"])))
        .collect();
    let mut document = doc! {
        "_id": id(1, number),
        "slug": format!("property-{number:08}"),
        "title": random.words(3),
        "address": {"city": city, "street": random.words(1), "number": i32::try_from(random.range(1, 200)).unwrap_or(1)},
        "price": i32::try_from(random.range(100, 900_000)).unwrap_or(100),
        "rooms": random.range(1, 9),
        "area_m2": (random.unit() * 3000.0).round() / 10.0,
        "location": {"type": "Point", "coordinates": [longitude + random.unit() / 10.0, latitude + random.unit() / 10.0]},
        "amenities": amenities,
        "owner": format!("user{}@rehearsal.example", random.range(0, 500)),
        "created_at": date(random, 300),
        "description": random.words(28),
    };
    // Fields that only some documents have: partial and sparse indexes need them.
    if random.range(0, 10) == 0 {
        document.insert("featured", true);
        document.insert("discount", decimal("0.15"));
    }
    if random.range(0, 20) == 0 {
        document.insert("withdrawn_at", Bson::Null);
    }
    document
}

/// A user; the password's hash is of nothing, so nobody can log in.
pub(super) fn user(random: &mut Random, number: i64) -> Document {
    let salt = Binary {
        subtype: BinarySubtype::Generic,
        bytes: random.bytes(16),
    };
    let hash = Binary {
        subtype: BinarySubtype::Generic,
        bytes: random.bytes(32),
    };
    doc! {
        "_id": id(2, number),
        "email": format!("user{number}@rehearsal.example"),
        "name": format!("User {number}"),
        "role": *random.pick(&["user", "user", "user", "agent"]),
        "password": {"scheme": "scrypt", "salt": salt, "hash": hash},
        "logins": random.range(0, 1 << 40),
        "created_at": date(random, 300),
    }
}

/// The user that health checks log in as.
pub(super) fn test_user(email: &str, salt: Vec<u8>, hash: Vec<u8>) -> Document {
    let generic = |bytes| Binary {
        subtype: BinarySubtype::Generic,
        bytes,
    };
    doc! {
        "_id": id(2, 1 << 40),
        "email": email,
        "name": "Test User",
        "role": "admin",
        "password": {"scheme": "scrypt", "salt": generic(salt), "hash": generic(hash)},
        "logins": 0_i64,
        "created_at": DateTime::from_millis(EPOCH_MS),
    }
}

/// A booking; at most one of a property is active.
pub(super) fn booking(random: &mut Random, number: i64, properties: i64) -> Document {
    let from = date(random, 600);
    let to = DateTime::from_millis(from.timestamp_millis() + random.range(1, 20) * DAY_MS);
    let status = if number < properties / 10 {
        "active"
    } else {
        *random.pick(&["ended", "cancelled"])
    };
    let property = if status == "active" {
        number
    } else {
        random.range(0, properties.max(1))
    };
    doc! {
        "_id": id(3, number),
        "property": id(1, property),
        "guest": format!("user{}@rehearsal.example", random.range(0, 500)),
        "status": status,
        "from": from,
        "to": to,
        "total": decimal(&format!("{}.{:02}", random.range(50, 9000), random.range(0, 100))),
        "history": [{"at": from, "what": "made"}, {"at": to, "what": status}],
    }
}

/// A session; it expires in a future that no rehearsal reaches.
pub(super) fn session(random: &mut Random, number: i64) -> Document {
    let uuid = Binary {
        subtype: BinarySubtype::Uuid,
        bytes: random.bytes(16),
    };
    doc! {
        "_id": uuid,
        "user": id(2, number % 50),
        "expires_at": DateTime::from_millis(EPOCH_MS + 20 * 365 * DAY_MS + number),
        "data": Binary { subtype: BinarySubtype::Generic, bytes: random.bytes(120) },
    }
}

/// One document for each kind of value.
pub(crate) fn all_types() -> Vec<Document> {
    let values: Vec<(&str, Bson)> = vec![
        ("double", Bson::Double(-0.0)),
        ("infinity", Bson::Double(f64::INFINITY)),
        ("not_a_number", Bson::Double(f64::NAN)),
        ("string", Bson::from("ä\u{0}\u{1F600}")),
        ("empty_string", Bson::from("")),
        (
            "document",
            Bson::Document(doc! {"": {"nested": {}}, "a.b": 1, "$c": 2}),
        ),
        (
            "array",
            Bson::Array(vec![Bson::Null, Bson::from(1_i32), Bson::Array(Vec::new())]),
        ),
        (
            "binary",
            Bson::Binary(Binary {
                subtype: BinarySubtype::UserDefined(0x80),
                bytes: vec![0, 255],
            }),
        ),
        (
            "md5",
            Bson::Binary(Binary {
                subtype: BinarySubtype::Md5,
                bytes: vec![7; 16],
            }),
        ),
        ("object_id", Bson::ObjectId(id(9, 9))),
        ("true", Bson::Boolean(true)),
        ("before_1970", Bson::DateTime(DateTime::from_millis(-1))),
        ("null", Bson::Null),
        (
            "regex",
            Bson::RegularExpression(Regex {
                pattern: cstr!("^a").into(),
                options: cstr!("im").into(),
            }),
        ),
        ("code", Bson::JavaScriptCode("return 1".to_owned())),
        (
            "code_with_scope",
            Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope {
                code: "x".to_owned(),
                scope: doc! {"x": 1},
            }),
        ),
        ("int32", Bson::Int32(i32::MIN)),
        (
            "timestamp",
            Bson::Timestamp(Timestamp {
                time: 1,
                increment: 2,
            }),
        ),
        ("int64", Bson::Int64(i64::MAX)),
        ("decimal", Bson::Decimal128(decimal("1.10"))),
        ("min_key", Bson::MinKey),
        ("max_key", Bson::MaxKey),
    ];
    values
        .into_iter()
        .map(|(name, value)| doc! {"_id": name, "value": value})
        .collect()
}

/// An entry of the capped log.
pub(super) fn log_entry(random: &mut Random, number: i64) -> Document {
    doc! {"_id": number, "at": date(random, 300), "what": random.words(2)}
}
