//! Special functions with the same bits on every machine: arithmetic and `libm` only.

/// The logarithm of the beta function.
pub(super) fn ln_beta(a: f64, b: f64) -> f64 {
    libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b)
}

/// `ln(exp(a) + exp(b))` without overflow.
pub(super) fn ln_add(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + libm::log1p(libm::exp(low - high)) }
}

/// The probability whose log odds are `x`.
pub(super) fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// Below this, the beta distribution function is computed from its continued fraction; from it on, by
/// an approximation whose error is below 0.001 and falls with the parameters.
const LARGE: f64 = 15.0;

/// The distribution function of Beta(a, b).
pub(super) fn beta_cdf(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        0.0
    } else if x >= 1.0 {
        1.0
    } else if a.min(b) >= LARGE {
        peizer_pratt(a, b, x)
    } else if x < (a + 1.0) / (a + b + 2.0) {
        fraction(a, b, x)
    } else {
        1.0 - fraction(b, a, 1.0 - x)
    }
}

/// The normal approximation of Peizer and Pratt, "A normal approximation for binomial, F, beta, and
/// other common, related tail probabilities", JASA 63 (1968). A beta variable is at most x if a
/// binomial of `a + b - 1` trials with probability x has at least `a` successes.
fn peizer_pratt(a: f64, b: f64, x: f64) -> f64 {
    let (n, y) = (a + b - 1.0, 1.0 - x);
    let (below, above) = (a - 0.5, b - 0.5);
    let off = a - 1.0 / 3.0 - (n + 1.0 / 3.0) * x + 0.02 * (y / a - x / b + (y - 0.5) / (n + 1.0));
    let spread = 1.0 + y * skew(below / (n * x)) + x * skew(above / (n * y));
    let z = off * (spread / ((n + 1.0 / 6.0) * x * y)).sqrt();
    0.5 * libm::erfc(z / std::f64::consts::SQRT_2)
}

fn skew(x: f64) -> f64 {
    let off = 1.0 - x;
    // Near 1 the quotient is 0/0; its series is off / 3 + ...
    if off.abs() < 1e-4 { off / 3.0 } else { (1.0 - x * x + 2.0 * x * libm::log(x)) / (off * off) }
}

/// The continued fraction of the incomplete beta function by the method of Lentz, as modified by
/// Thompson and Barnett, "Coulomb and Bessel functions of complex arguments and order", J. Comput.
/// Phys. 64 (1986).
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let whole = |value: f64| if value.abs() < TINY { TINY } else { value };
    let front = libm::exp(a * libm::log(x) + b * libm::log1p(-x) - ln_beta(a, b)) / a;
    let (mut c, mut d) = (1.0, 1.0 / whole(1.0 - (a + b) * x / (a + 1.0)));
    let mut value = d;
    for index in 1..300_u32 {
        let m = f64::from(index);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / whole(1.0 + even * d);
        c = whole(1.0 + even / c);
        value *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / whole(1.0 + odd * d);
        c = whole(1.0 + odd / c);
        value *= d * c;
        if (d * c - 1.0).abs() < 1e-12 {
            break;
        }
    }
    (front * value).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beta_distribution_function_has_the_known_values() {
        // Beta(a, 1) is x^a, Beta(2, 2) is 3x^2 - 2x^3.
        for x in [0.05, 0.3, 0.5, 0.9] {
            assert!((beta_cdf(3.0, 1.0, x) - x * x * x).abs() < 1e-10);
            assert!((beta_cdf(2.0, 2.0, x) - (3.0 - 2.0 * x) * x * x).abs() < 1e-10);
        }
    }

    #[test]
    fn the_approximation_agrees_with_the_continued_fraction() {
        for (a, b) in [(15.0_f64, 15.0_f64), (40.0, 16.0), (16.0, 300.0), (900.0, 100.0)] {
            let (mean, sd) = (a / (a + b), (a * b / (a + b + 1.0)).sqrt() / (a + b));
            for z in [-4.0, -2.0, -1.0, -0.1, 0.0, 0.5, 1.5, 3.0] {
                let x: f64 = mean + z * sd;
                if x <= 0.0 || x >= 1.0 {
                    continue;
                }
                let exact = match x < (a + 1.0) / (a + b + 2.0) {
                    true => fraction(a, b, x),
                    false => 1.0 - fraction(b, a, 1.0 - x),
                };
                assert!((peizer_pratt(a, b, x) - exact).abs() < 1e-3, "{a} {b} {z}");
            }
        }
    }

    #[test]
    fn logarithms_of_sums_do_not_overflow() {
        assert_eq!(ln_add(f64::NEG_INFINITY, 3.0), 3.0);
        assert!((ln_add(1_000.0, 1_000.0) - 1_000.693_147_180_56).abs() < 1e-9);
        assert!((logistic(0.0) - 0.5).abs() < 1e-15 && logistic(-800.0) < 1e-300);
    }
}
