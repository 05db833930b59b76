//! `ops_state/series|{component}`: the statistics of a component over time, from which the windows in
//! `ops_stats` are derived. Only `checkpoint` writes them, so that they always include exactly the
//! observations that the cursors say.

use firestore_kit::Timestamp;
use firestore_kit::proto::{Document, Write};

use crate::store::scoring::stats::{stats_delete, stats_write};
use crate::store::scoring::stored_fields::{SCORED_UNDER, scored_under, scored_under_field};
use crate::store::{DOCUMENT_BYTES, Store, collection::STATE};
use crate::store::{Result, StoreError};
use f0_learning_core::reward::ScoredUnder;
use f0_learning_core::stats::{Series, Window};
use firestore_kit::{Query, id_part, value, write};

/// The version of the encoding. A reader refuses any other.
const FORMAT: i64 = 3;

/// The series of a component, and the windows that have a document in `ops_stats`.
#[derive(Clone, Debug)]
pub struct ComponentSeries {
    pub component: String,
    pub series: Series,
    /// The size when last encoded, in bytes: roughly its share of the next commit.
    pub weight: usize,
    /// The config that the rewards in the timeline were scored under.
    pub scored_under: Option<ScoredUnder>,
    shown: Vec<Window>,
    /// The update time of the stored document; `None` if there is none.
    pub(in crate::store) update_time: Option<Timestamp>,
}

impl ComponentSeries {
    pub(crate) fn new(component: &str) -> Self {
        Self {
            component: component.to_owned(),
            series: Series::default(),
            weight: 0,
            scored_under: None,
            shown: Vec::new(),
            update_time: None,
        }
    }
}

fn state_id(component: &str) -> String {
    format!("series|{}", id_part(component))
}

impl Store {
    /// The series of these components; empty for components without one.
    pub async fn series(&self, components: &[&str]) -> Result<Vec<ComponentSeries>> {
        let names: Vec<_> =
            components.iter().map(|component| self.db.name(STATE, &state_id(component))).collect();
        let mut found = self.db.get_many(names.clone()).await?;
        components
            .iter()
            .zip(names)
            .map(|(component, name)| match found.remove(&name) {
                Some(document) => self.decode_series(&document),
                None => Ok(ComponentSeries::new(component)),
            })
            .collect()
    }

    /// Up to `limit` series with a window that has changed only because time passed.
    pub async fn expired_series(&self, now: i64, limit: usize) -> Result<Vec<ComponentSeries>> {
        let query = Query::of(STATE)
            .at_most("nextChange", value::int(now))
            .ascending("nextChange")
            .limit(limit)
            .build();
        let documents = self.db.query_all("ops_state by nextChange", query).await?;
        documents.iter().map(|document| self.decode_series(document)).collect()
    }

    /// The writes that store a component's series and its windows as of `now`. The first write is that
    /// of the series, if it must be stored; it is refused if the stored series changed since it was
    /// read.
    pub(in crate::store) fn series_writes(
        &self,
        component: &mut ComponentSeries,
        now: i64,
    ) -> Vec<Write> {
        component.series.advance(now);
        let windows = component.series.windows();
        let filled = windows.iter().filter(|(_, stats)| stats.n + stats.rejected > 0);
        let filled = filled.map(|(window, _)| *window).collect();
        let shown_before = std::mem::replace(&mut component.shown, filled);
        let mut writes = Vec::with_capacity(1 + Window::ALL.len());
        writes.extend(self.series_write(component, now));
        for (window, stats) in windows {
            if component.shown.contains(&window) {
                writes.push(stats_write(self, &component.component, window, &stats, now));
            } else if shown_before.contains(&window) {
                writes.push(stats_delete(self, &component.component, window));
            }
        }
        writes
    }

    fn series_write(&self, component: &mut ComponentSeries, now: i64) -> Option<Write> {
        let name = self.db.name(STATE, &state_id(&component.component));
        let Some(next_change) = component.series.next_change(now) else {
            component.weight = 0;
            return component.update_time.map(|time| write::delete_if_unchanged(name, time));
        };
        let encoded = component.series.encode_within(DOCUMENT_BYTES);
        component.weight = encoded.len();
        let shown: Vec<_> = component.shown.iter().map(|window| window.as_str()).collect();
        let mut fields = value::fields([
            ("component", value::string(component.component.as_str())),
            ("format", value::int(FORMAT)),
            ("nextChange", value::int(next_change)),
            ("windows", value::string(shown.join(","))),
            ("series", value::bytes(encoded)),
        ]);
        fields.extend(scored_under_field(component.scored_under.as_ref()));
        Some(write::set_if_unchanged(name, fields, component.update_time))
    }

    fn decode_series(&self, document: &Document) -> Result<ComponentSeries> {
        let malformed = |detail: &str| {
            StoreError::decode(self.db.short_name(&document.name), "a component's series", detail)
        };
        let fields = &document.fields;
        if value::as_int(fields, "format") != Some(FORMAT) {
            return Err(malformed("this version of the service cannot read its format"));
        }
        let component =
            value::as_str(fields, "component").ok_or_else(|| malformed("component is missing"))?;
        let encoded =
            value::as_bytes(fields, "series").ok_or_else(|| malformed("series is missing"))?;
        let series = Series::decode(encoded).map_err(|error| malformed(&error.to_string()))?;
        let shown = value::as_str(fields, "windows").unwrap_or_default();
        let shown = Window::ALL
            .into_iter()
            .filter(|window| shown.split(',').any(|name| name == window.as_str()))
            .collect();
        Ok(ComponentSeries {
            component,
            series,
            weight: encoded.len(),
            scored_under: scored_under(fields, SCORED_UNDER)
                .map_err(|detail| malformed(&detail))?,
            shown,
            update_time: document.update_time,
        })
    }
}
