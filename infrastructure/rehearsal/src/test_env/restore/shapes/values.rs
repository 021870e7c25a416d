//! Ids and documents of every type.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{
    Binary, Bson, DateTime, Decimal128, Document, JavaScriptCodeWithScope, Regex, Timestamp, cstr, doc,
};

use crate::data::random::Random;

/// An `_id` of any type; two of the same number and type are the same.
pub fn id(random: &mut Random) -> Bson {
    let number = random.range(0, 40);
    let small = i32::try_from(number).expect("below 40");
    let binary = |subtype| Binary {
        subtype,
        bytes: vec![u8::try_from(number).expect("below 40"); 16],
    };
    match random.range(0, 18) {
        0 => Bson::Null,
        1 => Bson::Double(f64::NAN),
        2 => Bson::Decimal128("-0".parse::<Decimal128>().expect("a decimal")),
        3 => Bson::Binary(binary(BinarySubtype::UuidOld)),
        4 => Bson::Binary(binary(BinarySubtype::Uuid)),
        5 => Bson::MinKey,
        6 => Bson::MaxKey,
        7 => Bson::Document(doc! { "x": small, "y": [small] }),
        8 => Bson::JavaScriptCode(format!("return {number}")),
        9 => Bson::DateTime(DateTime::from_millis(-number)),
        10 => Bson::DateTime(DateTime::from_millis(253_402_300_800_000 + number)),
        11 => Bson::Timestamp(Timestamp {
            time: 1,
            increment: small.unsigned_abs(),
        }),
        12 => Bson::String(String::new()),
        13 => Bson::String(number.to_string()),
        14 => Bson::Int64(i64::MAX - number),
        15 => Bson::ObjectId(ObjectId::from_bytes(
            [u8::try_from(number).expect("below 40"); 12],
        )),
        16 => Bson::Boolean(number % 2 == 0),
        _ => Bson::Int32(small),
    }
}

/// A document of any content.
pub fn document(random: &mut Random, id: impl Into<Bson>) -> Document {
    let count = usize::try_from(random.range(0, 12)).expect("below 12");
    doc! { "_id": id, "n": random.range(0, 1000), "words": random.words(count), "value": value(random) }
}

fn value(random: &mut Random) -> Bson {
    let text = random.words(2);
    match random.range(0, 20) {
        0 => Bson::Double(-0.0),
        1 => Bson::Double(f64::INFINITY),
        2 => Bson::Double(f64::NAN),
        3 => Bson::from("ä\u{0}\u{1F600}"),
        4 => Bson::Document(doc! { "": { "nested": {} }, "a.b": 1, "$c": 2 }),
        5 => Bson::Array(vec![Bson::Null, Bson::from(1_i32), Bson::Array(Vec::new())]),
        6 => Bson::Binary(Binary {
            subtype: BinarySubtype::UserDefined(0x80),
            bytes: random.bytes(9),
        }),
        7 => Bson::Document(doc! { "$ref": "users", "$id": 7, "$db": "other" }),
        8 => Bson::Undefined,
        9 => Bson::Symbol(text),
        10 => Bson::RegularExpression(Regex {
            pattern: cstr!("^a").into(),
            options: cstr!("im").into(),
        }),
        11 => Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope {
            code: text,
            scope: doc! { "x": 1 },
        }),
        12 => Bson::Timestamp(Timestamp {
            time: 0,
            increment: 0,
        }),
        13 => Bson::Decimal128("1.10".parse().expect("a decimal")),
        14 => Bson::DateTime(DateTime::from_millis(-1)),
        15 => Bson::Document(doc! { "$oid": "short" }),
        16 => Bson::MinKey,
        17 => Bson::Int64(random.range(i64::MIN, i64::MAX)),
        18 => deep(95),
        _ => Bson::String(text),
    }
}

fn deep(levels: usize) -> Bson {
    (0..levels).fold(Bson::Int32(1), |inner, level| {
        if level % 7 == 0 {
            Bson::Array(vec![inner])
        } else {
            Bson::Document(doc! { "a": inner })
        }
    })
}
