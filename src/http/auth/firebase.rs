//! Firebase ID tokens, checked as Firebase's documentation asks of servers that do not use its
//! Admin SDK ("Verify ID tokens using a third-party JWT library"): RS256, a key of Google's by
//! `kid`, issuer and audience of the project, `exp`, `iat` and `auth_time`, a subject.

use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use reqwest::header::CACHE_CONTROL;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{Caller, CredentialsError, Refused, Role};
use f0_learning_core::intent::MAX_ACTOR_CHARS;

const KEYS_URL: &str =
    "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com";

/// Accepted clock skew.
const SKEW_S: i64 = 60;
/// Google's keys come with a lifetime of some hours; it is believed within these bounds.
const MIN_KEPT_S: i64 = 60;
const MAX_KEPT_S: i64 = 24 * 3_600;
/// An unknown `kid` may belong to a new key, but invented ones must not cause a fetch each.
const REFETCH_S: i64 = 60;
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// A key set is a few kilobytes.
const MAX_KEYS_BYTES: usize = 256 << 10;
/// An ID token is about one kilobyte.
const MAX_TOKEN_BYTES: usize = 8 << 10;

/// The ID tokens of one Firebase project.
#[derive(Debug)]
pub struct Firebase {
    project: String,
    issuer: String,
    keys_url: String,
    client: reqwest::Client,
    keys: Mutex<Option<Keys>>,
}

#[derive(Clone, Debug)]
struct Keys {
    set: JwkSet,
    fetched_s: i64,
    expires_s: i64,
}

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    iat: i64,
    #[serde(default)]
    auth_time: Option<i64>,
    #[serde(default)]
    role: Option<String>,
}

impl Firebase {
    pub fn new(project: &str, keys_url: Option<String>) -> Result<Self, CredentialsError> {
        let allowed = |it: char| it.is_ascii_alphanumeric() || it == '-';
        if project.is_empty() || !project.chars().all(allowed) {
            return Err(CredentialsError::Project(project.to_owned()));
        }
        firestore_kit::tls::install_provider();
        super::rs256::install();
        let client = reqwest::Client::builder().timeout(FETCH_TIMEOUT).build();
        Ok(Self {
            project: project.to_owned(),
            issuer: format!("https://securetoken.google.com/{project}"),
            keys_url: keys_url.unwrap_or_else(|| KEYS_URL.to_owned()),
            client: client.map_err(|error| CredentialsError::Client(error.to_string()))?,
            keys: Mutex::new(None),
        })
    }

    pub(super) async fn identify(&self, token: &str, now_ms: i64) -> Result<Caller, Refused> {
        let now = now_ms / 1_000;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refused::Unknown("too long"));
        }
        let header = decode_header(token).map_err(|_| Refused::Unknown("not a JWT"))?;
        if header.alg != Algorithm::RS256 {
            return Err(Refused::Unknown("algorithm is not RS256"));
        }
        let kid = header.kid.ok_or(Refused::Unknown("no key id"))?;
        let key = self.key(&kid, now).await?;
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&[&self.project]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_required_spec_claims(&["exp", "sub", "aud", "iss"]);
        // Times are checked below, by our own clock.
        validation.validate_exp = false;
        let claims = decode::<Claims>(token, &key, &validation)
            .map_err(|_| Refused::Unknown("wrong signature, issuer or audience"))?
            .claims;
        check_times(&claims, now)?;
        if claims.sub.is_empty() || claims.sub.chars().count() > MAX_ACTOR_CHARS {
            return Err(Refused::Unknown("subject empty or too long"));
        }
        let role = match claims.role.as_deref() {
            Some("admin") => Role::Admin,
            Some("service") => Role::Service,
            _ => return Err(Refused::NoRole),
        };
        Ok(Caller { actor: claims.sub, actor_name: None, role })
    }

    /// One caller fetches the keys; the others wait for the result.
    async fn key(&self, kid: &str, now: i64) -> Result<DecodingKey, Refused> {
        let mut kept = self.keys.lock().await;
        let fresh = kept.as_ref().filter(|keys| now < keys.expires_s);
        let known = fresh.is_some_and(|keys| keys.set.find(kid).is_some());
        let recent = fresh.is_some_and(|keys| now < keys.fetched_s + REFETCH_S);
        if !known && !recent {
            *kept = Some(self.fetch(now).await.map_err(Refused::Undecided)?);
        }
        let found = kept.as_ref().and_then(|keys| keys.set.find(kid));
        let found = found.ok_or(Refused::Unknown("unknown key id"))?;
        DecodingKey::from_jwk(found).map_err(|_| Refused::Unknown("unusable key"))
    }

    async fn fetch(&self, now: i64) -> Result<Keys, String> {
        let failed = |error: reqwest::Error| format!("cannot fetch {}: {error}", self.keys_url);
        let answer = self.client.get(&self.keys_url).send().await.map_err(failed)?;
        let answer = answer.error_for_status().map_err(failed)?;
        let lifetime = answer.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok());
        let lifetime = lifetime.and_then(max_age).unwrap_or(MIN_KEPT_S);
        let body = answer.bytes().await.map_err(failed)?;
        if body.len() > MAX_KEYS_BYTES {
            return Err(format!(
                "{} returned {} bytes, expected at most {MAX_KEYS_BYTES}",
                self.keys_url,
                body.len()
            ));
        }
        let set = serde_json::from_slice(&body)
            .map_err(|error| format!("{} returned an invalid key set: {error}", self.keys_url))?;
        let expires_s = now + lifetime.clamp(MIN_KEPT_S, MAX_KEPT_S);
        Ok(Keys { set, fetched_s: now, expires_s })
    }
}

fn check_times(claims: &Claims, now: i64) -> Result<(), Refused> {
    if claims.exp.saturating_add(SKEW_S) <= now {
        return Err(Refused::Unknown("expired"));
    }
    let issued = claims.iat.max(claims.auth_time.unwrap_or(claims.iat));
    if issued > now.saturating_add(SKEW_S) {
        return Err(Refused::Unknown("issued in the future"));
    }
    Ok(())
}

fn max_age(header: &str) -> Option<i64> {
    let directive = header.split(',').find_map(|it| it.trim().strip_prefix("max-age="))?;
    directive.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(exp: i64, iat: i64, auth_time: Option<i64>) -> Claims {
        Claims { sub: "ada".to_owned(), exp, iat, auth_time, role: None }
    }

    #[test]
    fn times_are_accepted_within_the_skew() {
        let now = 1_000_000;
        assert!(check_times(&claims(now + 1, now, Some(now)), now).is_ok());
        assert!(check_times(&claims(now - SKEW_S + 1, now - 99, None), now).is_ok());
        assert!(check_times(&claims(now - SKEW_S, now - 99, None), now).is_err());
        assert!(check_times(&claims(now + 99, now + SKEW_S + 1, None), now).is_err());
        assert!(check_times(&claims(now + 99, now, Some(now + SKEW_S + 1)), now).is_err());
    }

    #[test]
    fn the_lifetime_of_keys_is_read_from_the_header() {
        assert_eq!(max_age("public, max-age=19302, must-revalidate"), Some(19_302));
        assert_eq!(max_age("no-store"), None);
    }
}
