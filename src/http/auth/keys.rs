//! The keys that verify Firebase's tokens: fetched when they are needed, once for all that wait, and
//! kept as long as the answer says.
//!
//! A caller with a known key never waits for a fetch, whatever others send. A failed fetch is not
//! repeated at once: until its pause is over, all callers get its error.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::JwkSet;
use reqwest::header::CACHE_CONTROL;
use tokio::sync::Mutex;

use super::Refused;

/// Google's keys come with a lifetime of some hours; it is believed within these bounds.
const MIN_KEPT_S: i64 = 60;
const MAX_KEPT_S: i64 = 24 * 3_600;
/// An unknown `kid` may belong to a new key, but invented ones must not cause a fetch each.
const REFETCH_S: i64 = 60;
/// The pause after a first failure; it doubles with each further one, up to the longest.
const FIRST_PAUSE_S: i64 = 1;
const LONGEST_PAUSE_S: i64 = 60;
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// A key set is a few kilobytes.
const MAX_KEYS_BYTES: usize = 256 << 10;

/// Cheap to clone; all clones share the keys.
#[derive(Clone, Debug)]
pub struct KeySet(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    url: String,
    client: reqwest::Client,
    kept: RwLock<Option<Keys>>,
    /// Held during a fetch.
    fetching: Arc<Mutex<Option<Failure>>>,
}

#[derive(Debug)]
struct Keys {
    set: JwkSet,
    fetched_s: i64,
    expires_s: i64,
}

/// The last fetch, if it failed.
#[derive(Clone, Debug)]
struct Failure {
    why: String,
    pause_s: i64,
    until_s: i64,
}

/// What the kept keys say about a key id.
enum Kept {
    Found(DecodingKey),
    /// Not among keys that are too recent to fetch them again.
    Unknown,
    /// Perhaps among keys that were not fetched yet.
    Fetch,
}

impl KeySet {
    pub fn new(url: String) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().timeout(FETCH_TIMEOUT).build()?;
        let (kept, fetching) = (RwLock::default(), Arc::default());
        Ok(Self(Arc::new(Shared { url, client, kept, fetching })))
    }

    /// The key with an id, at `now` (epoch seconds).
    pub async fn key(&self, kid: &str, now: i64) -> Result<DecodingKey, Refused> {
        loop {
            match self.0.kept(kid, now)? {
                Kept::Found(key) => return Ok(key),
                Kept::Unknown => return Err(Refused::Unknown("unknown key id")),
                Kept::Fetch => {}
            }
            let mut failed = self.0.fetching.clone().lock_owned().await;
            // Another caller may have fetched while this one waited.
            if !matches!(self.0.kept(kid, now)?, Kept::Fetch) {
                continue;
            }
            if let Some(failure) = failed.as_ref().filter(|it| now < it.until_s) {
                return Err(failure.refused(now));
            }
            let shared = self.0.clone();
            // In a task of its own: a client that disconnects must not stop the fetch for others.
            let fetch = tokio::spawn(async move {
                let fetched = shared.fetch(now).await;
                let outcome = shared.keep(fetched, failed.take(), now);
                *failed = outcome.as_ref().err().cloned();
                outcome
            });
            match fetch.await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => return Err(failure.refused(now)),
                Err(error) => return Err(Refused::undecided(error.to_string(), FIRST_PAUSE_S)),
            }
        }
    }
}

impl Failure {
    fn after(previous: Option<Self>, why: String, now: i64) -> Self {
        let pause_s = match previous {
            Some(previous) => (previous.pause_s * 2).min(LONGEST_PAUSE_S),
            None => FIRST_PAUSE_S,
        };
        Self { why, pause_s, until_s: now + pause_s }
    }

    fn refused(&self, now: i64) -> Refused {
        Refused::undecided(self.why.clone(), self.until_s - now)
    }
}

impl Shared {
    fn kept(&self, kid: &str, now: i64) -> Result<Kept, Refused> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let Some(keys) = kept.as_ref().filter(|keys| now < keys.expires_s) else {
            return Ok(Kept::Fetch);
        };
        match keys.set.find(kid) {
            Some(found) => {
                let key = DecodingKey::from_jwk(found);
                key.map(Kept::Found).map_err(|_| Refused::Unknown("unusable key"))
            }
            None if now < keys.fetched_s + REFETCH_S => Ok(Kept::Unknown),
            None => Ok(Kept::Fetch),
        }
    }

    fn keep(
        &self,
        fetched: Result<Keys, String>,
        previous: Option<Failure>,
        now: i64,
    ) -> Result<(), Failure> {
        let keys = fetched.map_err(|why| Failure::after(previous, why, now))?;
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Some(keys);
        Ok(())
    }

    async fn fetch(&self, now: i64) -> Result<Keys, String> {
        let failed = |error: reqwest::Error| format!("cannot fetch {}: {error}", self.url);
        let answer = self.client.get(&self.url).send().await.map_err(failed)?;
        let mut answer = answer.error_for_status().map_err(failed)?;
        let lifetime = answer.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok());
        let lifetime = lifetime.and_then(max_age).unwrap_or(MIN_KEPT_S);
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_KEYS_BYTES {
                let url = &self.url;
                return Err(format!("{url} returned more than {MAX_KEYS_BYTES} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        let set = serde_json::from_slice(&body)
            .map_err(|error| format!("{} returned an invalid key set: {error}", self.url))?;
        let expires_s = now + lifetime.clamp(MIN_KEPT_S, MAX_KEPT_S);
        Ok(Keys { set, fetched_s: now, expires_s })
    }
}

fn max_age(header: &str) -> Option<i64> {
    let directive = header.split(',').find_map(|it| it.trim().strip_prefix("max-age="))?;
    directive.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lifetime_of_keys_is_read_from_the_header() {
        assert_eq!(max_age("public, max-age=19302, must-revalidate"), Some(19_302));
        assert_eq!(max_age("no-store"), None);
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let mut failure = None;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let next = Failure::after(failure.take(), "down".to_owned(), 100);
            pauses.push(next.until_s - 100);
            failure = Some(next);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
