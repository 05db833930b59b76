//! `observations`: import from a file, list the latest, list or requeue quarantined ones.

mod dry_run;
mod import;
mod lines;
mod quarantine;
mod source;

use anyhow::Result;
use clap::{Args, Subcommand};
use f0_learning::store::{QuarantineFilter, Store};
use serde_json::{Map, Value as Json};

use super::named;
use super::output::{self, Cell, Shown, number};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Import observations from a file with one JSON object a line, or from the export of another tool
    Import(source::Options),
    /// List quarantined observations and their errors
    Quarantined {
        #[command(flatten)]
        filter: Filter,
        /// Largest number of entries
        #[arg(long, default_value_t = 20)]
        limit: usize,
        #[command(flatten)]
        shown: Shown,
    },
    /// Score quarantined observations again after a fix
    Requeue {
        #[command(flatten)]
        filter: Filter,
        /// Requeue all quarantined observations
        #[arg(long, conflicts_with_all = ["ids", "component", "field"])]
        all: bool,
    },
    /// List the latest observations
    List {
        /// Only this component
        #[arg(long)]
        component: Option<String>,
        /// Largest number of entries
        #[arg(long, default_value_t = 20)]
        limit: usize,
        #[command(flatten)]
        shown: Shown,
    },
}

#[derive(Debug, Args)]
pub struct Filter {
    /// Only these observations, by id or its beginning
    ids: Vec<String>,
    /// Only observations of this component
    #[arg(long)]
    component: Option<String>,
    /// Only observations with an error in this field
    #[arg(long)]
    field: Option<String>,
}

impl Filter {
    /// The same with whole ids.
    async fn named(self, store: &Store) -> Result<QuarantineFilter> {
        let Self { ids, component, field } = self;
        Ok(QuarantineFilter { ids: named::quarantined(store, &ids).await?, component, field })
    }
}

pub async fn run(store: &Store, command: Command) -> Result<()> {
    match command {
        Command::Import(options) => import::run(store, options).await,
        Command::Quarantined { filter, limit, shown } => {
            quarantine::list(store, filter.named(store).await?, limit, shown).await
        }
        Command::Requeue { filter, all } => {
            quarantine::requeue(store.clone(), filter.named(store).await?, all).await
        }
        Command::List { component, limit, shown } => {
            let observations = store.latest_observations(component.as_deref(), limit).await?;
            if let Some(data) = shown.data() {
                return data.print(&observations);
            }
            output::print(&table(&observations, store.now().await?));
            Ok(())
        }
    }
}

/// A number with this many digits; other programs get all of them.
fn rounded(observation: &Map<String, Json>, field: &str, digits: usize) -> Option<String> {
    let number = observation.get(field)?.as_f64()?;
    Some(format!("{number:.digits$}"))
}

fn table(observations: &[Map<String, Json>], now: i64) -> output::Table {
    let mut table = output::table(&["time", "component", "outcome", "ms", "usd", "policy", "id"]);
    for observation in observations {
        let text = |field: &str| match observation.get(field) {
            None | Some(Json::Null) => String::new(),
            Some(Json::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let ts = observation.get("ts").and_then(Json::as_i64);
        table.add_row(vec![
            ts.map_or_else(|| text("ts").into(), |ts| Cell::time(ts, now)),
            text("component").into(),
            text("outcome").into(),
            number(rounded(observation, "durationMs", 0).unwrap_or_else(|| text("durationMs"))),
            number(rounded(observation, "costUsd", 4).unwrap_or_else(|| text("costUsd"))),
            text("policyVersion").into(),
            text("id").into(),
        ]);
    }
    table
}
