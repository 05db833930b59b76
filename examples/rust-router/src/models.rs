//! The simulated models. Outcomes depend only on the number of the request, so that runs with the
//! same picks are equal.

use f0_learning_client::Outcome;

/// What a call to a model resulted in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Response {
    pub outcome: Outcome,
    /// `timeout` or `rate_limit` if the call failed.
    pub error: Option<&'static str>,
    pub duration_ms: f64,
    pub cost_usd: f64,
}

/// Calls a model. `gemini` is the fastest, the cheapest and the most reliable.
pub fn call(arm: &str, request: u64) -> Response {
    let (fails_every, duration_ms, cost_usd) = match arm {
        "gpt-5" => (8, 2_100.0, 0.03),
        "gemini" => (100, 600.0, 0.008),
        _ => (25, 1_200.0, 0.015),
    };
    // A multiplication by an odd number spreads consecutive requests.
    let spread = request.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    if spread.is_multiple_of(fails_every) {
        return match spread % 2 {
            0 => Response {
                outcome: Outcome::Timeout,
                error: Some("timeout"),
                duration_ms: 8_000.0,
                cost_usd: 0.0,
            },
            _ => Response {
                outcome: Outcome::Failure,
                error: Some("rate_limit"),
                duration_ms: 50.0,
                cost_usd: 0.0,
            },
        };
    }
    let factor = [0.8, 0.9, 1.0, 1.1, 1.2][usize::try_from(spread % 5).unwrap_or_default()];
    Response { outcome: Outcome::Success, error: None, duration_ms: duration_ms * factor, cost_usd }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_differ_in_how_often_they_fail() {
        let failures = |arm: &str| {
            (0..10_000).filter(|request| call(arm, *request).outcome != Outcome::Success).count()
        };
        let [gpt, claude, gemini] = ["gpt-5", "claude", "gemini"].map(failures);
        assert!(gpt > claude && claude > gemini && gemini > 0, "{gpt} {claude} {gemini}");
    }
}
