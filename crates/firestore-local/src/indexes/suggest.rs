//! What a recorded run needs of an index file, and what it does not use.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::refusal::{Entry, composite_json};
use super::{Decision, Indexes, Shape, Used};

/// The difference between what a run needs and what a file declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suggestions {
    /// Entries to add to `indexes`.
    pub missing: Vec<Value>,
    /// Entries to add to `fieldOverrides`, or to put in the place of the entry for the same field.
    pub missing_overrides: Vec<Value>,
    /// Entries of `indexes` that no query used.
    pub unused: Vec<Value>,
    /// Entries of `indexes` that queries used, but that other indexes could replace.
    pub replaceable: Vec<Value>,
}

/// Compares the queries of a run with the declared indexes.
pub fn suggest<'a>(shapes: impl IntoIterator<Item = &'a Shape>, indexes: &Indexes) -> Suggestions {
    let shapes: BTreeSet<&Shape> = shapes.into_iter().collect();
    let (mut used, mut parts) = (BTreeSet::new(), BTreeSet::new());
    for shape in &shapes {
        match indexes.decide(shape) {
            Decision::Served(by) => used.extend(by),
            Decision::Refused(lacks) => parts.extend(lacks),
        }
    }
    let mut found = Suggestions::default();
    for part in &parts {
        let (list, entry) = match part.entry(indexes) {
            Entry::Index(entry) => (&mut found.missing, entry),
            Entry::Override(entry) => (&mut found.missing_overrides, entry),
        };
        if !list.contains(&entry) {
            list.push(entry);
        }
    }
    for (position, composite) in indexes.composites.iter().enumerate() {
        if !used.contains(&Used::Composite(position)) {
            found.unused.push(composite_json(composite));
        } else if is_replaceable(&shapes, indexes, position) {
            found.replaceable.push(composite_json(composite));
        }
    }
    found
}

/// Whether every query that is served is also served without the index at `position`.
fn is_replaceable(shapes: &BTreeSet<&Shape>, indexes: &Indexes, position: usize) -> bool {
    let mut without = indexes.clone();
    let removed = without.composites.remove(position);
    let concerned = shapes.iter().filter(|it| it.collection_group.as_ref() == Some(&removed.group));
    let is_served = |indexes: &Indexes, shape| matches!(indexes.decide(shape), Decision::Served(_));
    concerned.into_iter().all(|shape| is_served(&without, shape) || !is_served(indexes, shape))
}

impl Suggestions {
    /// Whether the file has an index for every query, and a query for every index.
    pub fn is_exact(&self) -> bool {
        self.missing.is_empty() && self.missing_overrides.is_empty() && self.unused.is_empty()
    }
}

impl fmt::Display for Suggestions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, entries) in [
            ("missing in \"indexes\"", &self.missing),
            (
                "missing in \"fieldOverrides\" (replaces an entry for the same field)",
                &self.missing_overrides,
            ),
            ("declared in \"indexes\" and unused", &self.unused),
            ("used, but other indexes serve the same queries", &self.replaceable),
        ] {
            if !entries.is_empty() {
                writeln!(f, "{title}:")?;
                entries.iter().try_for_each(|entry| writeln!(f, "  {entry}"))?;
            }
        }
        let missing = self.missing.len() + self.missing_overrides.len();
        write!(f, "{missing} missing, {} unused", self.unused.len())
    }
}
