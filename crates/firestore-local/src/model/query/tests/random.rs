//! Random queries over random documents, compared with a direct implementation of the documented
//! semantics that uses no encodings, keys or ranges.

use std::cmp::Ordering as Cmp;
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::model::value::tests::{documented_name_order, documented_order};
use crate::model::value::{class, is_nan, is_null};

const PATHS: [&str; 14] = [
    "c/__id-3__",
    "c/__id20__",
    "c/__id3__",
    "c/a",
    "c/a\0",
    "c/a/c/__id1__",
    "c/a/c/a",
    "c/a/d/a",
    "c/a/d/a/c/b",
    "c/ab",
    "c/b",
    "c\0/a",
    "x/y/c/a",
    "x/y/c/b",
];
const NAME: &str = "__name__";

fn small_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => (0i64..3).prop_map(int),
        3 => (0i32..6).prop_map(|n| double(f64::from(n) / 2.0)),
        1 => Just(double(f64::NAN)),
        1 => Just(null()),
        3 => "[ab\0]{0,1}".prop_map(|text| string(&text)),
        3 => prop::collection::vec(prop_oneof![(0i64..3).prop_map(int), Just(null())], 0..3)
            .prop_map(array),
        1 => (0i64..2).prop_map(|n| map(&[("m", int(n))])),
        1 => name(),
    ]
}

fn name() -> impl Strategy<Value = Value> {
    prop::sample::select(&PATHS[..]).prop_map(reference)
}

fn path() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "d"])
}

fn documents() -> impl Strategy<Value = Vec<Document>> {
    let paths = prop::sample::subsequence(PATHS.to_vec(), 4..=PATHS.len()).prop_shuffle();
    let field = || prop::option::weighted(0.9, small_value());
    let fields = (field(), field(), field()).prop_map(|(a, b, d)| {
        let fields = [("a", a), ("b", b), ("d", d)].into_iter();
        fields.filter_map(|(path, value)| Some((path, value?))).collect::<Vec<_>>()
    });
    (paths, prop::collection::vec(fields, PATHS.len())).prop_map(|(paths, fields)| {
        paths.into_iter().zip(fields).map(|(path, fields)| document(path, &fields)).collect()
    })
}

fn leaf() -> impl Strategy<Value = ProtoFilter> {
    use Operator as O;
    let comparisons = vec![
        O::Equal,
        O::Equal,
        O::LessThan,
        O::LessThanOrEqual,
        O::GreaterThan,
        O::GreaterThanOrEqual,
        O::NotEqual,
    ];
    let single = prop::sample::select([&comparisons[..], &[O::ArrayContains]].concat());
    let lists = prop::sample::select(vec![O::In, O::NotIn, O::ArrayContainsAny]);
    let unary_operators = prop::sample::select(vec![
        unary_filter::Operator::IsNan,
        unary_filter::Operator::IsNull,
        unary_filter::Operator::IsNotNan,
        unary_filter::Operator::IsNotNull,
    ]);
    prop_oneof![
        6 => (path(), single, small_value()).prop_map(|(path, op, value)| test(path, op, value)),
        2 => (path(), lists, prop::collection::vec(small_value(), 1..3))
            .prop_map(|(path, op, values)| test(path, op, array(values))),
        1 => (path(), unary_operators).prop_map(|(path, op)| unary(path, op)),
        2 => (prop::sample::select(comparisons), name())
            .prop_map(|(op, name)| test(NAME, op, name)),
        1 => prop::collection::vec(name(), 1..3)
            .prop_map(|names| test(NAME, O::In, array(names))),
    ]
}

fn filters() -> impl Strategy<Value = Option<ProtoFilter>> {
    let branch = prop_oneof![leaf(), prop::collection::vec(leaf(), 1..3).prop_map(all),];
    prop_oneof![
        3 => Just(None),
        4 => leaf().prop_map(Some),
        3 => prop::collection::vec(leaf(), 1..4).prop_map(|leaves| Some(all(leaves))),
        2 => prop::collection::vec(branch, 1..3).prop_map(|branches| Some(any_of(branches))),
    ]
}

/// Orders, each with a value for the start cursor and one for the end cursor.
fn orders() -> impl Strategy<Value = Vec<(Order, Value, Value)>> {
    let fields =
        prop::collection::btree_map(path(), (any::<bool>(), small_value(), small_value()), 0..3);
    let by_name = prop::option::of((any::<bool>(), name(), name()));
    (fields, by_name).prop_map(|(fields, by_name)| {
        let fields = fields.into_iter().chain(by_name.map(|by_name| (NAME, by_name)));
        fields.map(|(path, (descending, a, b))| (order(path, descending), a, b)).collect()
    })
}

fn scopes() -> impl Strategy<Value = (&'static str, CollectionSelector)> {
    let selector = |collection: &str, all_descendants| CollectionSelector {
        collection_id: collection.to_owned(),
        all_descendants,
    };
    prop::sample::select(vec![
        ("", selector("c", false)),
        ("", selector("c", false)),
        ("", selector("c", true)),
        ("", selector("", true)),
        ("/c/a", selector("c", false)),
        ("/c/a", selector("c", true)),
    ])
}

fn queries() -> impl Strategy<Value = (&'static str, StructuredQuery)> {
    let cursor = || prop::option::weighted(0.3, (0..4usize, any::<bool>()));
    let offset = prop_oneof![3 => Just(0), 1 => 0..3i32];
    let limit = prop::option::weighted(0.4, 0..8i32);
    (scopes(), filters(), orders(), cursor(), cursor(), offset, limit).prop_map(
        |((parent, selector), filter, orders, start, end, offset, limit)| {
            let cursor = |values: Vec<Value>, (length, before): (usize, bool)| Cursor {
                values: values.into_iter().take(length).collect(),
                before,
            };
            let starts = orders.iter().map(|(_, value, _)| value.clone()).collect();
            let ends = orders.iter().map(|(.., value)| value.clone()).collect();
            let query = StructuredQuery {
                r#where: filter,
                start_at: start.map(|start| cursor(starts, start)),
                end_at: end.map(|end| cursor(ends, end)),
                order_by: orders.into_iter().map(|(order, ..)| order).collect(),
                offset,
                limit,
                from: vec![selector],
                ..StructuredQuery::default()
            };
            (parent, query)
        },
    )
}

fn value_at(document: &Document, path: &str) -> Option<Value> {
    if path == NAME {
        let name = ValueType::ReferenceValue(document.name.clone());
        return Some(Value { value_type: Some(name) });
    }
    document.fields.get(path).cloned()
}

fn in_scope(parent: &str, selector: &CollectionSelector, document: &Document) -> bool {
    let below = format!("{ROOT}{parent}/");
    let Some(rest) = document.name.strip_prefix(&below) else { return false };
    let segments: Vec<_> = rest.split('/').collect();
    let collection = segments[segments.len() - 2];
    (selector.all_descendants || segments.len() == 2)
        && (selector.collection_id.is_empty() || selector.collection_id == collection)
}

fn passes(filter: &ProtoFilter, document: &Document) -> bool {
    match filter.filter_type.as_ref().unwrap() {
        FilterType::CompositeFilter(composite) => {
            let mut each = composite.filters.iter().map(|filter| passes(filter, document));
            if composite.op == i32::from(composite_filter::Operator::And) {
                each.all(|passed| passed)
            } else {
                each.any(|passed| passed)
            }
        }
        FilterType::UnaryFilter(unary) => {
            use unary_filter::Operator as U;
            let Some(unary_filter::OperandType::Field(field)) = &unary.operand_type else {
                return false;
            };
            value_at(document, &field.field_path).is_some_and(|value| match unary.op() {
                U::IsNan => is_nan(&value),
                U::IsNull => is_null(&value),
                U::IsNotNan => !is_nan(&value) && !is_null(&value),
                U::IsNotNull => !is_null(&value),
                U::Unspecified => false,
            })
        }
        FilterType::FieldFilter(filter) => {
            let path = &filter.field.as_ref().unwrap().field_path;
            let operand = filter.value.as_ref().unwrap();
            value_at(document, path).is_some_and(|value| compared(filter.op(), &value, operand))
        }
    }
}

fn compared(op: Operator, value: &Value, operand: &Value) -> bool {
    let elements = |value: &Value| match &value.value_type {
        Some(ValueType::ArrayValue(array)) => array.values.clone(),
        _ => Vec::new(),
    };
    let order = documented_order(value, operand);
    let same_class = class(value) == class(operand);
    let found = |value: &Value, among: &[Value]| {
        !is_null(value)
            && !is_nan(value)
            && among.iter().any(|other| documented_order(value, other).is_eq())
    };
    let listed = elements(operand);
    match op {
        Operator::Equal => order.is_eq(),
        Operator::NotEqual => order.is_ne() && !is_null(value),
        Operator::LessThan => same_class && order.is_lt() && !is_nan(value),
        Operator::LessThanOrEqual => {
            same_class && order.is_le() && is_nan(value) <= is_nan(operand)
        }
        Operator::GreaterThan => same_class && order.is_gt(),
        Operator::GreaterThanOrEqual => same_class && order.is_ge(),
        Operator::In => found(value, &listed),
        Operator::NotIn => {
            !is_null(value)
                && listed
                    .iter()
                    .all(|other| !is_null(other) && documented_order(value, other).is_ne())
        }
        Operator::ArrayContains => {
            let operand = std::slice::from_ref(operand);
            elements(value).iter().any(|element| found(element, operand))
        }
        Operator::ArrayContainsAny => elements(value).iter().any(|element| found(element, &listed)),
        Operator::Unspecified => false,
    }
}

/// The fields of a filter's inequalities.
fn inequalities(filter: &ProtoFilter) -> BTreeSet<String> {
    match filter.filter_type.as_ref().unwrap() {
        FilterType::CompositeFilter(composite) => {
            composite.filters.iter().flat_map(inequalities).collect()
        }
        FilterType::UnaryFilter(unary) => {
            use unary_filter::Operator::{IsNotNan, IsNotNull};
            let Some(unary_filter::OperandType::Field(field)) = &unary.operand_type else {
                return BTreeSet::new();
            };
            let counts = matches!(unary.op(), IsNotNan | IsNotNull);
            counts.then(|| field.field_path.clone()).into_iter().collect()
        }
        FilterType::FieldFilter(filter) => {
            use Operator::{ArrayContains, ArrayContainsAny, Equal, In};
            let counts = !matches!(filter.op(), Equal | In | ArrayContains | ArrayContainsAny);
            let path = filter.field.as_ref().unwrap().field_path.clone();
            counts.then_some(path).into_iter().collect()
        }
    }
}

/// All orders of a query, and whether each is descending.
fn complete_orders(query: &StructuredQuery) -> Vec<(String, bool)> {
    let mut orders: Vec<(String, bool)> = query
        .order_by
        .iter()
        .map(|order| {
            let path = order.field.as_ref().unwrap().field_path.clone();
            (path, order.direction() == Direction::Descending)
        })
        .collect();
    let descending = orders.last().is_some_and(|(_, descending)| *descending);
    let mut implied = query.r#where.as_ref().map(inequalities).unwrap_or_default();
    implied.remove(NAME);
    for path in implied.into_iter().chain([NAME.to_owned()]) {
        if !orders.iter().any(|(other, _)| *other == path) {
            orders.push((path, descending));
        }
    }
    orders
}

fn compare_in(orders: &[(String, bool)], a: &[Value], b: &[Value]) -> Cmp {
    let each = orders.iter().zip(a.iter().zip(b)).map(|((_, descending), (a, b))| {
        let order = documented_order(a, b);
        if *descending { order.reverse() } else { order }
    });
    each.fold(Cmp::Equal, Cmp::then)
}

/// The names that a query finds according to the documentation.
fn expected(parent: &str, query: &StructuredQuery, documents: &[Document]) -> Vec<String> {
    let orders = complete_orders(query);
    let place = |document: &Document| -> Option<Vec<Value>> {
        orders.iter().map(|(path, _)| value_at(document, path)).collect()
    };
    let within = |values: &[Value]| {
        let starts = query.start_at.as_ref().is_none_or(|start| {
            let order = compare_in(&orders, values, &start.values);
            if start.before { order.is_ge() } else { order.is_gt() }
        });
        let ends = query.end_at.as_ref().is_none_or(|end| {
            let order = compare_in(&orders, values, &end.values);
            if end.before { order.is_lt() } else { order.is_le() }
        });
        starts && ends
    };
    let mut found: Vec<(Vec<Value>, String)> = documents
        .iter()
        .filter(|document| in_scope(parent, &query.from[0], document))
        .filter(|document| query.r#where.as_ref().is_none_or(|filter| passes(filter, document)))
        .filter_map(|document| Some((place(document)?, document.name.clone())))
        .filter(|(values, _)| within(values))
        .collect();
    found.sort_by(|a, b| compare_in(&orders, &a.0, &b.0));
    let offset = usize::try_from(query.offset).unwrap();
    let limit = query.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap());
    found.into_iter().map(|(_, name)| name).skip(offset).take(limit).collect()
}

/// The names of the matches among candidates that are in the query's order.
fn window<'a>(query: &Query, candidates: impl Iterator<Item = &'a Document>) -> Vec<String> {
    candidates
        .filter(|document| {
            let name = DocumentName::parse(&document.name).unwrap();
            query.matches(&name, document).is_some()
        })
        .map(|document| document.name.clone())
        .skip(query.offset)
        .take(query.limit.unwrap_or(usize::MAX))
        .collect()
}

/// The documents in a range, in the order of their keys.
fn in_range<'a>(
    mut keyed: Vec<(Vec<u8>, &'a Document)>,
    (from, until): &(Vec<u8>, Option<Vec<u8>>),
) -> Vec<&'a Document> {
    keyed.retain(|(key, _)| key >= from && until.as_ref().is_none_or(|until| key < until));
    keyed.sort_by(|a, b| a.0.cmp(&b.0));
    keyed.into_iter().map(|(_, document)| document).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn a_full_scan_an_index_range_and_a_name_range_agree_with_the_documentation(
        documents in documents(),
        (parent, structured) in queries(),
    ) {
        let scope = Parent::parse(&format!("{ROOT}{parent}")).unwrap();
        // Other tests cover refused queries.
        let Ok(query) = Query::parse(scope, structured.clone()) else { return Ok(()) };
        let expected = expected(parent, &structured, &documents);

        let ran = query.run(documents.clone()).documents;
        let ran: Vec<_> = ran.into_iter().map(|document| document.name).collect();
        prop_assert_eq!(&ran, &expected, "full scan");

        let parsed = |document: &Document| DocumentName::parse(&document.name).unwrap();
        let plan = query.plan();
        if let Some(spec) = plan.spec {
            let entry = |document| Some((spec.entry(&parsed(document), document)?, document));
            let entries = documents.iter().filter_map(entry).collect();
            let candidates = in_range(entries, &(plan.from, plan.until));
            prop_assert_eq!(&window(&query, candidates.into_iter()), &expected, "index");
        }
        if query.is_ordered_by_name() {
            let keyed = documents.iter().map(|document| (parsed(document).key(), document));
            let candidates = in_range(keyed.collect(), &query.name_range());
            prop_assert_eq!(&window(&query, candidates.into_iter()), &expected, "name range");
        }
    }

    #[test]
    fn keys_and_order_keys_of_names_sort_as_documented(
        a in prop::sample::select(&PATHS[..]),
        b in prop::sample::select(&PATHS[..]),
    ) {
        let named = |path: &str| DocumentName::parse(&format!("{ROOT}/{path}")).unwrap();
        let order_key = |path: &str| {
            let mut key = Vec::new();
            named(path).push_order_key(&mut key);
            key
        };
        let expected = documented_name_order(a, b);
        prop_assert_eq!(named(a).key().cmp(&named(b).key()), expected);
        prop_assert_eq!(order_key(a).cmp(&order_key(b)), expected);
    }
}
