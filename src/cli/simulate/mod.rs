//! `simulate`: the whole loop in virtual time, on an embedded Firestore, against arms with known
//! true rewards; or the rules of allocation on a table of rewards (`--replay`).

mod replay;
mod result;
mod setup;
mod svg;
mod world;

use crate::cli::output::Shown;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use f0_learning_core::simulation::{SCENARIOS, Scenario};

use super::output;
use setup::Setup;
use world::World;

#[derive(Debug, Args)]
pub struct Options {
    /// The scenario to simulate; without it, all scenarios are listed
    scenario: Option<String>,
    /// Seed of the random numbers: the same seed gives the same simulation
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Days to simulate
    #[arg(long, default_value_t = 14, conflicts_with = "replay", value_parser = clap::value_parser!(u32).range(1..=365))]
    days: u32,
    /// Number of arms; the default depends on the scenario
    #[arg(long, conflicts_with = "replay", value_parser = clap::value_parser!(u32).range(2..=50))]
    arms: Option<u32>,
    /// Actions per hour, over all arms
    #[arg(long, default_value_t = 400, conflicts_with = "replay", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    per_hour: u32,
    /// Write a chart of weights and rewards over time to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    shown: Shown,
    #[command(flatten)]
    replay: replay::Options,
}

/// The most lines about the progress, where no bar is drawn.
const STEPS_TOLD: u32 = 10;

pub async fn run(options: Options) -> Result<()> {
    if let Some(path) = &options.replay.replay {
        let Options { seed, shown, ref svg, .. } = options;
        return replay::run(path, &options.replay, seed, svg.as_deref(), shown);
    }
    let Some(name) = &options.scenario else {
        list();
        return Ok(());
    };
    let Some(scenario) = Scenario::named(name) else {
        let names = SCENARIOS.map(|scenario| scenario.name).join(", ");
        bail!("unknown scenario {name:?}: expected one of {names}");
    };
    let setup = Setup {
        scenario,
        seed: options.seed,
        hours: options.days * 24,
        arms: options.arms.map_or(scenario.arms, |arms| arms as usize),
        per_hour: options.per_hour,
    };
    // A file that cannot be written must fail before the simulation, not after it.
    if let Some(path) = &options.svg {
        std::fs::write(path, "").with_context(|| format!("cannot write {}", path.display()))?;
    }
    let bar = output::progress(setup.hours.into(), "simulating");
    let days = setup.hours / 24;
    let mut world = World::start(&setup).await?;
    for hour in 0..setup.hours {
        world.hour().await?;
        bar.inc(1);
        // A bar is hidden where standard error is no terminal.
        let day = (hour + 1) / 24;
        if bar.is_hidden() && (hour + 1) % 24 == 0 && day % days.div_ceil(STEPS_TOLD) == 0 {
            complain!("simulated {day} of {}", f0_learning_core::plural::count(days, "day"));
        }
    }
    bar.finish_and_clear();
    let result = world.end().await;
    if let Some(path) = &options.svg {
        let drawn = svg::draw(&setup, &result);
        std::fs::write(path, drawn).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(data) = options.shown.data() {
        return data.print(&result::json(&setup, &result));
    }
    result::print(&setup, &result);
    Ok(())
}

fn list() {
    let mut table = output::table(&["scenario", "arms", "description"]);
    for scenario in SCENARIOS {
        let arms = scenario.arms.to_string();
        table.add_row([scenario.name.to_owned(), arms, scenario.about.to_owned()]);
    }
    output::print(&table);
}
