//! The acts of the demo up to what a draft promised and did. Each waits for what it announces, and says so
//! if that does not happen: the person who watches may decide by hand at any moment.

use std::time::Duration;

use anyhow::Result;
use f0_learning::jobs::guard::history::{ActivationRecord, history};
use f0_learning_core::document::Policy;
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::stats::Window;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::platform::DRIFT_SECONDS;
use super::story::{ARM, FOLLOW, JOB, Story, announce, by, percent, tell as say, weights};
use super::trials::{bad_override, experiment, kill_switch};
use super::{POLICY, let_publish};
use crate::cli::{format, one_line, output, policies, stats};

/// A draft that promises less is not worth an act: while the arm still drifts, drafts promise little.
const WORTH_AN_ACT: f64 = 0.03;

/// How long an act waits for a person.
const PERSON: Duration = Duration::from_secs(120);

/// How long requests are counted before their shares are printed.
const COUNT: Duration = Duration::from_secs(6);

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
    match activation(story, &before, &draft).await? {
        Some(active) => promise(story, &active).await?,
        None => {
            say(
                "The fourth act is left out: it compares what an activated draft promised and did.",
            );
        }
    }
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
        let why = story.why_nothing_is_tuned().await?;
        let why = why.unwrap_or_else(|| "the machine is too slow for the demo".to_owned());
        say(&format!("No draft that promises enough came within two minutes: {why}."));
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

/// What became of a draft that waits for a person.
enum Answer {
    /// It, or another version, became active.
    Active(Box<Policy>),
    /// The draft is not open any more, and the active version stays.
    Closed(Box<Policy>),
}

/// The version that replaced the active one; `None` if none did.
async fn activation(story: &Story, before: &Policy, draft: &Policy) -> Result<Option<Policy>> {
    let name = draft.name();
    announce(
        3,
        "a person decides, and the router follows",
        "A draft changes nothing until a person or the service activates it.",
    );
    story.routed.reset();
    tokio::time::sleep(COUNT).await;
    let share_before = story.routed.share(ARM);
    if !story.auto {
        say(&format!("Activate it: f0-learning policies activate {name}"));
        say(&format!("or on the page: http://{}/policies/{POLICY}", story.page));
        say("The demo waits for you for two minutes, and then decides itself.");
    }
    let patience = if story.auto { Duration::from_millis(1) } else { PERSON };
    let mut answer = story.wait(patience, || answer(story, before, draft)).await?;
    if answer.is_none() {
        story.activate(draft).await?;
        answer = self::answer(story, before, draft).await?;
    }
    let active = match answer {
        Some(Answer::Active(active)) => *active,
        Some(Answer::Closed(draft)) => {
            let what = closed(&draft);
            say(&format!("{name} {what}. {} stays active, and the router goes on.", before.name()));
            return Ok(None);
        }
        None => return Ok(None),
    };
    if active.version != draft.version {
        say(&format!("{} made another version active than {name}.", by(&active)));
    }
    tokio::time::sleep(FOLLOW).await;
    story.routed.reset();
    tokio::time::sleep(COUNT).await;
    let (from, to) = (percent(share_before), percent(story.routed.share(ARM)));
    say(&format!("{} is active. Requests to {ARM}: {from} → {to}.", active.name()));
    Ok(Some(active))
}

async fn answer(story: &Story, before: &Policy, draft: &Policy) -> Result<Option<Answer>> {
    let active = story.active().await?;
    if active.version != before.version {
        return Ok(Some(Answer::Active(Box::new(active))));
    }
    let draft = story.version(&draft.version).await?;
    let is_open = draft.status == PolicyStatus::Draft;
    Ok((!is_open).then(|| Answer::Closed(Box::new(draft))))
}

/// What happened to a draft that is not open any more.
fn closed(draft: &Policy) -> String {
    match (&draft.superseded_by, &draft.rejected_by) {
        (Some(newer), _) => format!("was superseded by {newer}"),
        (None, Some(by)) => format!("was rejected by {by}"),
        (None, None) => format!("is {} now", draft.status),
    }
}

/// What is known of the promise of an active version.
enum Outcome {
    Known(Box<ActivationRecord>),
    /// Another version became active before.
    Replaced(Box<Policy>),
}

async fn promise(story: &Story, active: &Policy) -> Result<()> {
    announce(
        4,
        "the promise and the outcome",
        "The guard watches the new version, and compares what it earns with what was promised.",
    );
    let outcome = story
        .wait(JOB, || async {
            let all = history(&story.store, POLICY, story.store.now().await?).await?;
            let record = all.into_iter().find(|it| it.version == active.version);
            if let Some(record) = record.filter(|it| it.settled) {
                return Ok(Some(Outcome::Known(Box::new(record))));
            }
            let now = story.active().await?;
            let is_replaced = now.version != active.version;
            Ok(is_replaced.then(|| Outcome::Replaced(Box::new(now))))
        })
        .await?;
    let (record, verdict) = match outcome {
        Some(Outcome::Known(mut record)) => match record.verdict.take() {
            Some(verdict) => (record, verdict),
            None => return Ok(()),
        },
        Some(Outcome::Replaced(now)) => {
            say(&format!(
                "{} made {} active before the effect of {} was known: its promise stays unanswered.",
                by(&now),
                now.name(),
                active.version
            ));
            return Ok(());
        }
        None => {
            say(
                "The effect is not known within two minutes: `f0-learning policies history router-core` shows it later.",
            );
            return Ok(());
        }
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
