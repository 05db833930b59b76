//! Keeps what is counted from a cut on apart, and replaces a statistic by what was counted before it
//! and since.

use firestore_kit::proto::{Document, Write};
use firestore_kit::value::{self, Fields};
use firestore_kit::{Query, Timestamp, write};

use super::{Cut, Statistic};
use crate::store::collection::STATE;
use crate::store::scoring::checkpoint::Changes;
use crate::store::scoring::cursor::REBUILDING;
use crate::store::scoring::parked::parked_statistic;
use crate::store::scoring::series::ComponentSeries;
use crate::store::scoring::stats::stats_names;
use crate::store::scoring::stored_fields::{SCORED_UNDER, scored_under, scored_under_field};
use crate::store::scoring::versions::VersionTally;
use crate::store::{DOCUMENT_BYTES, Result, Store, StoreError};
use f0_learning_core::reward::{LeftOut, ScoredUnder};
use f0_learning_core::stats::{Series, Tally};

/// How often a commit is repeated because a worker counted for the same statistic meanwhile.
const ATTEMPTS: u32 = 30;

/// The most bytes that a statistic has besides its sums, if a marker is to fit into its document.
const MARKER_BYTES: usize = 16 << 10;

/// What a statistic holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Sums {
    Series(Series),
    Tally(Box<Tally>),
}

/// A statistic that was counted again.
#[derive(Clone, Debug)]
pub struct Recounted {
    pub sums: Sums,
    /// The config of the rewards in its samples.
    pub scored_under: Option<ScoredUnder>,
}

/// A statistic that scoring does not count into: what it counts since the cut is parked.
#[derive(Debug)]
pub struct Fence {
    pub statistic: Statistic,
    pub cut: Cut,
    /// The config that the damaged document says its rewards were scored under, if that can be read.
    pub scored_under: Option<ScoredUnder>,
    update_time: Option<Timestamp>,
}

/// What is stored of a statistic, as of a cut.
#[derive(Debug)]
pub struct Stored {
    pub cut: Cut,
    /// Its sums with the parked ones; the documents that cannot be read, with the reasons, if there are
    /// any.
    pub counted: Result<Recounted, Vec<(String, String)>>,
    /// The documents of its windows, with their names.
    pub windows: Vec<(String, Fields)>,
}

/// Whether a statistic was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swapped {
    Done,
    /// Another rebuild or an earlier release changed it: it must be recounted from a new cut.
    Changed,
}

impl Sums {
    pub fn restart_rewards(&mut self) {
        match self {
            Self::Series(series) => series.restart_rewards(),
            Self::Tally(tally) => tally.restart_rewards(),
        }
    }

    /// Adds sums of the same kind; `false` if they are of another.
    pub fn merge(&mut self, other: &Self) -> bool {
        match (self, other) {
            (Self::Series(sum), Self::Series(other)) => sum.merge(other),
            (Self::Tally(sum), Self::Tally(other)) => sum.merge(other),
            _ => return false,
        }
        true
    }
}

impl Recounted {
    /// Adds what was counted elsewhere, as reconciliation merges parked counts.
    fn join(&mut self, mut other: Self) -> bool {
        match ScoredUnder::join(&mut self.scored_under, other.scored_under.take()) {
            LeftOut::Nothing => {}
            LeftOut::Stored => self.sums.restart_rewards(),
            LeftOut::Joined => other.sums.restart_rewards(),
        }
        self.sums.merge(&other.sums)
    }
}

impl Store {
    /// Fences a statistic off. Repeating it after a crash makes a new cut: what an earlier one parked is
    /// part of the recount.
    pub async fn fence(&self, statistic: &Statistic, now: i64) -> Result<Fence> {
        let mut attempt = 1;
        loop {
            match self.try_fence(statistic, now).await {
                Err(error) if error.needs_reread() && attempt < ATTEMPTS => {
                    self.pause(attempt).await;
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    async fn try_fence(&self, statistic: &Statistic, now: i64) -> Result<Fence> {
        let id = statistic.state_id();
        let parked = self.parked_ids_of(&id).await?;
        let all: Vec<_> = parked.iter().cloned().chain([id.clone()]).collect();
        let cut = self.cut(&all, &[]).await?;
        let found = |id: &str| cut.documents.get(&self.db.name(STATE, id));
        let target = found(&id);
        let scored_under = target
            .into_iter()
            .chain(parked.iter().rev().filter_map(|id| found(id)))
            .find_map(|document| scored_under(&document.fields, SCORED_UNDER).ok().flatten());
        // A statistic that can be read is kept until it is replaced, but not counted into.
        let readable = target.filter(|document| {
            write::encoded_len(document) <= DOCUMENT_BYTES + MARKER_BYTES
                && self.decode_sums(statistic, document).is_ok()
        });
        let mut marked = readable.map(|document| document.fields.clone()).unwrap_or_default();
        marked.remove("nextChange");
        marked.insert(REBUILDING.to_owned(), value::int(now));
        marked.extend(scored_under_field(scored_under.as_ref()));
        let name = self.db.name(STATE, &id);
        let before = target.and_then(|document| document.update_time);
        let mut writes = vec![write::set_if_unchanged(name, marked, before)];
        writes.extend(parked.iter().filter_map(|id| removal(found(id)?)));
        let response = self.db.commit(&format!("{STATE}/{id}"), writes).await?;
        let update_time = write::update_time(&response, 0);
        Ok(Fence { statistic: statistic.clone(), cut, scored_under, update_time })
    }

    /// Replaces the statistic by what was recounted and what was counted since, in one commit. A worker
    /// that counts for it meanwhile is refused, or makes this read again.
    pub async fn swap(&self, fence: &Fence, recounted: &Recounted, now: i64) -> Result<Swapped> {
        let mut attempt = 1;
        loop {
            match self.try_swap(fence, recounted, now).await {
                Err(error) if error.needs_reread() && attempt < ATTEMPTS => {
                    self.pause(attempt).await;
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    async fn try_swap(&self, fence: &Fence, recounted: &Recounted, now: i64) -> Result<Swapped> {
        let id = fence.statistic.state_id();
        let target = self.db.get(STATE, &id).await?;
        let stored = target.as_ref().and_then(|document| document.update_time);
        if stored.is_none() || stored != fence.update_time {
            return Ok(Swapped::Changed);
        }
        let mut sum = recounted.clone();
        let mut removals = Vec::new();
        for parked in self.parked_ids_of(&id).await? {
            let Some(document) = self.db.get(STATE, &parked).await? else { continue };
            let Ok(counted) = self.decode_parked_sums(&fence.statistic, &document) else {
                // What it held is part of the next cut.
                return Ok(Swapped::Changed);
            };
            sum.join(counted);
            removals.extend(removal(&document));
        }
        self.commit_recounted(&fence.statistic, sum, stored, removals, now).await?;
        Ok(Swapped::Done)
    }

    async fn commit_recounted(
        &self,
        statistic: &Statistic,
        sum: Recounted,
        update_time: Option<Timestamp>,
        removals: Vec<Write>,
        now: i64,
    ) -> Result<()> {
        let target = statistic.document();
        let Recounted { sums, scored_under } = sum;
        match (statistic, sums) {
            (Statistic::Series(component), Sums::Series(series)) => {
                let mut stored = ComponentSeries::recounted(component, series);
                (stored.scored_under, stored.update_time) = (scored_under, update_time);
                let changes = Changes { series: vec![&mut stored], versions: Vec::new() };
                self.commit_counts(&target, removals, changes, now).await?;
            }
            (Statistic::Tally(key), Sums::Tally(tally)) => {
                let mut stored = VersionTally::new(key);
                stored.tally = *tally;
                (stored.scored_under, stored.update_time) = (scored_under, update_time);
                let changes = Changes { series: Vec::new(), versions: vec![&mut stored] };
                self.commit_counts(&target, removals, changes, now).await?;
            }
            _ => {
                let detail = format!("{target} was recounted as another kind of statistic");
                return Err(StoreError::Encode { detail });
            }
        }
        Ok(())
    }

    /// What is stored of a statistic, without changing anything.
    pub async fn stored_statistic(&self, statistic: &Statistic) -> Result<Stored> {
        let id = statistic.state_id();
        let parked = self.parked_ids_of(&id).await?;
        let names = match statistic {
            Statistic::Series(component) => stats_names(self, component),
            Statistic::Tally(_) => Vec::new(),
        };
        let all: Vec<_> = parked.iter().cloned().chain([id.clone()]).collect();
        let cut = self.cut(&all, &names).await?;
        let found = |id: &str| cut.documents.get(&self.db.name(STATE, id));
        let mut damaged = Vec::new();
        let mut keep = |counted: Result<Recounted>| match counted {
            Ok(counted) => Some(counted),
            Err(StoreError::Decode { document, detail, .. }) => {
                damaged.push((document, detail));
                None
            }
            Err(error) => {
                damaged.push((format!("{STATE}/{id}"), error.to_string()));
                None
            }
        };
        let mut sum = match found(&id) {
            Some(document) => keep(self.decode_sums(statistic, document)),
            None => Some(Recounted { sums: statistic.no_sums(), scored_under: None }),
        };
        for parked in parked.iter().filter_map(|id| found(id)) {
            let counted = keep(self.decode_parked_sums(statistic, parked));
            if let (Some(sum), Some(counted)) = (&mut sum, counted) {
                sum.join(counted);
            }
        }
        let windows = names.iter().filter_map(|name| {
            let document = cut.documents.get(name)?;
            Some((self.db.short_name(name).to_owned(), document.fields.clone()))
        });
        let windows = windows.collect();
        let counted = match sum {
            Some(sum) if damaged.is_empty() => Ok(sum),
            _ => Err(damaged),
        };
        Ok(Stored { cut, counted, windows })
    }

    fn decode_sums(&self, statistic: &Statistic, document: &Document) -> Result<Recounted> {
        Ok(match statistic {
            Statistic::Series(_) => {
                let found = self.decode_series(document)?;
                Recounted { sums: Sums::Series(found.series), scored_under: found.scored_under }
            }
            Statistic::Tally(key) => {
                let found = self.decode_tally(key, document)?;
                let sums = Sums::Tally(Box::new(found.tally));
                Recounted { sums, scored_under: found.scored_under }
            }
        })
    }

    fn decode_parked_sums(&self, statistic: &Statistic, document: &Document) -> Result<Recounted> {
        let scored_under = self.parked_stamp(document)?;
        let sums = match statistic {
            Statistic::Series(_) => {
                Sums::Series(self.decode_parked(document, "series", Series::decode)?)
            }
            Statistic::Tally(_) => {
                Sums::Tally(Box::new(self.decode_parked(document, "tally", Tally::decode)?))
            }
        };
        Ok(Recounted { sums, scored_under })
    }

    /// The ids of the documents with parked counts of the document with this id.
    async fn parked_ids_of(&self, id: &str) -> Result<Vec<String>> {
        let [first, end] = PARKED_IDS.map(|id| value::reference(self.db.name(STATE, id)));
        let query = Query::of(STATE).at_least("__name__", first).below("__name__", end);
        let query = query.select(&[REBUILDING]).ascending("__name__");
        let documents = self.db.query_all("ops_state by name", query.build()).await?;
        let ids = documents.iter().map(value::document_id);
        Ok(ids.filter(|parked| parked_statistic(parked) == id).map(str::to_owned).collect())
    }
}

impl Statistic {
    pub fn no_sums(&self) -> Sums {
        match self {
            Self::Series(_) => Sums::Series(Series::default()),
            Self::Tally(_) => Sums::Tally(Box::default()),
        }
    }
}

/// The range of ids that contains those of all parked documents.
const PARKED_IDS: [&str; 2] = ["parked", "parkee"];

/// The write that deletes a document, refused if it changed since it was read.
fn removal(document: &Document) -> Option<Write> {
    document.update_time.map(|time| write::delete_if_unchanged(document.name.clone(), time))
}
