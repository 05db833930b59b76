mod fuzz;
mod random;

use super::*;
use crate::model::value::tests::{array, double, int, map, string};
use crate::proto::structured_query::{
    CollectionSelector, CompositeFilter, Direction, FieldFilter, FieldReference,
    Filter as ProtoFilter, Order, UnaryFilter, composite_filter, field_filter::Operator,
    filter::FilterType, unary_filter,
};
use crate::proto::{Value, value::ValueType};

const ROOT: &str = "projects/p/databases/d/documents";

fn null() -> Value {
    Value { value_type: Some(ValueType::NullValue(0)) }
}

fn reference(path: &str) -> Value {
    Value { value_type: Some(ValueType::ReferenceValue(format!("{ROOT}/{path}"))) }
}

fn document(path: &str, pairs: &[(&str, Value)]) -> Document {
    let fields = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Document { name: format!("{ROOT}/{path}"), fields, ..Document::default() }
}

fn field(path: &str) -> Option<FieldReference> {
    Some(FieldReference { field_path: path.to_owned() })
}

fn test(path: &str, op: Operator, value: Value) -> ProtoFilter {
    let filter = FieldFilter { field: field(path), op: op.into(), value: Some(value) };
    ProtoFilter { filter_type: Some(FilterType::FieldFilter(filter)) }
}

fn unary(path: &str, op: unary_filter::Operator) -> ProtoFilter {
    let operand_type = field(path).map(unary_filter::OperandType::Field);
    let filter = UnaryFilter { op: op.into(), operand_type };
    ProtoFilter { filter_type: Some(FilterType::UnaryFilter(filter)) }
}

fn all(filters: Vec<ProtoFilter>) -> ProtoFilter {
    let op = composite_filter::Operator::And.into();
    ProtoFilter { filter_type: Some(FilterType::CompositeFilter(CompositeFilter { op, filters })) }
}

fn any_of(filters: Vec<ProtoFilter>) -> ProtoFilter {
    let op = composite_filter::Operator::Or.into();
    ProtoFilter { filter_type: Some(FilterType::CompositeFilter(CompositeFilter { op, filters })) }
}

fn order(path: &str, descending: bool) -> Order {
    let direction = if descending { Direction::Descending } else { Direction::Ascending };
    Order { field: field(path), direction: direction.into() }
}

fn from(collection: &str) -> StructuredQuery {
    let selector =
        CollectionSelector { collection_id: collection.to_owned(), all_descendants: false };
    StructuredQuery { from: vec![selector], ..StructuredQuery::default() }
}

fn filtered(filter: ProtoFilter) -> StructuredQuery {
    StructuredQuery { r#where: Some(filter), ..from("c") }
}

fn parse(query: StructuredQuery) -> Result<Query, Status> {
    Query::parse(Parent::parse(ROOT).unwrap(), query)
}

fn ids(query: StructuredQuery, documents: &[Document]) -> Vec<String> {
    let found = parse(query).unwrap().run(documents.to_vec());
    found
        .documents
        .iter()
        .map(|document| document.name.rsplit('/').next().unwrap().to_owned())
        .collect()
}

fn mixed() -> Vec<Document> {
    vec![
        document("c/absent", &[]),
        document("c/null", &[("x", null())]),
        document("c/nulls", &[("y", array(vec![null(), double(f64::NAN)]))]),
        document("c/nan", &[("x", double(f64::NAN))]),
        document("c/one", &[("x", int(1))]),
        document("c/onef", &[("x", double(1.0))]),
        document("c/two", &[("x", int(2))]),
        document("c/text", &[("x", string("2"))]),
        document("c/list", &[("x", array(vec![int(1), string("a")]))]),
        document("other/one", &[("x", int(1))]),
        document("c/one/c/below", &[("x", int(1))]),
    ]
}

#[test]
fn each_operator_passes_the_values_that_firestore_passes() {
    use Operator as O;
    for (op, operand, expected) in [
        (O::Equal, int(1), vec!["one", "onef"]),
        (O::NotEqual, int(1), vec!["nan", "two", "text", "list"]),
        (O::GreaterThan, int(1), vec!["two"]),
        (O::GreaterThanOrEqual, double(1.0), vec!["one", "onef", "two"]),
        (O::LessThan, string("3"), vec!["text"]),
        (O::In, array(vec![int(2), string("2")]), vec!["two", "text"]),
        (O::NotIn, array(vec![int(1), string("2")]), vec!["nan", "two", "list"]),
        (O::NotIn, array(vec![double(f64::NAN)]), vec!["one", "onef", "two", "text", "list"]),
        (O::NotIn, array(vec![null()]), vec![]),
        (O::NotIn, array(vec![null(), int(1)]), vec![]),
        (O::In, array(vec![null(), double(f64::NAN), int(2)]), vec!["two"]),
        (O::In, array(vec![array(vec![double(1.0), string("a")])]), vec!["list"]),
        (O::Equal, null(), vec!["null"]),
        (O::GreaterThan, null(), vec![]),
        (O::LessThan, int(2), vec!["one", "onef"]),
        (O::ArrayContains, double(1.0), vec!["list"]),
        (O::ArrayContainsAny, array(vec![int(7), string("a")]), vec!["list"]),
        (O::ArrayContains, null(), vec![]),
        (O::ArrayContainsAny, array(vec![null(), double(f64::NAN)]), vec![]),
    ] {
        let mut found = ids(filtered(test("x", op, operand)), &mixed());
        let mut expected: Vec<_> = expected.into_iter().map(str::to_owned).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{op:?}");
    }
}

#[test]
fn unary_operators_pass_the_values_that_firestore_passes() {
    use unary_filter::Operator as O;
    for (op, expected) in [
        (O::IsNan, vec!["nan"]),
        (O::IsNull, vec!["null"]),
        (O::IsNotNan, vec!["one", "onef", "two", "text", "list"]),
        (O::IsNotNull, vec!["nan", "one", "onef", "two", "text", "list"]),
    ] {
        assert_eq!(ids(filtered(unary("x", op)), &mixed()), expected, "{op:?}");
    }
}

#[test]
fn an_order_omits_documents_without_the_field_and_breaks_ties_by_name() {
    let query = StructuredQuery { order_by: vec![order("x", true)], ..from("c") };
    let expected = ["list", "text", "two", "onef", "one", "nan", "null"];
    assert_eq!(ids(query, &mixed()), expected);
}

#[test]
fn inequality_fields_become_implied_orders_sorted_by_path() {
    let query = parse(filtered(all(vec![
        test("b", Operator::GreaterThan, int(0)),
        test("a", Operator::LessThan, int(0)),
    ])))
    .unwrap();
    let paths: Vec<_> = query.orders.iter().map(|order| order.path.to_string()).collect();
    assert_eq!(paths, ["a", "b", "__name__"]);
}

#[test]
fn cursors_start_or_end_before_or_after_their_values_and_may_be_prefixes() {
    let documents: Vec<_> =
        (0..6).map(|n| document(&format!("c/d{n}"), &[("x", int(n / 2)), ("y", int(n))])).collect();
    let bounded = |start: Option<(Vec<Value>, bool)>, end: Option<(Vec<Value>, bool)>| {
        let cursor = |(values, before)| Cursor { values, before };
        let query = StructuredQuery {
            order_by: vec![order("x", false), order("y", false)],
            start_at: start.map(cursor),
            end_at: end.map(cursor),
            ..from("c")
        };
        ids(query, &documents)
    };
    assert_eq!(bounded(Some((vec![int(1)], true)), None), ["d2", "d3", "d4", "d5"]);
    assert_eq!(bounded(Some((vec![int(1)], false)), None), ["d4", "d5"]);
    assert_eq!(bounded(Some((vec![int(1), int(2)], false)), None), ["d3", "d4", "d5"]);
    assert_eq!(bounded(None, Some((vec![int(1)], true))), ["d0", "d1"]);
    assert_eq!(bounded(None, Some((vec![int(1), int(2)], false))), ["d0", "d1", "d2"]);
}

#[test]
fn offset_limit_and_projection_apply_last() {
    let query = StructuredQuery {
        order_by: vec![order("x", false)],
        offset: 2,
        limit: Some(2),
        select: Some(Projection { fields: vec![field("__name__").unwrap()] }),
        ..from("c")
    };
    let parsed = parse(query.clone()).unwrap();
    let found = parsed.run(mixed());
    assert_eq!((found.documents.len(), found.skipped), (2, 2));
    assert!(parsed.project(found.documents[0].clone()).fields.is_empty());
    assert_eq!(ids(query, &mixed()), ["one", "onef"]);
}

#[test]
fn group_and_kindless_queries_include_nested_collections() {
    let select = |collection: &str, parent: &str| {
        let selector =
            CollectionSelector { collection_id: collection.to_owned(), all_descendants: true };
        let query = StructuredQuery { from: vec![selector], ..StructuredQuery::default() };
        let parent = Parent::parse(&format!("{ROOT}{parent}")).unwrap();
        Query::parse(parent, query).unwrap().run(mixed()).documents.len()
    };
    assert_eq!(select("c", ""), 10);
    assert_eq!(select("", ""), 11);
    assert_eq!(select("", "/c/one"), 1);
}

#[test]
fn queries_that_firestore_refuses_are_refused() {
    let many = |n| array((0..n).map(int).collect());
    let kindless = |filter, order_by| StructuredQuery {
        from: vec![CollectionSelector { collection_id: String::new(), all_descendants: true }],
        r#where: filter,
        order_by,
        ..StructuredQuery::default()
    };
    for query in [
        filtered(test("x", Operator::In, array(vec![]))),
        filtered(test("x", Operator::In, int(1))),
        filtered(test("x", Operator::In, many(31))),
        filtered(test("x", Operator::NotIn, many(11))),
        filtered(test("__name__", Operator::Equal, string("a"))),
        filtered(test("", Operator::Equal, int(1))),
        filtered(all(vec![])),
        filtered(all(vec![
            test("x", Operator::NotIn, many(1)),
            test("x", Operator::NotEqual, int(1)),
        ])),
        filtered(all(vec![
            unary("x", unary_filter::Operator::IsNotNull),
            test("y", Operator::NotEqual, int(1)),
        ])),
        filtered(all(vec![test("x", Operator::NotIn, many(1)), test("y", Operator::In, many(1))])),
        filtered(any_of(vec![
            test("x", Operator::NotIn, many(1)),
            test("y", Operator::Equal, int(1)),
        ])),
        filtered(all(vec![
            test("__name__", Operator::Equal, reference("c/d")),
            test("x", Operator::GreaterThan, int(1)),
        ])),
        filtered(test("__name__", Operator::ArrayContains, reference("c/d"))),
        filtered(test("__name__", Operator::In, array(vec![reference("c/d"), int(1)]))),
        StructuredQuery {
            order_by: vec![order("__name__", false), order("x", false)],
            ..from("c")
        },
        StructuredQuery {
            order_by: vec![order("__name__", false)],
            ..filtered(test("x", Operator::GreaterThan, int(1)))
        },
        StructuredQuery {
            start_at: Some(Cursor { values: vec![reference("c/d")], before: true }),
            ..from("c")
        },
        StructuredQuery {
            order_by: vec![order("__name__", false)],
            end_at: Some(Cursor { values: vec![string("d")], before: true }),
            ..from("c")
        },
        kindless(None, vec![order("__name__", true)]),
        kindless(None, vec![order("x", false)]),
        kindless(Some(test("x", Operator::Equal, int(1))), vec![]),
        StructuredQuery { limit: Some(-1), ..from("c") },
        StructuredQuery { offset: -1, ..from("c") },
        StructuredQuery { order_by: vec![order("x", false), order("x", true)], ..from("c") },
        StructuredQuery {
            start_at: Some(Cursor { values: vec![int(1), int(2)], before: true }),
            ..from("c")
        },
        StructuredQuery::default(),
    ] {
        let status = parse(query.clone()).unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{query:?}");
    }
}

#[test]
fn array_filters_match_neither_null_nor_nan() {
    use Operator::{ArrayContains, ArrayContainsAny};
    for (op, operand) in [
        (ArrayContains, null()),
        (ArrayContains, double(f64::NAN)),
        (ArrayContainsAny, array(vec![null(), double(f64::NAN)])),
    ] {
        assert!(ids(filtered(test("y", op, operand)), &mixed()).is_empty(), "{op:?}");
    }
}

#[test]
fn the_largest_allowed_value_of_each_limit_is_accepted() {
    let many = |n| array((0..n).map(int).collect());
    let fields = |n: i64, op| all((0..n).map(|n| test(&format!("f{n}"), op, int(0))).collect());
    let contains = |path| test(path, Operator::ArrayContains, int(1));
    let orders = |n| (0..n).map(|n| order(&format!("f{n}"), false)).collect();
    let inequalities = |n| filtered(fields(n, Operator::GreaterThan));
    let equalities = |filters, ordered| StructuredQuery {
        order_by: orders(ordered),
        ..filtered(fields(filters, Operator::Equal))
    };
    let disjunctions = |n| {
        filtered(all(vec![
            test("x", Operator::In, many(n)),
            any_of(vec![unary("y", unary_filter::Operator::IsNull), contains("y")]),
        ]))
    };
    for (allowed, refused) in [
        (inequalities(10), inequalities(11)),
        (equalities(60, 40), equalities(60, 41)),
        (disjunctions(15), disjunctions(16)),
        (
            filtered(any_of(vec![contains("x"), contains("y")])),
            filtered(all(vec![contains("x"), contains("y")])),
        ),
        (
            filtered(test("x", Operator::NotIn, many(10))),
            filtered(test("x", Operator::NotIn, many(11))),
        ),
    ] {
        parse(allowed).unwrap();
        let status = parse(refused.clone()).unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{refused:?}");
    }
}

#[test]
fn an_empty_projection_returns_all_fields() {
    let shown = |paths: &[&str]| {
        let fields = paths.iter().filter_map(|path| field(path)).collect();
        let query = StructuredQuery { select: Some(Projection { fields }), ..from("c") };
        let document = document("c/d", &[("a", int(1)), ("b", map(&[("c", int(2))]))]);
        let mut names: Vec<_> =
            parse(query).unwrap().project(document).fields.into_keys().collect();
        names.sort();
        names
    };
    assert_eq!(shown(&[]), ["a", "b"]);
    assert_eq!(shown(&["__name__"]), [""; 0]);
    assert_eq!(shown(&["b.c", "z"]), ["b"]);
}

/// The query that the SDKs send to delete a collection and everything below it.
#[test]
fn a_range_of_lowest_numeric_ids_selects_a_collection_and_everything_below_it() {
    let lowest = "__id-9223372036854775808__";
    let bounds = [reference(&format!("c/{lowest}")), reference(&format!("c\0/{lowest}"))];
    let selector = CollectionSelector { collection_id: String::new(), all_descendants: true };
    let kindless = StructuredQuery { from: vec![selector], ..StructuredQuery::default() };
    let by_filters = StructuredQuery {
        r#where: Some(all(vec![
            test("__name__", Operator::GreaterThanOrEqual, bounds[0].clone()),
            test("__name__", Operator::LessThan, bounds[1].clone()),
        ])),
        ..kindless.clone()
    };
    let cursor = |value: &Value| Some(Cursor { values: vec![value.clone()], before: true });
    let by_cursors = StructuredQuery {
        order_by: vec![order("__name__", false)],
        start_at: cursor(&bounds[0]),
        end_at: cursor(&bounds[1]),
        ..kindless
    };
    let documents: Vec<_> =
        ["b/z", "c/__id-7__", "c/a", "c/a/x/y", "c/b", "c\0/a", "ca/a", "d/c/c/d"]
            .iter()
            .map(|path| document(path, &[]))
            .collect();
    for query in [by_filters, by_cursors] {
        assert_eq!(ids(query.clone(), &documents), ["__id-7__", "a", "y", "b"]);
        let (from, until) = parse(query).unwrap().name_range();
        let keys =
            documents.iter().map(|document| DocumentName::parse(&document.name).unwrap().key());
        let scanned = keys.filter(|key| *key >= from && until.as_ref().is_none_or(|end| key < end));
        assert_eq!(scanned.count(), 4);
    }
}

#[test]
fn cursors_on_names_distinguish_a_document_from_documents_below_it() {
    let documents: Vec<_> =
        ["c/a", "c/a/c/b", "c/b"].iter().map(|path| document(path, &[("k", int(1))])).collect();
    let selector = CollectionSelector { collection_id: "c".to_owned(), all_descendants: true };
    let at = |descending, before| {
        let cursor = Some(Cursor { values: vec![reference("c/a")], before });
        let query = |start_at, end_at| StructuredQuery {
            from: vec![selector.clone()],
            // Without a filter, the descending order asks for an index.
            r#where: Some(test("k", Operator::Equal, int(1))),
            order_by: vec![order("__name__", descending)],
            start_at,
            end_at,
            ..StructuredQuery::default()
        };
        let names = |query| {
            let found = parse(query).unwrap().run(documents.clone()).documents;
            let path = |document: Document| document.name[ROOT.len() + 1..].to_owned();
            found.into_iter().map(path).collect::<Vec<_>>()
        };
        (names(query(cursor.clone(), None)), names(query(None, cursor)))
    };
    let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    assert_eq!(at(false, true), (paths(&["c/a", "c/a/c/b", "c/b"]), paths(&[])));
    assert_eq!(at(false, false), (paths(&["c/a/c/b", "c/b"]), paths(&["c/a"])));
    assert_eq!(at(true, true), (paths(&["c/a"]), paths(&["c/b", "c/a/c/b"])));
    assert_eq!(at(true, false), (paths(&[]), paths(&["c/b", "c/a/c/b", "c/a"])));
}
