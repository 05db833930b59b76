use super::super::value::tests::{array as array_value, double, int, map, string};
use super::*;
use crate::proto::DocumentMask;

const NAME: &str = "projects/p/databases/d/documents/a/b";
const NOW: Micros = Micros(1_000_001_500);

fn document(pairs: &[(&str, Value)]) -> Document {
    let fields = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Document {
        name: NAME.to_owned(),
        fields,
        create_time: Some(Micros(1_000).into()),
        update_time: Some(Micros(2_000).into()),
    }
}

fn update(pairs: &[(&str, Value)]) -> Write {
    let document = Document { create_time: None, update_time: None, ..document(pairs) };
    Write { operation: Some(Operation::Update(document)), ..Write::default() }
}

fn apply(write: Write, current: Option<&Document>) -> Result<Applied, Status> {
    let database = Database::parse("projects/p/databases/d").unwrap();
    Mutation::parse(&database, write)?.apply(current, NOW)
}

fn fields(applied: Applied) -> Fields {
    applied.document.unwrap().fields
}

fn with_transform(kind: field_transform::TransformType) -> Write {
    let transform = FieldTransform { field_path: "x".to_owned(), transform_type: Some(kind) };
    let mask = Some(DocumentMask::default());
    Write { update_mask: mask, update_transforms: vec![transform], ..update(&[]) }
}

#[test]
fn a_mask_changes_only_its_fields_and_deletes_those_without_a_value() {
    let current = document(&[("a", int(1)), ("b", map(&[("c", int(2)), ("d", int(3))]))]);
    let mut write = update(&[("b", map(&[("c", int(9))]))]);
    write.update_mask =
        Some(DocumentMask { field_paths: vec!["b.c".into(), "b.d".into(), "gone".into()] });
    let after = fields(apply(write, Some(&current)).unwrap());
    assert_eq!(after, document(&[("a", int(1)), ("b", map(&[("c", int(9))]))]).fields);

    let mut empty = update(&[("a", int(5))]);
    empty.update_mask = Some(DocumentMask::default());
    assert_eq!(fields(apply(empty, Some(&current)).unwrap()), current.fields);
}

#[test]
fn failed_preconditions_have_firestores_status_codes() {
    let current = document(&[("a", int(1))]);
    let code = |condition, current: Option<&Document>| {
        let mut write = update(&[]);
        write.current_document = Some(Precondition { condition_type: Some(condition) });
        apply(write, current).map_or_else(|status| status.code(), |_| Code::Ok)
    };
    let at = |micros| ConditionType::UpdateTime(Micros(micros).into());
    assert_eq!(code(ConditionType::Exists(true), None), Code::NotFound);
    assert_eq!(code(ConditionType::Exists(false), Some(&current)), Code::AlreadyExists);
    assert_eq!(code(at(2_000), Some(&current)), Code::Ok);
    assert_eq!(code(at(2_001), Some(&current)), Code::FailedPrecondition);
    assert_eq!(code(at(2_000), None), Code::FailedPrecondition);
}

#[test]
fn a_write_that_changes_nothing_keeps_the_update_time() {
    let current = document(&[("a", int(1))]);
    let same = apply(update(&[("a", int(1))]), Some(&current)).unwrap().document.unwrap();
    assert_eq!((same.create_time, same.update_time), (current.create_time, current.update_time));
    let other = apply(update(&[("a", double(1.0))]), Some(&current)).unwrap().document.unwrap();
    assert_eq!(other.create_time, current.create_time);
    assert_eq!(other.update_time, Some(NOW.into()));
}

#[test]
fn increments_saturate_and_mix_types_like_firestore() {
    use field_transform::TransformType::Increment;
    for (stored, operand, expected) in [
        (Some(int(i64::MAX)), int(1), int(i64::MAX)),
        (Some(int(1)), double(0.5), double(1.5)),
        (Some(double(1.5)), int(1), double(2.5)),
        (Some(string("x")), int(3), int(3)),
        (None, int(3), int(3)),
    ] {
        let current = stored.map(|value| document(&[("x", value)]));
        let applied = apply(with_transform(Increment(operand)), current.as_ref()).unwrap();
        assert_eq!(applied.transform_results[..], *std::slice::from_ref(&expected));
        assert_eq!(fields(applied)["x"], expected);
    }
    assert!(apply(with_transform(Increment(string("1"))), None).is_err());
}

#[test]
fn maximum_and_minimum_keep_the_stored_one_of_equal_numbers() {
    use field_transform::TransformType::{Maximum, Minimum};
    for (transform, expected) in [
        (Maximum(double(3.0)), int(3)),
        (Maximum(double(3.5)), double(3.5)),
        (Minimum(int(2)), int(2)),
        (Minimum(double(4.0)), int(3)),
    ] {
        let current = document(&[("x", int(3))]);
        assert_eq!(
            fields(apply(with_transform(transform), Some(&current)).unwrap())["x"],
            expected
        );
    }
}

#[test]
fn array_transforms_treat_equal_numbers_as_one_element() {
    use field_transform::TransformType::{AppendMissingElements, RemoveAllFromArray};
    let list = |values| ArrayValue { values };
    let current = document(&[("x", array_value(vec![int(1), int(2), int(1)]))]);
    let union = AppendMissingElements(list(vec![double(1.0), int(3), int(3)]));
    let applied = apply(with_transform(union), Some(&current)).unwrap();
    let expected = array_value(vec![int(1), int(2), int(1), int(3)]);
    assert_eq!(fields(applied)["x"], expected);
    let removal = RemoveAllFromArray(list(vec![double(1.0)]));
    let applied = apply(with_transform(removal), Some(&current)).unwrap();
    assert_eq!(fields(applied)["x"], array_value(vec![int(2)]));
}

#[test]
fn a_document_larger_than_one_mebibyte_is_refused() {
    // The rest of the size: the value of `f`, 32 bytes, the name, and the two field names.
    let rest = 1_048_576 - 1_000_001 - 32 - (16 + 2 + 2) - 2 - 2;
    let with = |bytes: usize| {
        let long = |length| string(&"x".repeat(length));
        update(&[("f", long(1_000_000)), ("g", long(bytes - 1))])
    };
    assert!(apply(with(rest), None).is_ok());
    let status = apply(with(rest + 1), None).unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("exceeds the maximum"), "{status}");
}

#[test]
fn values_stored_by_a_transform_are_checked_like_any_field() {
    use field_transform::TransformType::AppendMissingElements;
    let union =
        |element| with_transform(AppendMissingElements(ArrayValue { values: vec![element] }));
    for wrong in [array_value(vec![]), map(&[("__a__", int(1))]), Value::default()] {
        let status = apply(union(wrong.clone()), None).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{wrong:?}");
    }
    let time = |nanos| {
        let time = Timestamp { seconds: 5, nanos };
        Value { value_type: Some(ValueType::TimestampValue(time)) }
    };
    let applied = apply(union(time(1_234)), None).unwrap();
    assert_eq!(fields(applied)["x"], array_value(vec![time(1_000)]));
}

#[test]
fn a_server_time_is_the_commit_time_in_milliseconds() {
    let kind = field_transform::ServerValue::RequestTime.into();
    let transform = with_transform(field_transform::TransformType::SetToServerValue(kind));
    let applied = apply(transform, None).unwrap();
    let time = Value { value_type: Some(ValueType::TimestampValue(Micros(1_000_001_000).into())) };
    assert_eq!(applied.transform_results, std::slice::from_ref(&time));
    assert_eq!(fields(applied)["x"], time);
}

#[test]
fn transforms_run_in_order_after_the_update() {
    use field_transform::TransformType::{Increment, Maximum};
    let transform =
        |kind| FieldTransform { field_path: "a.b".to_owned(), transform_type: Some(kind) };
    let mut write = update(&[("a", map(&[("b", int(1)), ("c", int(7))]))]);
    write.update_transforms = vec![transform(Increment(int(2))), transform(Maximum(int(2)))];
    let applied = apply(write, None).unwrap();
    assert_eq!(applied.transform_results, [int(3), int(3)]);
    assert_eq!(fields(applied)["a"], map(&[("b", int(3)), ("c", int(7))]));
}

#[test]
fn maximum_and_minimum_with_nan_are_nan_and_both_zeros_are_equal() {
    use field_transform::TransformType::{Maximum, Minimum};
    let nan = || double(f64::NAN);
    for (stored, transform, expected) in [
        (int(3), Maximum(nan()), nan()),
        (nan(), Minimum(int(3)), nan()),
        (int(0), Maximum(double(-0.0)), int(0)),
        (double(-0.0), Minimum(int(0)), double(-0.0)),
        (string("x"), Maximum(int(-5)), int(-5)),
    ] {
        let current = document(&[("x", stored)]);
        let applied = apply(with_transform(transform), Some(&current)).unwrap();
        assert!(same_value(&fields(applied)["x"], &expected), "{expected:?}");
    }
}

#[test]
fn a_delete_leaves_no_document_and_a_replacement_keeps_the_create_time() {
    let current = document(&[("a", int(1))]);
    let delete =
        || Write { operation: Some(Operation::Delete(NAME.to_owned())), ..Write::default() };
    assert!(apply(delete(), Some(&current)).unwrap().document.is_none());
    assert!(apply(delete(), None).unwrap().document.is_none());
    let mut existing = delete();
    existing.current_document =
        Some(Precondition { condition_type: Some(ConditionType::Exists(true)) });
    assert_eq!(apply(existing, None).unwrap_err().code(), Code::NotFound);

    let replaced = apply(update(&[("b", int(2))]), Some(&current)).unwrap().document.unwrap();
    assert_eq!(replaced.fields, document(&[("b", int(2))]).fields);
    assert_eq!(replaced.create_time, current.create_time);
    assert_eq!(replaced.update_time, Some(NOW.into()));
}

#[test]
fn writes_that_firestore_refuses_are_refused() {
    use crate::proto::DocumentTransform;
    let masked = |path: &str| {
        let mask = DocumentMask { field_paths: vec![path.to_owned()] };
        Write { update_mask: Some(mask), ..update(&[("a", int(1))]) }
    };
    let transform = |count: usize| {
        let field_transforms = (0..count)
            .map(|n| FieldTransform {
                field_path: format!("f{n}"),
                transform_type: Some(field_transform::TransformType::Increment(int(1))),
            })
            .collect();
        let transform = DocumentTransform { document: NAME.to_owned(), field_transforms };
        Write { operation: Some(Operation::Transform(transform)), ..Write::default() }
    };
    let named = |name: &str| {
        let document = Document { name: name.to_owned(), ..Document::default() };
        Write { operation: Some(Operation::Update(document)), ..Write::default() }
    };
    let mut deleting = transform(1);
    deleting.update_transforms =
        with_transform(field_transform::TransformType::Increment(int(1))).update_transforms;
    deleting.operation = Some(Operation::Delete(NAME.to_owned()));
    let mut fine_grained = update(&[]);
    let time = Timestamp { seconds: 1, nanos: 1_001 };
    fine_grained.current_document =
        Some(Precondition { condition_type: Some(ConditionType::UpdateTime(time)) });
    for write in [
        masked("__name__"),
        masked("a.__x__"),
        masked("a..b"),
        transform(0),
        transform(501),
        deleting,
        fine_grained,
        named("projects/p/databases/other/documents/a/b"),
        named("projects/p/databases/d/documents/a"),
        Write::default(),
    ] {
        let status = apply(write.clone(), None).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{write:?}");
    }
    assert!(apply(transform(500), None).is_ok());
}
