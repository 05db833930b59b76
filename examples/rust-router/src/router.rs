//! What a router does for each request: choose the version of the policy, draw an arm, call it, fall
//! back if the policy says so, and record what happened.

use f0_learning_client::{ActivePolicy, NewObservation, Params, RecordError, Recorder, choose};

use crate::models::{Response, call};
use crate::tally::Tally;

pub struct Router<'a> {
    policy: &'a ActivePolicy,
    recorder: &'a Recorder,
    tally: Tally,
}

impl<'a> Router<'a> {
    pub fn new(policy: &'a ActivePolicy, recorder: &'a Recorder) -> Self {
        Self { policy, recorder, tally: Tally::default() }
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Serves one request. Its unit is a user, of whom each has ten requests: an experiment gives a
    /// user always the same version.
    pub async fn serve(&mut self, request: u64) -> Result<(), Box<dyn std::error::Error>> {
        let unit = format!("user-{}", request / 10);
        let Some(active) = self.policy.current() else {
            return Err("cannot serve: router-core has no active version; run `seed`".into());
        };
        let choice = choose(&active, &unit);
        let Some(arm) = choice.draw_random() else {
            let name = choice.policy_version;
            return Err(format!("cannot serve: {name} has no valid modelWeights").into());
        };
        let response = call(&arm.name, request);
        let observation = observation(&arm.name, response).under(&choice);
        self.recorder.record(observation).await?;
        self.tally.add(&choice.policy_version, &arm.name);

        if let Some(error) = response.error
            && falls_back_on(choice.params, error)
            && let Some(other) = fallback(choice.params, &arm.name)
        {
            self.fall_back(&other, request).await?;
        }
        Ok(())
    }

    /// A fallback was not drawn, so it is recorded without the version of the policy: the service
    /// must not compare it with arms that were.
    async fn fall_back(&mut self, arm: &str, request: u64) -> Result<(), RecordError> {
        // Another number, so that the fallback does not fail for the same reason.
        let response = call(arm, request + 1);
        self.recorder.record(observation(arm, response)).await?;
        self.tally.add("fallback", arm);
        Ok(())
    }
}

fn observation(arm: &str, response: Response) -> NewObservation {
    NewObservation {
        cost_usd: Some(response.cost_usd),
        error_code: response.error.map(str::to_owned),
        ..NewObservation::new(format!("router:{arm}"), response.outcome, response.duration_ms)
    }
}

/// Whether `params.fallbackOn` lists the error.
fn falls_back_on(params: &Params, error: &str) -> bool {
    let listed = params.0.get("fallbackOn").and_then(|listed| listed.as_array());
    listed.is_some_and(|listed| listed.iter().any(|listed| listed == error))
}

/// The arm with the highest weight but `failed`.
fn fallback(params: &Params, failed: &str) -> Option<String> {
    let weights = params.model_weights().ok()??;
    let others = weights.into_iter().filter(|(arm, weight)| arm != failed && *weight > 0.0);
    others.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(arm, _)| arm)
}
