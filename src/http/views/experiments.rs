//! What the API shows of experiments: A/B tests of drafts, and watches of activations.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{same_fields, same_variants};
use f0_learning_core::{document, estimate, experiment};

/// An experiment: two versions that are compared.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Experiment {
    id: String,
    #[schema(example = "router-core")]
    policy: String,
    kind: Kind,
    status: Status,
    /// Whether the experiment is still running or awaits activation.
    open: bool,
    /// The version that was active before.
    control: String,
    candidate: String,
    #[schema(required = false)]
    metric: Metric,
    /// The stage of an A/B test, from 0.
    #[schema(required = false)]
    stage: usize,
    /// The candidate's share of units, 0 to 1.
    share: f64,
    /// Its limits: guardrails, sample sizes and durations.
    #[schema(required = false)]
    guard: GuardConfig,
    /// Epoch milliseconds, like all times.
    started_at: i64,
    started_by: String,
    stage_started_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ended_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ended_by: Option<String>,
    /// Why it ended, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    breach: Option<Breach>,
    /// The comparison that its last change of stage or status is based on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    comparison: Option<Comparison>,
}

impl From<document::Experiment> for Experiment {
    fn from(experiment: document::Experiment) -> Self {
        let document::Experiment {
            id,
            policy,
            kind,
            status,
            open,
            control,
            candidate,
            metric,
            stage,
            share,
            guard,
            started_at,
            started_by,
            stage_started_at,
            ended_at,
            ended_by,
            reason,
            breach,
            comparison,
        } = experiment;
        Self {
            id,
            policy,
            kind: kind.into(),
            status: status.into(),
            open,
            control: control.to_string(),
            candidate: candidate.to_string(),
            metric: metric.into(),
            stage,
            share,
            guard: guard.into(),
            started_at,
            started_by,
            stage_started_at,
            ended_at,
            ended_by,
            reason,
            breach: breach.map(Into::into),
            comparison: comparison.map(Into::into),
        }
    }
}

/// An experiment and its comparison.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExperimentView {
    pub experiment: Experiment,
    /// For an open experiment, as of now; for one that ended, the comparison at its end, if it was
    /// recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub comparison: Option<Comparison>,
    /// That no observation names the candidate although it should have units.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub note: Option<String>,
}

/// Whether both versions are used at the same time (`ab`) or one after the other (`watch`).
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Ab,
    Watch,
}

same_variants!(experiment::Kind => Kind { Ab, Watch });

/// The state of an experiment. All but the first two are final.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    Running,
    /// The candidate is proven to be better and awaits activation by an admin.
    Succeeded,
    /// The candidate became the active version; in a watch, it stays active.
    Passed,
    /// A guardrail was broken: the candidate was rolled back.
    Breached,
    /// The candidate is proven to gain less than `minEffect`.
    NoGain,
    /// Time ran out.
    Inconclusive,
    /// An admin ended it.
    Stopped,
    /// Another version became active.
    Superseded,
}

same_variants!(experiment::Status => Status {
    Running, Succeeded, Passed, Breached, NoGain, Inconclusive, Stopped, Superseded,
});

/// The metric that an A/B test is to improve.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Metric {
    /// The mean reward, the higher the better.
    #[default]
    Reward,
    /// The share of successes, the higher the better.
    SuccessRate,
    /// The mean cost in US dollars, the lower the better.
    CostUsd,
}

same_variants!(experiment::Metric => Metric { Reward, SuccessRate, CostUsd });
same_variants!(Metric => experiment::Metric { Reward, SuccessRate, CostUsd });

/// The limits of an experiment, from `guard` of the document `config/tuning`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GuardConfig {
    /// The probability of any wrong claim in an experiment.
    alpha: f64,
    guardrails: Guardrails,
    /// The smallest gain that matters, in units of the metric. An A/B test ends when the gain is
    /// proven to be smaller; a watch ends when the gain in mean reward is known to within this.
    min_effect: f64,
    /// The smallest `sampleRate` of the policy's components.
    min_sample_rate: f64,
    /// A stage lasts at least until the candidate has this many observations ...
    min_samples: u64,
    /// ... and at least this long.
    stage_minutes: u32,
    /// A watch lasts at least this long.
    watch_hours: u32,
    /// The longest that a stage or a watch lasts.
    max_days: u32,
}

impl Default for GuardConfig {
    fn default() -> Self {
        experiment::GuardConfig::default().into()
    }
}

same_fields!(experiment::GuardConfig => GuardConfig {
    alpha, guardrails, min_effect, min_sample_rate, min_samples, stage_minutes, watch_hours,
    max_days,
});

/// How much worse a candidate may be: it is rolled back when it is proven to be worse than this.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Guardrails {
    /// The largest fall of the mean reward, 0 to 1.
    reward: f64,
    /// The largest fall of the success rate, 0 to 1.
    success_rate: f64,
    /// The largest ratio of the 95th percentiles of durations, candidate to control.
    p95_latency: f64,
    /// The largest ratio of the mean costs, candidate to control.
    cost_usd: f64,
    /// The largest share of documents that may be rejected, 0 to 1, if it is more than the control's.
    rejected_share: f64,
}

impl Default for Guardrails {
    fn default() -> Self {
        experiment::Guardrails::default().into()
    }
}

same_fields!(experiment::Guardrails => Guardrails {
    reward, success_rate, p95_latency, cost_usd, rejected_share,
});

/// A guardrail that is proven to be broken.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Breach {
    guardrail: Guardrail,
    /// The limit: the largest fall, or the largest ratio to the control, that is allowed.
    allowed: f64,
    /// The least fall, or the least ratio to the control, that the data allow.
    proven: f64,
}

same_fields!(experiment::Breach => Breach { guardrail, allowed, proven });

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Guardrail {
    Reward,
    SuccessRate,
    P95Latency,
    CostUsd,
    RejectedShare,
}

same_variants!(experiment::Guardrail => Guardrail {
    Reward, SuccessRate, P95Latency, CostUsd, RejectedShare,
});

/// Control and candidate side by side. Each end of each interval is wrong with the probability
/// `tail`, however often it is looked at.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// Observations of the control ...
    control_n: u64,
    /// ... and of the candidate.
    candidate_n: u64,
    tail: f64,
    /// Absent until both have been observed, like each of the following.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reward: Option<Compared>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    success_rate: Option<Compared>,
    /// In milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    p95_latency: Option<Ranges>,
    /// In US dollars, over the observations that have a cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cost_usd: Option<Compared>,
    /// The share of documents that could not be scored; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rejected_share: Option<RejectedShare>,
    /// What other components did at the same time; absent in an A/B test, and in a watch if no other
    /// component was observed before and after the activation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    controls: Option<Controls>,
    /// Present if the candidate states a cost for fewer of its observations than the control: it is then
    /// not better in reward or cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    missing_costs: Option<MissingCosts>,
}

/// What other components did at the same time: the controls of a watch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Controls {
    components: u64,
    /// Their observations before the activation ...
    before_n: u64,
    /// ... and after it.
    after_n: u64,
    /// Absent, like the following, if it was not observed both before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reward: Option<Shift>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    success_rate: Option<Shift>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    p95_latency: Option<RatioShift>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cost_usd: Option<RatioShift>,
}

impl From<experiment::Controls> for Controls {
    fn from(controls: experiment::Controls) -> Self {
        let experiment::Controls {
            components,
            before_n,
            after_n,
            reward,
            success_rate,
            p95_latency,
            cost_usd,
        } = controls;
        Self {
            components,
            before_n,
            after_n,
            reward: reward.map(Into::into),
            success_rate: success_rate.map(Into::into),
            p95_latency: p95_latency.map(Into::into),
            cost_usd: cost_usd.map(Into::into),
        }
    }
}

/// By how much the mean changed in other components, and how much more it changed in the version.
#[derive(Debug, Serialize, ToSchema)]
pub struct Shift {
    others: Measured,
    /// The change of the version minus that of the others.
    beyond: Measured,
}

same_fields!(experiment::Shift => Shift { others, beyond });

/// By what factor it changed in other components, and by what further factor in the version.
#[derive(Debug, Serialize, ToSchema)]
pub struct RatioShift {
    others: Interval,
    beyond: Interval,
}

same_fields!(experiment::RatioShift => RatioShift { others, beyond });

/// The share of each version's observations that state a cost.
#[derive(Debug, Serialize, ToSchema)]
pub struct MissingCosts {
    control: f64,
    candidate: f64,
}

same_fields!(experiment::MissingCosts => MissingCosts { control, candidate });

/// The share of each version's documents that could not be scored.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectedShare {
    /// Absent if rejected documents were not counted yet when the control was observed, like `change`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    control: Option<Measured>,
    candidate: Measured,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    change: Option<Measured>,
}

impl From<experiment::RejectedShare> for RejectedShare {
    fn from(found: experiment::RejectedShare) -> Self {
        let experiment::RejectedShare { control, candidate, change } = found;
        Self {
            control: control.map(Into::into),
            candidate: candidate.into(),
            change: change.map(Into::into),
        }
    }
}

impl From<experiment::Comparison> for Comparison {
    fn from(comparison: experiment::Comparison) -> Self {
        let experiment::Comparison {
            control_n,
            candidate_n,
            tail,
            reward,
            success_rate,
            p95_latency,
            cost_usd,
            rejected_share,
            controls,
            missing_costs,
        } = comparison;
        Self {
            control_n,
            candidate_n,
            tail,
            reward: reward.map(Into::into),
            success_rate: success_rate.map(Into::into),
            p95_latency: p95_latency.map(Into::into),
            cost_usd: cost_usd.map(Into::into),
            rejected_share: rejected_share.map(Into::into),
            controls: controls.map(Into::into),
            missing_costs: missing_costs.map(Into::into),
        }
    }
}

/// The mean of each version, and by how much the candidate's is higher.
#[derive(Debug, Serialize, ToSchema)]
pub struct Compared {
    control: Measured,
    candidate: Measured,
    change: Measured,
}

same_fields!(experiment::Compared => Compared { control, candidate, change });

/// A quantile of each version.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ranges {
    control: Interval,
    candidate: Interval,
}

same_fields!(experiment::Ranges => Ranges { control, candidate });

/// From `low` to `high`, both included.
#[derive(Debug, Serialize, ToSchema)]
pub struct Interval {
    low: f64,
    high: f64,
}

same_fields!(estimate::Interval => Interval { low, high });

/// An estimate and its interval.
#[derive(Debug, Serialize, ToSchema)]
pub struct Measured {
    estimate: f64,
    low: f64,
    high: f64,
}

same_fields!(estimate::Measured => Measured { estimate, low, high });

/// The measured effect of a version on reward, success, latency and cost.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Epoch milliseconds.
    at: i64,
    /// The version that it is compared with.
    against: String,
    /// Whether both were used at the same time (`ab`), or one after the other (`watch`).
    kind: Kind,
    effect: Effect,
    /// Absent if no gain was promised.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    promise: Option<Promise>,
    comparison: Comparison,
}

impl From<experiment::Verdict> for Verdict {
    fn from(verdict: experiment::Verdict) -> Self {
        let experiment::Verdict { at, against, kind, effect, promise, comparison } = verdict;
        Self {
            at,
            against,
            kind: kind.into(),
            effect: effect.into(),
            promise: promise.map(Into::into),
            comparison: comparison.into(),
        }
    }
}

/// The effect on the mean reward.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    Better,
    Worse,
    /// The data allow either.
    Unclear,
}

same_variants!(experiment::Effect => Effect { Better, Worse, Unclear });

/// The gain in mean reward that was promised, and whether it was reached.
#[derive(Debug, Serialize, ToSchema)]
pub struct Promise {
    /// The gain that the proposal expected.
    expected: f64,
    kept: Promised,
}

same_fields!(experiment::Promise => Promise { expected, kept });

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Promised {
    /// There is a gain, and the data allow as much as was promised.
    Kept,
    /// The gain is proven to be smaller than promised.
    Broken,
    /// The data allow either.
    Unclear,
}

same_variants!(experiment::Promised => Promised { Kept, Broken, Unclear });
