//! The notices of a pass: derived from the audit trail, and from what waits compared with what the last
//! pass knew. Pure.

use sha2::{Digest as _, Sha256};

use crate::observability::format;
use crate::observability::metrics::Waiting;
use crate::store::{AUDIT_OVERLAP_MS, AuditRecord, GUARD, NotifyState};
use f0_learning_core::audit::{Action, AuditEntry};
use f0_learning_core::document::{Notice, NoticeKind as Kind};
use f0_learning_core::plural::clause;
use f0_learning_core::time::{HOUR_MS, MINUTE_MS};

/// Entries read in a pass.
pub const AT_ONCE: usize = 200;
/// Quarantined documents are counted up to here.
pub const MAX_COUNTED: usize = 10_000;

/// More observations quarantined within an hour than this make a notice.
const SURGE: u64 = 100;
/// An observation that waits longer for scoring makes a notice.
const STUCK_MS: i64 = 10 * MINUTE_MS;
/// How long a condition is not repeated.
const REPEATED_AFTER_MS: i64 = 6 * HOUR_MS;
/// How often the position in the trail is stored where nothing happens.
const MOVED_EVERY_MS: i64 = 10 * MINUTE_MS;

/// The most characters of a reason, and of a name.
const MAX_REASON: usize = 500;
const MAX_NAME: usize = 200;

fn short(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}

/// The id of the notice of an entry. Others may choose ids as long as Firestore allows.
fn id_of(audit_id: &str) -> String {
    match audit_id.len() {
        ..=MAX_NAME => format!("audit-{audit_id}"),
        _ => format!("audit-{}", hex::encode(Sha256::digest(audit_id))),
    }
}

/// What a pass sees.
pub struct Look<'a> {
    pub waiting: Waiting,
    /// Observations that were quarantined in the last hour.
    pub quarantined: u64,
    /// The entries from [`read_from`] on, the oldest first, and how many documents were read for them.
    pub trail: (Vec<AuditRecord>, usize),
    pub project: &'a str,
    pub now: i64,
}

/// The `ts` from which the trail is read.
pub fn read_from(state: &NotifyState) -> i64 {
    state.cursor - AUDIT_OVERLAP_MS
}

impl Look<'_> {
    /// The next state, and what is new since the last one.
    pub fn compare(&self, before: NotifyState) -> (NotifyState, Vec<Notice>) {
        let mut notices = Vec::new();
        let mut next = before.clone();
        self.follow(&mut next, &mut notices);
        self.kill_switch(&mut next, &mut notices);
        let stuck = (self.waiting.backlog_age_ms > STUCK_MS).then(|| {
            let (n, age) = (self.waiting.backlog, format::duration(self.waiting.backlog_age_ms));
            let wait = clause(n, "observation", "wait");
            format!("scoring does not keep up: {wait}, the oldest for {age}")
        });
        self.condition(Kind::BacklogStuck, stuck, &mut next.backlog_told_at, &mut notices);
        let surge = (self.quarantined > SURGE).then(|| {
            let n = self.quarantined;
            format!("{n} observations were quarantined in the last hour; run `f0-learning observations quarantined`")
        });
        self.condition(Kind::QuarantineSurge, surge, &mut next.quarantine_told_at, &mut notices);
        if notices.is_empty()
            && next.seen == before.seen
            && next.cursor < before.cursor + MOVED_EVERY_MS
        {
            next.cursor = before.cursor;
        }
        (next, notices)
    }

    fn follow(&self, next: &mut NotifyState, notices: &mut Vec<Notice>) {
        let (records, read) = &self.trail;
        // Entries from before notifications were configured make no notice.
        let is_first = next.learning_enabled.is_none();
        let from = if is_first { next.cursor } else { i64::MIN };
        for record in records {
            let is_new = next.seen.insert(record.audit_id.clone(), record.entry.ts).is_none();
            if is_new && record.entry.ts >= from && !self.is_settled(&record.entry) {
                notices.extend(self.notice_of(record));
            }
        }
        let last = records.last().map(|record| record.entry.ts);
        next.cursor = match last {
            // A full page: the next pass reads on from its last entry.
            Some(last) if *read >= AT_ONCE => {
                (last + AUDIT_OVERLAP_MS).max(next.cursor + 1).min(self.now)
            }
            _ => self.now.max(next.cursor),
        };
        let kept_from = next.cursor - AUDIT_OVERLAP_MS;
        next.seen.retain(|_, ts| *ts >= kept_from);
    }

    /// Whether a draft was decided on since it was proposed.
    fn is_settled(&self, proposed: &AuditEntry) -> bool {
        let decides = |entry: &AuditEntry| {
            let decisions = [Action::Activate, Action::Reject, Action::ExperimentStart];
            entry.id == proposed.id
                && entry.ts >= proposed.ts
                && decisions.iter().any(|action| entry.is(*action))
                && (entry.to == proposed.to || entry.from == proposed.to)
        };
        proposed.is(Action::Propose) && self.trail.0.iter().any(|record| decides(&record.entry))
    }

    fn notice_of(&self, record: &AuditRecord) -> Option<Notice> {
        let entry = &record.entry;
        // Others may write entries, of any size.
        let (policy, to) = (short(&entry.id), entry.to.as_deref().map(short));
        let version = to.as_deref().unwrap_or(format::UNKNOWN);
        let why: String =
            entry.reason.iter().flat_map(|why| why.chars()).take(MAX_REASON).collect();
        let (kind, text) = if entry.is(Action::Propose) && !entry.is_renewal() {
            let show = format!("run `f0-learning policies show {policy}@{version}`");
            (Kind::DraftWaiting, format!("{policy}@{version} waits for a decision; {show}"))
        } else if entry.is(Action::ExperimentSuccess) {
            let text = format!("a test of {policy} succeeded and waits for its activation: {why}");
            (Kind::DraftWaiting, text)
        } else if entry.is(Action::Rollback) && entry.actor == GUARD {
            let from = short(entry.from.as_deref().unwrap_or(format::UNKNOWN));
            let text = format!("the guard rolled back {policy}@{from} to {version}: {why}");
            (Kind::RolledBack, text)
        } else {
            return None;
        };
        Some(Notice {
            id: id_of(&record.audit_id),
            kind,
            at: entry.ts,
            project: self.project.to_owned(),
            text,
            policy: Some(policy),
            version: to,
            actor: Some(short(&entry.actor)),
        })
    }

    /// Flags may be changed without an entry in the trail, so that the flags themselves are compared.
    fn kill_switch(&self, next: &mut NotifyState, notices: &mut Vec<Notice>) {
        let enabled = self.waiting.learning_enabled;
        let was = next.learning_enabled.replace(enabled);
        if was.is_none_or(|was| was == enabled) {
            return;
        }
        let actor = self.trail.0.iter().rev().find(|record| record.entry.is(Action::Flags));
        let actor = actor.map(|record| short(&record.entry.actor));
        let by = actor.as_ref().map(|name| format!(" by {name}")).unwrap_or_default();
        let text = match enabled {
            true => format!("tuning was switched on{by}"),
            false => format!("the kill switch was used{by}: tuning is off; scoring continues"),
        };
        notices.push(Notice { actor, ..self.notice(Kind::KillSwitch, text) });
    }

    /// Tells of a condition when it begins to hold, and again while it does.
    fn condition(
        &self,
        kind: Kind,
        text: Option<String>,
        told_at: &mut Option<i64>,
        notices: &mut Vec<Notice>,
    ) {
        let is_recent = told_at.is_some_and(|at| self.now - at < REPEATED_AFTER_MS);
        if let Some(text) = text
            && !is_recent
        {
            *told_at = Some(self.now);
            notices.push(self.notice(kind, text));
        }
    }

    fn notice(&self, kind: Kind, text: String) -> Notice {
        let name: &'static str = kind.into();
        Notice {
            id: format!("{name}-{}", self.now),
            kind,
            at: self.now,
            project: self.project.to_owned(),
            text,
            policy: None,
            version: None,
            actor: None,
        }
    }
}
