//! `ops_state/series|{component}`: the statistics of a component over time, from which the windows in
//! `ops_stats` are derived. Only `checkpoint` writes them, so that they always include exactly the
//! observations that the cursors say.

use firestore_kit::Timestamp;
use firestore_kit::proto::{Document, Value, Write};

use crate::store::scoring::cursor::{IS_REBUILDING, REBUILDING};
use crate::store::scoring::parking::Parking;
use crate::store::scoring::stats::{stats_delete, stats_write};
use crate::store::scoring::stored_fields::{SCORED_UNDER, scored_under, scored_under_field};
use crate::store::{DOCUMENT_BYTES, Store, collection::STATE};
use crate::store::{Result, StoreError};
use f0_learning_core::reward::ScoredUnder;
use f0_learning_core::stats::{Series, Window};
use firestore_kit::{Query, id_part, value, write};

/// The version of the document. A reader reads every version up to this one: the bytes name their own
/// format.
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
    /// Why the stored series cannot be read. This one then holds what was counted since, in a document
    /// of its own (see `store::scoring::parked`).
    pub parked: Option<Parking>,
    /// The update time of the stored document; `None` if there is none.
    pub(in crate::store) update_time: Option<Timestamp>,
}

/// Series whose windows have expired.
#[derive(Debug, Default)]
pub struct ExpiredPage {
    pub series: Vec<ComponentSeries>,
    /// The documents that cannot be read, and why.
    pub damaged: Vec<(String, StoreError)>,
    /// The position of the next page, if there may be one.
    last: Option<Vec<Value>>,
}

impl ExpiredPage {
    pub fn is_last(&self) -> bool {
        self.last.is_none()
    }
}

impl ComponentSeries {
    pub(crate) fn new(component: &str) -> Self {
        Self {
            component: component.to_owned(),
            series: Series::default(),
            weight: 0,
            scored_under: None,
            shown: Vec::new(),
            parked: None,
            update_time: None,
        }
    }

    /// A series that was counted again. Every window may have a document, which is written or deleted.
    pub(in crate::store) fn recounted(component: &str, series: Series) -> Self {
        Self { series, shown: Window::ALL.to_vec(), ..Self::new(component) }
    }
}

pub(in crate::store) fn state_id(component: &str) -> String {
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

    /// The series of these components to count into: where the stored one cannot be read, what was
    /// counted since.
    pub async fn series_to_count(&self, components: &[&str]) -> Result<Vec<ComponentSeries>> {
        let names: Vec<_> =
            components.iter().map(|component| self.db.name(STATE, &state_id(component))).collect();
        // Each document is decoded as it arrives: together they may have a hundred mebibytes.
        let decode = |document: Document| self.decode_series(&document);
        let mut found = self.db.get_map(&names, None, decode).await?;
        let mut series = Vec::with_capacity(components.len());
        for (component, name) in components.iter().zip(&names) {
            series.push(match found.remove(name) {
                None => ComponentSeries::new(component),
                Some(Ok(found)) => found,
                Some(Err(StoreError::Decode { detail, .. })) => {
                    self.parked_series(component, detail).await?
                }
                Some(Err(error)) => return Err(error),
            });
        }
        Ok(series)
    }

    /// The first `limit` components in the order of their names, without those whose series cannot be
    /// read.
    pub async fn first_series(&self, limit: usize) -> Result<Vec<ComponentSeries>> {
        let name = |id: &str| value::reference(self.db.name(STATE, id));
        let query = Query::of(STATE)
            .at_least("__name__", name("series|"))
            .below("__name__", name("series}"))
            .ascending("__name__")
            .limit(limit);
        let decode = |document: Document| {
            let found = self.decode_series(&document);
            found.inspect_err(|error| tracing::debug!(%error, "a component is left out")).ok()
        };
        self.db.query_map("ops_state by name", query.build(), decode).await
    }

    /// Up to `limit` series with a window that has changed only because time passed, after those of the
    /// last page.
    pub async fn expired_series(
        &self,
        now: i64,
        limit: usize,
        after: Option<&ExpiredPage>,
    ) -> Result<ExpiredPage> {
        let mut query = Query::of(STATE)
            .at_most("nextChange", value::int(now))
            .ascending("nextChange")
            .ascending("__name__");
        if let Some(last) = after.and_then(|page| page.last.clone()) {
            query = query.start_after(last);
        }
        let found = self.db.query_page("ops_state by nextChange", query, limit).await?;
        let last = found.last().and_then(|document| {
            let next_change = document.fields.get("nextChange")?.clone();
            Some(vec![next_change, value::reference(document.name.clone())])
        });
        let (mut series, mut damaged) = (Vec::new(), Vec::new());
        for document in &found.documents {
            match self.decode_series(document) {
                Ok(found) => series.push(found),
                Err(error) => {
                    damaged.push((self.db.short_name(&document.name).to_owned(), error));
                }
            }
        }
        Ok(ExpiredPage { series, damaged, last })
    }

    /// The writes that store a component's series and its windows as of `now`. The first write is that
    /// of the series, if it must be stored; it is refused if the stored series changed since it was
    /// read.
    pub(in crate::store) fn series_writes(
        &self,
        component: &mut ComponentSeries,
        now: i64,
    ) -> Result<Vec<Write>> {
        component.series.advance(now);
        if let Some(parking) = component.parked.clone() {
            return Ok(vec![self.parked_series_write(component, &parking, now)]);
        }
        let windows = component.series.windows();
        let filled = windows.iter().filter(|(_, stats)| stats.n + stats.rejected > 0);
        let filled = filled.map(|(window, _)| *window).collect();
        let shown_before = std::mem::replace(&mut component.shown, filled);
        let mut writes = Vec::with_capacity(1 + Window::ALL.len());
        writes.extend(self.series_write(component, now));
        for (window, stats) in windows {
            if component.shown.contains(&window) {
                writes.push(stats_write(self, &component.component, window, &stats, now)?);
            } else if shown_before.contains(&window) {
                writes.push(stats_delete(self, &component.component, window));
            }
        }
        Ok(writes)
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

    pub(in crate::store) fn decode_series(&self, document: &Document) -> Result<ComponentSeries> {
        let malformed = |detail: &str| {
            StoreError::decode(self.db.short_name(&document.name), "a component's series", detail)
        };
        let fields = &document.fields;
        if fields.contains_key(REBUILDING) {
            return Err(malformed(IS_REBUILDING));
        }
        match value::as_whole(fields, "format") {
            Some(..=FORMAT) => {}
            Some(format) => {
                let detail = format!("format {format} is of a later version of the service");
                return Err(malformed(&detail));
            }
            None => return Err(malformed("format is missing")),
        }
        let component =
            value::as_str(fields, "component").ok_or_else(|| malformed("component is missing"))?;
        if state_id(&component) != value::document_id(document) {
            return Err(malformed(&format!("it is of the component {component:?}")));
        }
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
            parked: None,
            update_time: document.update_time,
        })
    }
}
