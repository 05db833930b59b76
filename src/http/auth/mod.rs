//! Authentication and roles. A handler that takes an [`Admin`] or a [`Reader`] cannot be reached
//! without the role. The reason why a credential was refused is logged, never sent to the caller.

mod firebase;
mod keys;
mod refusals;
pub mod rs256;
mod session;
mod throttle;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::Api;
use super::problem::Problem;
use f0_learning_core::intent::{ADMIN_TOKEN, MAX_ACTOR_CHARS};

pub use firebase::Firebase;
pub use refusals::Refusals;
pub use session::{Session, Sessions, clear_cookie};
pub use throttle::Throttle;

/// Shorter tokens are refused at start-up: 32 random characters of an alphabet of 16 are 128 bits.
pub const MIN_TOKEN_BYTES: usize = 32;

/// The credentials that are accepted.
#[derive(Debug)]
pub struct Credentials {
    admin_token: Option<AdminToken>,
    firebase: Option<Firebase>,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CredentialsError {
    #[error(
        "invalid ADMIN_TOKEN: expected at least {MIN_TOKEN_BYTES} bytes, got {bytes}; generate one \
         with `openssl rand -hex 32`"
    )]
    ShortToken { bytes: usize },
    #[error("invalid ADMIN_TOKEN: expected visible ASCII characters")]
    TokenCharacter,
    #[error("invalid FIREBASE_PROJECT_ID {0:?}: expected letters, digits and hyphens")]
    Project(String),
    #[error("cannot create the client that fetches Firebase's keys: {0}")]
    Client(String),
}

impl Credentials {
    /// From `ADMIN_TOKEN`, `FIREBASE_PROJECT_ID` and `FIREBASE_JWKS_URL`; `None` if none is set.
    pub fn from_env(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, CredentialsError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let admin_token = set("ADMIN_TOKEN").map(AdminToken::new).transpose()?;
        let firebase = set("FIREBASE_PROJECT_ID")
            .map(|project| Firebase::new(&project, set("FIREBASE_JWKS_URL")))
            .transpose()?;
        let any = admin_token.is_some() || firebase.is_some();
        Ok(any.then_some(Self { admin_token, firebase }))
    }

    /// Only a static token, for `dev`.
    pub fn token(token: AdminToken) -> Self {
        Self { admin_token: Some(token), firebase: None }
    }

    async fn identify(&self, bearer: &str, now: i64) -> Result<Caller, Refused> {
        if let Some(token) = &self.admin_token
            && token.is(bearer)
        {
            let actor = ADMIN_TOKEN.to_owned();
            return Ok(Caller { actor, actor_name: None, role: Role::Admin });
        }
        match &self.firebase {
            Some(firebase) => firebase.identify(bearer, now).await,
            None => Err(Refused::Unknown("not equal to ADMIN_TOKEN")),
        }
    }
}

/// A static token, compared in constant time.
pub struct AdminToken(String);

impl AdminToken {
    pub fn new(token: String) -> Result<Self, CredentialsError> {
        if token.len() < MIN_TOKEN_BYTES {
            return Err(CredentialsError::ShortToken { bytes: token.len() });
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CredentialsError::TokenCharacter);
        }
        Ok(Self(token))
    }

    fn is(&self, other: &str) -> bool {
        self.0.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminToken")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// May read.
    Service,
    /// May read, and change.
    Admin,
}

/// Where the address of a client is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAddress {
    /// The peer of the connection. `X-Forwarded-For` is ignored: clients can forge it.
    Peer,
    /// The last entry of `X-Forwarded-For`, which the front end of Cloud Run appends.
    Forwarded,
}

/// An authenticated caller.
#[derive(Clone, Debug)]
pub struct Caller {
    pub actor: String,
    pub actor_name: Option<String>,
    role: Role,
}

/// Why a caller is not authenticated; the text is for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    Unknown(&'static str),
    /// Authenticated, but without a role.
    NoRole,
    /// The keys that verify tokens cannot be fetched.
    Undecided {
        why: String,
        retry_after_s: u32,
    },
}

impl Refused {
    fn undecided(why: String, seconds: i64) -> Self {
        Self::Undecided { why, retry_after_s: u32::try_from(seconds.max(1)).unwrap_or(u32::MAX) }
    }
}

/// A caller with the role to change things.
#[derive(Debug)]
pub struct Admin(pub Caller);

/// A caller with the role to read.
#[derive(Debug)]
pub struct Reader;

impl FromRequestParts<Arc<Api>> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        require(parts, api, Role::Admin).await.map(Self)
    }
}

impl FromRequestParts<Arc<Api>> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        require(parts, api, Role::Service).await.map(|_| Self)
    }
}

/// Whether the caller has the role to read. For routes that answer everyone, and these more.
#[derive(Debug)]
pub struct MayRead(pub bool);

impl FromRequestParts<Arc<Api>> for MayRead {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Infallible> {
        let shows_one = parts.headers.contains_key(header::AUTHORIZATION);
        Ok(Self(shows_one && require(parts, api, Role::Service).await.is_ok()))
    }
}

/// A valid credential is never throttled; failures are throttled by address.
async fn require(parts: &Parts, api: &Api, role: Role) -> Result<Caller, Problem> {
    let now = api.clock.now();
    match identify(parts, api, now).await {
        Ok(caller) if caller.role >= role => named(parts, caller),
        Ok(_) => Err(forbidden()),
        Err(refused) => Err(refuse(parts, api, refused, now)),
    }
}

/// The caller whose token was sent with the login form. A refused token counts like one in a header.
pub async fn log_in(parts: &Parts, api: &Api, token: &str, name: &str) -> Result<Caller, Problem> {
    let now = api.clock.now();
    let found = match &api.credentials {
        Some(credentials) => credentials.identify(token.trim(), now).await,
        None => Err(Refused::Unknown("no credential is configured")),
    };
    match found {
        Ok(caller) => with_name(caller, "name", name),
        Err(refused) => Err(refuse(parts, api, refused, now)),
    }
}

/// Logs and counts a refused credential, and answers it.
fn refuse(parts: &Parts, api: &Api, refused: Refused, now: i64) -> Problem {
    let line = api.refusals.line(now);
    if let Refused::Undecided { why, retry_after_s } = &refused {
        if let Some(unlogged) = line {
            tracing::error!(why, unlogged, "cannot check tokens");
        }
        let detail = "tokens cannot be checked at the moment; try again later";
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        return problem.after(*retry_after_s);
    }
    let address = address_of(parts, api.front_end.client_address);
    api.health.metrics().service().credentials_refused();
    if let Some(unlogged) = line {
        tracing::info!(%address, ?refused, unlogged, "a credential was refused");
    }
    if let Some(seconds) = api.throttle.failed(address, now) {
        let detail = "too many requests without a valid credential";
        return Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).after(seconds);
    }
    match refused {
        Refused::NoRole => forbidden(),
        _ => Problem::new(
            StatusCode::UNAUTHORIZED,
            "no valid credential: send `Authorization: Bearer` with a token",
        ),
    }
}

fn forbidden() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "the credential lacks the required role")
}

async fn identify(parts: &Parts, api: &Api, now: i64) -> Result<Caller, Refused> {
    let value = parts.headers.get(header::AUTHORIZATION);
    let text = value.ok_or(Refused::Unknown("no credential"))?.to_str();
    let text = text.map_err(|_| Refused::Unknown("not text"))?;
    let (scheme, token) = text.split_once(' ').ok_or(Refused::Unknown("not a bearer token"))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refused::Unknown("not a bearer token"));
    }
    let credentials = api.credentials.as_ref();
    let credentials = credentials.ok_or(Refused::Unknown("no credential is configured"))?;
    credentials.identify(token.trim(), now).await
}

fn named(parts: &Parts, caller: Caller) -> Result<Caller, Problem> {
    let Some(value) = parts.headers.get("x-actor") else { return Ok(caller) };
    if caller.actor != ADMIN_TOKEN {
        return Ok(caller);
    }
    let name = std::str::from_utf8(value.as_bytes());
    let name = name.map_err(|_| Problem::bad_request("invalid X-Actor: expected UTF-8"))?;
    with_name(caller, "X-Actor", name)
}

/// The static token identifies no person, so its holder may add a name.
fn with_name(caller: Caller, field: &str, name: &str) -> Result<Caller, Problem> {
    if caller.actor != ADMIN_TOKEN {
        return Ok(caller);
    }
    let name = name.trim();
    if name.chars().any(char::is_control) {
        let detail = format!("invalid {field}: expected no control characters");
        return Err(Problem::bad_request(detail));
    }
    let most = MAX_ACTOR_CHARS;
    if name.chars().count() > most {
        let detail = format!("invalid {field}: expected at most {most} characters");
        return Err(Problem::bad_request(detail));
    }
    Ok(Caller { actor_name: (!name.is_empty()).then(|| name.to_owned()), ..caller })
}

/// The address that failures are counted for.
fn address_of(parts: &Parts, client_address: ClientAddress) -> IpAddr {
    if client_address == ClientAddress::Forwarded
        && let Some(value) = parts.headers.get_all("x-forwarded-for").iter().next_back()
        && let Ok(text) = value.to_str()
        && let Some(last) = text.rsplit(',').next()
        && let Ok(address) = last.trim().parse()
    {
        return address;
    }
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_enough_or_refused() {
        assert!(AdminToken::new("a".repeat(32)).unwrap().is(&"a".repeat(32)));
        assert!(!AdminToken::new("a".repeat(32)).unwrap().is(&"a".repeat(33)));
        let refused = AdminToken::new("a".repeat(31)).unwrap_err();
        assert_eq!(refused, CredentialsError::ShortToken { bytes: 31 });
        assert!(AdminToken::new("ä".repeat(32)).is_err());
    }

    #[test]
    fn without_a_variable_there_is_no_credential() {
        assert!(Credentials::from_env(|_| None).unwrap().is_none());
        let empty = |name: &str| (name == "ADMIN_TOKEN").then(String::new);
        assert!(Credentials::from_env(empty).unwrap().is_none());
        let short = |name: &str| (name == "ADMIN_TOKEN").then(|| "short".to_owned());
        assert!(Credentials::from_env(short).is_err());
    }
}
