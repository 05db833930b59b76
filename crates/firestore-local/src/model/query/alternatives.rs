//! The disjunctive normal form of a query's filter, reduced to which fields each alternative fixes.

use std::collections::BTreeSet;

use super::Query;
use super::filter::{Filter, Test};
use super::order::Ordering;
use crate::model::field_path::FieldPath;

/// One alternative: a conjunction. Ranges and negations fix no field.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fixed {
    pub equal: BTreeSet<FieldPath>,
    pub contains: BTreeSet<FieldPath>,
}

impl Query {
    /// What the alternatives of the filter fix. Lists of values are alternatives that fix the same.
    pub fn alternatives(&self) -> BTreeSet<Fixed> {
        self.filter.as_ref().map_or_else(|| [Fixed::default()].into(), of)
    }

    /// The explicit orders, the implied ones, and the name last.
    pub fn orders(&self) -> &[Ordering] {
        &self.orders
    }
}

/// The number of alternatives is at most that of the normal form, which is limited.
fn of(filter: &Filter) -> BTreeSet<Fixed> {
    match filter {
        Filter::Or(filters) => filters.iter().flat_map(of).collect(),
        Filter::And(filters) => {
            filters.iter().map(of).fold(BTreeSet::from([Fixed::default()]), |all, one| {
                all.iter().flat_map(|left| one.iter().map(move |right| left.and(right))).collect()
            })
        }
        Filter::Test { path, .. } if path.is_name() => [Fixed::default()].into(),
        Filter::Test { path, test } => {
            let (mut fixed, path) = (Fixed::default(), path.clone());
            match test {
                Test::Equal(_) | Test::In(_) | Test::IsNan | Test::IsNull => {
                    fixed.equal.insert(path);
                }
                Test::ArrayContains(_) | Test::ArrayContainsAny(_) => {
                    fixed.contains.insert(path);
                }
                _ => {}
            }
            [fixed].into()
        }
    }
}

impl Fixed {
    fn and(&self, other: &Self) -> Self {
        Self {
            equal: self.equal.union(&other.equal).cloned().collect(),
            contains: self.contains.union(&other.contains).cloned().collect(),
        }
    }
}
