//! The rule of Netflix's Kayenta for a metric: a Mann-Whitney test at 98% (its `NetflixACA` judge),
//! applied to all observations so far.

/// The count of each possible reward, sorted by reward.
pub type Counts = Vec<u64>;

/// The two-sided quantile of the normal distribution for 98%.
const Z: f64 = 2.326_347_874;

/// Whether the test calls the two samples different; normal approximation with ties.
pub fn calls_different(a: &Counts, b: &Counts) -> bool {
    let (n, m): (u64, u64) = (a.iter().sum(), b.iter().sum());
    if n < 2 || m < 2 {
        return false;
    }
    let (n, m) = (n as f64, m as f64);
    let (mut below, mut rank_sum, mut ties) = (0.0, 0.0, 0.0);
    for (in_a, in_b) in a.iter().zip(b) {
        let (in_a, together) = (*in_a as f64, (in_a + in_b) as f64);
        rank_sum += in_a * (below + (together + 1.0) / 2.0);
        below += together;
        ties += together * together * together - together;
    }
    let u = rank_sum - n * (n + 1.0) / 2.0;
    let all = n + m;
    let variance = n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    variance > 0.0 && (u - n * m / 2.0).abs() / variance.sqrt() > Z
}
