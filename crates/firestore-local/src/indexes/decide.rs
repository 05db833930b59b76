//! Whether indexes serve a query.
//!
//! Each alternative of the filter is served by itself. The documents that it finds lie together in
//! an index whose columns are first fields that it fixes, in any order, and then the fields that
//! results are ordered by, in order and direction. Several such indexes that end alike are merged
//! if together they hold all fixed fields. Indexes are read forwards only: the documentation asks
//! for an index of its own for each direction, for the name, too.

use std::collections::{BTreeMap, BTreeSet};

use super::{Alternative, Column, Composite, Indexes, Mode, Order, Scope, Shape};
use crate::model::field_path::{FieldPath, NAME};

/// The decision about a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The indexes that serve its alternatives.
    Served(BTreeSet<Used>),
    /// What each alternative lacks that is not served.
    Refused(Vec<Part>),
}

/// An index that serves a query.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Used {
    /// The documents themselves, in the order of their names.
    Documents,
    Field {
        path: FieldPath,
        mode: Mode,
    },
    /// The position of an index in the file.
    Composite(usize),
}

/// An alternative that is not served, as an index that would serve it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    pub group: String,
    pub scope: Scope,
    pub columns: Vec<Column>,
    pub name_descending: bool,
}

/// An index that may serve an alternative, alone or with others.
struct Candidate<'a> {
    used: Used,
    fixed: BTreeSet<(&'a FieldPath, bool)>,
}

/// How an index ends: the columns after the fixed ones, and the direction of the name.
type Ending<'a> = (&'a [Column], bool);

/// What an alternative asks of an index.
struct Wanted<'a> {
    shape: &'a Shape,
    /// Fixed fields, and whether as elements of an array.
    fixed: BTreeSet<(&'a FieldPath, bool)>,
    /// The same, to look them up in the columns of many indexes.
    sorted: Vec<(&'a FieldPath, bool)>,
    /// Without the fixed fields, whose order does not matter.
    orders: Vec<&'a Order>,
    aggregated: BTreeSet<&'a FieldPath>,
}

impl Indexes {
    /// Decides whether the indexes serve a query.
    pub fn decide(&self, shape: &Shape) -> Decision {
        // Only the order of names is possible over every collection.
        let Some(group) = &shape.collection_group else {
            return Decision::Served([Used::Documents].into());
        };
        let (mut used, mut lacks) = (BTreeSet::new(), BTreeSet::new());
        for alternative in &shape.alternatives {
            let wanted = Wanted::of(shape, alternative);
            match self.serve(group, &wanted) {
                Some(indexes) => used.extend(indexes),
                None => drop(lacks.insert(wanted.perfect(group))),
            }
        }
        if lacks.is_empty() {
            Decision::Served(used)
        } else {
            Decision::Refused(lacks.into_iter().collect())
        }
    }

    /// The indexes that serve an alternative: one if possible, or else few.
    fn serve(&self, group: &str, wanted: &Wanted) -> Option<Vec<Used>> {
        if wanted.is_by_name() {
            let mode =
                if wanted.shape.name_descending { Mode::Descending } else { Mode::Ascending };
            let scope = wanted.shape.query_scope;
            let indexes = self.of_field(group, &[NAME.to_owned()]);
            let found = indexes.iter().any(|index| index.scope == scope && index.mode == mode);
            let stored = mode == Mode::Ascending;
            return (stored || found).then(|| vec![Used::Documents]);
        }
        let single = self.single_columns(group, wanted);
        let mut by_ending: BTreeMap<Ending, Vec<Candidate>> = BTreeMap::new();
        let composites = self.composites.iter().enumerate().filter(|(_, it)| it.group == group);
        for (position, composite) in composites {
            if composite.scope == wanted.shape.query_scope
                && let Some((fixed, ending)) =
                    wanted.split(&composite.columns, composite.name_descending)
            {
                let used = Used::Composite(position);
                by_ending.entry(ending).or_default().push(Candidate { used, fixed });
            }
        }
        for column in &single {
            for descending in name_directions(column) {
                if let Some((fixed, ending)) =
                    wanted.split(std::slice::from_ref(column), descending)
                {
                    let Column { path, mode } = column.clone();
                    let used = Used::Field { path, mode };
                    by_ending.entry(ending).or_default().push(Candidate { used, fixed });
                }
            }
        }
        let served = by_ending.into_values().filter_map(|all| wanted.cover(all));
        served.min_by_key(Vec::len)
    }

    /// The single-field indexes that may serve an alternative.
    fn single_columns(&self, group: &str, wanted: &Wanted) -> Vec<Column> {
        let fixed = wanted.fixed.iter().map(|(path, _)| *path);
        let ordered = wanted.orders.iter().map(|order| &order.field_path);
        let paths: BTreeSet<_> =
            fixed.chain(ordered).chain(wanted.aggregated.iter().copied()).collect();
        let mut columns = Vec::new();
        for path in paths {
            for index in self.of_field(group, path.segments()) {
                if index.scope == wanted.shape.query_scope {
                    columns.push(Column { path: path.clone(), mode: index.mode });
                }
            }
        }
        columns
    }
}

/// The directions of names in a single-field index. For each element of an array there are both.
fn name_directions(column: &Column) -> Vec<bool> {
    match column.mode {
        Mode::Contains => vec![false, true],
        mode => vec![mode == Mode::Descending],
    }
}

impl<'a> Wanted<'a> {
    fn of(shape: &'a Shape, alternative: &'a Alternative) -> Self {
        let equal = alternative.equal.iter().map(|path| (path, false));
        let contains = alternative.contains.iter().map(|path| (path, true));
        let is_free = |path: &FieldPath| !alternative.equal.contains(path);
        let fixed: BTreeSet<_> = equal.chain(contains).collect();
        Self {
            shape,
            sorted: fixed.iter().copied().collect(),
            fixed,
            orders: shape.order_by.iter().filter(|order| is_free(&order.field_path)).collect(),
            aggregated: shape.aggregated.iter().filter(|path| is_free(path)).collect(),
        }
    }

    /// Whether only the order of names is asked for.
    fn is_by_name(&self) -> bool {
        self.fixed.is_empty() && self.orders.is_empty() && self.aggregated.is_empty()
    }

    /// Splits the columns of an index into the fixed fields and the ending; `None` if the index
    /// cannot serve the alternative.
    fn split<'c>(
        &self,
        columns: &'c [Column],
        name_descending: bool,
    ) -> Option<(BTreeSet<(&'a FieldPath, bool)>, Ending<'c>)> {
        let ending = self.orders.len() + self.aggregated.len();
        let (first, last) = columns.split_at_checked(columns.len().checked_sub(ending)?)?;
        let (ordered, aggregated) = last.split_at_checked(self.orders.len())?;
        let is_ordered = ordered.iter().zip(&self.orders).all(|(column, order)| {
            column.path == order.field_path && column.mode == mode_of(order.descending)
        });
        let sums = aggregated.iter().all(|column| {
            let is_sortable = matches!(column.mode, Mode::Ascending | Mode::Descending);
            is_sortable && self.aggregated.contains(&column.path)
        });
        // Sums do not depend on the order of names.
        let is_named = !self.aggregated.is_empty() || name_descending == self.shape.name_descending;
        if !is_ordered || !sums || !is_named {
            return None;
        }
        let fixed = first.iter().map(|column| {
            let is_element = match column.mode {
                Mode::Ascending | Mode::Descending => false,
                Mode::Contains => true,
                Mode::Vector => return None,
            };
            let key = (&column.path, is_element);
            let at = self.sorted.binary_search_by(|(path, element)| (*path, *element).cmp(&key));
            at.ok().map(|at| self.sorted[at])
        });
        let fixed: BTreeSet<_> = fixed.collect::<Option<_>>()?;
        let serves = !fixed.is_empty() || self.fixed.is_empty();
        serves.then_some((fixed, (last, name_descending)))
    }

    /// Chooses among indexes that end alike: each time the one that adds most fixed fields.
    fn cover(&self, candidates: Vec<Candidate<'a>>) -> Option<Vec<Used>> {
        let mut open = self.fixed.clone();
        let mut used = Vec::new();
        if open.is_empty() {
            return candidates.into_iter().next().map(|first| vec![first.used]);
        }
        while !open.is_empty() {
            let adds = |it: &Candidate| it.fixed.intersection(&open).count();
            // The first of equals, which is the first in the file.
            let best = candidates.iter().rev().max_by_key(|it| adds(it))?;
            if adds(best) == 0 {
                return None;
            }
            open = open.difference(&best.fixed).copied().collect();
            used.push(best.used.clone());
        }
        Some(used)
    }

    /// The index that serves the alternative alone.
    fn perfect(&self, group: &str) -> Part {
        let fixed = self.fixed.iter().map(|(path, is_element)| {
            let mode = if *is_element { Mode::Contains } else { Mode::Ascending };
            Column { path: (*path).clone(), mode }
        });
        let ordered = self.orders.iter().map(|order| Column {
            path: order.field_path.clone(),
            mode: mode_of(order.descending),
        });
        let aggregated = self
            .aggregated
            .iter()
            .map(|path| Column { path: (*path).clone(), mode: Mode::Ascending });
        let mut columns: Vec<_> = fixed.chain(ordered).chain(aggregated).collect();
        let name_descending = self.shape.name_descending;
        // A single-field index gives the name its own direction.
        if let [Column { mode: mode @ Mode::Ascending, .. }] = &mut columns[..]
            && self.orders.is_empty()
        {
            *mode = mode_of(name_descending);
        }
        let name_descending = if self.aggregated.is_empty() {
            name_descending
        } else {
            Composite::implied_name_descending(&columns)
        };
        let scope = self.shape.query_scope;
        Part { group: group.to_owned(), scope, columns, name_descending }
    }
}

fn mode_of(descending: bool) -> Mode {
    if descending { Mode::Descending } else { Mode::Ascending }
}
