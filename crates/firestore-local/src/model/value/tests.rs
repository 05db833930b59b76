use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::proto::value::ValueType as V;

pub fn value(kind: V) -> Value {
    Value { value_type: Some(kind) }
}

pub fn int(number: i64) -> Value {
    value(V::IntegerValue(number))
}

pub fn double(number: f64) -> Value {
    value(V::DoubleValue(number))
}

pub fn string(text: &str) -> Value {
    value(V::StringValue(text.to_owned()))
}

pub fn array(values: Vec<Value>) -> Value {
    value(V::ArrayValue(ArrayValue { values }))
}

pub fn map(pairs: &[(&str, Value)]) -> Value {
    let fields = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    value(V::MapValue(MapValue { fields }))
}

fn geo_point(latitude: f64, longitude: f64) -> Value {
    let point = firestore::gcloud_sdk::google::r#type::LatLng { latitude, longitude };
    value(V::GeoPointValue(point))
}

fn vector(values: Vec<Value>) -> Value {
    map(&[("__type__", string("__vector__")), ("value", array(values))])
}

fn timestamp(seconds: i64) -> Value {
    value(V::TimestampValue(prost_types::Timestamp { seconds, nanos: 0 }))
}

#[test]
fn values_sort_across_types_as_firestore_documents() {
    let sorted = [
        value(V::NullValue(0)),
        value(V::BooleanValue(false)),
        value(V::BooleanValue(true)),
        double(f64::NAN),
        double(f64::NEG_INFINITY),
        int(i64::MIN),
        double(-1.5),
        int(-1),
        double(0.0),
        int(1),
        double(1.5),
        int(9_007_199_254_740_992),
        int(9_007_199_254_740_993),
        int(i64::MAX),
        double(9_223_372_036_854_775_808.0),
        double(f64::INFINITY),
        timestamp(-5),
        timestamp(5),
        string(""),
        string("a"),
        string("a\0"),
        string("ab"),
        string("é"),
        value(V::BytesValue(vec![])),
        value(V::BytesValue(vec![0xff])),
        value(V::ReferenceValue("projects/p/databases/d/documents/a/__id-1__".to_owned())),
        value(V::ReferenceValue("projects/p/databases/d/documents/a/__id9__".to_owned())),
        value(V::ReferenceValue("projects/p/databases/d/documents/a/__id10__".to_owned())),
        value(V::ReferenceValue("projects/p/databases/d/documents/a/b".to_owned())),
        value(V::ReferenceValue("projects/p/databases/d/documents/a/b/c/d".to_owned())),
        value(V::ReferenceValue("projects/p/databases/d/documents/a/ba".to_owned())),
        geo_point(-90.0, 180.0),
        geo_point(1.0, -2.0),
        geo_point(1.0, 2.0),
        array(vec![]),
        array(vec![value(V::NullValue(0))]),
        array(vec![int(1)]),
        array(vec![int(1), int(1)]),
        array(vec![int(2)]),
        vector(vec![double(9.0)]),
        vector(vec![double(1.0), double(2.0)]),
        map(&[]),
        map(&[("a", int(1))]),
        map(&[("a", int(1)), ("b", int(0))]),
        map(&[("a", int(2))]),
        map(&[("b", int(0))]),
    ];
    for (index, low) in sorted.iter().enumerate() {
        for high in &sorted[index + 1..] {
            assert_eq!(compare(low, high), Ordering::Less, "{low:?} {high:?}");
        }
    }
}

#[test]
fn equal_numbers_have_equal_encodings() {
    assert_eq!(compare(&int(1), &double(1.0)), Ordering::Equal);
    assert_eq!(compare(&double(-0.0), &int(0)), Ordering::Equal);
    assert_eq!(compare(&double(f64::NAN), &double(-f64::NAN)), Ordering::Equal);
}

/// Indexes on disk hold encodings, so that they must not change.
#[test]
fn numbers_keep_their_encoding() {
    for (number, nearest, difference) in [
        (int(1), [0xbf, 0xf0, 0, 0, 0, 0, 0, 0], [0x80, 0]),
        (double(1.0), [0xbf, 0xf0, 0, 0, 0, 0, 0, 0], [0x80, 0]),
        (int((1 << 53) + 1), [0xc3, 0x40, 0, 0, 0, 0, 0, 0], [0x80, 1]),
        (int(i64::MAX), [0xc3, 0xe0, 0, 0, 0, 0, 0, 0], [0x7f, 0xff]),
    ] {
        let expected = [&[NUMBER][..], &nearest, &difference].concat();
        assert_eq!(encoded(&number), expected, "{number:?}");
    }
}

#[test]
fn sizes_follow_the_published_example() {
    // "Storage size calculations": users/jeff/tasks/my_task_id with four fields is 147 bytes.
    let name = DocumentName::parse("projects/p/databases/d/documents/users/jeff/tasks/my_task_id")
        .unwrap();
    let fields = Fields::from([
        ("type".to_owned(), string("Personal")),
        ("done".to_owned(), value(V::BooleanValue(false))),
        ("priority".to_owned(), int(1)),
        ("description".to_owned(), string("Learn Cloud Firestore")),
    ]);
    assert_eq!(document_size(&name, &fields), 147);
}

#[test]
fn fields_that_firestore_refuses_are_refused() {
    let database = Database::parse("projects/p/databases/d").unwrap();
    let deep = |levels: usize| (0..levels).fold(int(1), |inner, _| map(&[("m", inner)]));
    let check = |name: &str, value: Value| {
        check_fields(&database, &mut Fields::from([(name.to_owned(), value)]))
    };
    assert!(check("a", array(vec![array(vec![])])).is_err());
    assert!(check("__a__", int(1)).is_err());
    assert!(check("", int(1)).is_err());
    assert!(check(&"x".repeat(1_501), int(1)).is_err());
    assert!(check("a", Value::default()).is_err());
    assert!(check("a", deep(21)).is_err());
    assert!(check("a", deep(20)).is_ok());
    assert!(check("a", array(vec![deep(20)])).is_err());
    assert!(check("a", array(vec![deep(19)])).is_ok());
    assert!(check("__type__", int(1)).is_err());
    assert!(check("____", int(1)).is_err());
    assert!(check("___", int(1)).is_ok());
    assert!(check("a", map(&[("b", map(&[("__c__", int(1))]))])).is_err());
    assert!(check("a", value(V::ReferenceValue("a/b".to_owned()))).is_err());
    assert!(check("a", geo_point(90.0, -180.0)).is_ok());
    assert!(check("a", geo_point(90.5, 0.0)).is_err());
    assert!(check("a", geo_point(0.0, f64::NAN)).is_err());
    assert!(check("a", timestamp(253_402_300_800)).is_err());
    assert!(check("a", value(V::FieldReferenceValue("b".to_owned()))).is_err());
    assert!(check("a", array(vec![map(&[("b", array(vec![int(1)]))])])).is_ok());
}

#[test]
fn vectors_hold_only_numbers_and_are_limited_in_length() {
    let database = Database::parse("projects/p/databases/d").unwrap();
    let check =
        |value: Value| check_fields(&database, &mut Fields::from([("v".to_owned(), value)]));
    assert!(check(vector(vec![double(1.5); 2_048])).is_ok());
    assert!(check(array(vec![vector(vec![double(1.5)])])).is_ok());
    assert!(check(vector(vec![double(1.5); 2_049])).is_err());
    assert!(check(vector(vec![string("1.5")])).is_err());
    let more = [("__type__", string("__vector__")), ("value", array(vec![])), ("x", int(1))];
    assert!(check(map(&more)).is_err());
    assert!(check(map(&[("__type__", string("__other__"))])).is_err());
}

#[test]
fn strings_and_bytes_have_a_separate_size_limit() {
    let database = Database::parse("projects/p/databases/d").unwrap();
    let check =
        |value: Value| check_fields(&database, &mut Fields::from([("a".to_owned(), value)]));
    let bytes = |length: usize| value(V::BytesValue(vec![0; length]));
    assert!(check(string(&"x".repeat(1_048_487))).is_ok());
    assert!(check(bytes(1_048_487)).is_ok());
    assert!(check(bytes(1_048_488)).is_err());
    let status = check(map(&[("b", string(&"x".repeat(1_048_488)))])).unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    let message = "The value of property \"b\" is longer than 1048487 bytes.";
    assert_eq!(status.message(), message);
}

#[test]
fn stored_timestamps_are_truncated_to_microseconds_at_any_depth() {
    let database = Database::parse("projects/p/databases/d").unwrap();
    let at = |nanos| value(V::TimestampValue(prost_types::Timestamp { seconds: 1, nanos }));
    let fields = |nanos| {
        let nested = array(vec![map(&[("b", at(nanos))])]);
        Fields::from([("a".to_owned(), at(nanos)), ("c".to_owned(), nested)])
    };
    let mut stored = fields(1_999);
    check_fields(&database, &mut stored).unwrap();
    assert_eq!(stored, fields(1_000));
}

#[test]
fn each_type_has_its_documented_size() {
    let name = "projects/p/databases/d/documents/users/jeff";
    for (value, bytes) in [
        (value(V::NullValue(0)), 1),
        (value(V::BooleanValue(true)), 1),
        (int(1), 8),
        (double(1.0), 8),
        (timestamp(1), 8),
        (string("é"), 3),
        (value(V::BytesValue(vec![1, 2, 3])), 3),
        (value(V::ReferenceValue(name.to_owned())), 6 + 5 + 16),
        (geo_point(1.0, 2.0), 16),
        (array(vec![int(1), string("a")]), 8 + 2),
        (map(&[("ab", int(1))]), 3 + 8),
    ] {
        assert_eq!(size(&value), bytes, "{value:?}");
    }
}

#[expect(clippy::cast_precision_loss, reason = "the nearest double is meant")]
fn nearest_double(number: i64) -> Value {
    double(number as f64)
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(int),
        any::<f64>().prop_map(double),
        (-3i64..3).prop_map(int),
        (-3i32..3).prop_map(|n| double(f64::from(n) / 2.0)),
        any::<i64>().prop_map(nearest_double),
        // Integers that are closer to each other than the doubles around them.
        near_doubles().prop_map(int),
        near_doubles().prop_map(nearest_double),
    ]
}

fn near_doubles() -> impl Strategy<Value = i64> {
    let places = vec![i64::MIN, -(1 << 62), -(1 << 53), 1 << 53, 1 << 54, 1 << 62, i64::MAX];
    (prop::sample::select(places), -3i64..4).prop_map(|(place, n)| place.saturating_add(n))
}

/// The exact order of two numbers; `None` if one of them is NaN.
#[expect(clippy::cast_possible_truncation, reason = "the double is in the range of i64")]
fn exact(a: &Value, b: &Value) -> Option<Ordering> {
    match (a.value_type.as_ref()?, b.value_type.as_ref()?) {
        (V::IntegerValue(a), V::IntegerValue(b)) => Some(a.cmp(b)),
        (V::DoubleValue(a), V::DoubleValue(b)) => a.partial_cmp(b),
        (V::IntegerValue(a), V::DoubleValue(b)) => {
            if b.is_nan() {
                None
            } else if *b >= 9_223_372_036_854_775_808.0 {
                Some(Ordering::Less)
            } else if *b < -9_223_372_036_854_775_808.0 {
                Some(Ordering::Greater)
            } else {
                let whole = b.trunc() as i64;
                Some(a.cmp(&whole).then(0.0f64.total_cmp(&(b - b.trunc() + 0.0))))
            }
        }
        _ => exact(b, a).map(Ordering::reverse),
    }
}

/// Any value, with few distinct values of each type, so that equal and adjacent ones are common.
fn any_value() -> impl Strategy<Value = Value> {
    let text = || "[ab\0é]{0,2}";
    let leaf = prop_oneof![
        Just(value(V::NullValue(0))),
        any::<bool>().prop_map(|flag| value(V::BooleanValue(flag))),
        number(),
        number(),
        Just(double(f64::NAN)),
        (-2i64..2, 0..3).prop_map(|(seconds, micros)| {
            let nanos = micros * 1_000;
            value(V::TimestampValue(prost_types::Timestamp { seconds, nanos }))
        }),
        text().prop_map(|text| string(&text)),
        prop::collection::vec(0u8..3, 0..3).prop_map(|bytes| value(V::BytesValue(bytes))),
        prop::sample::select(vec!["a/b", "a/b/c/d", "a/b\0", "a/__id2__", "a/__id11__", "a/c"])
            .prop_map(|path| {
                value(V::ReferenceValue(format!("projects/p/databases/d/documents/{path}")))
            }),
        (-1i32..2, -1i32..2).prop_map(|(a, b)| geo_point(a.into(), b.into())),
        prop::collection::vec(number(), 0..3).prop_map(vector),
    ];
    leaf.prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(array),
            prop::collection::hash_map(text(), inner, 0..3)
                .prop_map(|fields| value(V::MapValue(MapValue { fields }))),
        ]
    })
}

/// The documented order, implemented without encodings.
pub fn documented_order(a: &Value, b: &Value) -> Ordering {
    class(a).cmp(&class(b)).then_with(|| match (&a.value_type, &b.value_type) {
        (Some(V::BooleanValue(a)), Some(V::BooleanValue(b))) => a.cmp(b),
        (Some(V::TimestampValue(a)), Some(V::TimestampValue(b))) => {
            (a.seconds, a.nanos).cmp(&(b.seconds, b.nanos))
        }
        (Some(V::StringValue(a)), Some(V::StringValue(b))) => a.cmp(b),
        (Some(V::BytesValue(a)), Some(V::BytesValue(b))) => a.cmp(b),
        (Some(V::ReferenceValue(a)), Some(V::ReferenceValue(b))) => documented_name_order(a, b),
        (Some(V::GeoPointValue(a)), Some(V::GeoPointValue(b))) => {
            let pair = |point: &firestore::gcloud_sdk::google::r#type::LatLng| {
                [double(point.latitude), double(point.longitude)]
            };
            documented_list_order(&pair(a), &pair(b))
        }
        (Some(V::ArrayValue(a)), Some(V::ArrayValue(b))) => {
            documented_list_order(&a.values, &b.values)
        }
        (Some(V::MapValue(a)), Some(V::MapValue(b))) => match (vector_of(a), vector_of(b)) {
            (Some(a), Some(b)) => a
                .values
                .len()
                .cmp(&b.values.len())
                .then_with(|| documented_list_order(&a.values, &b.values)),
            _ => documented_map_order(&a.fields, &b.fields),
        },
        (Some(V::IntegerValue(_) | V::DoubleValue(_)), _) => match (is_nan(a), is_nan(b)) {
            (false, false) => exact(a, b).unwrap(),
            (a, b) => b.cmp(&a),
        },
        _ => Ordering::Equal,
    })
}

fn documented_list_order(a: &[Value], b: &[Value]) -> Ordering {
    let first = a.iter().zip(b).map(|(a, b)| documented_order(a, b)).find(|order| order.is_ne());
    first.unwrap_or_else(|| a.len().cmp(&b.len()))
}

fn documented_map_order(a: &Fields, b: &Fields) -> Ordering {
    let (a, b): (BTreeMap<_, _>, BTreeMap<_, _>) = (a.iter().collect(), b.iter().collect());
    let mut pairs = a.iter().zip(&b);
    let first = pairs.find_map(|((a_name, a), (b_name, b))| {
        let order = a_name.cmp(b_name).then_with(|| documented_order(a, b));
        order.is_ne().then_some(order)
    });
    first.unwrap_or_else(|| a.len().cmp(&b.len()))
}

pub fn documented_name_order(a: &str, b: &str) -> Ordering {
    // Numeric ids come first, then all other ids.
    let segments = |name: &str| -> Vec<(bool, i64, String)> {
        let segments = name.split('/').map(|segment| {
            let number = segment.strip_prefix("__id").and_then(|rest| rest.strip_suffix("__"));
            match number.and_then(|number| number.parse().ok()) {
                Some(number) => (false, number, String::new()),
                None => (true, 0, segment.to_owned()),
            }
        });
        segments.collect()
    };
    segments(a).cmp(&segments(b))
}

proptest! {
    #[test]
    fn numbers_compare_exactly_across_integers_and_doubles(a in number(), b in number()) {
        if let Some(expected) = exact(&a, &b) {
            prop_assert_eq!(compare(&a, &b), expected);
        }
    }

    #[test]
    fn values_compare_in_the_documented_order(a in any_value(), b in any_value()) {
        prop_assert_eq!(compare(&a, &b), documented_order(&a, &b));
        prop_assert_eq!(compare(&a, &a), Ordering::Equal);
    }

    #[test]
    fn the_documented_order_is_total(mut values in prop::collection::vec(any_value(), 0..12)) {
        values.sort_by(documented_order);
        for (index, low) in values.iter().enumerate() {
            for high in &values[index..] {
                prop_assert_ne!(documented_order(low, high), Ordering::Greater);
                prop_assert_eq!(documented_order(low, high), documented_order(high, low).reverse());
            }
        }
    }

    #[test]
    fn no_encoding_is_a_prefix_of_another(a in any_value(), b in any_value()) {
        let (a, b) = (encoded(&a), encoded(&b));
        prop_assert!(a == b || !(a.starts_with(&b) || b.starts_with(&a)));
    }

    #[test]
    fn inverted_encodings_sort_in_reverse(a in any_value(), b in any_value()) {
        let inverted = |value| encoded(value).iter().map(|byte| !byte).collect::<Vec<u8>>();
        prop_assert_eq!(inverted(&a).cmp(&inverted(&b)), compare(&a, &b).reverse());
    }

    #[test]
    fn strings_compare_by_their_utf8_bytes(a in "\\PC{0,4}", b in "[a\0é]{0,4}") {
        prop_assert_eq!(compare(&string(&a), &string(&b)), a.as_bytes().cmp(b.as_bytes()));
    }
}
