//! Sessions of people in a browser: a cookie that the server signed. The server keeps nothing of it,
//! except which sessions were ended here by logging out.
//!
//! The key follows from `ADMIN_TOKEN`, so that all processes accept a session and a new token ends all
//! of them. Without that token it is random: a session is then valid at the process that opened it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::{Caller, Credentials, Role};
use crate::http::host::is_loopback;
use f0_learning_core::time::HOUR_MS;

/// A working day. A role that was revoked, and a cookie that was stolen, are of use for this long.
const SESSION_MS: i64 = 8 * HOUR_MS;

const COOKIE: &str = "f0_session";
/// A browser accepts a cookie with this prefix only over TLS and for exactly this host (RFC 6265bis,
/// 4.1.3.2).
const SECURE_COOKIE: &str = "__Host-f0_session";

/// Sessions kept in memory after they were ended. Beyond this, the one that would expire first is
/// forgotten: only its cookie, which the browser has removed, could open it again.
const MAX_ENDED: usize = 1_000;

/// Opens, checks and ends sessions.
#[derive(Debug)]
pub struct Sessions {
    key: hmac::Key,
    /// When each session that was ended would have expired, with its form token.
    ended: Mutex<BTreeSet<(i64, String)>>,
}

/// A session that was opened here and has not expired.
#[derive(Clone, Debug)]
pub struct Session {
    pub caller: Caller,
    /// What a form of this session must contain.
    pub csrf: String,
    until: i64,
}

/// What the cookie says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    actor: String,
    name: Option<String>,
    admin: bool,
    /// Epoch milliseconds.
    until: i64,
    /// Makes two sessions of one caller differ, and so their forms.
    nonce: String,
}

impl Sessions {
    pub fn of(credentials: Option<&Credentials>) -> Self {
        let secret = match credentials.and_then(|it| it.admin_token.as_ref()) {
            Some(token) => {
                let master = hmac::Key::new(hmac::HMAC_SHA256, token.0.as_bytes());
                hmac::sign(&master, b"f0-learning: key of sessions").as_ref().to_vec()
            }
            None => random_bytes().to_vec(),
        };
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &secret), ended: Mutex::default() }
    }

    /// The header `Set-Cookie` that opens a session at `now`.
    pub fn open(&self, caller: &Caller, parts: &Parts, now: i64) -> String {
        let claims = Claims {
            actor: caller.actor.clone(),
            name: caller.actor_name.clone(),
            admin: caller.role == Role::Admin,
            until: now.saturating_add(SESSION_MS),
            nonce: hex::encode(random_bytes()),
        };
        let payload = hex::encode(serde_json::to_vec(&claims).unwrap_or_default());
        let signature = hex::encode(self.sign("session", &payload));
        cookie(parts, &format!("{payload}.{signature}"), SESSION_MS / 1_000)
    }

    /// The session of a request, if it has one.
    pub fn of_request(&self, parts: &Parts, now: i64) -> Option<Session> {
        cookies(&parts.headers).find_map(|value| self.read(value, now))
    }

    fn read(&self, value: &str, now: i64) -> Option<Session> {
        let (payload, signature) = value.split_once('.')?;
        let signature = hex::decode(signature).ok()?;
        let signed = format!("session\n{payload}");
        hmac::verify(&self.key, signed.as_bytes(), &signature).ok()?;
        let claims: Claims = serde_json::from_slice(&hex::decode(payload).ok()?).ok()?;
        if claims.until <= now {
            return None;
        }
        let role = if claims.admin { Role::Admin } else { Role::Service };
        let caller = Caller { actor: claims.actor, actor_name: claims.name, role };
        let csrf = hex::encode(self.sign("form", payload));
        let session = Session { caller, csrf, until: claims.until };
        (!self.ended().contains(&session.mark())).then_some(session)
    }

    /// Ends a session at this process, also for a copy of its cookie.
    pub fn end(&self, session: &Session, now: i64) {
        let mut ended = self.ended();
        ended.retain(|(until, _)| *until > now);
        ended.insert(session.mark());
        if ended.len() > MAX_ENDED {
            ended.pop_first();
        }
    }

    fn ended(&self) -> MutexGuard<'_, BTreeSet<(i64, String)>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sign(&self, purpose: &str, text: &str) -> Vec<u8> {
        hmac::sign(&self.key, format!("{purpose}\n{text}").as_bytes()).as_ref().to_vec()
    }
}

impl Session {
    pub fn is_admin(&self) -> bool {
        self.caller.role == Role::Admin
    }

    /// What tells it from others, in the order of their ends.
    fn mark(&self) -> (i64, String) {
        (self.until, self.csrf.clone())
    }
}

/// The header `Set-Cookie` that removes the session from the browser.
pub fn clear_cookie(parts: &Parts) -> String {
    cookie(parts, "", 0)
}

fn cookie(parts: &Parts, value: &str, max_age_s: i64) -> String {
    // A browser sends a cookie with `Secure` only over TLS, which nothing on the own machine needs.
    let (name, secure) =
        if is_loopback(parts) { (COOKIE, "") } else { (SECURE_COOKIE, "; Secure") };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_s}{secure}")
}

/// The values of our cookies. A browser may send others of the same host.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| [COOKIE, SECURE_COOKIE].contains(name))
        .map(|(_, value)| value)
}

#[expect(clippy::disallowed_methods, reason = "a secret must not be predictable")]
fn random_bytes() -> [u8; 32] {
    rand::random()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::super::AdminToken;
    use super::*;

    const NOW: i64 = 1_780_000_000_000;

    fn caller(role: Role) -> Caller {
        Caller { actor: "admin-token".to_owned(), actor_name: Some("Ada".to_owned()), role }
    }

    fn request(host: &str, cookie: &str) -> Parts {
        let request = Request::builder().header("host", host).header("cookie", cookie);
        request.body(()).unwrap().into_parts().0
    }

    fn of_token(token: &str) -> Sessions {
        let token = AdminToken::new(token.repeat(32)).unwrap();
        Sessions::of(Some(&Credentials::token(token)))
    }

    fn pair(set_cookie: &str) -> &str {
        set_cookie.split(';').next().unwrap()
    }

    #[test]
    fn a_session_is_valid_until_it_expires_and_wherever_the_token_is_the_same() {
        let sessions = of_token("a");
        let opened = sessions.open(&caller(Role::Admin), &request("localhost:1", ""), NOW);
        let later = request("localhost:1", &format!("other=1; {}", pair(&opened)));
        let found = of_token("a").of_request(&later, NOW + SESSION_MS - 1).unwrap();
        assert!(found.is_admin());
        assert_eq!(found.caller.actor_name.as_deref(), Some("Ada"));
        assert!(sessions.of_request(&later, NOW + SESSION_MS).is_none());
        assert!(of_token("b").of_request(&later, NOW).is_none());
        assert!(Sessions::of(None).of_request(&later, NOW).is_none());
        let again = sessions.open(&caller(Role::Admin), &request("localhost:1", ""), NOW);
        let again = sessions.of_request(&request("localhost:1", pair(&again)), NOW).unwrap();
        assert_ne!(again.csrf, found.csrf, "forms belong to one session");
    }

    #[test]
    fn a_session_that_was_ended_stays_ended_and_memory_is_bounded() {
        let sessions = of_token("a");
        let open = |now| {
            let opened = sessions.open(&caller(Role::Admin), &request("localhost", ""), now);
            request("localhost", pair(&opened))
        };
        let (first, other) = (open(NOW), open(NOW));
        let session = sessions.of_request(&first, NOW).unwrap();
        sessions.end(&session, NOW);
        assert!(sessions.of_request(&first, NOW).is_none());
        assert!(sessions.of_request(&other, NOW).is_some());
        for number in 0..MAX_ENDED {
            sessions.end(&Session { csrf: number.to_string(), ..session.clone() }, NOW);
        }
        assert_eq!(sessions.ended().len(), MAX_ENDED);
        let last = Session { until: session.until + 1, ..session.clone() };
        sessions.end(&last, session.until);
        assert_eq!(sessions.ended().len(), 1, "what has expired is forgotten");
    }

    #[test]
    fn a_changed_cookie_is_not_a_session() {
        let sessions = of_token("a");
        let opened = sessions.open(&caller(Role::Service), &request("localhost", ""), NOW);
        let (name, value) = pair(&opened).split_once('=').unwrap();
        let (payload, signature) = value.split_once('.').unwrap();
        let claims = String::from_utf8(hex::decode(payload).unwrap()).unwrap();
        let forged = hex::encode(claims.replace("\"admin\":false", "\"admin\":true"));
        assert_ne!(forged, payload);
        let csrf = hex::encode(sessions.sign("form", payload));
        for value in [format!("{forged}.{signature}"), format!("{payload}.{csrf}"), payload.into()]
        {
            let parts = request("localhost", &format!("{name}={value}"));
            assert!(sessions.of_request(&parts, NOW).is_none(), "{value}");
        }
    }

    #[test]
    fn only_on_the_own_machine_is_the_cookie_sent_without_tls() {
        let sessions = of_token("a");
        for host in ["localhost:8788", "127.0.0.1:8788", "[::1]:8788"] {
            let opened = sessions.open(&caller(Role::Admin), &request(host, ""), NOW);
            assert!(!opened.contains("Secure"), "{host}");
            assert!(opened.contains("HttpOnly; SameSite=Strict; Max-Age=28800"), "{opened}");
        }
        for host in ["f0.example", "10.0.0.7:8080"] {
            let opened = sessions.open(&caller(Role::Admin), &request(host, ""), NOW);
            assert!(opened.ends_with("; Secure") && opened.starts_with("__Host-"), "{opened}");
        }
    }
}
