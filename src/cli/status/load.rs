//! What `status` reads. Every read is bounded, whatever the project holds: see docs/terminal.md.

use anyhow::Result;
use f0_learning::jobs::guard::{Evaluation, evaluate};
use f0_learning::store::Store;
use f0_learning_core::document::{Experiment, FlagsState, Policy};
use f0_learning_core::experiment::{Kind, Status as Stage};
use f0_learning_core::plural::count;
use serde::{Serialize, Serializer};

use crate::cli::condition::{self, Scoring, Trouble};

/// The most drafts that are listed, each a read.
const MAX_DRAFTS: usize = 20;
/// Quarantine is counted up to here.
const MAX_COUNTED: usize = 1_000;
/// The most tests that are evaluated, each several reads, to see whether their candidates get units.
const MAX_EVALUATED: usize = 5;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub project: String,
    /// Whose database it is.
    pub database: &'static str,
    pub now: i64,
    #[serde(serialize_with = "as_text")]
    pub flags: FlagsState,
    pub scoring: Scoring,
    pub last_pass: Option<i64>,
    pub quarantined: u64,
    pub active: Vec<Active>,
    /// The most urgent first.
    pub waiting: Vec<Waiting>,
    pub has_more_drafts: bool,
    pub watched: Vec<Watched>,
    pub troubles: Vec<Trouble>,
    /// The command to type next.
    pub next: Option<String>,
}

fn as_text<S: Serializer>(flags: &FlagsState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(flags)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Active {
    pub name: String,
    pub since: Option<i64>,
    pub pinned: bool,
}

/// What waits for a decision.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    pub version: String,
    pub what: String,
    pub since: i64,
    pub by: String,
    pub command: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Watched {
    pub id: String,
    pub kind: Kind,
    pub candidate: String,
    pub control: String,
    pub share: f64,
    pub started_at: i64,
    /// Why the test gets no data, if it gets none.
    pub note: Option<String>,
}

impl Status {
    pub async fn read(store: &Store) -> Result<Self> {
        let now = store.now().await?;
        let (flags, active, mut drafts, open, quarantined) = tokio::try_join!(
            store.flags(),
            store.active_policies(),
            store.open_drafts(MAX_DRAFTS + 1),
            store.all_open_experiments(),
            store.quarantine_count(MAX_COUNTED),
        )?;
        let (config, policies, scoring, workers) = tokio::try_join!(
            condition::of_config(store),
            condition::of_policies(store),
            condition::of_scoring(store, now),
            condition::of_workers(store, now),
        )?;
        let (mut troubles, (_, irregular), (last_pass, silent)) = (config, policies, workers);
        troubles.extend(irregular);
        troubles.extend(open.1.iter().map(Trouble::new));
        troubles.extend(scoring.troubles.iter().cloned());
        troubles.extend(silent);
        let has_more_drafts = drafts.len() > MAX_DRAFTS;
        drafts.truncate(MAX_DRAFTS);
        let (asking, running): (Vec<_>, Vec<_>) =
            open.0.into_iter().partition(|it| it.status == Stage::Succeeded);
        // The candidate of a running test is decided by the test.
        drafts.retain(|draft| {
            let is_candidate =
                |it: &Experiment| it.policy == draft.id && it.candidate == draft.version;
            !running.iter().any(is_candidate)
        });
        let waiting: Vec<_> =
            asking.iter().map(of_test).chain(drafts.iter().map(of_draft)).collect();
        let next = troubles.iter().find(|it| it.is_urgent).and_then(|it| it.command.clone());
        let next = next.or_else(|| waiting.first().map(|it| it.command.clone()));
        let next = next.or_else(|| troubles.iter().find_map(|it| it.command.clone()));
        Ok(Self {
            project: store.project().to_owned(),
            database: if store.db().is_local() {
                "a local Firestore"
            } else {
                "Google's Firestore"
            },
            now,
            flags,
            scoring,
            last_pass,
            quarantined,
            active: active.iter().map(Active::of).collect(),
            waiting,
            has_more_drafts,
            watched: watched(store, &running, now).await?,
            troubles,
            next,
        })
    }

    pub fn quarantine(&self) -> String {
        let most = u64::try_from(MAX_COUNTED).unwrap_or(u64::MAX);
        match self.quarantined {
            0 => "empty".to_owned(),
            n if n >= most => {
                format!("{n} observations or more: `f0-learning observations quarantined`")
            }
            n => format!("{}: `f0-learning observations quarantined`", count(n, "observation")),
        }
    }
}

impl Active {
    fn of(policy: &Policy) -> Self {
        let since = policy.activated_at.or(Some(policy.created_at)).filter(|at| *at > 0);
        Self { name: policy.name(), since, pinned: policy.pinned }
    }
}

fn of_draft(draft: &Policy) -> Waiting {
    let gain = draft.expected_gain.map_or_else(
        || "expected gain unknown".to_owned(),
        |gain| format!("expected gain {gain:+.3}"),
    );
    let version = draft.name();
    Waiting {
        what: format!("draft {version}: {gain}"),
        since: draft.created_at,
        by: draft.created_by.clone(),
        command: format!("f0-learning policies activate {version}"),
        version,
    }
}

fn of_test(test: &Experiment) -> Waiting {
    let version = format!("{}@{}", test.policy, test.candidate);
    Waiting {
        what: format!(
            "{version} is proven to be better than {}, and asks to be activated",
            test.control
        ),
        since: test.started_at,
        by: test.started_by.clone(),
        command: format!("f0-learning policies activate {version}"),
        version,
    }
}

async fn watched(store: &Store, running: &[Experiment], now: i64) -> Result<Vec<Watched>> {
    let mut watched = Vec::new();
    let mut evaluated = 0;
    // What hinders the evaluation is among the troubles.
    let rewards = match running.iter().any(|it| it.kind == Kind::Ab) {
        true => store.reward_config().await.ok(),
        false => None,
    };
    for it in running {
        let mut note = None;
        if it.kind == Kind::Ab && evaluated < MAX_EVALUATED {
            evaluated += 1;
            if let Some(rewards) = &rewards
                && let Ok(Evaluation { unserved, .. }) = evaluate(store, it, rewards, now).await
            {
                note = unserved;
            }
        }
        watched.push(Watched {
            id: it.id.clone(),
            kind: it.kind,
            candidate: format!("{}@{}", it.policy, it.candidate),
            control: it.control.to_string(),
            share: it.share,
            started_at: it.started_at,
            note,
        });
    }
    Ok(watched)
}
