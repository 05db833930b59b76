//! Firebase ID tokens, checked as Firebase's documentation asks of servers that do not use its
//! Admin SDK ("Verify ID tokens using a third-party JWT library"): RS256, a key of Google's by
//! `kid`, issuer and audience of the project, `exp`, `iat` and `auth_time`, a subject.

use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;

use super::keys::KeySet;
use super::{Caller, CredentialsError, Refused, Role};
use f0_learning_core::intent::{FIREBASE_PREFIX, MAX_ACTOR_CHARS};

const KEYS_URL: &str =
    "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com";

/// Accepted clock skew.
const SKEW_S: i64 = 60;
/// An ID token is about one kilobyte.
const MAX_TOKEN_BYTES: usize = 8 << 10;

/// The ID tokens of one Firebase project.
#[derive(Debug)]
pub struct Firebase {
    project: String,
    issuer: String,
    keys: KeySet,
}

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    iat: i64,
    #[serde(default)]
    nbf: Option<i64>,
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
        let keys = KeySet::new(keys_url.unwrap_or_else(|| KEYS_URL.to_owned()));
        Ok(Self {
            project: project.to_owned(),
            issuer: format!("https://securetoken.google.com/{project}"),
            keys: keys.map_err(|error| CredentialsError::Client(text_of(&error)))?,
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
        // RFC 7515, 4.1.11: a token that demands extensions is invalid for those who know none.
        if header.crit.is_some() {
            return Err(Refused::Unknown("demands an unknown extension"));
        }
        let kid = header.kid.ok_or(Refused::Unknown("no key id"))?;
        let key = self.keys.key(&kid, now).await?;
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
        let actor = actor(&claims.sub)?;
        let role = match claims.role.as_deref() {
            Some("admin") => Role::Admin,
            Some("service") => Role::Service,
            _ => return Err(Refused::NoRole),
        };
        Ok(Caller { actor, actor_name: None, role })
    }
}

/// The actor that a subject stands for in the audit trail. An app that mints custom tokens chooses the
/// subjects, so without a name space of their own they could be `admin-token`, a job, or a user of the
/// command line.
fn actor(subject: &str) -> Result<String, Refused> {
    let actor = format!("{FIREBASE_PREFIX}{subject}");
    if subject.is_empty() || actor.chars().count() > MAX_ACTOR_CHARS {
        return Err(Refused::Unknown("subject empty or too long"));
    }
    if subject.chars().any(char::is_control) {
        return Err(Refused::Unknown("subject with a control character"));
    }
    Ok(actor)
}

/// An error with its causes: that of a client says only "builder error".
fn text_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn check_times(claims: &Claims, now: i64) -> Result<(), Refused> {
    if claims.exp.saturating_add(SKEW_S) <= now {
        return Err(Refused::Unknown("expired"));
    }
    if claims.nbf.is_some_and(|from| from > now.saturating_add(SKEW_S)) {
        return Err(Refused::Unknown("not valid yet"));
    }
    let issued = claims.iat.max(claims.auth_time.unwrap_or(claims.iat));
    if issued > now.saturating_add(SKEW_S) {
        return Err(Refused::Unknown("issued in the future"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(exp: i64, iat: i64, auth_time: Option<i64>) -> Claims {
        Claims { sub: "ada".to_owned(), exp, iat, nbf: None, auth_time, role: None }
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
    fn a_token_is_not_accepted_before_its_time() {
        let now = 1_000_000;
        let from = |nbf| Claims { nbf: Some(nbf), ..claims(now + 99, now, None) };
        assert!(check_times(&from(now + SKEW_S), now).is_ok());
        assert!(check_times(&from(now + SKEW_S + 1), now).is_err());
    }

    #[test]
    fn a_subject_cannot_pose_as_another_actor_or_change_what_a_terminal_shows() {
        assert_eq!(actor("admin-token").unwrap(), "firebase:admin-token");
        for subject in ["", "a\u{1b}[2Kb", "a\nb", "a\u{9b}b", &"x".repeat(200)] {
            assert!(actor(subject).is_err(), "{subject:?}");
        }
    }
}
