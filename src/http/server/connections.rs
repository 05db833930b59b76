//! The connections that are open, and which of them gives way to a new one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::Limits;

#[derive(Debug)]
pub struct Connections {
    limits: Limits,
    open: Mutex<BTreeMap<u64, Arc<Activity>>>,
    /// Counts what happens, so that idle connections can be ordered.
    events: Arc<AtomicU64>,
}

/// What a connection may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    Ordinary,
    /// One of those that are kept for probes.
    Reserve,
}

/// What a connection is doing.
#[derive(Debug)]
pub struct Activity {
    seat: Seat,
    /// Requests that have no response yet; 0 or 1 in HTTP/1.
    requests: AtomicUsize,
    /// Requests whose head has arrived.
    heads: AtomicU64,
    /// Whether a part of a response waits for the client to read.
    writing: AtomicBool,
    /// The event at which it became idle.
    idle_since: AtomicU64,
    events: Arc<AtomicU64>,
    close: CancellationToken,
}

/// An open connection; dropping it frees its place.
#[derive(Debug)]
pub struct Opened {
    id: u64,
    activity: Arc<Activity>,
    connections: Arc<Connections>,
}

/// A request that has no response yet.
pub struct InFlight<'a>(&'a Activity);

impl Connections {
    pub fn new(limits: Limits) -> Self {
        Self { limits, open: Mutex::default(), events: Arc::default() }
    }

    /// Takes a place, of the connection that has been idle for longest if there is no other. `None`
    /// if all are busy.
    pub fn open(self: &Arc<Self>) -> Option<Opened> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Limits { connections, reserve, .. } = self.limits;
        if open.len() >= connections {
            let idle = open.iter().filter(|(_, it)| it.is_idle());
            let first = idle.min_by_key(|(_, it)| it.idle_since.load(Ordering::Relaxed));
            if let Some(id) = first.map(|(id, _)| *id)
                && let Some(activity) = open.remove(&id)
            {
                activity.close.cancel();
            }
        }
        let seat = match open.len() {
            taken if taken < connections => Seat::Ordinary,
            taken if taken < connections.saturating_add(reserve) => Seat::Reserve,
            _ => return None,
        };
        let id = self.events.fetch_add(1, Ordering::Relaxed);
        let activity = Arc::new(Activity {
            seat,
            requests: AtomicUsize::new(0),
            heads: AtomicU64::new(0),
            writing: AtomicBool::new(false),
            idle_since: AtomicU64::new(id),
            events: self.events.clone(),
            close: CancellationToken::new(),
        });
        open.insert(id, activity.clone());
        Some(Opened { id, activity, connections: self.clone() })
    }
}

impl Activity {
    pub fn seat(&self) -> Seat {
        self.seat
    }

    /// The head of a request has arrived. The request lasts until the value is dropped.
    pub fn request(&self) -> InFlight<'_> {
        self.requests.fetch_add(1, Ordering::AcqRel);
        self.heads.fetch_add(1, Ordering::AcqRel);
        InFlight(self)
    }

    /// How many heads of requests have arrived.
    pub fn heads(&self) -> u64 {
        self.heads.load(Ordering::Acquire)
    }

    pub fn is_in_flight(&self) -> bool {
        self.requests.load(Ordering::Acquire) > 0
    }

    pub fn set_writing(&self, writing: bool) {
        self.writing.store(writing, Ordering::Release);
    }

    /// Completes when the connection must give way.
    pub async fn closed(&self) {
        self.close.cancelled().await;
    }

    fn is_idle(&self) -> bool {
        !self.is_in_flight() && !self.writing.load(Ordering::Acquire)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let now = self.0.events.fetch_add(1, Ordering::Relaxed);
        self.0.idle_since.store(now, Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Opened {
    pub fn activity(&self) -> Arc<Activity> {
        self.activity.clone()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_and_one() -> Arc<Connections> {
        Arc::new(Connections::new(Limits { connections: 2, reserve: 1, ..Limits::default() }))
    }

    #[test]
    fn the_connection_that_was_idle_for_longest_gives_way() {
        let connections = two_and_one();
        let (first, second) = (connections.open().unwrap(), connections.open().unwrap());
        drop(first.activity.request());
        let third = connections.open().unwrap();
        assert!(second.activity.close.is_cancelled() && !first.activity.close.is_cancelled());
        assert_eq!(third.activity.seat(), Seat::Ordinary);
        drop(second);
        assert_eq!(connections.open.lock().unwrap().len(), 2, "its place was freed once");
    }

    #[test]
    fn while_all_are_busy_a_few_more_are_kept_for_probes_and_then_none() {
        let connections = two_and_one();
        let (first, second) = (connections.open().unwrap(), connections.open().unwrap());
        let (request, _request) = (first.activity.request(), second.activity.request());
        let reserve = connections.open().unwrap();
        assert_eq!(reserve.activity.seat(), Seat::Reserve);
        let another = connections.open().unwrap();
        assert_eq!(another.activity.seat(), Seat::Reserve);
        assert!(reserve.activity.close.is_cancelled(), "it was idle");
        let _probe = another.activity.request();
        assert!(connections.open().is_none());
        drop(request);
        drop(first);
        assert_eq!(connections.open().unwrap().activity.seat(), Seat::Reserve);
    }
}
