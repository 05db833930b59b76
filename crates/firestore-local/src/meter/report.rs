//! What the meter reports: the bill, and its lines by collection and caller with their costs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::budget::{Budget, Exceeded};
use super::callers::Callers;
use super::prices::Prices;
use super::tally::Period;
use super::usage::{Billed, Usage};

/// Billed operations by database and collection id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bill {
    pub total: Billed,
    pub databases: BTreeMap<String, BTreeMap<String, Billed>>,
}

impl Bill {
    pub(super) fn of(period: &Period<'_>) -> Self {
        let mut by_collection: BTreeMap<(&str, &str), Usage> = BTreeMap::new();
        let mut total = Usage::default();
        for (database, collection, _, usage) in &period.cells {
            by_collection.entry((database, collection)).or_default().add(usage);
            total.add(usage);
        }
        let mut bill = Self { total: total.billed, databases: BTreeMap::new() };
        for ((database, collection), usage) in by_collection {
            let database = bill.databases.entry(database.to_owned()).or_default();
            database.insert(collection.to_owned(), usage.billed);
        }
        bill
    }

    /// Panics if more was billed than `most`, with the bill of each collection: for tests.
    ///
    /// # Panics
    /// If more was billed.
    #[track_caller]
    pub fn assert_at_most(&self, most: Billed) {
        if let Err(exceeded) = Budget::at_most(most).check(&self.total) {
            let collections = self.databases.values().flatten();
            let lines =
                collections.map(|(collection, billed)| format!("\n  {collection}: {billed}"));
            panic!("{exceeded}{}", lines.collect::<String>());
        }
    }
}

impl fmt::Display for Bill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "billed as Firestore would: {}", self.total)
    }
}

/// Usage, and what its billed operations cost without any free quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Charged {
    #[serde(flatten)]
    pub usage: Usage,
    pub cost: f64,
}

/// A collection or a caller.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// The database of a collection; absent for a caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    pub name: String,
    pub since_start: Charged,
    pub last_hour: Charged,
}

/// Everything that happened in a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sum {
    #[serde(flatten)]
    pub charged: Charged,
    /// Bytes that the server sent, with the overhead of HTTP/2.
    pub egress_bytes: u64,
    /// What the bytes would cost if they left Google's network.
    pub egress_cost: f64,
}

/// What the operations so far would have cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    #[serde(flatten)]
    pub bill: Bill,
    /// The seconds since the start or the last reset.
    pub seconds: u64,
    pub since_start: Sum,
    /// The last 60 minutes by the server's clock, or less after a start or reset.
    pub last_hour: Sum,
    /// What a day at the rate of the last hour costs beyond its free quota.
    pub day_cost: f64,
    pub collections: Vec<Line>,
    pub callers: Vec<Line>,
    pub prices: Prices,
    pub budget: Budget,
    /// What was billed when the budget was exceeded; null if it was not.
    pub exceeded: Option<Billed>,
}

pub(super) struct Input<'a> {
    pub seconds: u64,
    pub start: Period<'a>,
    pub hour: Period<'a>,
    pub sent: u64,
    pub callers: &'a Callers,
    pub prices: &'a Prices,
    pub budget: Budget,
    pub exceeded: Option<Exceeded>,
}

type Key = (Option<String>, String);

impl Report {
    pub(super) fn new(input: Input<'_>) -> Self {
        let (start, hour, prices) = (&input.start, &input.hour, input.prices);
        let sum = |period: &Period<'_>| {
            let mut usage = Usage::default();
            period.cells.iter().for_each(|(_, _, _, cell)| usage.add(cell));
            let egress_bytes = period.sent_before.map_or(0, |before| input.sent - before);
            let egress_cost = prices.egress(egress_bytes);
            Sum { charged: charged(prices, usage), egress_bytes, egress_cost }
        };
        let (since_start, last_hour) = (sum(start), sum(hour));
        let by_collection = |database: &str, collection: &str, _| {
            (Some(database.to_owned()), collection.to_owned())
        };
        let by_caller = |_: &str, _: &str, caller| (None, input.callers.name(caller));
        Self {
            bill: Bill::of(start),
            seconds: input.seconds,
            since_start,
            last_hour,
            day_cost: prices.day_of(&last_hour.charged.usage.billed),
            collections: lines(&input, by_collection),
            callers: lines(&input, by_caller),
            prices: prices.clone(),
            budget: input.budget,
            exceeded: input.exceeded.map(|exceeded| exceeded.billed),
        }
    }

    /// One line: what the last hour would have cost.
    pub fn hour_line(&self) -> String {
        let Charged { usage, cost } = self.last_hour.charged;
        format!(
            "the last hour would have cost {} on Firestore ({})",
            self.prices.money(cost),
            usage.billed
        )
    }

    /// One line: what everything since the start would have cost.
    pub fn summary(&self) -> String {
        let cost = self.prices.money(self.since_start.charged.cost);
        format!("{}; {cost} without free quota", self.bill)
    }
}

fn charged(prices: &Prices, usage: Usage) -> Charged {
    Charged { usage, cost: prices.operations(&usage.billed) }
}

/// The lines of all keys, the most expensive first.
fn lines(input: &Input<'_>, key: impl Fn(&str, &str, u16) -> Key) -> Vec<Line> {
    let mut all: BTreeMap<Key, (Usage, Usage)> = BTreeMap::new();
    for (database, collection, caller, usage) in &input.start.cells {
        all.entry(key(database, collection, *caller)).or_default().0.add(usage);
    }
    for (database, collection, caller, usage) in &input.hour.cells {
        all.entry(key(database, collection, *caller)).or_default().1.add(usage);
    }
    let lines = all.into_iter().map(|((database, name), (start, hour))| Line {
        database,
        name,
        since_start: charged(input.prices, start),
        last_hour: charged(input.prices, hour),
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort_by(|a, b| b.since_start.cost.total_cmp(&a.since_start.cost));
    lines
}
