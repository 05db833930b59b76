//! `top`: the components of a project at a glance, again and again.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use f0_learning::jobs::score::{ScoreJob, ScoreOptions};
use f0_learning::store::{ComponentStats, Store};
use f0_learning_core::document::FlagsState;
use f0_learning_core::experiment::Status;
use f0_learning_core::stats::Window;
use firestore_kit::PageRequest;
use serde_json::json;

use super::output::{self, Cell, Shown, number};
use super::stats::figures;
use super::{format, live};

/// The most windows that a frame reads: three for each component.
const MAX_WINDOWS: usize = 300;
/// The most drafts that a frame counts, each a read.
const MAX_DRAFTS: usize = 20;

#[derive(Debug, Args)]
pub struct Options {
    /// The window of the figures: 1h, 24h or 7d
    #[arg(long, default_value = "1h", value_parser = window)]
    window: Window,
    /// Seconds between two frames
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    every: u32,
    #[command(flatten)]
    shown: Shown,
}

fn window(text: &str) -> Result<Window, String> {
    let found = Window::ALL.into_iter().find(|it| it.as_str() == text);
    found.ok_or_else(|| "expected 1h, 24h or 7d".to_owned())
}

/// What a frame shows.
struct Frame {
    project: String,
    now: i64,
    flags: FlagsState,
    components: Vec<ComponentStats>,
    has_more: bool,
    drafts: usize,
    asking: usize,
    running: usize,
    backlog: u64,
}

pub async fn run(store: &Store, options: Options) -> Result<()> {
    let Options { window, every, shown } = options;
    if let Some(data) = shown.data() {
        let frame = read(store, window).await?;
        return data.print(&json!({
            "project": frame.project,
            "now": frame.now,
            "flags": frame.flags.to_string(),
            "components": frame.components,
            "drafts": frame.drafts,
            "testsThatAsk": frame.asking,
            "experiments": frame.running,
            "backlog": frame.backlog,
        }));
    }
    let every = Duration::from_secs(every.into());
    live::repeat(every, async || read(store, window).await, |frame| print(frame, window)).await
}

async fn read(store: &Store, window: Window) -> Result<Frame> {
    let page = PageRequest { limit: MAX_WINDOWS, after: None };
    let now = store.now().await?;
    let scoring = ScoreJob::new(store.clone(), ScoreOptions::default());
    let (flags, stats, drafts, (open, _), backlog) = tokio::try_join!(
        store.flags(),
        store.stats_page(None, &page),
        store.open_drafts(MAX_DRAFTS),
        store.all_open_experiments(),
        scoring.backlog(now),
    )?;
    let asking = open.iter().filter(|it| it.status == Status::Succeeded).count();
    let has_more = stats.next.is_some();
    let components = stats.items.into_iter().filter(|it| it.window == window).collect();
    Ok(Frame {
        project: store.project().to_owned(),
        now,
        flags,
        components,
        has_more,
        drafts: drafts.len(),
        asking,
        running: open.len() - asking,
        backlog,
    })
}

fn print(it: &Frame, window: Window) {
    let learning = if it.flags.tuning_enabled() { "on" } else { "off" };
    output::heading(&format!(
        "project {}, {} UTC, learning {learning}",
        it.project,
        format::time(it.now)
    ));
    let more = if it.drafts == MAX_DRAFTS { " or more" } else { "" };
    say!("figures of the last {}; --window 1h, 24h or 7d chooses", window.as_str());
    say!(
        "drafts {}{more} · tests that ask {} · tested or watched {} · not scored {}",
        it.drafts,
        it.asking,
        it.running,
        it.backlog
    );
    say!();
    if it.components.is_empty() {
        say!("no component has statistics of {}", window.as_str());
        return;
    }
    output::print(&table(&it.components, it.now));
    if it.has_more {
        say!("and more components: `f0-learning stats` shows all");
    }
}

fn table(components: &[ComponentStats], now: i64) -> output::Table {
    let header = ["component", "n", "success", "p50 ms", "p95 ms", "usd", "reward", "as of"];
    let mut table = output::table(&header).optional(&["p50 ms", "as of"]);
    for ComponentStats { component, ts, stats, .. } in components {
        let [success, p50, p95, cost, reward] = figures(stats);
        table.add_row([
            component.into(),
            number(stats.n),
            success,
            p50,
            p95,
            cost,
            reward,
            Cell::time(*ts, now),
        ]);
    }
    table
}
