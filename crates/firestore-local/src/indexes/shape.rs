//! What decides which indexes a query needs, without its values.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Scope;
use crate::model::field_path::FieldPath;
use crate::model::query::Query;

/// The shape of a query. Two queries with the same shape need the same indexes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shape {
    /// `None` for a query over every collection.
    pub collection_group: Option<String>,
    pub query_scope: Scope,
    /// The alternatives of the filter, at least one.
    pub alternatives: BTreeSet<Alternative>,
    /// The fields that results are ordered by, without the name.
    pub order_by: Vec<Order>,
    /// Whether results with equal fields are in the descending order of names.
    #[serde(default)]
    pub name_descending: bool,
    /// Fields that are summed or averaged and have no order of their own.
    #[serde(default)]
    pub aggregated: BTreeSet<FieldPath>,
}

/// The fields that one alternative of a filter fixes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Alternative {
    /// By `==`, `in`, or a test for null or NaN.
    #[serde(default)]
    pub equal: BTreeSet<FieldPath>,
    /// By `array-contains` or `array-contains-any`.
    #[serde(default)]
    pub contains: BTreeSet<FieldPath>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    pub field_path: FieldPath,
    #[serde(default)]
    pub descending: bool,
}

impl Shape {
    /// The shape of a query whose results are summed or averaged over `aggregated`.
    pub(crate) fn of<'a>(
        query: &Query,
        aggregated: impl IntoIterator<Item = &'a FieldPath>,
    ) -> Self {
        let alternatives = query.alternatives();
        let alternatives = alternatives
            .into_iter()
            .map(|fixed| Alternative { equal: fixed.equal, contains: fixed.contains })
            .collect();
        let (names, orders): (Vec<_>, Vec<_>) =
            query.orders().iter().partition(|order| order.path.is_name());
        let order_by: Vec<_> = orders
            .into_iter()
            .map(|order| Order { field_path: order.path.clone(), descending: order.descending })
            .collect();
        let is_ordered = |path: &FieldPath| order_by.iter().any(|order| order.field_path == *path);
        let aggregated = aggregated.into_iter().filter(|path| !path.is_name() && !is_ordered(path));
        Self {
            collection_group: query.scope.collection.clone(),
            query_scope: match query.scope.all_descendants {
                true => Scope::CollectionGroup,
                false => Scope::Collection,
            },
            alternatives,
            aggregated: aggregated.cloned().collect(),
            name_descending: names.iter().any(|order| order.descending),
            order_by,
        }
    }
}
