//! `ops_stats`: the windows of each component, for people, components and the tuner to read.

use firestore_kit::proto::{Document, Write};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::store::{Result, StoreError};
use crate::store::{Store, collection::STATS};
use f0_learning_core::stats::{Window, WindowStats};
use firestore_kit::Query;
use firestore_kit::id_part;
use firestore_kit::value;
use firestore_kit::write;
use firestore_kit::{Page, PageRequest, by_name};

/// A document of `ops_stats`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStats {
    pub component: String,
    pub window: Window,
    /// When the window was computed, which is where it ends; epoch milliseconds.
    pub ts: i64,
    #[serde(flatten)]
    pub stats: WindowStats,
}

fn stats_id(component: &str, window: Window) -> String {
    format!("{}|{}", id_part(component), window.as_str())
}

pub(in crate::store) fn stats_write(
    store: &Store,
    component: &str,
    window: Window,
    stats: &WindowStats,
    now: i64,
) -> Write {
    let document =
        ComponentStats { component: component.to_owned(), window, ts: now, stats: stats.clone() };
    let fields = match serde_json::to_value(document) {
        Ok(Json::Object(object)) => value::fields_from_json(&object),
        _ => value::Fields::default(),
    };
    write::set(store.db.name(STATS, &stats_id(component, window)), fields)
}

pub(in crate::store) fn stats_delete(store: &Store, component: &str, window: Window) -> Write {
    write::delete(store.db.name(STATS, &stats_id(component, window)))
}

impl Store {
    /// The statistics of these components in one window; a component without any is left out.
    pub async fn stats_of(
        &self,
        components: &[String],
        window: Window,
    ) -> Result<Vec<ComponentStats>> {
        let names = components
            .iter()
            .map(|component| self.db.name(STATS, &stats_id(component, window)))
            .collect();
        let found = self.db.get_many(names, None).await?;
        found.values().map(|document| self.decode_stats(&document.name, &document.fields)).collect()
    }

    /// All statistics, of one component if one is named, in the order of component and window.
    pub async fn all_stats(&self, component: Option<&str>) -> Result<Vec<ComponentStats>> {
        let mut query = Query::of(STATS);
        if let Some(component) = component {
            query = query.equal("component", value::string(component));
        }
        let documents = self.db.query_all(STATS, query.build()).await?;
        let mut all = documents
            .iter()
            .map(|document| self.decode_stats(&document.name, &document.fields))
            .collect::<Result<Vec<_>>>()?;
        all.sort_by(|a, b| (&a.component, a.window).cmp(&(&b.component, b.window)));
        Ok(all)
    }

    /// The same a page at a time, in the order of the documents' ids.
    pub async fn stats_page(
        &self,
        component: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<ComponentStats>> {
        let mut query = Query::of(STATS);
        if let Some(component) = component {
            query = query.equal("component", value::string(component));
        }
        let documents = self.db.query_all(STATS, by_name(&self.db, query, STATS, page)).await?;
        Page::of(page, &documents, |documents| {
            let decode = |document: &Document| {
                let decoded = self.decode_stats(&document.name, &document.fields);
                decoded
                    .inspect_err(|error| tracing::error!(%error, "statistics are passed over"))
                    .ok()
            };
            Ok(documents.iter().filter_map(decode).collect())
        })
    }

    fn decode_stats(&self, name: &str, fields: &value::Fields) -> Result<ComponentStats> {
        let json: Map<String, Json> = value::fields_to_json(fields);
        serde_json::from_value(Json::Object(json))
            .map_err(|error| StoreError::decode(self.db.short_name(name), "statistics", error))
    }
}
