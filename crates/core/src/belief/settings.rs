//! The constants of the rule, with what they mean.

/// See the fields. Rates are per hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The exponent on the probability of being the best: 1 is Thompson's rule, more explores less.
    pub sharpness: f64,
    /// The pseudo-observations behind the prior of each segment.
    pub prior_size: f64,
    /// The prior rate of changes of who leads, per arm-hour ...
    pub hazard: f64,
    /// ... worth this many arm-hours of experience.
    pub hazard_hours: f64,
    /// Observations needed on each side of a change.
    pub cut_min: f64,
    /// The leader also counts as lost if it falls below the mean of another arm plus this many of the
    /// standard deviations of what is believed of that arm.
    pub reach: f64,
    /// The prior probability that another arm changed together with the lost leader ...
    pub together: f64,
    /// ... worth this many settled suspicions.
    pub together_size: f64,
    /// A suspicion below this probability is dropped ...
    pub drop_below: f64,
    /// ... and one above this probability becomes a change.
    pub accept_above: f64,
    /// The prior odds, per bucket, that a trailing arm has risen above the leader.
    pub rise_odds: f64,
    /// A rise that is less probable has no effect.
    pub rise_min: f64,
    /// How far back a rise is looked for, in hours.
    pub rise_hours: f64,
    /// The observations needed after a rise.
    pub rise_after: f64,
    /// The window of the common hourly effect, in hours ...
    pub common_hours: f64,
    /// ... with at least this many buckets.
    pub common_buckets: usize,
    /// The standard errors that are taken off its variance.
    pub common_errors: f64,
    /// The window in which movements that arms share are looked for, in hours ...
    pub shared_hours: f64,
    /// ... and the standard errors that are taken off their variance.
    pub shared_errors: f64,
    /// The prior odds that the mean of an arm has a steady trend ...
    pub trend_odds: f64,
    /// ... with a slope of this standard deviation, reward an hour ...
    pub trend_scale: f64,
    /// ... in a segment of at least this many hours.
    pub trend_hours: f64,
    /// A version is published if the mean reward is expected to rise by this ...
    pub min_gain: f64,
    /// ... or if the weight of an arm rises by this, which is worth its observations. Both grow with
    /// the number of recent versions.
    pub min_rise: f64,
    /// The same of an arm whose weight would be several times as large: at its current weight it would
    /// take long to learn that it is good.
    pub min_starved: f64,
    /// The same of an arm that may have risen above the leader: a few more observations settle it.
    pub min_riser: f64,
    /// After how many hours a version counts half as recent.
    pub patience_hours: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sharpness: 1.35,
            prior_size: 2.0,
            hazard: 1e-4,
            hazard_hours: 1e4,
            cut_min: 20.0,
            reach: 0.7,
            together: 0.3,
            together_size: 10.0,
            drop_below: 0.02,
            accept_above: 0.98,
            rise_odds: 5e-4,
            rise_min: 0.02,
            rise_hours: 168.0,
            rise_after: 5.0,
            common_hours: 72.0,
            common_buckets: 12,
            common_errors: 2.0,
            shared_hours: 168.0,
            shared_errors: 1.0,
            trend_odds: 0.05,
            trend_scale: 0.001,
            trend_hours: 48.0,
            min_gain: 5e-5,
            min_rise: 0.12,
            min_starved: 0.12,
            min_riser: 0.02,
            patience_hours: 48.0,
        }
    }
}
