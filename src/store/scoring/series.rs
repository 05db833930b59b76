//! `ops_state/series|{component}`: a component's statistics over time, from which the windows in
//! `ops_stats` are derived. They are written only as `store::checkpoint` has it, so that they always
//! hold exactly what the cursors say they hold.

use firestore_kit::proto::{Document, Write};

use firestore_kit::Timestamp;

use crate::store::records::stats::{stats_delete, stats_write};
use crate::store::{DOCUMENT_BYTES, Store, collection::STATE};
use crate::store::{Result, StoreError};
use f0_learning_core::stats::{Series, Window};
use firestore_kit::Query;
use firestore_kit::id_part;
use firestore_kit::value;
use firestore_kit::write;

/// The layout of the encoded series. A reader that meets another refuses it.
const FORMAT: i64 = 3;

/// A component's series, and the windows that have a document in `ops_stats`.
#[derive(Clone, Debug)]
pub struct ComponentSeries {
    pub component: String,
    pub series: Series,
    /// Size when last encoded, in bytes: what the next commit will roughly weigh.
    pub weight: usize,
    shown: Vec<Window>,
    /// The update time of the stored document; none where there is none.
    pub(in crate::store) seen: Option<Timestamp>,
}

impl ComponentSeries {
    pub(crate) fn new(component: &str) -> Self {
        Self {
            component: component.to_owned(),
            series: Series::default(),
            weight: 0,
            shown: Vec::new(),
            seen: None,
        }
    }
}

fn state_id(component: &str) -> String {
    format!("series|{}", id_part(component))
}

impl Store {
    /// The series of these components, empty for those that have none yet.
    pub async fn series(&self, components: &[&str]) -> Result<Vec<ComponentSeries>> {
        let names: Vec<_> =
            components.iter().map(|component| self.db.name(STATE, &state_id(component))).collect();
        let mut found = self.db.get_many(names.clone(), None).await?;
        components
            .iter()
            .zip(names)
            .map(|(component, name)| match found.remove(&name) {
                Some(document) => self.decode_series(&document),
                None => Ok(ComponentSeries::new(component)),
            })
            .collect()
    }

    /// Up to `limit` series of which a window has changed by the mere passing of time.
    pub async fn expired_series(&self, now: i64, limit: usize) -> Result<Vec<ComponentSeries>> {
        let query = Query::of(STATE)
            .at_most("nextChange", value::int(now))
            .ascending("nextChange")
            .limit(limit)
            .build();
        let documents = self.db.query_all("ops_state by nextChange", query).await?;
        documents.iter().map(|document| self.decode_series(document)).collect()
    }

    /// The writes that store a component's series and the windows it gives at `now`; the first is
    /// that of the series itself, where it is to be stored. It is refused where the stored series
    /// is no longer the one that was read.
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
            return component.seen.map(|seen| write::delete_if_unchanged(name, seen));
        };
        let encoded = component.series.encode_within(DOCUMENT_BYTES);
        component.weight = encoded.len();
        let shown: Vec<_> = component.shown.iter().map(|window| window.as_str()).collect();
        let fields = value::fields([
            ("component", value::string(component.component.as_str())),
            ("format", value::int(FORMAT)),
            ("nextChange", value::int(next_change)),
            ("windows", value::string(shown.join(","))),
            ("series", value::bytes(encoded)),
        ]);
        Some(write::set_if_unchanged(name, fields, component.seen))
    }

    fn decode_series(&self, document: &Document) -> Result<ComponentSeries> {
        let wrong = |detail: &str| {
            StoreError::decode(self.db.short_name(&document.name), "a component's series", detail)
        };
        let fields = &document.fields;
        if value::as_int(fields, "format") != Some(FORMAT) {
            return Err(wrong("format is unknown to this version of the service"));
        }
        let component =
            value::as_str(fields, "component").ok_or_else(|| wrong("component is missing"))?;
        let encoded =
            value::as_bytes(fields, "series").ok_or_else(|| wrong("series is missing"))?;
        let series = Series::decode(encoded).map_err(|error| wrong(&error.to_string()))?;
        let shown = value::as_str(fields, "windows").unwrap_or_default();
        let shown = Window::ALL
            .into_iter()
            .filter(|window| shown.split(',').any(|name| name == window.as_str()))
            .collect();
        Ok(ComponentSeries {
            component,
            series,
            weight: encoded.len(),
            shown,
            seen: document.update_time,
        })
    }
}
