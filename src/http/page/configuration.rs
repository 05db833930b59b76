//! The configuration as it is in use, to read.

use axum::response::Response;
use maud::{Markup, html};
use serde::Serialize;

use super::layout::{Failure, Tab, page};
use super::text::shown;
use super::visit::Visit;
use crate::store::Result;

pub async fn show(visit: Visit) -> std::result::Result<Response, Failure> {
    let flags = visit.store.flags().await?;
    let rewards = visit.store.reward_config().await;
    let tuning = visit.store.tuning_config().await;
    let layout = visit.store.asked_layout().await;
    let body = html! {
        h1 { "Configuration" }
        p.muted { "Missing fields have their defaults. Change the documents in Firestore; "
            code { "docs/configuration.md" } " describes them." }
        section.card { h2 { "config/flags" } p { (shown(&flags.to_string())) } }
        (document("config/reward_config", &rewards))
        (document("config/tuning", &tuning))
        @if let Ok(tuning) = &tuning {
            @for why in tuning.refused.values() { p.alert { (shown(why)) } }
        }
        @match &layout {
            Ok(layout) => section.card { h2 { "config/scoring" } p { "shards: " (layout.shards) } },
            Err(error) => section.card { h2 { "config/scoring" } p.alert { (shown(&error.to_string())) } },
        }
    };
    Ok(page(&visit.session, Tab::Configuration, "Configuration", &body))
}

fn document<T: Serialize>(name: &str, found: &Result<T>) -> Markup {
    html! {
        section.card {
            h2 { (name) }
            @match found {
                Ok(found) => {
                    @let text = serde_json::to_string_pretty(found).unwrap_or_default();
                    pre { @for line in text.lines() { (shown(line)) "\n" } }
                }
                Err(error) => p.alert { (shown(&error.to_string())) },
            }
        }
    }
}
