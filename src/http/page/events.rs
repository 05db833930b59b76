//! `/page/events`: says that something changed, so that a page that is open fetches itself again.
//!
//! One task looks for all listeners, every [`POLL`] while there is a listener: it reads the latest
//! audit entry, which every change of a policy, an experiment or a flag has. Statistics change with
//! every pass, and are reported once a minute.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use tokio::sync::{Semaphore, watch};
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};

use super::layout::Failure;
use super::visit::Visit;
use crate::http::Api;
use crate::store::{AuditFilter, Store};
use f0_learning_core::time::MINUTE_MS;

/// One read each: 17,280 reads a day for a process whose pages are open all the time.
const POLL: Duration = Duration::from_secs(5);
/// Far below the connections of the server, so that listeners leave room for requests.
const LISTENERS: usize = 64;

#[derive(Debug)]
pub struct Events {
    places: Arc<Semaphore>,
    /// Counts the changes; `None` while no task looks for them.
    changes: Mutex<Option<watch::Sender<u64>>>,
}

impl Default for Events {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(LISTENERS)), changes: Mutex::default() }
    }
}

impl Events {
    fn changes(&self) -> MutexGuard<'_, Option<watch::Sender<u64>>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub async fn listen(
    visit: Visit,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let Visit { api, store, .. } = visit;
    let Ok(place) = api.pages.events.places.clone().try_acquire_owned() else {
        let detail = "too many pages listen for changes; reload this page to see changes";
        return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    };
    let changes = subscribe(&api, store);
    let stream = WatchStream::from_changes(changes).map(move |change| {
        // The place is free when the stream ends.
        let _place = &place;
        Ok(Event::default().event("changed").data(change.to_string()))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

fn subscribe(api: &Arc<Api>, store: Store) -> watch::Receiver<u64> {
    let mut changes = api.pages.events.changes();
    if let Some(sender) = changes.as_ref() {
        return sender.subscribe();
    }
    let (sender, receiver) = watch::channel(0);
    *changes = Some(sender);
    tokio::spawn(look(api.clone(), store));
    receiver
}

/// Looks for changes until no one listens or the service stops; then the streams end.
async fn look(api: Arc<Api>, store: Store) {
    let mut seen = state(&api, &store).await;
    loop {
        tokio::time::sleep(POLL).await;
        if is_over(&api) {
            return;
        }
        let now = state(&api, &store).await;
        if now.is_some() && now != seen {
            seen = now;
            if let Some(sender) = api.pages.events.changes().as_ref() {
                sender.send_modify(|change| *change += 1);
            }
        }
    }
}

fn is_over(api: &Api) -> bool {
    let mut changes = api.pages.events.changes();
    let is_heard = changes.as_ref().is_some_and(|sender| sender.receiver_count() > 0);
    if is_heard && !api.health.is_stopping() {
        return false;
    }
    *changes = None;
    true
}

/// What a change changes; `None` if it cannot be read.
async fn state(api: &Api, store: &Store) -> Option<(Option<String>, String, i64)> {
    let latest = store.audit(&AuditFilter::default(), 1).await.ok()?;
    let id = latest.into_iter().next().map(|it| it.audit_id);
    Some((id, api.health.readiness().detail, api.clock.now() / MINUTE_MS))
}
