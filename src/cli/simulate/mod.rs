//! `simulate`: the whole loop in virtual time, on an embedded Firestore, against arms whose truth
//! is known.

mod outcome;
mod svg;
mod world;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use f0_learning_core::simulation::{SCENARIOS, Scenario};

use super::output;
use world::{Setup, World};

#[derive(Debug, Args)]
pub struct Options {
    /// Which world; without one they are listed
    scenario: Option<String>,
    /// What chance is drawn from: the same seed gives the same simulation
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=365))]
    days: u32,
    /// Arms; as many as the world usually has where it is left out
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=50))]
    arms: Option<u32>,
    /// Actions an hour, over all arms
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    per_hour: u32,
    /// Where to draw weights and bounds over time
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(options: Options) -> Result<()> {
    let Some(name) = &options.scenario else {
        list();
        return Ok(());
    };
    let Some(scenario) = Scenario::named(name) else {
        let names = SCENARIOS.map(|scenario| scenario.name).join(", ");
        bail!("there is no scenario {name:?}; there are {names}");
    };
    let setup = Setup {
        scenario,
        seed: options.seed,
        hours: options.days * 24,
        arms: options.arms.map_or(scenario.arms, |arms| arms as usize),
        per_hour: options.per_hour,
    };
    // The picture is asked for: that it cannot be written must not show after the work.
    if let Some(path) = &options.svg {
        std::fs::write(path, "").with_context(|| format!("cannot write {}", path.display()))?;
    }
    let bar = output::progress(setup.hours.into(), "simulating");
    let mut world = World::begin(&setup).await?;
    for _ in 0..setup.hours {
        world.hour().await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let outcome = world.end().await;
    if let Some(path) = &options.svg {
        let drawn = svg::draw(&setup, &outcome);
        std::fs::write(path, drawn).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if options.json {
        return output::print_json(&outcome::json(&setup, &outcome));
    }
    outcome::print(&setup, &outcome);
    Ok(())
}

fn list() {
    let mut table = output::table(&["scenario", "arms", "what it is"]);
    for scenario in SCENARIOS {
        let arms = scenario.arms.to_string();
        table.add_row([scenario.name.to_owned(), arms, scenario.about.to_owned()]);
    }
    output::print(&table);
}
