//! `ops_stats`: the windows of each component, for people, components and the tuner to read.

use firestore_kit::proto::{Document, Write};
use serde::{Deserialize, Serialize};

use crate::store::{Result, StoreError};
use crate::store::{Store, collection::STATS};
use f0_learning_core::stats::{Window, WindowStats};
use firestore_kit::{Page, PageOrder, PageRequest, Query, id_part, value, write};

/// A document of `ops_stats`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStats {
    pub component: String,
    pub window: Window,
    /// When the window was computed, which is its end; epoch milliseconds.
    pub ts: i64,
    #[serde(flatten)]
    pub stats: WindowStats,
}

fn stats_id(component: &str, window: Window) -> String {
    format!("{}|{}", id_part(component), window.as_str())
}

/// The names of the documents of a component's windows.
pub(in crate::store) fn stats_names(store: &Store, component: &str) -> Vec<String> {
    Window::ALL.iter().map(|it| store.db.name(STATS, &stats_id(component, *it))).collect()
}

pub(in crate::store) fn stats_write(
    store: &Store,
    component: &str,
    window: Window,
    stats: &WindowStats,
    now: i64,
) -> Result<Write> {
    let document =
        ComponentStats { component: component.to_owned(), window, ts: now, stats: stats.clone() };
    let name = store.db.name(STATS, &stats_id(component, window));
    Ok(write::set(name, value::to_fields(&document)?))
}

pub(in crate::store) fn stats_delete(store: &Store, component: &str, window: Window) -> Write {
    write::delete(store.db.name(STATS, &stats_id(component, window)))
}

impl Store {
    /// The statistics of these components in one window; components without any are left out.
    pub async fn stats_of(
        &self,
        components: &[String],
        window: Window,
    ) -> Result<Vec<ComponentStats>> {
        let names = components
            .iter()
            .map(|component| self.db.name(STATS, &stats_id(component, window)))
            .collect();
        let found = self.db.get_many(names).await?;
        found.values().map(|document| self.decode_stats(&document.name, &document.fields)).collect()
    }

    /// All statistics, or those of one component, in the order of component and window. A document that
    /// cannot be read is logged and left out: it must not hide the others.
    pub async fn all_stats(&self, component: Option<&str>) -> Result<Vec<ComponentStats>> {
        let mut query = Query::of(STATS);
        if let Some(component) = component {
            query = query.equal("component", value::string(component));
        }
        let documents = self.db.query_all(STATS, query.build()).await?;
        let decode = |document: &Document| {
            let found = self.decode_stats(&document.name, &document.fields);
            found.inspect_err(|error| tracing::error!(%error, "leaving out a statistic")).ok()
        };
        let mut all: Vec<_> = documents.iter().filter_map(decode).collect();
        all.sort_by(|a, b| (&a.component, a.window).cmp(&(&b.component, b.window)));
        Ok(all)
    }

    /// The same, one page at a time, in the order of the document ids.
    pub async fn stats_page(
        &self,
        component: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<ComponentStats>> {
        let mut query = Query::of(STATS);
        if let Some(component) = component {
            query = query.equal("component", value::string(component));
        }
        let order = PageOrder::ByName;
        let found = order.read(&self.db, STATS, query, page).await?;
        let decode = |document: &Document| self.decode_stats(&document.name, &document.fields);
        Ok(Page::decoded(order, page, &found, decode))
    }

    fn decode_stats(&self, name: &str, fields: &value::Fields) -> Result<ComponentStats> {
        value::from_fields(fields)
            .map_err(|error| StoreError::decode(self.db.short_name(name), "statistics", error))
    }
}
