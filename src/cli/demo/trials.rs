//! The acts of the demo that try the service: a bad override, a test of a draft, and the kill switch. The
//! person who watches may decide by hand at any moment, and the story says what happened.

use std::time::Duration;

use anyhow::Result;
use f0_learning::store::{
    AuditFilter, ChangeError, ExperimentRequest, GUARD, OverrideParams, TUNER,
};
use f0_learning_core::audit::Action;
use f0_learning_core::document::{Experiment, FlagChanges, Policy};
use f0_learning_core::experiment::{Comparison, Status};
use f0_learning_core::plural::{count, were};
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::stats::Window;
use semver::Version;
use serde_json::json;
use tokio::time::Instant;

use super::POLICY;
use super::story::{ADMIN, ARM, FOLLOW, JOB, Story, announce, by, tell as say, weights};
use crate::cli::format;

/// A test proves a gain of at least `guard.minEffect`; a draft that promises less has little to prove.
const WORTH_A_TEST: f64 = 0.02;

/// Longer than the interval of the tune job.
const A_TUNE_PASS: Duration = Duration::from_secs(15);

pub async fn bad_override(story: &Story) -> Result<()> {
    announce(
        5,
        "a bad override is rolled back",
        "A person may override the service. This one sends 90% of the requests to the worst model.",
    );
    let before = story.active().await?;
    let wrong = json!({ ARM: 0.9, "gemini": 0.05, "claude": 0.05 });
    let params = OverrideParams::Set(vec![("modelWeights".to_owned(), wrong)]);
    let intent = story.intent("an admin believes that gpt-5 is the best").await?;
    let outcome = story.store.override_policy(POLICY, &params, Some(&before.version), &intent);
    let entry = match outcome.await {
        Ok(changed) => changed.entry,
        Err(ChangeError::Store(error)) => return Err(error.into()),
        Err(refused) => {
            say(&format!("{ADMIN} overrides nothing: {refused}."));
            return Ok(());
        }
    };
    let began = Instant::now();
    let version = entry.to.unwrap_or_default();
    say(&format!("{ADMIN} overrides {POLICY}: {version} is active."));
    let back = story
        .wait(JOB, || async {
            let active = story.active().await?;
            Ok((active.version.to_string() != version).then_some(active))
        })
        .await?;
    let Some(active) = back else {
        let why = story.why_nothing_is_tuned().await?;
        let why = why.unwrap_or_else(|| "it has not proven it worse".to_owned());
        say(&format!(
            "The guard did not roll it back within two minutes: {why}. Roll it back: f0-learning policies \
             rollback {POLICY}"
        ));
        return Ok(());
    };
    told_back(story, &version, &active, began.elapsed()).await
}

/// Who ended the bad override, and why.
async fn told_back(story: &Story, version: &str, active: &Policy, after: Duration) -> Result<()> {
    let filter = AuditFilter {
        action: Some(Action::Rollback.to_string()),
        actor: Some(GUARD.to_owned()),
        ..AuditFilter::of(POLICY)
    };
    let entry = story.store.audit(&filter, 1).await?.pop().map(|it| it.entry);
    let Some(entry) = entry.filter(|it| it.from.as_deref() == Some(version)) else {
        say(&format!(
            "{} made {} active after {} s, before the guard had proven {version} worse.",
            by(active),
            active.name(),
            after.as_secs()
        ));
        return Ok(());
    };
    say(&format!(
        "The guard rolled {version} back after {} s, and {} is active again. Its evidence: {}",
        after.as_secs(),
        active.name(),
        entry.reason.unwrap_or_default()
    ));
    Ok(())
}

pub async fn experiment(story: &Story) -> Result<()> {
    announce(
        6,
        "an experiment runs to its verdict",
        "The next draft is tested first: 10% of the users get it, then 25%, then 50%. The router chooses \
         the version of each user, and names it in every observation.",
    );
    let Some(draft) = story.wait(JOB, || story.draft(WORTH_A_TEST)).await? else {
        let why = story.why_nothing_is_tuned().await?;
        let why =
            why.unwrap_or_else(|| "the active version is as good as what is known".to_owned());
        say(&format!("No draft came within two minutes: {why}."));
        return Ok(());
    };
    let key = PolicyKey::new(POLICY, draft.version.clone())?;
    let intent = story.intent("is it better for our users?").await?;
    let request = ExperimentRequest::default();
    let started = match story.store.start_experiment(&key, &request, &intent).await {
        Ok(started) => started,
        Err(ChangeError::Store(error)) => return Err(error.into()),
        Err(refused) => {
            say(&format!("{ADMIN} starts no test of {}: {refused}.", draft.name()));
            return Ok(());
        }
    };
    let id = started.entry.experiment.unwrap_or_default();
    say(&format!("{ADMIN} starts a test of {}: {}", draft.name(), weights(&draft)));
    say(&format!("Look at it: f0-learning experiments show {id}"));
    let Some(ended) = follow(story, &id, &draft.version).await? else {
        say("The test has no verdict after four minutes, and continues.");
        return Ok(());
    };
    let verdict = ended.comparison.as_ref().map_or_else(String::new, measured);
    let reason = ended.reason.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    if matches!(ended.status, Status::Stopped | Status::Superseded) {
        let who = ended.ended_by.as_deref().unwrap_or(format::UNKNOWN);
        say(&format!("{who} ended the test before its verdict{reason}. {verdict}"));
        return Ok(());
    }
    say(&format!("Verdict: {}{reason}. {verdict}", ended.status.as_str()));
    if ended.status == Status::Succeeded {
        story.activate(&draft).await?;
    }
    Ok(())
}

/// The rewards of both versions.
fn measured(comparison: &Comparison) -> String {
    let Some(reward) = comparison.reward else { return String::new() };
    format!(
        "Mean reward {} → {}, a change of {}.",
        format::measured(reward.control, 3),
        format::measured(reward.candidate, 3),
        format::difference(reward.change, 3)
    )
}

/// Tells each stage of a test, and returns the test when it is decided.
async fn follow(story: &Story, id: &str, candidate: &Version) -> Result<Option<Experiment>> {
    let began = Instant::now();
    let mut share = 0.0;
    let mut is_warned = false;
    while began.elapsed() < 2 * JOB {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let Some(found) = story.store.experiment(id).await? else { continue };
        if found.status != Status::Running {
            return Ok(Some(found));
        }
        if found.share > share {
            share = found.share;
            say(&format!("{:.0}% of the users get {candidate}.", share * 100.0));
            story.routed.reset();
            tokio::time::sleep(FOLLOW).await;
        }
        // The router is part of this process, so that it is known at once whether units get it.
        if !is_warned && story.routed.share_of_version(candidate) == Some(0.0) {
            is_warned = true;
            complain!(
                "warning: no unit gets {candidate}: the router chooses without the candidate"
            );
        }
    }
    Ok(None)
}

pub async fn kill_switch(story: &Story) -> Result<()> {
    announce(
        7,
        "the kill switch",
        "learning.enabled=false stops all proposals and activations of the service. Scoring goes on.",
    );
    let enabled = |enabled| FlagChanges { enabled: Some(enabled), ..FlagChanges::default() };
    let store = &story.store;
    let intent = story.intent("the demo shows the kill switch").await?;
    let is_ours = store.set_flags(enabled(false), &intent).await?.is_some();
    match is_ours {
        true => say("The command of an admin: f0-learning flags set learning.enabled=false"),
        false => say("Learning is already off."),
    }
    let since = store.now().await?;
    let counted = || async {
        let all = store.all_stats(None).await?;
        let hours = all.iter().filter(|it| it.window == Window::OneHour);
        anyhow::Ok(hours.map(|it| it.stats.n).sum::<u64>())
    };
    let before = counted().await?;
    tokio::time::sleep(A_TUNE_PASS).await;
    let filter =
        AuditFilter { actor: Some(TUNER.to_owned()), since: Some(since), ..AuditFilter::default() };
    let proposals = store.audit(&filter, 10).await?.len();
    let scored = counted().await?.saturating_sub(before);
    say(&format!(
        "In {} seconds the tuner made {}, and {} {} scored.",
        A_TUNE_PASS.as_secs(),
        count(proposals, "change"),
        count(scored, "observation"),
        were(scored)
    ));
    if !is_ours {
        say("The demo leaves it off: f0-learning flags set learning.enabled=true switches it on.");
        return Ok(());
    }
    store.set_flags(enabled(true), &story.intent("the demo goes on").await?).await?;
    say("Learning is on again.");
    Ok(())
}
