//! Comparing two arms within blocks in which the probability of each arm is fixed.
//!
//! Success rates rise and fall with the hour. Two arms that are used in different hours therefore
//! look different even if they are equal. Within a block, each action draws its arm with fixed
//! probabilities, independent of how the world is at that moment. For the arms a and b, with the
//! reward y, the weight w = 1 / sampleRate and any constant c, the quantity
//!
//! ```text
//! X = w (y - c) (1{a was drawn} / p_a - 1{b was drawn} / p_b)
//! ```
//!
//! has the mean (reward of a) - (reward of b) at that moment, whatever the rewards are. A gambler who
//! bets that X is positive can therefore not expect to win as long as a is not better than b. The
//! capitals of all blocks are multiplied. (Design-based confidence sequences: Ham, Bojinov, Lindon,
//! Tingley, arXiv 2210.08639; off-policy confidence sequences: Waudby-Smith, Wu, Ramdas,
//! Karampatziakis, Mineiro, arXiv 2210.10768; changing probabilities: Liang, Bojinov, arXiv
//! 2311.05794.)
//!
//! The capital is a mixture over constant bets and over constants c. Its logarithm is a sum over the
//! cells of histograms: the order of actions does not matter, and blocks can be merged.
//!
//! A mixture over everything that may be the best bet costs capital. Once the first rewards are known,
//! their mean and their deviation say where the best bets lie, so that fewer are needed. Such a
//! [`Pilot`] must be known before the actions that are bet on: those are added with
//! [`Contrast::add_after_pilot`]. The capital is the product of both: what was won before the pilot is
//! staked again. (Bets that depend on the past: Waudby-Smith, Ramdas, JRSS B 86, 2024.)

use super::capital::log_mean_exp;
use super::interval::{Interval, last_refuted};
use super::log::ArmLog;
use super::sample::weight_point_from;
use crate::number::Lossy;

/// The constants c. X varies the least if c is near the mean reward. The distance to the nearest of
/// these adds at most 4% to the variance of rewards that are 0 or 1: they are sin^2 of evenly spaced
/// angles.
const CENTRES: [f64; 8] = [
    0.009_607_36,
    0.084_265_19,
    0.222_214_88,
    0.402_454_84,
    0.597_545_16,
    0.777_785_12,
    0.915_734_81,
    0.990_392_64,
];

/// The number of bets for each constant. Each is half of the one before.
const BETS: usize = 10;

/// The largest bet, as a multiple of difference / variance of a single reward. With the smallest, 512
/// times smaller, a difference of 0.002 is found, which takes millions of actions.
const LARGEST_BET: f64 = 4.0;

/// The most that one action may cost, as a share of the capital, for the claim that the difference is
/// above 0.
const LARGEST_LOSS: f64 = 0.8;

/// The bets after a pilot: the difference as a multiple of the deviation of one reward, and its share
/// of the capital. Most differences that are worth a decision are between a twelfth of a deviation and
/// a half. With the smallest, 70,000 actions of each arm are a proof.
const EFFECTS: [(f64, f64); 7] = [
    (1.0, 0.05),
    (0.5, 0.2),
    (0.25, 0.27),
    (0.125, 0.25),
    (0.0625, 0.13),
    (0.031_25, 0.06),
    (0.015_625, 0.04),
];

/// The share of the capital that is staked with the mean of the pilot as the constant c. The rest is
/// divided among [`CENTRES`], for rewards that have moved since.
const TRUSTED: f64 = 0.85;

/// The precision of bounds, which are rounded outwards.
const PRECISION: f64 = 5e-4;

/// The actions of one arm in a block.
#[derive(Clone, Copy, Debug)]
pub struct Drawn<'a> {
    pub log: &'a ArmLog,
    /// The probability of the arm in this block, for actions that do not state a propensity.
    pub weight: f64,
}

/// The limits that are known before the first observation. Observations beyond them are taken into
/// account from then on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest weight that is declared.
    pub declared_weight: f64,
    /// The largest weight that is declared or was observed.
    pub max_weight: f64,
    /// The smallest propensity that components state; 1 if they state none.
    pub least_propensity: f64,
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    weight: f64,
    /// 1 / propensity.
    inverse: f64,
    value: f64,
    n: f64,
}

#[derive(Clone, Debug)]
struct Block {
    /// The actions of both arms.
    arms: [Vec<Cell>; 2],
    /// Weight and number of the actions of all other arms.
    others: Vec<(f64, f64)>,
    /// The largest possible 1 / propensity of each arm.
    inverse: [f64; 2],
}

/// The mean and the deviation of rewards that were known before others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pilot {
    centre: f64,
    /// The deviation of w (y - centre).
    deviation: f64,
}

impl Pilot {
    /// The fewest observations of a pilot. With 40 rewards of 0 or 1, the distance to the true mean
    /// adds about 2.5% to the variance.
    const LEAST: f64 = 40.0;

    /// `None` if there are too few observations. One more observation, halfway between 0 and 1, keeps
    /// equal rewards from a deviation of 0.
    pub fn of<'a>(logs: impl Iterator<Item = &'a ArmLog>) -> Option<Self> {
        let points: Vec<(f64, f64, f64)> =
            logs.flat_map(|it| it.chosen(1.0)).flat_map(|it| it.rewards.points()).collect();
        let n: f64 = points.iter().map(|(.., n)| n).sum();
        if n < Self::LEAST {
            return None;
        }
        let weights: f64 = points.iter().map(|(weight, _, n)| n * weight * weight).sum();
        let earned: f64 = points.iter().map(|(weight, y, n)| n * weight * weight * y).sum();
        let usual = weights / n;
        let centre = (earned + usual / 2.0) / (weights + usual);
        let square = |(weight, y, n): &(f64, f64, f64)| n * (weight * (y - centre)).powi(2);
        let squares: f64 = points.iter().map(square).sum();
        let deviation = ((squares + usual / 4.0) / (n + 1.0)).sqrt();
        Some(Self { centre, deviation })
    }
}

/// What is known of the difference of two arms.
#[derive(Clone, Debug)]
pub struct Contrast {
    limits: Limits,
    blocks: Vec<Block>,
    pilot: Option<Pilot>,
    /// What was added after the pilot.
    after: Vec<Block>,
}

impl Contrast {
    pub const fn new(limits: Limits) -> Self {
        Self { limits, blocks: Vec::new(), pilot: None, after: Vec::new() }
    }

    /// For [`Self::add_after_pilot`].
    pub const fn with_pilot(limits: Limits, pilot: Pilot) -> Self {
        Self { limits, blocks: Vec::new(), pilot: Some(pilot), after: Vec::new() }
    }

    /// Adds a block: the actions of both arms, and the logs of all other arms. A block in which one of
    /// the arms cannot be drawn says nothing about their difference.
    pub fn add<'a>(&mut self, pair: [Drawn<'_>; 2], others: impl Iterator<Item = &'a ArmLog>) {
        let block = self.block(pair, others);
        self.blocks.extend(block);
    }

    /// The same of actions that the pilot knows nothing of. Without a pilot, it is [`Self::add`].
    pub fn add_after_pilot<'a>(
        &mut self,
        pair: [Drawn<'_>; 2],
        others: impl Iterator<Item = &'a ArmLog>,
    ) {
        let block = self.block(pair, others);
        match self.pilot {
            Some(_) => self.after.extend(block),
            None => self.blocks.extend(block),
        }
    }

    fn block<'a>(
        &self,
        pair: [Drawn<'_>; 2],
        others: impl Iterator<Item = &'a ArmLog>,
    ) -> Option<Block> {
        if pair.iter().any(|it| it.weight <= 0.0) {
            return None;
        }
        let others = others.flat_map(|log| log.chosen(1.0)).flat_map(|it| it.rewards.points());
        let others = merged(others.map(|(weight, _, n)| (weight, n)));
        let inverse = pair.map(|it| largest_inverse(it, self.limits.least_propensity));
        Some(Block { arms: pair.map(cells), others, inverse })
    }

    fn all(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().chain(&self.after)
    }

    /// The difference of the means within blocks, each block weighted by its actions; `None` if no
    /// block contains both arms.
    pub fn estimate(&self) -> Option<f64> {
        let (mut sum, mut actions) = (0.0, 0.0);
        for block in self.all() {
            let [Some(a), Some(b)] = block.arms.each_ref().map(|it| mean(it)) else { continue };
            let size = block.actions();
            sum += size * (a - b);
            actions += size;
        }
        (actions > 0.0).then(|| sum / actions)
    }

    /// Whether the first arm is proven to earn more than the second. The probability that this is wrong
    /// at any look is at most `alpha`.
    pub fn is_positive(&self, alpha: f64) -> bool {
        self.may_be_positive(-alpha.ln()) && self.refutes(0.0, alpha)
    }

    /// The interval of the difference. Each end is wrong, at any look, with a probability of at most
    /// `alpha`. The lower end is at least 0 exactly if the difference is proven to be positive.
    pub fn interval(&self, alpha: f64) -> Interval {
        let opposite = self.opposite();
        Interval { low: self.low(alpha), high: -opposite.low(alpha) }
    }

    fn opposite(&self) -> Self {
        let swapped = |block: &Block| {
            let ([a, b], [of_a, of_b]) = (block.arms.clone(), block.inverse);
            Block { arms: [b, a], others: block.others.clone(), inverse: [of_b, of_a] }
        };
        Self {
            blocks: self.blocks.iter().map(swapped).collect(),
            after: self.after.iter().map(swapped).collect(),
            ..*self
        }
    }

    fn low(&self, alpha: f64) -> f64 {
        if self.is_positive(alpha) {
            return last_refuted(0.0, self.highest_mean(), PRECISION, |d| self.refutes(d, alpha));
        }
        let below_zero = self.highest_mean().min(0.0);
        last_refuted(-1.0, below_zero, PRECISION, |d| self.refutes(d, alpha))
    }

    /// No bet wins against this difference, or a larger one.
    fn highest_mean(&self) -> f64 {
        let actions: f64 = self.all().map(Block::actions).sum();
        let mean = |centre: &f64| self.all().map(|it| it.moments(*centre).0).sum::<f64>();
        let trusted = self.pilot.map(|it| it.centre);
        let centres = CENTRES.iter().chain(&trusted);
        let highest = centres.map(mean).fold(f64::NEG_INFINITY, f64::max);
        if actions > 0.0 { (highest / actions).clamp(-1.0, 1.0) } else { 1.0 }
    }

    fn refutes(&self, difference: f64, alpha: f64) -> bool {
        self.log_capital(difference) >= -alpha.ln()
    }

    /// The logarithm of the capital of a gambler who started with 1 and bet that the difference is above
    /// `difference`. It falls as `difference` rises.
    pub fn log_capital(&self, difference: f64) -> f64 {
        let before = self.log_capital_before(difference);
        match self.pilot {
            Some(pilot) => before + self.log_capital_after(pilot, difference),
            None => before,
        }
    }

    /// The same for a difference of 0, or `None` if it is certainly of no use to a proof; see
    /// `may_be_positive`.
    pub fn log_capital_if_enough(&self, enough: f64) -> Option<f64> {
        self.may_be_positive(enough).then(|| self.log_capital(0.0))
    }

    fn log_capital_after(&self, pilot: Pilot, difference: f64) -> f64 {
        let hedged = (1.0 - TRUSTED) / CENTRES.len().to_f64();
        let hedges = CENTRES.iter().map(|centre| (*centre, hedged));
        let mut logs = Vec::with_capacity((1 + CENTRES.len()) * EFFECTS.len());
        for (centre, share) in std::iter::once((pilot.centre, TRUSTED)).chain(hedges) {
            for (effect, part) in EFFECTS {
                let bet = (pilot, effect);
                let of = |it: &Block| it.log_capital_after(&self.limits, bet, centre, difference);
                logs.push((share * part).ln() + self.after.iter().map(of).sum::<f64>());
            }
        }
        log_mean_exp(&logs) + logs.len().to_f64().ln()
    }

    fn log_capital_before(&self, difference: f64) -> f64 {
        if self.blocks.is_empty() {
            return 0.0;
        }
        let mut logs = Vec::with_capacity(CENTRES.len() * BETS);
        for centre in CENTRES {
            let mut bet = LARGEST_BET;
            for _ in 0..BETS {
                let of = |block: &Block| block.log_capital(&self.limits, bet, centre, difference);
                logs.push(self.blocks.iter().map(of).sum());
                bet /= 2.0;
            }
        }
        log_mean_exp(&logs)
    }

    /// `false` if a proof is out of reach. It saves the computation of most capitals: a capital grows to
    /// about sum^2 / (2 sum of squares), and no claim is made that is not tested afterwards.
    fn may_be_positive(&self, enough: f64) -> bool {
        let all = || self.all().flat_map(|it| it.arms.iter().flatten());
        let total: f64 = all().map(|it| it.weight * it.inverse * it.n).sum();
        let earned: f64 = all().map(|it| it.weight * it.inverse * it.n * it.value).sum();
        let moments = self.all().map(|it| it.moments(earned / total));
        let (sum, squares) = moments.fold((0.0, 0.0), |all, it| (all.0 + it.0, all.1 + it.1));
        sum > 0.0 && sum * sum >= enough * squares
    }
}

impl Block {
    fn actions(&self) -> f64 {
        let own: f64 = self.arms.iter().flatten().map(|it| it.weight * it.n).sum();
        own + self.others.iter().map(|(weight, n)| weight * n).sum::<f64>()
    }

    /// The sum of X, and of its squares.
    fn moments(&self, centre: f64) -> (f64, f64) {
        let [a, b] = self.arms.each_ref().map(|cells| {
            cells.iter().fold((0.0, 0.0), |(sum, squares), it| {
                let x = it.weight * it.inverse * (it.value - centre);
                (sum + it.n * x, squares + it.n * x * x)
            })
        });
        (a.0 - b.0, a.1 + b.1)
    }

    /// The logarithm of what one bet made of 1. `bet` is a multiple of difference / variance, so that
    /// the same bet suits blocks with different probabilities.
    fn log_capital(&self, limits: &Limits, bet: f64, centre: f64, difference: f64) -> f64 {
        let [of_a, of_b] = self.inverse;
        let bet = bet / ((of_a + of_b) * limits.declared_weight);
        self.log_capital_of(limits, bet, centre, difference)
    }

    /// The same after a pilot. The best bet on a small difference is the difference / the variance of
    /// X, and `bet` is difference / deviation.
    fn log_capital_after(
        &self,
        limits: &Limits,
        (pilot, bet): (Pilot, f64),
        centre: f64,
        difference: f64,
    ) -> f64 {
        let [of_a, of_b] = self.inverse;
        let bet = bet / ((of_a + of_b) * pilot.deviation);
        self.log_capital_of(limits, bet, centre, difference)
    }

    /// The same for a bet on X itself.
    fn log_capital_of(&self, limits: &Limits, bet: f64, centre: f64, difference: f64) -> f64 {
        let [of_a, of_b] = self.inverse;
        let most = limits.max_weight * f64::max(centre * of_a, (1.0 - centre) * of_b);
        let bet = bet.min(LARGEST_LOSS / most);
        // A bet that one action could ruin is not made.
        if bet * (most + limits.max_weight * difference.max(0.0)) >= 1.0 {
            return f64::NEG_INFINITY;
        }
        let of = |cells: &[Cell], sign: f64| -> f64 {
            let log = |it: &Cell| {
                let x = sign * (it.value - centre) * it.inverse - difference;
                it.n * (bet * it.weight * x).ln_1p()
            };
            cells.iter().map(log).sum()
        };
        let [a, b] = &self.arms;
        let own = of(a, 1.0) + of(b, -1.0);
        if difference == 0.0 {
            return own;
        }
        let rest = self.others.iter().map(|(weight, n)| n * (-bet * weight * difference).ln_1p());
        own + rest.sum::<f64>()
    }
}

fn cells(arm: Drawn<'_>) -> Vec<Cell> {
    let of = |chosen: super::log::Chosen<'_>| {
        let inverse = 1.0 / chosen.propensity;
        let points: Vec<Cell> = chosen
            .rewards
            .points()
            .map(|(weight, value, n)| Cell { weight, inverse, value, n })
            .collect();
        points
    };
    arm.log.chosen(arm.weight).flat_map(of).collect()
}

fn merged(parts: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut all: Vec<(f64, f64)> = parts.collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.dedup_by(|later, kept| {
        let same = kept.0 == later.0;
        if same {
            kept.1 += later.1;
        }
        same
    });
    all
}

fn largest_inverse(arm: Drawn<'_>, least_propensity: f64) -> f64 {
    let observed = arm.log.chosen(arm.weight).map(|it| 1.0 / it.propensity);
    let declared = weight_point_from(1.0 / least_propensity);
    observed.fold((1.0 / arm.weight).max(declared), f64::max)
}

/// The mean over all actions of the block, had each drawn this arm.
fn mean(cells: &[Cell]) -> Option<f64> {
    let total: f64 = cells.iter().map(|it| it.weight * it.inverse * it.n).sum();
    let earned: f64 = cells.iter().map(|it| it.weight * it.inverse * it.n * it.value).sum();
    (total > 0.0).then(|| earned / total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::observation::{Observation, Outcome};

    const LIMITS: Limits = Limits { declared_weight: 1.0, max_weight: 1.0, least_propensity: 1.0 };

    fn add(log: &mut ArmLog, value: f64, propensity: Option<f64>) {
        let observation = Observation { propensity, ..Observation::at(0, Outcome::Success) };
        log.add(&observation, value);
    }

    fn coins(successes: u32, failures: u32) -> ArmLog {
        let mut log = ArmLog::default();
        (0..successes).for_each(|_| add(&mut log, 1.0, None));
        (0..failures).for_each(|_| add(&mut log, 0.0, None));
        log
    }

    /// One block of three arms: weights and logs.
    fn contrast(blocks: &[([f64; 2], [ArmLog; 3])]) -> Contrast {
        let mut contrast = Contrast::new(LIMITS);
        for ([of_a, of_b], [a, b, other]) in blocks {
            let pair = [Drawn { log: a, weight: *of_a }, Drawn { log: b, weight: *of_b }];
            contrast.add(pair, [other].into_iter());
        }
        contrast
    }

    /// An action: the probabilities of `a` and `b`, and the probability of success of `a`, `b` and the
    /// third arm at that moment.
    type Action = ([f64; 2], [f64; 3]);

    /// The expected capital against `difference` over all outcomes of the actions of each block.
    fn expected(blocks: &[&[Action]], difference: f64) -> f64 {
        let mut outcomes = vec![(1.0, Vec::<([f64; 2], [ArmLog; 3])>::new())];
        for block in blocks {
            let weights = block[0].0;
            for (probability, known) in std::mem::take(&mut outcomes) {
                let mut known = known;
                known.push((weights, Default::default()));
                outcomes.push((probability, known));
            }
            for (_, success) in *block {
                let shares = [weights[0], weights[1], 1.0 - weights[0] - weights[1]];
                let mut next = Vec::new();
                for (probability, known) in &outcomes {
                    for arm in 0..3 {
                        for (value, chance) in [(1.0, success[arm]), (0.0, 1.0 - success[arm])] {
                            let chance = probability * shares[arm] * chance;
                            if chance > 0.0 {
                                let mut known = known.clone();
                                add(&mut known.last_mut().unwrap().1[arm], value, None);
                                next.push((chance, known));
                            }
                        }
                    }
                }
                outcomes = next;
            }
        }
        outcomes
            .iter()
            .map(|(chance, it)| chance * contrast(it).log_capital(difference).exp())
            .sum()
    }

    /// Days and nights, and weights that follow them, do not make a gambler rich.
    #[test]
    fn nothing_is_won_on_average_if_equal_arms_swing_with_the_hour_and_the_weights_follow() {
        let (day, night): (Action, Action) = (([0.8, 0.1], [0.95; 3]), ([0.1, 0.8], [0.05; 3]));
        let average = expected(&[&[day, day, day], &[night, night]], 0.0);
        assert!((average - 1.0).abs() < 1e-9, "{average}");
        // The world may change within a block.
        let changing = [([0.6, 0.4], [0.9; 3]), ([0.6, 0.4], [0.1; 3]), ([0.6, 0.4], [0.5; 3])];
        let average = expected(&[&changing, &[([0.05, 0.95], [0.3; 3])]], 0.0);
        assert!((average - 1.0).abs() < 1e-9, "{average}");
    }

    #[test]
    fn nothing_is_won_on_average_against_the_true_difference() {
        let block: [Action; 3] = [
            ([0.5, 0.3], [0.9, 0.7, 0.1]),
            ([0.5, 0.3], [0.4, 0.2, 0.9]),
            ([0.5, 0.3], [0.8, 0.6, 0.5]),
        ];
        let average = expected(&[&block, &[([0.2, 0.2], [0.3, 0.1, 0.5])]], 0.2);
        assert!(average <= 1.0 + 1e-9, "{average}");
        let average = expected(&[&block], -0.1);
        assert!(average > 1.0, "a smaller difference is bet against with a profit: {average}");
    }

    /// What was counted before a pilot and after it.
    fn after_pilot(pilot: Pilot, before: &[ArmLog; 3], after: &[ArmLog; 3]) -> Contrast {
        let mut contrast = Contrast::with_pilot(LIMITS, pilot);
        for (logs, is_after) in [(before, false), (after, true)] {
            let [a, b, other] = logs;
            let drawn = [Drawn { log: a, weight: 0.5 }, Drawn { log: b, weight: 0.4 }];
            match is_after {
                false => contrast.add(drawn, [other].into_iter()),
                true => contrast.add_after_pilot(drawn, [other].into_iter()),
            }
        }
        contrast
    }

    /// Whatever the pilot says, right or wrong.
    #[test]
    fn nothing_is_won_on_average_from_equal_arms_with_bets_that_follow_a_pilot() {
        for (centre, deviation) in [(0.5, 0.5), (0.9, 0.3), (0.99, 0.07), (0.01, 0.5)] {
            let pilot = Pilot { centre, deviation };
            let none = [ArmLog::default(), ArmLog::default(), ArmLog::default()];
            let mut outcomes = vec![(1.0, none.clone())];
            for success in [0.9, 0.2, 0.6] {
                let mut next = Vec::new();
                for (probability, known) in &outcomes {
                    for (arm, share) in [(0, 0.5), (1, 0.4), (2, 0.1)] {
                        for (value, chance) in [(1.0, success), (0.0, 1.0 - success)] {
                            let mut known: [ArmLog; 3] = known.clone();
                            add(&mut known[arm], value, None);
                            next.push((probability * share * chance, known));
                        }
                    }
                }
                outcomes = next;
            }
            let capital = |it: &(f64, [ArmLog; 3])| {
                it.0 * after_pilot(pilot, &none, &it.1).log_capital(0.0).exp()
            };
            let average: f64 = outcomes.iter().map(capital).sum();
            assert!((average - 1.0).abs() < 1e-9, "{centre} {deviation}: {average}");
        }
    }

    #[test]
    fn a_pilot_makes_a_proof_of_fewer_observations() {
        let pilot = Pilot::of([coins(45, 5), coins(43, 7)].iter()).unwrap();
        assert!((pilot.centre - 0.876).abs() < 1e-3, "{pilot:?}");
        assert!((pilot.deviation - 0.327).abs() < 1e-3, "{pilot:?}");
        let first = [coins(45, 5), coins(34, 6), coins(5, 5)];
        let rest = [coins(360, 40), coins(272, 48), coins(40, 40)];
        let both = [coins(405, 45), coins(306, 54), coins(45, 45)];
        let with = after_pilot(pilot, &first, &rest).log_capital(0.0);
        let none = [ArmLog::default(), ArmLog::default(), ArmLog::default()];
        let mut without = Contrast::new(LIMITS);
        let pair = |at: usize, weight: f64| Drawn { log: &both[at], weight };
        without.add([pair(0, 0.5), pair(1, 0.4)], [&both[2]].into_iter());
        assert!(with > without.log_capital(0.0) + 0.5, "{with} {}", without.log_capital(0.0));
        let found = after_pilot(pilot, &none, &both);
        let interval = found.interval(0.05);
        assert!(interval.contains(0.05) && !interval.contains(0.2), "{interval:?}");
    }

    #[test]
    fn a_pilot_needs_forty_observations_and_equal_rewards_have_a_deviation() {
        assert_eq!(Pilot::of([coins(20, 19)].iter()), None);
        let equal = Pilot::of([coins(40, 0)].iter()).unwrap();
        assert!(equal.centre < 1.0 && equal.deviation > 0.05, "{equal:?}");
    }

    #[test]
    fn a_worse_arm_loses_capital_on_average() {
        let block: [Action; 3] = [([0.5, 0.5], [0.4, 0.6, 0.0]); 3];
        assert!(expected(&[&block], 0.0) < 1.0);
    }

    /// Pooled, `a` succeeds in 82% and `b` in 28%, although they are equal at any time.
    #[test]
    fn arms_that_are_used_at_different_times_are_not_compared_across_them() {
        let day = ([0.9, 0.1], [coins(810, 90), coins(90, 10), ArmLog::default()]);
        let night = ([0.1, 0.9], [coins(20, 80), coins(180, 720), ArmLog::default()]);
        let found = contrast(&[day, night]);
        assert!(!found.is_positive(0.05) && !found.opposite().is_positive(0.05));
        assert!(found.estimate().unwrap().abs() < 1e-12);
        assert!(found.interval(0.05).contains(0.0), "{:?}", found.interval(0.05));
    }

    #[test]
    fn a_difference_within_blocks_is_proven_and_lies_in_its_interval() {
        let day = ([0.5, 0.4], [coins(450, 50), coins(320, 80), coins(50, 50)]);
        let night = ([0.4, 0.5], [coins(320, 80), coins(350, 150), coins(50, 50)]);
        let found = contrast(&[day, night]);
        let interval = found.interval(0.01);
        assert!(found.is_positive(0.01) && !found.opposite().is_positive(0.01));
        assert!((found.estimate().unwrap() - 0.1).abs() < 1e-9);
        assert!(
            interval.low > 0.0 && interval.high < 0.2 && interval.contains(0.1),
            "{interval:?}"
        );
    }

    /// A component that draws by its own stated propensities.
    #[test]
    fn stated_propensities_replace_the_weights() {
        let (mut a, mut b) = (ArmLog::default(), ArmLog::default());
        for n in 0..1_000 {
            let hard = n % 2 == 0;
            let value = f64::from(u8::from(n % 10 < if hard { 4 } else { 8 }));
            let (log, propensity) = match (hard, n % 5 == 0) {
                (true, false) | (false, true) => (&mut a, 0.8),
                (true, true) | (false, false) => (&mut b, 0.8),
            };
            add(log, value, Some(propensity));
        }
        let mut found = Contrast::new(Limits { least_propensity: 0.2, ..LIMITS });
        found.add([Drawn { log: &a, weight: 0.5 }, Drawn { log: &b, weight: 0.5 }], [].into_iter());
        assert!(found.blocks[0].inverse.iter().all(|it| *it >= 5.0));
        assert!(found.interval(0.05).low < found.interval(0.05).high);
    }

    fn any_log() -> impl Strategy<Value = Vec<(f64, f64, Option<f64>)>> {
        let propensity = prop::option::of(0.05..=1.0_f64);
        prop::collection::vec((0.0..=1.0_f64, 0.05..=1.0_f64, propensity), 0..12)
    }

    fn log_of(observations: &[(f64, f64, Option<f64>)]) -> ArmLog {
        let mut log = ArmLog::default();
        for (value, sample_rate, propensity) in observations {
            let (sample_rate, propensity) = (*sample_rate, *propensity);
            let usual = Observation::at(0, Outcome::Success);
            log.add(&Observation { sample_rate, propensity, ..usual }, *value);
        }
        log
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn neither_order_nor_grouping_within_a_block_matters(
            a in any_log(), b in any_log(), cut in 0..12_usize, d in -0.5..0.5_f64
        ) {
            let limits = Limits { declared_weight: 20.0, max_weight: 23.0, least_propensity: 0.05 };
            let capital = |a: &ArmLog, b: &ArmLog| {
                let mut contrast = Contrast::new(limits);
                contrast.add([Drawn { log: a, weight: 0.3 }, Drawn { log: b, weight: 0.6 }], [].into_iter());
                contrast.log_capital(d).to_bits()
            };
            let whole = capital(&log_of(&a), &log_of(&b));
            let (reversed, at): (Vec<_>, _) = (a.iter().rev().copied().collect(), cut.min(a.len()));
            prop_assert_eq!(capital(&log_of(&reversed), &log_of(&b)), whole);
            let mut merged = log_of(&a[at..]);
            merged.merge(&log_of(&a[..at]));
            prop_assert_eq!(capital(&merged, &log_of(&b)), whole);
            let mut since = log_of(&a);
            let before = since.clone();
            b.iter().for_each(|it| since.merge(&log_of(&[*it])));
            prop_assert_eq!(since.since(&before), log_of(&b));
        }

        #[test]
        fn the_capital_is_finite_and_falls_as_the_difference_rises(a in any_log(), b in any_log()) {
            let limits = Limits { declared_weight: 20.0, max_weight: 23.0, least_propensity: 0.05 };
            let (a, b) = (log_of(&a), log_of(&b));
            let mut contrast = Contrast::new(limits);
            contrast.add([Drawn { log: &a, weight: 0.3 }, Drawn { log: &b, weight: 0.6 }], [&a].into_iter());
            let mut last = f64::INFINITY;
            for step in -20..=20 {
                let capital = contrast.log_capital(f64::from(step) / 20.0);
                prop_assert!(!capital.is_nan() && capital <= last + 1e-9, "{step}: {capital} {last}");
                last = capital;
            }
        }
    }
}
