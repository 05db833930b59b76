//! The counts by collection and caller, since the start and for each minute of the last hour.
//!
//! Everything is bounded: what exceeds the bounds is counted as `other`.

use std::collections::{HashMap, VecDeque};

use super::usage::Usage;
use crate::model::path::Database;
use crate::model::time::Micros;

/// Stands for everything past the bounds.
pub const OTHER: &str = "other";

/// The most pairs of a collection and a caller.
const MAX_CELLS: usize = 2_000;
const MAX_COLLECTIONS: u32 = 1_000;
const MINUTE_MICROS: i64 = 60_000_000;
const MINUTES: i64 = 60;

/// A collection and a caller, by number.
type Cell = (u32, u16);

#[derive(Debug)]
struct Minute {
    number: i64,
    cells: HashMap<Cell, Usage>,
    /// Bytes sent before this minute.
    sent_before: u64,
}

#[derive(Debug)]
pub struct Tally {
    numbers: HashMap<Database, HashMap<String, u32>>,
    /// The database and the id of each collection.
    collections: Vec<(String, String)>,
    cells: HashMap<Cell, Usage>,
    minutes: VecDeque<Minute>,
    total: Usage,
}

/// One period: the usage of each collection by each caller.
#[derive(Debug)]
pub struct Period<'a> {
    pub cells: Vec<(&'a str, &'a str, u16, Usage)>,
    /// Bytes sent before the period.
    pub sent_before: Option<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            collections: vec![(OTHER.to_owned(), OTHER.to_owned())],
            cells: HashMap::new(),
            minutes: VecDeque::new(),
            total: Usage::default(),
        }
    }
}

impl Tally {
    pub fn total(&self) -> &Usage {
        &self.total
    }

    pub fn add(
        &mut self,
        now: Micros,
        (database, collection): (&Database, &str),
        caller: u16,
        sent: u64,
        usage: &Usage,
    ) {
        let cell = (self.number(database, collection), caller);
        let known = self.cells.len() < MAX_CELLS || self.cells.contains_key(&cell);
        let cell = if known { cell } else { (0, 0) };
        self.cells.entry(cell).or_default().add(usage);
        self.minute(now, sent).cells.entry(cell).or_default().add(usage);
        self.total.add(usage);
    }

    fn number(&mut self, database: &Database, collection: &str) -> u32 {
        let known = self.numbers.get(database).and_then(|numbers| numbers.get(collection));
        if let Some(number) = known {
            return *number;
        }
        let Some(number) =
            u32::try_from(self.collections.len()).ok().filter(|it| *it < MAX_COLLECTIONS)
        else {
            return 0;
        };
        self.collections.push((database.as_str().to_owned(), collection.to_owned()));
        let numbers = self.numbers.entry(database.clone()).or_default();
        numbers.insert(collection.to_owned(), number);
        number
    }

    fn minute(&mut self, now: Micros, sent: u64) -> &mut Minute {
        let number = now.0.div_euclid(MINUTE_MICROS);
        let is_new = self.minutes.back().is_none_or(|last| last.number < number);
        if is_new {
            while self.minutes.front().is_some_and(|first| first.number <= number - MINUTES) {
                self.minutes.pop_front();
            }
            self.minutes.push_back(Minute { number, cells: HashMap::new(), sent_before: sent });
        }
        // A clock that was set back counts in the latest minute.
        let last = self.minutes.len() - 1;
        &mut self.minutes[last]
    }

    fn named<'a>(&'a self, (cell, usage): (&Cell, &Usage)) -> (&'a str, &'a str, u16, Usage) {
        let (database, collection) = &self.collections[cell.0 as usize];
        (database, collection, cell.1, *usage)
    }

    pub fn since_start(&self) -> Period<'_> {
        let cells = self.cells.iter().map(|cell| self.named(cell)).collect();
        Period { cells, sent_before: None }
    }

    /// The last 60 minutes, of which the current one is not over.
    pub fn last_hour(&self, now: Micros) -> Period<'_> {
        let first = now.0.div_euclid(MINUTE_MICROS) - MINUTES;
        let mut sent_before = None;
        let mut cells: HashMap<Cell, Usage> = HashMap::new();
        for minute in self.minutes.iter().filter(|minute| minute.number > first) {
            sent_before = sent_before.or(Some(minute.sent_before));
            for (cell, usage) in &minute.cells {
                cells.entry(*cell).or_default().add(usage);
            }
        }
        let cells = cells.iter().map(|cell| self.named(cell)).collect();
        Period { cells, sent_before }
    }
}
