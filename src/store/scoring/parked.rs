//! `ops_state/parked|series|{component}` and `ops_state/parked|version|{id}@{version}`: what was counted
//! while the stored series or tally could not be read, because a later version of the service wrote it,
//! or because it was damaged.
//!
//! Counting does not stop for it, and no observation is lost: the commits that move the cursors count
//! into these documents instead. They hold the same kind of sums, which merge exactly, so that
//! [`Store::unpark`] adds them to the document once that can be read again, or was deleted.

use firestore_kit::proto::{Document, Write};
use firestore_kit::{Query, value, write};

use crate::store::collection::STATE;
use crate::store::scoring::checkpoint::Changes;
use crate::store::scoring::series::{self, ComponentSeries};
use crate::store::scoring::stored_fields::{SCORED_UNDER, scored_under, scored_under_field};
use crate::store::scoring::versions::{self, VersionTally};
use crate::store::{DOCUMENT_BYTES, Result, Store, StoreError};
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::reward::{LeftOut, ScoredUnder};
use f0_learning_core::stats::{Series, Tally};

/// The field by which the parked documents are found: the id of the document that cannot be read.
const PARKED: &str = "parked";

/// A document that cannot be read, for which counts are parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The document, as `ops_state/series|router:gpt-5`.
    pub document: String,
    pub why: String,
}

impl std::fmt::Display for Parked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { document, why } = self;
        write!(f, "{document} cannot be read ({why}); what is counted meanwhile is parked")
    }
}

/// What happened to the parked counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unparked {
    /// The documents that their parked counts were added to.
    pub merged: Vec<String>,
    /// Those that still cannot be read.
    pub damaged: Vec<Parked>,
}

fn parked_id(id: &str) -> String {
    format!("parked|{id}")
}

impl ComponentSeries {
    /// The document that cannot be read, if the counts are parked.
    pub fn damage(&self) -> Option<Parked> {
        let document = format!("{STATE}/{}", series::state_id(&self.component));
        Some(Parked { document, why: self.parked.clone()? })
    }
}

impl VersionTally {
    /// The document that cannot be read, if the counts are parked.
    pub fn damage(&self) -> Option<Parked> {
        let document = format!("{STATE}/{}", versions::state_id(&self.key));
        Some(Parked { document, why: self.parked.clone()? })
    }
}

impl Store {
    pub(in crate::store) async fn parked_series(
        &self,
        component: &str,
        why: String,
    ) -> Result<ComponentSeries> {
        let mut parked = ComponentSeries::new(component);
        parked.parked = Some(why);
        let id = parked_id(&series::state_id(component));
        if let Some(document) = self.db.get(STATE, &id).await? {
            parked.series = self.decode_parked(&document, "series", Series::decode)?;
            parked.scored_under = self.parked_stamp(&document)?;
            parked.update_time = document.update_time;
        }
        Ok(parked)
    }

    pub(in crate::store) async fn parked_tally(
        &self,
        key: &PolicyKey,
        why: String,
    ) -> Result<VersionTally> {
        let mut parked = VersionTally::new(key);
        parked.parked = Some(why);
        let id = parked_id(&versions::state_id(key));
        if let Some(document) = self.db.get(STATE, &id).await? {
            parked.tally = self.decode_parked(&document, "tally", Tally::decode)?;
            parked.scored_under = self.parked_stamp(&document)?;
            parked.update_time = document.update_time;
        }
        Ok(parked)
    }

    fn parked_stamp(&self, document: &Document) -> Result<Option<ScoredUnder>> {
        scored_under(&document.fields, SCORED_UNDER).map_err(|detail| {
            StoreError::decode(self.db.short_name(&document.name), "parked counts", detail)
        })
    }

    fn decode_parked<T, E: ToString>(
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
        now: i64,
    ) -> Write {
        let id = series::state_id(&component.component);
        let encoded = component.series.encode_within(DOCUMENT_BYTES);
        component.weight = encoded.len();
        let mut fields = value::fields([
            (PARKED, value::string(id.as_str())),
            ("component", value::string(component.component.as_str())),
            ("parkedAt", value::int(now)),
            ("why", value::string(component.parked.clone().unwrap_or_default())),
            ("series", value::bytes(encoded)),
        ]);
        fields.extend(scored_under_field(component.scored_under.as_ref()));
        let name = self.db.name(STATE, &parked_id(&id));
        write::set_if_unchanged(name, fields, component.update_time)
    }

    /// The same for a tally.
    pub(in crate::store) fn parked_tally_write(&self, version: &mut VersionTally) -> Write {
        let id = versions::state_id(&version.key);
        let encoded = version.tally.encode_within(DOCUMENT_BYTES);
        version.weight = encoded.len();
        let mut fields = value::fields([
            (PARKED, value::string(id.as_str())),
            ("policyVersion", value::string(version.key.to_string())),
            ("why", value::string(version.parked.clone().unwrap_or_default())),
            ("tally", value::bytes(encoded)),
        ]);
        fields.extend(scored_under_field(version.scored_under.as_ref()));
        let name = self.db.name(STATE, &parked_id(&id));
        write::set_if_unchanged(name, fields, version.update_time)
    }

    /// The documents for which counts are parked.
    pub async fn parked(&self) -> Result<Vec<Parked>> {
        let query = Query::of(STATE).ascending(PARKED).build();
        let documents = self.db.query_all("ops_state by parked", query).await?;
        let parked = |document: &Document| {
            let id = value::as_str(&document.fields, PARKED)?;
            let why = value::as_str(&document.fields, "why").unwrap_or_default();
            Some(Parked { document: format!("{STATE}/{id}"), why })
        };
        Ok(documents.iter().filter_map(parked).collect())
    }

    /// Adds parked counts to the documents that can be read again, each in one commit.
    ///
    /// # Errors
    /// What Firestore refused. The counts stay parked.
    pub async fn unpark(&self, now: i64) -> Result<Unparked> {
        let query = Query::of(STATE).ascending(PARKED).build();
        let mut report = Unparked::default();
        for document in self.db.query_all("ops_state by parked", query).await? {
            match self.unpark_one(&document, now).await {
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
        Ok(report)
    }

    /// The document that the counts were added to; `None` if they are not parked counts.
    async fn unpark_one(&self, parked: &Document, now: i64) -> Result<Option<String>> {
        let (fields, Some(update_time)) = (&parked.fields, parked.update_time) else {
            return Ok(None);
        };
        let removal = write::delete_if_unchanged(parked.name.clone(), update_time);
        let target = self.db.short_name(&parked.name).to_owned();
        if let Some(component) = value::as_str(fields, "component") {
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
        let Some(version) = value::as_str(fields, "policyVersion") else { return Ok(None) };
        let key: PolicyKey =
            version.parse().map_err(|error| StoreError::decode(&target, "parked counts", error))?;
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
