//! The acts of the demo. Each waits for what it promises, and says so if that does not happen.

use std::time::Duration;

use anyhow::Result;
use f0_learning::jobs::guard::history::history;
use f0_learning::store::{AuditFilter, ExperimentRequest, GUARD, OverrideParams, TUNER};
use f0_learning_core::audit::Action;
use f0_learning_core::document::{Experiment, FlagChanges, Policy};
use f0_learning_core::experiment::{Comparison, Status};
use f0_learning_core::stats::Window;
use semver::Version;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::platform::DRIFT_SECONDS;
use super::story::{ADMIN, Story, announce, percent, tell as say, weights};
use super::{POLICY, let_publish};
use crate::cli::{format, one_line, output, policies, stats};

/// The arm that gets worse.
const ARM: &str = "gpt-5";

/// A draft that promises less is not worth an act: while the arm still drifts, drafts promise little.
const WORTH_AN_ACT: f64 = 0.03;

/// A test proves a gain of at least `guard.minEffect`; a draft that promises less has little to prove.
const WORTH_A_TEST: f64 = 0.02;

/// How long an act waits for a job, and for a person.
const JOB: Duration = Duration::from_secs(120);
const PERSON: Duration = Duration::from_secs(120);

/// How long the router needs to follow a new version.
const FOLLOW: Duration = Duration::from_secs(4);
/// How long requests are counted before their shares are printed.
const COUNT: Duration = Duration::from_secs(6);

/// Longer than the interval of the tune job.
const A_TUNE_PASS: Duration = Duration::from_secs(15);

/// Tells the story once, and then how the statistics go on.
pub async fn tell(story: Story, stop: CancellationToken) {
    let told = stop.run_until_cancelled(all(&story)).await;
    if let Some(Err(error)) = told {
        complain!("the story ends early: {}", one_line(&error));
    }
}

async fn all(story: &Story) -> Result<()> {
    let began = Instant::now();
    drift(story).await?;
    let Some((before, draft)) = proposal(story).await? else { return Ok(()) };
    let active = activation(story, &before, &draft).await?;
    promise(story, &active).await?;
    bad_override(story).await?;
    experiment(story).await?;
    kill_switch(story).await?;
    say!();
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    output::heading(&format!(
        "The story is over, after {minutes:.1} minutes. The platform goes on."
    ));
    if story.auto {
        let_publish(&story.store).await?;
        say(
            "From here the service publishes versions by itself, within an envelope that demo-admin \
             approved: `f0-learning policies envelope show router-core`.",
        );
    }
    say("Every change of the audit trail is printed. Press Ctrl-C to stop.");
    Ok(())
}

async fn drift(story: &Story) -> Result<()> {
    announce(
        1,
        "an arm drifts",
        "A router sends 100 requests a second to three models. In the first seconds gpt-5 gets slower, \
         dearer, and fails more often. Each request is an observation, and is scored.",
    );
    tokio::time::sleep(Duration::from_secs_f64(DRIFT_SECONDS) + COUNT).await;
    let mut all = story.store.all_stats(None).await?;
    all.retain(|it| it.window == Window::OneHour);
    output::print(&stats::table(&all, story.store.now().await?));
    Ok(())
}

/// The active version and a draft that replaces it.
async fn proposal(story: &Story) -> Result<Option<(Policy, Policy)>> {
    announce(
        2,
        "the service proposes a better version",
        "Every ten seconds the tune job compares what the arms earn. It drafts a version, with its \
         reason, and activates nothing.",
    );
    let Some(draft) = story.wait(JOB, || story.draft(WORTH_AN_ACT)).await? else {
        say(
            "No draft that promises enough came within two minutes: the machine is too slow for the demo.",
        );
        return Ok(None);
    };
    let before = story.active().await?;
    say(&format!("{} proposes {}: {}", draft.created_by, draft.name(), weights(&draft)));
    say(&format!("The active {} has: {}", before.name(), weights(&before)));
    if let Some(reason) = draft.notes.as_deref().and_then(|notes| notes.lines().next()) {
        say(&format!("Its reason: {reason}"));
    }
    say_lines!("{}", policies::describe_evidence(&draft, story.store.now().await?));
    Ok(Some((before, draft)))
}

/// The version that replaced the active one.
async fn activation(story: &Story, before: &Policy, draft: &Policy) -> Result<Policy> {
    let name = draft.name();
    announce(
        3,
        "a person decides, and the router follows",
        "A draft changes nothing until a person or the service activates it.",
    );
    story.routed.reset();
    tokio::time::sleep(COUNT).await;
    let share_before = story.routed.share(ARM);
    let is_decided = || async {
        let active = story.active().await?;
        Ok((active.version != before.version).then_some(active))
    };
    let mut decided = None;
    if !story.auto {
        say(&format!("Activate it: f0-learning policies activate {name}"));
        say(&format!("or on the page: http://{}/policies/{POLICY}", story.page));
        say("The demo waits for you for two minutes, and then decides itself.");
        decided = story.wait(PERSON, is_decided).await?;
    }
    let active = match decided {
        Some(active) => active,
        None => {
            activate(story, draft).await?;
            story.active().await?
        }
    };
    tokio::time::sleep(FOLLOW).await;
    story.routed.reset();
    tokio::time::sleep(COUNT).await;
    let (from, to) = (percent(share_before), percent(story.routed.share(ARM)));
    say(&format!("{} is active. Requests to {ARM}: {from} → {to}.", active.name()));
    Ok(active)
}

/// Activates a draft, which its renewal may replace at the same moment.
async fn activate(story: &Story, draft: &Policy) -> Result<()> {
    let key = f0_learning_core::policy::PolicyKey::new(POLICY, draft.version.clone())?;
    let intent = story.intent("the demo's admin read its evidence").await?;
    let changed = story.store.activate(&key, true, &intent).await?;
    say(&format!("{ADMIN} activates {} (audit entry {}).", draft.name(), changed.audit_id));
    Ok(())
}

async fn promise(story: &Story, active: &Policy) -> Result<()> {
    announce(
        4,
        "the promise and the outcome",
        "The guard watches the new version, and compares what it earns with what was promised.",
    );
    let record = story
        .wait(JOB, || async {
            let all = history(&story.store, POLICY, story.store.now().await?).await?;
            let record = all.into_iter().find(|it| it.version == active.version);
            Ok(record.filter(|it| it.settled && it.verdict.is_some()))
        })
        .await?;
    let Some((record, verdict)) = record.and_then(|it| Some((it.clone(), it.verdict?))) else {
        say(
            "The effect is not known within two minutes: `f0-learning policies history router-core` shows it later.",
        );
        return Ok(());
    };
    let promised =
        record.promised.map_or("nothing".to_owned(), |it| format!("{:+.3}", it.expected));
    let measured = verdict.comparison.change_of_reward();
    let measured = measured.map_or(format::UNKNOWN.to_owned(), |it| format::difference(it, 3));
    let kept = verdict.promise.map_or(format::UNKNOWN, |it| it.kept.as_str());
    say(&format!(
        "{} promised {promised} in mean reward; measured: {measured}. Effect: {}; promise: {kept}.",
        active.name(),
        verdict.effect.as_str()
    ));
    Ok(())
}

async fn bad_override(story: &Story) -> Result<()> {
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
    let entry = outcome.await?.entry;
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
        say(
            "The guard has not proven it worse within two minutes; roll it back: f0-learning policies rollback router-core",
        );
        return Ok(());
    };
    let filter = AuditFilter {
        action: Some(Action::Rollback.to_string()),
        actor: Some(GUARD.to_owned()),
        ..AuditFilter::default()
    };
    let entry = story.store.audit(&filter, 1).await?.pop().map(|it| it.entry);
    let why = entry.and_then(|it| it.reason).unwrap_or_default();
    say(&format!(
        "The guard rolled {version} back after {} s, and {} is active again. Its evidence: {why}",
        began.elapsed().as_secs(),
        active.name()
    ));
    Ok(())
}

async fn experiment(story: &Story) -> Result<()> {
    announce(
        6,
        "an experiment runs to its verdict",
        "The next draft is tested first: 10% of the users get it, then 25%, then 50%. The router chooses \
         the version of each user, and names it in every observation.",
    );
    let Some(draft) = story.wait(JOB, || story.draft(WORTH_A_TEST)).await? else {
        say("No draft came within two minutes: the active version is as good as what is known.");
        return Ok(());
    };
    let key = f0_learning_core::policy::PolicyKey::new(POLICY, draft.version.clone())?;
    let intent = story.intent("is it better for our users?").await?;
    let started =
        story.store.start_experiment(&key, &ExperimentRequest::default(), &intent).await?;
    let id = started.entry.experiment.unwrap_or_default();
    say(&format!("{ADMIN} starts a test of {}: {}", draft.name(), weights(&draft)));
    say(&format!("Look at it: f0-learning experiments show {id}"));
    let Some(ended) = follow(story, &id, &draft.version).await? else {
        say("The test has no verdict after four minutes, and continues.");
        return Ok(());
    };
    let verdict = ended.comparison.as_ref().map_or_else(String::new, measured);
    let reason = ended.reason.map_or_else(String::new, |why| format!(" ({why})"));
    say(&format!("Verdict: {}{reason}. {verdict}", ended.status.as_str()));
    if ended.status == Status::Succeeded {
        activate(story, &draft).await?;
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

async fn kill_switch(story: &Story) -> Result<()> {
    announce(
        7,
        "the kill switch",
        "learning.enabled=false stops all proposals and activations of the service. Scoring goes on.",
    );
    let enabled = |enabled| FlagChanges { enabled: Some(enabled), ..FlagChanges::default() };
    let store = &story.store;
    store.set_flags(enabled(false), &story.intent("the demo shows the kill switch").await?).await?;
    say("The command of an admin: f0-learning flags set learning.enabled=false");
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
        "In {} seconds the tuner made {proposals} changes, and {scored} observations were scored.",
        A_TUNE_PASS.as_secs()
    ));
    store.set_flags(enabled(true), &story.intent("the demo goes on").await?).await?;
    say("Learning is on again.");
    Ok(())
}
