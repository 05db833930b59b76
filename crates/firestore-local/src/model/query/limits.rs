//! Well-formed queries that Firestore refuses: those beyond a limit, and those that combine parts
//! that cannot be combined. Sources: "Query limitations", and the requirements of
//! `StructuredQuery` in the protocol.

use tonic::Status;

use super::filter::{Filter, Test};
use super::order::Ordering;
use super::scope::Scope;
use crate::model::field_path::FieldPath;
use crate::model::invalid;

/// The most disjunctions of a query in disjunctive normal form.
const MAX_DISJUNCTIONS: usize = 30;
/// The most fields of inequalities.
const MAX_INEQUALITY_FIELDS: usize = 10;
/// The most filters and orders together; a query below a document counts as one more.
const MAX_COMPONENTS: usize = 100;

/// The size of a filter in disjunctive normal form.
#[derive(Clone, Copy, Debug)]
struct NormalForm {
    disjunctions: usize,
    /// Filters in the longest disjunction.
    filters: usize,
    /// `array-contains` filters in the disjunction with most of them.
    array_filters: usize,
}

impl NormalForm {
    fn of(filter: &Filter) -> Self {
        match filter {
            Filter::And(filters) => filters.iter().map(Self::of).fold(
                Self { disjunctions: 1, filters: 0, array_filters: 0 },
                |all, one| Self {
                    disjunctions: all.disjunctions.saturating_mul(one.disjunctions),
                    filters: all.filters + one.filters,
                    array_filters: all.array_filters + one.array_filters,
                },
            ),
            Filter::Or(filters) => filters.iter().map(Self::of).fold(
                Self { disjunctions: 0, filters: 0, array_filters: 0 },
                |all, one| Self {
                    disjunctions: all.disjunctions.saturating_add(one.disjunctions),
                    filters: all.filters.max(one.filters),
                    array_filters: all.array_filters.max(one.array_filters),
                },
            ),
            Filter::Test { test, .. } => {
                let disjunctions = match test {
                    Test::In(values) | Test::ArrayContainsAny(values) => values.len(),
                    _ => 1,
                };
                let on_array = matches!(test, Test::ArrayContains(_) | Test::ArrayContainsAny(_));
                Self { disjunctions, filters: 1, array_filters: usize::from(on_array) }
            }
        }
    }
}

/// Checks a query. `orders` is complete; the first `explicit` of them are from the request.
pub fn check(
    scope: &Scope,
    filter: Option<&Filter>,
    orders: &[Ordering],
    explicit: usize,
) -> Result<(), Status> {
    let below_document = usize::from(scope.parent.depth() > 0);
    let mut components = explicit + below_document;
    if let Some(filter) = filter {
        let normal = NormalForm::of(filter);
        components += normal.filters;
        check_normal_form(normal)?;
        check_negations(filter)?;
        check_inequalities(filter)?;
    }
    if components > MAX_COMPONENTS {
        return Err(invalid!(
            "The query has {components} filters, orders and parents; at most {MAX_COMPONENTS} are \
             allowed"
        ));
    }
    if scope.collection.is_none() {
        return check_kindless(filter, orders);
    }
    if scope.all_descendants && below_document > 0 {
        check_group_below_document(filter, orders)?;
    }
    Ok(())
}

/// Checks a query over a collection group below a document: no index of a group begins with a
/// parent, so that only names can be compared.
fn check_group_below_document(filter: Option<&Filter>, orders: &[Ordering]) -> Result<(), Status> {
    let tests = filter.map(Filter::tests).unwrap_or_default();
    let filtered = tests.into_iter().map(|(path, _)| path);
    let ordered = orders.iter().map(|order| &order.path);
    match filtered.chain(ordered).find(|path| !path.is_name()) {
        None => Ok(()),
        Some(path) => Err(invalid!(
            "A query for all descendants of a document cannot be filtered or ordered by {path}"
        )),
    }
}

fn check_normal_form(normal: NormalForm) -> Result<(), Status> {
    if normal.disjunctions > MAX_DISJUNCTIONS {
        return Err(invalid!(
            "The query has {} disjunctions in normal form; at most {MAX_DISJUNCTIONS} are allowed",
            normal.disjunctions
        ));
    }
    if normal.array_filters > 1 {
        return Err(invalid!("A maximum of 1 'ARRAY_CONTAINS' filter is allowed per disjunction."));
    }
    Ok(())
}

fn check_negations(filter: &Filter) -> Result<(), Status> {
    let tests = filter.tests();
    let negations = tests.iter().filter(|(_, test)| test.is_negation()).count();
    if negations > 1 {
        return Err(invalid!(
            "Only a single 'NOT_EQUAL', 'NOT_IN', 'IS_NOT_NAN', or 'IS_NOT_NULL' filter allowed \
             per query."
        ));
    }
    let not_in = tests.iter().any(|(_, test)| matches!(test, Test::NotIn { .. }));
    let any = |test: &Test| matches!(test, Test::In(_) | Test::ArrayContainsAny(_));
    if not_in && (filter.has_or() || tests.iter().any(|(_, test)| any(test))) {
        return Err(invalid!(
            "'NOT_IN' cannot be used in the same query with 'IN', 'ARRAY_CONTAINS_ANY' or 'OR'."
        ));
    }
    Ok(())
}

fn check_inequalities(filter: &Filter) -> Result<(), Status> {
    let fields = filter.inequality_fields();
    if fields.len() > MAX_INEQUALITY_FIELDS {
        return Err(invalid!(
            "The query contains {} distinct inequality fields. A query may not have more than \
             {MAX_INEQUALITY_FIELDS} distinct inequality fields.",
            fields.len()
        ));
    }
    let names_equal = filter
        .tests()
        .iter()
        .any(|(path, test)| path.is_name() && matches!(test, Test::Equal(_) | Test::In(_)));
    if names_equal && !fields.is_empty() && !fields.iter().any(FieldPath::is_name) {
        return Err(invalid!(
            "Equality on key is not allowed if there are other inequality fields and key does not \
             appear in inequalities."
        ));
    }
    Ok(())
}

/// Checks a query over every collection, whose only index is that of names.
fn check_kindless(filter: Option<&Filter>, orders: &[Ordering]) -> Result<(), Status> {
    let tests = filter.map(Filter::tests).unwrap_or_default();
    if let Some((path, _)) = tests.iter().find(|(path, _)| !path.is_name()) {
        return Err(invalid!("kind is required for filter: {path}"));
    }
    match orders {
        [only] if only.path.is_name() && !only.descending => Ok(()),
        _ => Err(invalid!("kind is required for all orders except __key__ ascending")),
    }
}
