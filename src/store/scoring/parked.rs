//! `ops_state/parked|series|{component}` and `ops_state/parked|version|{id}@{version}`: what was counted
//! while the stored series or tally could not be read, because a later version of the service wrote it,
//! or because it was damaged.
//!
//! Counting does not stop for it, and no observation is lost: the commits that move the cursors count
//! into these documents instead. They hold the same kind of sums, which merge exactly, so that
//! [`Store::unpark`] adds them to the document once that can be read again, or was deleted.
//!
//! A parked document may be damaged itself. Counting then continues in `ops_state/parked2|...`, and so
//! on: the damaged one is named, and stays as it is until a person restores or deletes it.

use firestore_kit::proto::{Document, Write};
use firestore_kit::{Query, Timestamp, value, write};

use crate::store::collection::STATE;
use crate::store::scoring::checkpoint::Changes;
use crate::store::scoring::parking::{Parked, Parking};
use crate::store::scoring::series::{self, ComponentSeries};
use crate::store::scoring::stored_fields::{SCORED_UNDER, scored_under, scored_under_field};
use crate::store::scoring::versions::{self, VersionTally};
use crate::store::{DOCUMENT_BYTES, Result, Store, StoreError};
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::reward::{LeftOut, ScoredUnder};
use f0_learning_core::stats::{Series, Tally};

/// The field with the id of the document that cannot be read, for people.
const PARKED: &str = "parked";

/// The range of ids that contains those of all parked documents.
const PARKED_IDS: [&str; 2] = ["parked", "parkee"];

/// What is counted in a parked document.
struct Counted<T> {
    counted: T,
    scored_under: Option<ScoredUnder>,
    update_time: Option<Timestamp>,
}

/// What happened to the parked counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unparked {
    /// The documents that their parked counts were added to.
    pub merged: Vec<String>,
    /// Those that still cannot be read.
    pub damaged: Vec<Parked>,
}

/// The ids of the documents in which counts may be parked for a document, in the order of their use.
fn parked_ids(id: &str) -> impl Iterator<Item = String> {
    (1_u64..).map(move |number| match number {
        1 => format!("parked|{id}"),
        _ => format!("parked{number}|{id}"),
    })
}

/// The id of the document whose counts are parked in the document with this id.
pub(in crate::store) fn parked_statistic(parked_id: &str) -> &str {
    parked_id.split_once('|').map_or("", |(_, id)| id)
}

/// Parked documents read together.
const PARKED_AT_ONCE: usize = 50;

impl ComponentSeries {
    /// The documents that cannot be read, if the counts are parked.
    pub fn damage(&self) -> Vec<Parked> {
        let parking = self.parked.as_ref();
        parking.map_or_else(Vec::new, |it| it.damage(&series::state_id(&self.component)))
    }
}

impl VersionTally {
    /// The documents that cannot be read, if the counts are parked.
    pub fn damage(&self) -> Vec<Parked> {
        let parking = self.parked.as_ref();
        parking.map_or_else(Vec::new, |it| it.damage(&versions::state_id(&self.key)))
    }
}

impl Store {
    pub(in crate::store) async fn parked_series(
        &self,
        component: &str,
        why: String,
    ) -> Result<ComponentSeries> {
        let mut parked = ComponentSeries::new(component);
        let id = series::state_id(component);
        let (parking, found) = self.parking(&id, why, "series", Series::decode).await?;
        parked.parked = Some(parking);
        if let Some(found) = found {
            parked.series = found.counted;
            parked.scored_under = found.scored_under;
            parked.update_time = found.update_time;
        }
        Ok(parked)
    }

    pub(in crate::store) async fn parked_tally(
        &self,
        key: &PolicyKey,
        why: String,
    ) -> Result<VersionTally> {
        let mut parked = VersionTally::new(key);
        let id = versions::state_id(key);
        let (parking, found) = self.parking(&id, why, "tally", Tally::decode).await?;
        parked.parked = Some(parking);
        if let Some(found) = found {
            parked.tally = found.counted;
            parked.scored_under = found.scored_under;
            parked.update_time = found.update_time;
        }
        Ok(parked)
    }

    pub(in crate::store) fn parked_stamp(
        &self,
        document: &Document,
    ) -> Result<Option<ScoredUnder>> {
        scored_under(&document.fields, SCORED_UNDER).map_err(|detail| {
            StoreError::decode(self.db.short_name(&document.name), "parked counts", detail)
        })
    }

    /// The first parked document for `id` that is absent or can be read, and what is counted in it.
    async fn parking<T, E: ToString>(
        &self,
        id: &str,
        why: String,
        field: &'static str,
        decode: impl Fn(&[u8]) -> Result<T, E>,
    ) -> Result<(Parking, Option<Counted<T>>)> {
        let mut damaged = Vec::new();
        for parked in parked_ids(id) {
            let Some(document) = self.db.get(STATE, &parked).await? else {
                return Ok((Parking { why, id: parked, damaged }, None));
            };
            let counted = self.decode_parked(&document, field, &decode).and_then(|counted| {
                let scored_under = self.parked_stamp(&document)?;
                Ok(Counted { counted, scored_under, update_time: document.update_time })
            });
            match counted {
                Ok(found) => return Ok((Parking { why, id: parked, damaged }, Some(found))),
                Err(StoreError::Decode { document, detail, .. }) => {
                    damaged.push(Parked { document, why: detail });
                }
                Err(error) => return Err(error),
            }
        }
        unreachable!("the ids of parked documents have no end")
    }

    pub(in crate::store) fn decode_parked<T, E: ToString>(
        &self,
        document: &Document,
        field: &'static str,
        decode: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<T> {
        let malformed = |detail: String| {
            StoreError::decode(self.db.short_name(&document.name), "parked counts", detail)
        };
        let encoded = value::as_bytes(&document.fields, field)
            .ok_or_else(|| malformed(format!("{field} is missing")))?;
        decode(encoded).map_err(|error| malformed(error.to_string()))
    }

    /// The write that stores what is counted instead of a series that cannot be read.
    pub(in crate::store) fn parked_series_write(
        &self,
        component: &mut ComponentSeries,
        parking: &Parking,
        now: i64,
    ) -> Write {
        let id = series::state_id(&component.component);
        let encoded = component.series.encode_within(DOCUMENT_BYTES);
        component.weight = encoded.len();
        let mut fields = value::fields([
            (PARKED, value::string(id.as_str())),
            ("component", value::string(component.component.as_str())),
            ("parkedAt", value::int(now)),
            ("why", value::string(parking.why.as_str())),
            ("series", value::bytes(encoded)),
        ]);
        fields.extend(scored_under_field(component.scored_under.as_ref()));
        let name = self.db.name(STATE, &parking.id);
        write::set_if_unchanged(name, fields, component.update_time)
    }

    /// The same for a tally.
    pub(in crate::store) fn parked_tally_write(
        &self,
        version: &mut VersionTally,
        parking: &Parking,
    ) -> Write {
        let id = versions::state_id(&version.key);
        let encoded = version.tally.encode_within(DOCUMENT_BYTES);
        version.weight = encoded.len();
        let mut fields = value::fields([
            (PARKED, value::string(id.as_str())),
            ("policyVersion", value::string(version.key.to_string())),
            ("why", value::string(parking.why.as_str())),
            ("tally", value::bytes(encoded)),
        ]);
        fields.extend(scored_under_field(version.scored_under.as_ref()));
        let name = self.db.name(STATE, &parking.id);
        write::set_if_unchanged(name, fields, version.update_time)
    }

    /// The documents for which counts are parked.
    pub async fn parked(&self) -> Result<Vec<Parked>> {
        let parked = |document: Document| {
            let id = parked_statistic(value::document_id(&document));
            let why = value::as_str(&document.fields, "why").unwrap_or_default();
            Some(Parked { document: format!("{STATE}/{id}"), why })
        };
        let query = self.parked_documents().select(&["why"]).build();
        self.db.query_map("ops_state by name", query, parked).await
    }

    /// Found by their ids: the fields of a damaged one may be missing.
    fn parked_documents(&self) -> Query {
        let [first, end] = PARKED_IDS.map(|id| value::reference(self.db.name(STATE, id)));
        let query = Query::of(STATE).at_least("__name__", first).below("__name__", end);
        query.ascending("__name__")
    }

    /// Adds parked counts to the documents that can be read again, each in one commit.
    ///
    /// # Errors
    /// What Firestore refused. The counts stay parked.
    pub async fn unpark(&self, now: i64) -> Result<Unparked> {
        let mut report = Unparked::default();
        let mut query = self.parked_documents();
        loop {
            let page = self.db.query_page("ops_state by name", query, PARKED_AT_ONCE).await?;
            for document in &page.documents {
                match self.unpark_one(document, now).await {
                    Ok(None) => {}
                    Ok(Some(merged)) => report.merged.push(merged),
                    Err(StoreError::Decode { document, detail, .. }) => {
                        report.damaged.push(Parked { document, why: detail });
                    }
                    // A scoring worker has parked more meanwhile; the next pass tries again.
                    Err(error) if error.needs_reread() => {}
                    Err(error) => return Err(error),
                }
            }
            let Some(last) = page.last() else { return Ok(report) };
            let after = vec![value::reference(last.name.clone())];
            query = self.parked_documents().start_after(after);
        }
    }

    /// The document that the counts were added to; `None` if they are not parked counts.
    async fn unpark_one(&self, parked: &Document, now: i64) -> Result<Option<String>> {
        let (fields, Some(update_time)) = (&parked.fields, parked.update_time) else {
            return Ok(None);
        };
        let removal = write::delete_if_unchanged(parked.name.clone(), update_time);
        let target = self.db.short_name(&parked.name).to_owned();
        let id = parked_statistic(value::document_id(parked));
        let of_another =
            || StoreError::decode(&target, "parked counts", format!("they are not of {id}"));
        if let Some(component) = value::as_str(fields, "component") {
            if series::state_id(&component) != id {
                return Err(of_another());
            }
            let mut counted = self.decode_parked(parked, "series", Series::decode)?;
            let [mut stored] = self
                .series(&[&component])
                .await?
                .try_into()
                .map_err(|_| StoreError::decode(&target, "parked counts", "no component"))?;
            match ScoredUnder::join(&mut stored.scored_under, self.parked_stamp(parked)?) {
                LeftOut::Nothing => {}
                LeftOut::Stored => stored.series.restart_rewards(),
                LeftOut::Joined => counted.restart_rewards(),
            }
            stored.series.merge(&counted);
            let changes = Changes { series: vec![&mut stored], versions: Vec::new() };
            self.commit_counts(&target, Some(removal), changes, now).await?;
            return Ok(Some(format!("{STATE}/{}", series::state_id(&component))));
        }
        let Some(version) = value::as_str(fields, "policyVersion") else {
            let detail = "component and policyVersion are missing";
            return Err(StoreError::decode(&target, "parked counts", detail));
        };
        let key: PolicyKey =
            version.parse().map_err(|error| StoreError::decode(&target, "parked counts", error))?;
        if versions::state_id(&key) != id {
            return Err(of_another());
        }
        let mut counted = self.decode_parked(parked, "tally", Tally::decode)?;
        let mut stored = self.stored_tally(&key).await?;
        match ScoredUnder::join(&mut stored.scored_under, self.parked_stamp(parked)?) {
            LeftOut::Nothing => {}
            LeftOut::Stored => stored.tally.restart_rewards(),
            LeftOut::Joined => counted.restart_rewards(),
        }
        stored.tally.merge(&counted);
        let changes = Changes { series: Vec::new(), versions: vec![&mut stored] };
        self.commit_counts(&target, Some(removal), changes, now).await?;
        Ok(Some(format!("{STATE}/{}", versions::state_id(&key))))
    }
}
