//! Properties of the decisions over random queries and index files.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::{
    Alternative, Column, Composite, Decision, FieldIndex, Indexes, Mode, Order, Override, Scope,
    Shape, refusal::composite_json, suggest,
};
use crate::model::field_path::FieldPath;

const FIELDS: [&str; 5] = ["a", "b", "m", "m.x", "t"];

fn path() -> impl Strategy<Value = FieldPath> {
    prop::sample::select(&FIELDS[..]).prop_map(|text| FieldPath::parse(text).unwrap())
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![Just(Scope::Collection), Just(Scope::CollectionGroup)]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Ascending), Just(Mode::Descending), Just(Mode::Contains)]
}

fn composite() -> impl Strategy<Value = Composite> {
    let columns = prop::collection::vec((path(), mode()), 1..5);
    (scope(), columns, any::<bool>()).prop_map(|(scope, columns, name_descending)| {
        let mut seen = BTreeSet::new();
        let mut columns: Vec<_> =
            columns.into_iter().map(|(path, mode)| Column { path, mode }).collect();
        columns.retain(|column| seen.insert(column.path.clone()));
        Composite { group: "c".to_owned(), scope, columns, name_descending }
    })
}

fn field_index() -> impl Strategy<Value = FieldIndex> {
    (scope(), mode()).prop_map(|(scope, mode)| FieldIndex { scope, mode })
}

fn indexes() -> impl Strategy<Value = Indexes> {
    let overrides = prop::collection::btree_map(
        prop::option::of(path()),
        prop::collection::vec(field_index(), 0..4),
        0..3,
    );
    (prop::collection::vec(composite(), 0..6), overrides).prop_map(|(mut composites, overrides)| {
        // A file declares an index once.
        let mut declared = BTreeSet::new();
        composites.retain(|it| declared.insert(composite_json(it).to_string()));
        let group = || "c".to_owned();
        let of = |(path, indexes)| Override { group: group(), path, indexes };
        Indexes { composites, overrides: overrides.into_iter().map(of).collect() }
    })
}

fn shape() -> impl Strategy<Value = Shape> {
    let paths = || prop::collection::btree_set(path(), 0..3);
    let alternative = (paths(), prop::collection::btree_set(path(), 0..2))
        .prop_map(|(equal, contains)| Alternative { equal, contains });
    let orders = prop::collection::vec((path(), any::<bool>()), 0..3);
    let alternatives = prop::collection::btree_set(alternative, 1..4);
    let sums = prop_oneof![4 => Just(BTreeSet::new()), 1 => paths()];
    (scope(), alternatives, orders, any::<bool>(), sums).prop_map(
        |(query_scope, alternatives, orders, name_descending, mut aggregated)| {
            let mut seen = BTreeSet::new();
            let mut order_by: Vec<_> = orders
                .into_iter()
                .map(|(field_path, descending)| Order { field_path, descending })
                .collect();
            order_by.retain(|order| seen.insert(order.field_path.clone()));
            aggregated.retain(|path| !seen.contains(path));
            let collection_group = Some("c".to_owned());
            Shape {
                collection_group,
                query_scope,
                alternatives,
                order_by,
                name_descending,
                aggregated,
            }
        },
    )
}

fn is_served(indexes: &Indexes, shape: &Shape) -> bool {
    matches!(indexes.decide(shape), Decision::Served(_))
}

fn reversed_mode(mode: Mode) -> Mode {
    match mode {
        Mode::Ascending => Mode::Descending,
        Mode::Descending => Mode::Ascending,
        other => other,
    }
}

fn reversed_indexes(indexes: &Indexes) -> Indexes {
    let mut all = indexes.clone();
    for composite in &mut all.composites {
        composite.name_descending = !composite.name_descending;
        for column in &mut composite.columns {
            column.mode = reversed_mode(column.mode);
        }
    }
    for index in all.overrides.iter_mut().flat_map(|it| &mut it.indexes) {
        index.mode = reversed_mode(index.mode);
    }
    all
}

fn reversed_shape(shape: &Shape) -> Shape {
    let mut shape = shape.clone();
    shape.name_descending = !shape.name_descending;
    for order in &mut shape.order_by {
        order.descending = !order.descending;
    }
    shape
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(2_000),
        max_global_rejects: 1_000_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn another_index_never_makes_a_served_query_refused(
        shape in shape(), declared in indexes(), added in composite(), at in any::<usize>(),
    ) {
        let mut more = declared.clone();
        more.composites.insert(at % (declared.composites.len() + 1), added);
        prop_assert!(!is_served(&declared, &shape) || is_served(&more, &shape));
    }

    #[test]
    fn another_index_of_a_field_never_makes_a_served_query_refused(
        shape in shape(), declared in indexes(), added in field_index(), at in any::<usize>(),
    ) {
        let mut more = declared.clone();
        let Some(field) = at.checked_rem(declared.overrides.len()) else { return Ok(()) };
        more.overrides[field].indexes.push(added);
        prop_assert!(!is_served(&declared, &shape) || is_served(&more, &shape));
    }

    /// The documents themselves have only the ascending order of names.
    #[test]
    fn the_decision_stays_if_all_directions_of_query_and_indexes_are_reversed(
        shape in shape(), declared in indexes(),
    ) {
        let is_by_name = |it: &Alternative| {
            it.contains.is_empty()
                && shape.aggregated.iter().all(|path| it.equal.contains(path))
                && shape.order_by.iter().all(|order| it.equal.contains(&order.field_path))
                && it.equal.is_empty()
        };
        prop_assume!(!shape.alternatives.iter().any(is_by_name));
        let reversed = reversed_indexes(&declared).decide(&reversed_shape(&shape));
        prop_assert_eq!(is_served(&declared, &shape), matches!(reversed, Decision::Served(_)));
    }

    #[test]
    fn a_query_with_all_suggested_indexes_is_served(shape in shape(), declared in indexes()) {
        if let Decision::Refused(parts) = declared.decide(&shape) {
            let mut more = declared.clone();
            for part in parts.into_iter().filter(|part| !part.columns.is_empty()) {
                more.composites.push(Composite {
                    group: part.group,
                    scope: part.scope,
                    columns: part.columns,
                    name_descending: part.name_descending,
                });
            }
            let left = match more.decide(&shape) {
                Decision::Served(_) => Vec::new(),
                Decision::Refused(parts) => parts,
            };
            prop_assert!(left.iter().all(|part| part.columns.is_empty()), "{:?}", left);
        }
    }

    /// The order of names alone is the one thing that indexes of fields cannot give.
    #[test]
    fn an_unused_index_can_be_removed(shapes in prop::collection::vec(shape(), 1..5), declared in indexes()) {
        let unused = suggest(&shapes, &declared).unused;
        let mut fewer = declared.clone();
        fewer.composites.retain(|it| !unused.contains(&composite_json(it)));
        for shape in &shapes {
            prop_assert_eq!(is_served(&declared, shape), is_served(&fewer, shape));
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[\\[\\]{}:,\"/*a-z\\\\ \n]{0,60}") {
        let _ = Indexes::parse(&text);
    }
}

/// The work grows with indexes, fields and alternatives, not with their combinations: otherwise this
/// would not end.
#[test]
fn the_largest_query_over_the_largest_file_is_decided() {
    let field = |n: usize| FieldPath::parse(&format!("f{n}")).unwrap();
    let column = |n: usize| Column { path: field(n), mode: Mode::Ascending };
    let composites = (0..1_000).map(|n| Composite {
        group: "c".to_owned(),
        scope: Scope::Collection,
        columns: (0..99).filter(|at| at % 99 != n % 99).map(column).chain([column(100)]).collect(),
        name_descending: false,
    });
    let overrides = (0..1_000).map(|n| Override {
        group: "c".to_owned(),
        path: Some(field(n)),
        indexes: Vec::new(),
    });
    let indexes = Indexes { composites: composites.collect(), overrides: overrides.collect() };
    let alternative = |n: usize| Alternative {
        equal: (0..99).filter(|at| *at != n).map(field).collect(),
        contains: BTreeSet::new(),
    };
    let shape = Shape {
        collection_group: Some("c".to_owned()),
        query_scope: Scope::Collection,
        alternatives: (0..30).map(alternative).collect(),
        order_by: vec![Order { field_path: field(100), descending: false }],
        name_descending: false,
        aggregated: BTreeSet::new(),
    };
    let decision = indexes.decide(&shape);
    assert!(matches!(decision, Decision::Served(_)), "{decision:?}");
}
