use proptest::prelude::*;

use super::*;
use crate::model::value::tests::{array, double, int, map, string};
use crate::proto::structured_query::{
    CompositeFilter, FieldFilter, FieldReference, Filter as ProtoFilter, Projection, UnaryFilter,
    composite_filter, field_filter::Operator, filter::FilterType, unary_filter,
};

const ROOT: &str = "projects/p/databases/d/documents";

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
    found.documents.iter().map(|document| document.name.rsplit('/').next().unwrap().to_owned()).collect()
}

fn mixed() -> Vec<Document> {
    let null = Value { value_type: Some(ValueType::NullValue(0)) };
    vec![
        document("c/absent", &[]),
        document("c/null", &[("x", null)]),
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
fn each_operator_passes_what_the_service_passes() {
    use Operator as O;
    for (op, operand, expected) in [
        (O::Equal, int(1), vec!["one", "onef"]),
        (O::NotEqual, int(1), vec!["nan", "two", "text", "list"]),
        (O::GreaterThan, int(1), vec!["two"]),
        (O::GreaterThanOrEqual, double(1.0), vec!["one", "onef", "two"]),
        (O::LessThan, string("3"), vec!["text"]),
        (O::In, array(vec![int(2), string("2")]), vec!["two", "text"]),
        (O::NotIn, array(vec![int(1), string("2")]), vec!["nan", "two", "list"]),
        (O::NotIn, array(vec![Value { value_type: Some(ValueType::NullValue(0)) }]), vec![]),
        (O::ArrayContains, double(1.0), vec!["list"]),
        (O::ArrayContainsAny, array(vec![int(7), string("a")]), vec!["list"]),
    ] {
        let mut found = ids(filtered(test("x", op, operand)), &mixed());
        let mut expected: Vec<_> = expected.into_iter().map(str::to_owned).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{op:?}");
    }
}

#[test]
fn unary_operators_pass_what_the_service_passes() {
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
fn an_ordered_field_leaves_out_documents_without_it_and_names_break_ties() {
    let query = StructuredQuery { order_by: vec![order("x", true)], ..from("c") };
    let expected = ["list", "text", "two", "onef", "one", "nan", "null"];
    assert_eq!(ids(query, &mixed()), expected);
}

#[test]
fn inequality_fields_are_ordered_by_implicitly_and_in_their_order() {
    let query = parse(filtered(all(vec![
        test("b", Operator::GreaterThan, int(0)),
        test("a", Operator::LessThan, int(0)),
    ])))
    .unwrap();
    let paths: Vec<_> = query.orders.iter().map(|order| order.path.to_string()).collect();
    assert_eq!(paths, ["a", "b", "__name__"]);
}

#[test]
fn cursors_cut_before_or_after_and_may_be_prefixes() {
    let documents: Vec<_> = (0..6)
        .map(|n| document(&format!("c/d{n}"), &[("x", int(n / 2)), ("y", int(n))]))
        .collect();
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
fn groups_and_kindless_queries_reach_below() {
    let select = |collection: &str, parent: &str| {
        let selector =
            CollectionSelector { collection_id: collection.to_owned(), all_descendants: true };
        let query = StructuredQuery { from: vec![selector], ..StructuredQuery::default() };
        let parent = Parent::parse(&format!("{ROOT}{parent}")).unwrap();
        Query::parse(parent, query).unwrap().run(mixed()).documents.len()
    };
    assert_eq!(select("c", ""), 9);
    assert_eq!(select("", ""), 10);
    assert_eq!(select("", "/c/one"), 1);
}

#[test]
fn what_the_service_refuses_is_refused() {
    let many = |n| array((0..n).map(int).collect());
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

fn small_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0i64..3).prop_map(int),
        (0i64..6).prop_map(|n| double(n as f64 / 2.0)),
        Just(double(f64::NAN)),
        Just(Value { value_type: Some(ValueType::NullValue(0)) }),
        "[ab\0]{0,2}".prop_map(|text| string(&text)),
        prop::collection::vec((0i64..3).prop_map(int), 0..3).prop_map(array),
        (0i64..2).prop_map(|n| map(&[("m", int(n))])),
    ]
}

fn path() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "d"])
}

fn documents() -> impl Strategy<Value = Vec<Document>> {
    let fields = prop::collection::btree_map(path(), small_value(), 0..=3);
    prop::collection::vec((0..2usize, fields), 0..24).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .map(|(index, (place, fields))| {
                let parent = ["c", "x/y/c"][place];
                let pairs: Vec<_> = fields.into_iter().collect();
                document(&format!("{parent}/d{index:02}"), &pairs)
            })
            .collect()
    })
}

fn leaf() -> impl Strategy<Value = ProtoFilter> {
    use Operator as O;
    let single = prop::sample::select(vec![
        O::Equal,
        O::Equal,
        O::NotEqual,
        O::LessThan,
        O::LessThanOrEqual,
        O::GreaterThan,
        O::GreaterThanOrEqual,
        O::ArrayContains,
    ]);
    prop_oneof![
        4 => (path(), single, small_value()).prop_map(|(path, op, value)| test(path, op, value)),
        1 => (path(), prop::collection::vec(small_value(), 1..3))
            .prop_map(|(path, values)| test(path, O::In, array(values))),
    ]
}

fn queries() -> impl Strategy<Value = StructuredQuery> {
    let filter = prop_oneof![
        2 => Just(None),
        3 => leaf().prop_map(Some),
        3 => prop::collection::vec(leaf(), 1..4).prop_map(|leaves| Some(all(leaves))),
        1 => prop::collection::vec(leaf(), 1..3).prop_map(|leaves| Some(any_of(leaves))),
    ];
    let orders = prop::collection::btree_map(path(), any::<bool>(), 0..3);
    let cursor = || prop::option::of((prop::collection::vec(small_value(), 0..3), any::<bool>()));
    (filter, orders, cursor(), cursor(), 0..3i32, prop::option::of(0..6i32), any::<bool>()).prop_map(
        |(filter, orders, start, end, offset, limit, group)| {
            let order_by: Vec<_> =
                orders.into_iter().map(|(path, descending)| order(path, descending)).collect();
            let cursor = |(mut values, before): (Vec<Value>, bool)| {
                values.truncate(order_by.len());
                Cursor { values, before }
            };
            StructuredQuery {
                r#where: filter,
                start_at: start.map(cursor),
                end_at: end.map(cursor),
                order_by: order_by.clone(),
                offset,
                limit,
                from: vec![CollectionSelector {
                    collection_id: "c".to_owned(),
                    all_descendants: group,
                }],
                ..StructuredQuery::default()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_scan_of_the_planned_index_range_gives_the_query_in_its_order(
        documents in documents(),
        query in queries(),
    ) {
        let Ok(query) = parse(query) else { return Ok(()) };
        let plan = query.plan();
        let spec = plan.spec.unwrap();
        let mut entries: Vec<_> = documents
            .iter()
            .filter_map(|document| {
                let name = DocumentName::parse(&document.name).unwrap();
                let key = spec.entry(&name, document)?;
                Some((key, name, document))
            })
            .collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        let scanned: Vec<_> = entries
            .into_iter()
            .filter(|(key, ..)| *key >= plan.from)
            .filter(|(key, ..)| plan.until.as_ref().is_none_or(|until| key < until))
            .filter(|(_, name, document)| query.matches(name, document).is_some())
            .map(|(.., document)| document.name.clone())
            .skip(query.offset)
            .take(query.limit.unwrap_or(usize::MAX))
            .collect();
        let ran: Vec<_> =
            query.run(documents).documents.into_iter().map(|document| document.name).collect();
        prop_assert_eq!(scanned, ran);
    }
}
