//! `simulate --replay`: the rules of allocation on a team's own table of rewards.

mod picture;
mod read;
mod show;

use crate::cli::output::Shown;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use f0_learning_core::replay::{self, Options as Replay, Outcome, Rule, Table};
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::tuning::PolicyTuning;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::cli::output;

#[derive(Debug, Args)]
#[command(next_help_heading = "Replay of your own data")]
#[group(skip)]
pub struct Options {
    /// Replay a table in which every request has a reward for every arm (CSV or NDJSON)
    #[arg(long, value_name = "FILE", conflicts_with = "scenario")]
    pub replay: Option<PathBuf>,
    /// Requests a batch; a batch is one hour and one tuning pass
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000), requires = "replay")]
    batch: u32,
    /// Batches a run
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(2..=10_000), requires = "replay")]
    batches: u32,
    /// Runs of each rule; results are their mean
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000), requires = "replay")]
    runs: u32,
    /// The smallest weight of an arm [default: explorationFloor of config/tuning, at most half of an
    /// equal share]
    #[arg(long, requires = "replay")]
    floor: Option<f64>,
    /// How far a weight may move in one version; 1 is no limit [default: stepBound of config/tuning]
    #[arg(long, requires = "replay")]
    step: Option<f64>,
    /// Half way, exchange the columns of two arms: names, best, median or worst
    #[arg(long, value_name = "ARM:ARM", requires = "replay")]
    swap: Option<String>,
    /// The share of rewards that are recorded
    #[arg(long, default_value_t = 1.0, requires = "replay")]
    sample_rate: f64,
    /// After how many batches a reward is recorded
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000), requires = "replay")]
    delay: u32,
    /// How outcomes are scored, as in config/reward_config [default: the built-in reward config]
    #[arg(long, value_name = "FILE", requires = "replay")]
    reward_config: Option<PathBuf>,
}

/// The result of every rule.
pub struct Report {
    pub table: Table,
    pub replay: Replay,
    pub runs: u32,
    pub seed: u64,
    /// The means of the arms in each half.
    pub means: [Vec<f64>; 2],
    pub rules: Vec<(Rule, Outcome)>,
}

pub fn run(
    path: &Path,
    options: &Options,
    seed: u64,
    svg: Option<&Path>,
    shown: Shown,
) -> Result<()> {
    let rewards = rewards(options.reward_config.as_deref())?;
    let table = read::table(path, &rewards)?;
    let replay = setup(&table, options)?;
    // A file that cannot be written must fail before the replay, not after it.
    if let Some(svg) = svg {
        std::fs::write(svg, "").with_context(|| format!("cannot write {}", svg.display()))?;
    }
    let runs = options.runs;
    let bar = output::progress(u64::from(runs) * Rule::ALL.len() as u64, "replaying");
    let rules = Rule::ALL.map(|rule| {
        let results: Vec<replay::Run> = (0..runs)
            .map(|run| {
                let mut random = StdRng::seed_from_u64(seed.wrapping_add(run.into()));
                let result = replay::run(&table, &replay, rule, &mut random);
                bar.inc(1);
                result
            })
            .collect();
        (rule, replay::summary(&table, &results))
    });
    bar.finish_and_clear();
    let means = replay::means(&table, replay.swap);
    let report = Report { table, replay, runs, seed, means, rules: rules.to_vec() };
    if let Some(svg) = svg {
        let drawn = picture::draw(&report);
        std::fs::write(svg, drawn).with_context(|| format!("cannot write {}", svg.display()))?;
    }
    if let Some(data) = shown.data() {
        return data.print(&show::json(&report));
    }
    show::print(&report);
    Ok(())
}

fn rewards(path: Option<&Path>) -> Result<RewardConfig> {
    let Some(path) = path else { return Ok(RewardConfig::default()) };
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let config: RewardConfig = serde_json::from_str(&text)
        .with_context(|| format!("invalid reward config {}", path.display()))?;
    config.validate().with_context(|| format!("invalid reward config {}", path.display()))?;
    Ok(config)
}

fn setup(table: &Table, options: &Options) -> Result<Replay> {
    let usual = PolicyTuning::default();
    let arms = u32::try_from(table.arms().len()).unwrap_or(u32::MAX);
    let equal = 1.0 / f64::from(arms);
    let floor = options.floor.unwrap_or_else(|| usual.exploration_floor.min(0.5 * equal));
    ensure!(
        (0.0..=equal).contains(&floor),
        "invalid --floor {floor}: expected 0 to {equal:.4} for {} arms",
        table.arms().len()
    );
    let step = options.step.unwrap_or(usual.step_bound);
    ensure!(step > 0.0 && step <= 1.0, "invalid --step {step}: expected more than 0, at most 1");
    let sample_rate = options.sample_rate;
    ensure!(
        sample_rate > 0.0 && sample_rate <= 1.0,
        "invalid --sample-rate {sample_rate}: expected more than 0, at most 1"
    );
    let swap = options.swap.as_deref().map(|it| swap(table, it)).transpose()?;
    Ok(Replay {
        batch: options.batch as usize,
        batches: options.batches as usize,
        floor,
        step,
        swap,
        sample_rate,
        delay: options.delay as usize,
    })
}

/// The arms of `A:B`.
fn swap(table: &Table, text: &str) -> Result<(usize, usize)> {
    let Some((a, b)) = text.split_once(':') else {
        bail!("invalid --swap {text:?}: expected two arms, as in best:median");
    };
    let ranked = table.ranked();
    let place = |name: &str| -> Result<usize> {
        let named = table.arms().iter().position(|it| it == name);
        let found = named.or_else(|| match name {
            "best" => ranked.first().copied(),
            "median" => ranked.get(ranked.len() / 2).copied(),
            "worst" => ranked.last().copied(),
            _ => None,
        });
        found.with_context(|| {
            let arms = table.arms().join(", ");
            format!("invalid --swap {text:?}: expected best, median, worst or one of {arms}")
        })
    };
    let (a, b) = (place(a)?, place(b)?);
    ensure!(a != b, "invalid --swap {text:?}: both are {:?}", table.arms()[a]);
    Ok((a, b))
}
