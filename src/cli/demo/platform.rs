//! The simulated components. Their true qualities are in this file, to be compared with what the
//! service shows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use f0_learning::store::Store;
use f0_learning_client::{NewObservation, RecordError, Recorder};
use f0_learning_core::Clock;
use f0_learning_core::document::Policy;
use f0_learning_core::observation::Outcome;
use f0_learning_core::plural::count;
use f0_learning_core::policy::{Params, draw_arm};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use semver::Version;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Requests that the router serves each second, each an observation.
const REQUESTS_PER_SECOND: f64 = 100.0;
const TICK: Duration = Duration::from_millis(100);
const TICKS_PER_SECOND: u64 = 10;

/// How often the router reads its policy again. Others do that every few minutes.
const POLICY_EVERY: u64 = 2 * TICKS_PER_SECOND;
const AUTOSCALER_EVERY: u64 = 3 * TICKS_PER_SECOND;
const CANARY_EVERY: u64 = 4 * TICKS_PER_SECOND;

/// Seconds over which `gpt-5` goes from its first quality to its last.
pub const DRIFT_SECONDS: f64 = 12.0;

/// How many requests the router sent to each arm, by the version that it chose by, since somebody last
/// looked.
#[derive(Clone, Debug, Default)]
pub struct Routed(Arc<Mutex<BTreeMap<(String, String), u32>>>);

impl Routed {
    fn count(&self, version: &Version, arm: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((version.to_string(), arm.to_owned())).or_default() += 1;
    }

    /// Begins to count anew.
    pub fn reset(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The share of the requests that an arm got; `None` without requests.
    pub fn share(&self, arm: &str) -> Option<f64> {
        self.share_of(|(_, found)| found == arm)
    }

    /// The share of the requests that were routed by a version.
    pub fn share_of_version(&self, version: &Version) -> Option<f64> {
        let version = version.to_string();
        self.share_of(|(found, _)| *found == version)
    }

    fn share_of(&self, is_meant: impl Fn(&(String, String)) -> bool) -> Option<f64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: u32 = counts.values().sum();
        let meant: u32 = counts.iter().filter(|(key, _)| is_meant(key)).map(|it| it.1).sum();
        (all > 0).then(|| f64::from(meant) / f64::from(all))
    }
}

/// The true quality of a model.
#[derive(Clone, Copy)]
struct Quality {
    success: f64,
    median_ms: f64,
    cost_usd: f64,
}

const GPT_5_FIRST: Quality = Quality { success: 0.97, median_ms: 900.0, cost_usd: 0.030 };
const GPT_5_LAST: Quality = Quality { success: 0.82, median_ms: 3_000.0, cost_usd: 0.045 };
const GEMINI: Quality = Quality { success: 0.985, median_ms: 600.0, cost_usd: 0.008 };
const CLAUDE: Quality = Quality { success: 0.98, median_ms: 800.0, cost_usd: 0.015 };

fn quality(arm: &str, seconds: f64) -> Quality {
    let drift = (seconds / DRIFT_SECONDS).clamp(0.0, 1.0);
    let between = |first: f64, last: f64| first + (last - first) * drift;
    match arm {
        "gpt-5" => Quality {
            success: between(GPT_5_FIRST.success, GPT_5_LAST.success),
            median_ms: between(GPT_5_FIRST.median_ms, GPT_5_LAST.median_ms),
            cost_usd: between(GPT_5_FIRST.cost_usd, GPT_5_LAST.cost_usd),
        },
        "gemini" => GEMINI,
        _ => CLAUDE,
    }
}

/// The share of failures that are timeouts, and how long a timeout takes.
const TIMEOUTS: f64 = 0.4;
const TIMEOUT_MS: f64 = 8_000.0;

/// The users whose requests the router serves: units of the holdback and of A/B tests.
const USERS: u32 = 5_000;

/// The active policy, by which the router chooses models.
struct Route {
    policy: Policy,
    /// The weights of the versions that units may use: the active one, a candidate and a holdback.
    weights: BTreeMap<Version, BTreeMap<String, f64>>,
}

impl Route {
    fn of(policy: Policy) -> Option<Self> {
        let (tested, held) = (policy.candidate.as_ref(), policy.holdback.as_ref());
        let others = tested.map(|it| (&it.version, &it.params)).into_iter();
        let others = others.chain(held.map(|it| (&it.version, &it.params)));
        let weights = |(version, params): (&Version, &Params)| {
            Some((version.clone(), params.model_weights().ok()??))
        };
        let mut known: BTreeMap<_, _> = others.filter_map(weights).collect();
        let (version, active) = weights((&policy.version, &policy.params))?;
        known.insert(version, active);
        Some(Self { policy, weights: known })
    }

    /// The version that a user's request is routed by, and its weights. A candidate or a holdback whose
    /// weights cannot be read is not used.
    fn choose(&self, user: u32) -> Option<(&Version, &BTreeMap<String, f64>)> {
        let (chosen, _) = self.policy.choose(&format!("user-{user}"));
        let versions = [chosen, &self.policy.version];
        versions.into_iter().find_map(|it| Some((it, self.weights.get(it)?)))
    }
}

pub async fn run(
    store: Store,
    recorder: Recorder,
    routed: Routed,
    clock: Clock,
    stop: CancellationToken,
) {
    let mut rng = StdRng::seed_from_u64(36);
    let started = clock.now();
    let mut timer = tokio::time::interval(TICK);
    let mut route = None;
    let mut tick: u64 = 0;
    while stop.run_until_cancelled(timer.tick()).await.is_some() {
        if tick.is_multiple_of(POLICY_EVERY) {
            route = read_route(&store).await.or(route);
        }
        #[expect(clippy::cast_precision_loss, reason = "the demo ends before 2^53 ms")]
        let seconds = (clock.now() - started) as f64 / 1_000.0;
        let outcome = serve(&mut rng, (&recorder, &routed), route.as_ref(), tick, seconds).await;
        if let Err(error) = outcome {
            tracing::error!(%error, "a simulated component cannot record");
        }
        tick += 1;
    }
    let report = recorder.close().await;
    say!(
        "the simulated components wrote {}; {} sampled out, {} dropped, {} failed",
        count(report.written, "observation"),
        report.sampled_out,
        report.dropped,
        report.failed
    );
}

async fn read_route(store: &Store) -> Option<Route> {
    let policies = store.active_policies().await.ok()?;
    policies.into_iter().rev().find(|policy| policy.id == "router-core").and_then(Route::of)
}

async fn serve(
    rng: &mut StdRng,
    (recorder, routed): (&Recorder, &Routed),
    route: Option<&Route>,
    tick: u64,
    seconds: f64,
) -> Result<(), RecordError> {
    if let Some(route) = route {
        let expected = REQUESTS_PER_SECOND * TICK.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to twice the expected number"
        )]
        let requests = rng.random_range(0.0..2.0 * expected).round() as u32;
        for _ in 0..requests {
            let Some((version, weights)) = route.choose(rng.random_range(0..USERS)) else { break };
            if let Some(arm) = draw_arm(weights, rng.random()) {
                routed.count(version, &arm.name);
                let name = format!("{}@{version}", route.policy.id);
                recorder.record(request(rng, &arm.name, name, seconds)).await?;
            }
        }
    }
    if tick.is_multiple_of(AUTOSCALER_EVERY) {
        recorder.record(scaling(rng)).await?;
    }
    if tick.is_multiple_of(CANARY_EVERY) {
        recorder.record(rollout(rng)).await?;
    }
    Ok(())
}

fn request(rng: &mut StdRng, arm: &str, version: String, seconds: f64) -> NewObservation {
    let quality = quality(arm, seconds);
    let tokens_in = rng.random_range(50..800);
    let tokens_out = rng.random_range(50..900);
    let failed = rng.random::<f64>() >= quality.success;
    let (outcome, error, duration) = match (failed, rng.random::<f64>() < TIMEOUTS) {
        (false, _) => (Outcome::Success, None, quality.median_ms * spread(rng)),
        (true, false) => (Outcome::Failure, Some("rate_limit"), quality.median_ms * spread(rng)),
        (true, true) => (Outcome::Timeout, Some("timeout"), TIMEOUT_MS),
    };
    NewObservation {
        tokens_in: Some(tokens_in),
        tokens_out: Some(tokens_out),
        cost_usd: Some(quality.cost_usd * rng.random_range(0.5..1.5)),
        policy_version: Some(version),
        error_code: error.map(str::to_owned),
        ..NewObservation::new(format!("router:{arm}"), outcome, duration.round())
    }
}

/// A factor with median 1 and a long right tail, as latencies have: exp of a sum of uniforms,
/// which is close to log-normal with sigma 0.35.
fn spread(rng: &mut StdRng) -> f64 {
    let sum: f64 = (0..12).map(|_| rng.random::<f64>()).sum();
    (0.35 * (sum - 6.0)).exp()
}

fn scaling(rng: &mut StdRng) -> NewObservation {
    let from = rng.random_range(2..20);
    let outcome = if rng.random::<f64>() < 0.97 { Outcome::Success } else { Outcome::Failure };
    NewObservation {
        cost_usd: Some(0.002 * f64::from(from)),
        meta: Some(json!({ "from": from, "to": from + 1, "reason": "queue depth" })),
        ..NewObservation::new("AutoScaler", outcome, 1_200.0 * spread(rng))
    }
}

fn rollout(rng: &mut StdRng) -> NewObservation {
    let breach = rng.random::<f64>() < 0.08;
    let outcome = if breach { Outcome::Failure } else { Outcome::Success };
    NewObservation {
        meta: Some(json!({
            "rolloutPercent": rng.random_range(1..10) * 10,
            "decision": if breach { "roll back" } else { "go on" },
        })),
        ..NewObservation::new("CanaryManager", outcome, 300.0 * spread(rng))
    }
}

#[cfg(test)]
mod tests {
    use f0_learning_core::experiment::takes_candidate;

    use super::*;

    fn policy(weights: serde_json::Value, holdback: f64, candidate: f64) -> Policy {
        let of = |arm: &str| json!({ "modelWeights": { arm: 1.0 } });
        serde_json::from_value(json!({
            "id": "router-core", "version": "1.0.2", "status": "active",
            "params": { "modelWeights": weights },
            "holdback": { "id": "h", "version": "1.0.0", "share": holdback, "params": of("claude") },
            "candidate": {
                "experiment": "e", "version": "1.0.3", "share": candidate, "params": of("gemini"),
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_user_is_routed_by_the_version_that_is_recorded() {
        let route = Route::of(policy(json!({ "gpt-5": 1.0 }), 0.2, 0.3)).unwrap();
        let mut seen = BTreeMap::new();
        for user in 0..1_000 {
            let (version, weights) = route.choose(user).unwrap();
            let unit = format!("user-{user}");
            let expected =
                match (takes_candidate("h", &unit, 0.2), takes_candidate("e", &unit, 0.3)) {
                    (true, _) => ("1.0.0", "claude"),
                    (false, true) => ("1.0.3", "gemini"),
                    (false, false) => ("1.0.2", "gpt-5"),
                };
            let arm = draw_arm(weights, 0.5).unwrap();
            assert_eq!((version.to_string().as_str(), arm.name.as_str()), expected, "{unit}");
            *seen.entry(expected.0).or_insert(0) += 1;
        }
        assert!((150..250).contains(&seen["1.0.0"]), "{seen:?}");
        assert!((180..300).contains(&seen["1.0.3"]), "{seen:?}");
    }

    #[test]
    fn a_candidate_without_readable_weights_is_not_used() {
        let mut broken = policy(json!({ "gpt-5": 1.0 }), 0.0, 1.0);
        let params = json!({ "modelWeights": { "gemini": "all" } });
        broken.candidate.as_mut().unwrap().params = serde_json::from_value(params).unwrap();
        let route = Route::of(broken).unwrap();
        assert_eq!(route.choose(7).unwrap().0.to_string(), "1.0.2");
    }
}
