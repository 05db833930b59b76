//! Random queries, and their expected answers by brute force.

use std::cmp::Ordering;

use super::world::{Doc, FIELDS, Val, World};
use crate::support::queries::*;
use crate::support::random::Random;
use crate::support::v1::structured_query::Filter;
use crate::support::v1::{Cursor, StructuredQuery};
use crate::support::values::array;

#[derive(Clone, Debug)]
struct Test {
    field: &'static str,
    op: Op,
    /// One operand, or several for an operator that takes a list.
    operands: Vec<Val>,
}

#[derive(Clone, Debug)]
pub struct Ask {
    collection: &'static str,
    group: bool,
    tests: Vec<Test>,
    /// Whether a document needs to pass only one of the tests.
    any: bool,
    orders: Vec<(&'static str, bool)>,
    /// Values for the first orders, and whether the cursor is before them.
    start: Option<(Vec<Val>, bool)>,
    end: Option<(Vec<Val>, bool)>,
    offset: usize,
    limit: Option<usize>,
}

impl Test {
    fn random(random: &mut Random) -> Self {
        let op = *random.pick(&[
            Op::Equal,
            Op::Equal,
            Op::NotEqual,
            Op::LessThan,
            Op::LessThanOrEqual,
            Op::GreaterThan,
            Op::GreaterThanOrEqual,
            Op::In,
            Op::NotIn,
            Op::ArrayContains,
            Op::ArrayContainsAny,
        ]);
        let field = *random.pick(&FIELDS);
        let count = if is_list(op) { 1 + random.below(3) } else { 1 };
        Self { field, op, operands: (0..count).map(|_| Val::plain(random)).collect() }
    }

    fn filter(&self) -> Filter {
        let operand = if is_list(self.op) {
            array(self.operands.iter().map(Val::value))
        } else {
            self.operands[0].value()
        };
        test(self.field, self.op, operand)
    }

    fn is_inequality(&self) -> bool {
        !matches!(self.op, Op::Equal | Op::In | Op::ArrayContains | Op::ArrayContainsAny)
    }

    fn is_negation(&self) -> bool {
        matches!(self.op, Op::NotEqual | Op::NotIn)
    }

    fn is_about_elements(&self) -> bool {
        matches!(self.op, Op::ArrayContains | Op::ArrayContainsAny)
    }

    fn passes(&self, doc: &Doc) -> bool {
        let Some(value) = doc.get(self.field) else {
            return false;
        };
        let one_of = |value: &Val| self.operands.iter().any(|operand| operand.same(value));
        let first = &self.operands[0];
        let compared = (value.kind() == first.kind()).then(|| value.order(first));
        match self.op {
            Op::Equal | Op::In => one_of(value),
            Op::NotEqual | Op::NotIn => *value != Val::Null && !one_of(value),
            Op::LessThan => compared.is_some_and(Ordering::is_lt),
            Op::LessThanOrEqual => compared.is_some_and(Ordering::is_le),
            Op::GreaterThan => compared.is_some_and(Ordering::is_gt),
            Op::GreaterThanOrEqual => compared.is_some_and(Ordering::is_ge),
            Op::ArrayContains | Op::ArrayContainsAny => {
                matches!(value, Val::List(elements) if elements.iter().any(one_of))
            }
            Op::Unspecified => unreachable!("never chosen"),
        }
    }
}

fn is_list(op: Op) -> bool {
    matches!(op, Op::In | Op::NotIn | Op::ArrayContainsAny)
}

impl Ask {
    pub fn random(random: &mut Random) -> Self {
        let any = random.one_in(4);
        let mut tests: Vec<Test> = Vec::new();
        for _ in 0..*random.pick(&[0, 1, 1, 1, 2, 3]) {
            let test = Test::random(random);
            // Other tests cover the combinations that Firestore refuses.
            let refused_alone = any && test.op == Op::NotIn;
            let refused_together = tests.iter().any(|other| {
                (other.is_negation() && test.is_negation())
                    || (other.is_about_elements() && test.is_about_elements())
                    || (is_list(other.op) && is_list(test.op))
            });
            if !refused_alone && !refused_together {
                tests.push(test);
            }
        }
        let mut orders: Vec<(&'static str, bool)> = Vec::new();
        for _ in 0..random.below(3) {
            let field = *random.pick(&FIELDS);
            if orders.iter().all(|(other, _)| *other != field) {
                orders.push((field, random.one_in(2)));
            }
        }
        let bound = |random: &mut Random| {
            let values = 1 + random.below(orders.len());
            ((0..values).map(|_| Val::random(random)).collect(), random.one_in(2))
        };
        let start = (!orders.is_empty() && random.one_in(3)).then(|| bound(random));
        let end = (!orders.is_empty() && random.one_in(3)).then(|| bound(random));
        Self {
            collection: if random.one_in(4) { "d" } else { "c" },
            group: random.one_in(4),
            tests,
            any,
            start,
            end,
            orders,
            offset: if random.one_in(4) { random.below(5) } else { 0 },
            limit: random.one_in(3).then(|| 1 + random.below(6)),
        }
    }

    pub fn query(&self) -> StructuredQuery {
        let mut query = if self.group { group(self.collection) } else { from(self.collection) };
        let filters = self.tests.iter().map(Test::filter);
        query = match (self.tests.len(), self.any) {
            (0, _) => query,
            (_, true) => query.filtered(any(filters)),
            (_, false) => query.filtered(all(filters)),
        };
        for (field, descending) in &self.orders {
            query = if *descending { query.descending(field) } else { query.ordered(field) };
        }
        let cursor = |bound: &(Vec<Val>, bool)| Cursor {
            values: bound.0.iter().map(Val::value).collect(),
            before: bound.1,
        };
        StructuredQuery {
            start_at: self.start.as_ref().map(cursor),
            end_at: self.end.as_ref().map(cursor),
            offset: i32::try_from(self.offset).unwrap(),
            limit: self.limit.map(|limit| i32::try_from(limit).unwrap()),
            ..query
        }
    }

    /// The expected paths, in order.
    pub fn answer(&self, world: &World) -> Vec<String> {
        let orders = self.full_orders();
        let mut found: Vec<_> = world
            .documents()
            .filter(|(path, doc)| {
                self.is_in_scope(path)
                    && self.passes(doc)
                    && orders.iter().all(|(field, _)| doc.contains_key(*field))
                    && self.start.as_ref().is_none_or(|start| !self.is_before(doc, start))
                    && self.end.as_ref().is_none_or(|end| self.is_before(doc, end))
            })
            .collect();
        found.sort_by(|(path, doc), (other_path, other)| {
            let by_fields = orders.iter().map(|(field, descending)| {
                directed(doc[*field].order(&other[*field]), *descending)
            });
            let last = orders.last().is_some_and(|(_, descending)| *descending);
            let by_name = directed(segments(path).cmp(segments(other_path)), last);
            by_fields.fold(Ordering::Equal, Ordering::then).then(by_name)
        });
        let found = found.into_iter().skip(self.offset).take(self.limit.unwrap_or(usize::MAX));
        found.map(|(path, _)| path.clone()).collect()
    }

    /// All orders, including the implied ones: the fields of inequalities, in the direction of the
    /// last explicit order.
    fn full_orders(&self) -> Vec<(&'static str, bool)> {
        let mut orders = self.orders.clone();
        let descending = orders.last().is_some_and(|(_, descending)| *descending);
        for field in FIELDS {
            let implied = self.tests.iter().any(|test| test.field == field && test.is_inequality());
            if implied && orders.iter().all(|(other, _)| *other != field) {
                orders.push((field, descending));
            }
        }
        orders
    }

    fn is_in_scope(&self, path: &str) -> bool {
        let ids: Vec<_> = segments(path).collect();
        ids[ids.len() - 2] == self.collection && (self.group || ids.len() == 2)
    }

    fn passes(&self, doc: &Doc) -> bool {
        let mut passed = self.tests.iter().map(|test| test.passes(doc));
        if self.any && !self.tests.is_empty() {
            passed.any(|passed| passed)
        } else {
            passed.all(|passed| passed)
        }
    }

    /// Whether a document sorts before a bound: before its values, or at them if the bound is after
    /// them.
    fn is_before(&self, doc: &Doc, (values, before): &(Vec<Val>, bool)) -> bool {
        let compared = values
            .iter()
            .zip(&self.orders)
            .map(|(value, (field, descending))| directed(doc[*field].order(value), *descending));
        match compared.fold(Ordering::Equal, Ordering::then) {
            Ordering::Less => true,
            Ordering::Equal => !before,
            Ordering::Greater => false,
        }
    }
}

fn directed(order: Ordering, descending: bool) -> Ordering {
    if descending { order.reverse() } else { order }
}

fn segments(path: &str) -> std::str::Split<'_, char> {
    path.split('/')
}
