//! Who sends a request: a server, or a user with the claims of a token.

use tonic::Status;

use super::hash::of_base64;
use super::value::Value;
use crate::model::path::Database;
use crate::model::time::Micros;

/// The claims of a user's token.
#[derive(Clone, Debug, Default)]
pub struct Claims(pub serde_json::Map<String, serde_json::Value>);

/// Who sends a request.
#[derive(Clone, Debug)]
pub enum Caller {
    /// A server: rules do not apply to it.
    Server,
    User(Claims),
}

impl Claims {
    /// Refuses a token of another project: its audience, if it names one, is the project that it is
    /// for.
    ///
    /// # Errors
    /// UNAUTHENTICATED if the audience is not the project of the database.
    pub fn check_project(&self, database: &Database) -> Result<(), Status> {
        let project = database.as_str().split('/').nth(1).unwrap_or_default();
        match self.0.get("aud") {
            None => Ok(()),
            Some(audience) if audience.as_str() == Some(project) => Ok(()),
            Some(_) => Err(refused("the audience is another project")),
        }
    }

    pub fn uid(&self) -> Option<&str> {
        let claim = |name: &str| self.0.get(name).and_then(|value| value.as_str());
        claim("sub").or_else(|| claim("user_id")).filter(|uid| !uid.is_empty())
    }

    /// `request.auth`. It is null for a token that names no user, such as one without claims.
    pub fn auth(&self) -> Value {
        let Some(uid) = self.uid() else { return Value::Null };
        let token = serde_json::Value::Object(self.0.clone());
        let token = Value::of_json(&token, 0).unwrap_or(Value::Null);
        Value::map([("uid", Value::text(uid)), ("token", token)])
    }
}

impl Caller {
    /// The caller that an `authorization` header names. A header with `owner`, and no header, name
    /// a server. A JWT names a user. Nothing can check its signature here, so it must be unsigned,
    /// and it is accepted only if the server is reachable from this machine alone.
    ///
    /// # Errors
    /// UNAUTHENTICATED if the header is neither, or the token is malformed, signed, expired or not
    /// from this machine.
    pub fn of_header(header: Option<&str>, is_local: bool, now: Micros) -> Result<Self, Status> {
        let Some(header) = header.map(str::trim).filter(|header| !header.is_empty()) else {
            return Ok(Self::Server);
        };
        let token = match header.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => return Err(refused("expected `Bearer TOKEN`")),
        };
        if token == "owner" {
            return Ok(Self::Server);
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(refused("expected `owner` or a JWT"));
        };
        let decode = |part: &str| -> Option<serde_json::Map<String, serde_json::Value>> {
            serde_json::from_slice(&of_base64(part)?).ok()
        };
        let header = decode(header).ok_or_else(|| refused("the header is not JSON in base64"))?;
        let claims = decode(claims).ok_or_else(|| refused("the claims are not JSON in base64"))?;
        if header.get("alg").and_then(|alg| alg.as_str()) != Some("none") || !signature.is_empty() {
            return Err(refused("expected an unsigned JWT: signatures cannot be checked here"));
        }
        if !is_local {
            return Err(refused("unsigned tokens are accepted only on a loopback address"));
        }
        let seconds = |name: &str| claims.get(name).and_then(serde_json::Value::as_f64);
        if let Some(expiry) = seconds("exp")
            && Value::time(now).is_after_seconds(expiry)
        {
            return Err(refused("the token has expired"));
        }
        Ok(Self::User(Claims(claims)))
    }
}

fn refused(why: &str) -> Status {
    Status::unauthenticated(format!("Invalid token: {why}"))
}

impl Value {
    /// Whether a timestamp is at or after a number of seconds since 1970.
    fn is_after_seconds(&self, seconds: f64) -> bool {
        match self {
            Self::Timestamp(nanos) => Self::Int(i64::try_from(nanos / 1_000_000_000).unwrap_or(0))
                .as_float()
                .is_some_and(|now| now >= seconds),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hash::base64;
    use super::*;

    fn jwt(header: &str, claims: &str, signature: &str) -> String {
        let part = |text: &str| base64(text.as_bytes()).replace('+', "-").replace('/', "_");
        format!(
            "Bearer {}.{}.{signature}",
            part(header).trim_end_matches('='),
            part(claims).trim_end_matches('=')
        )
    }

    const NOW: Micros = Micros(1_000_000_000);

    #[test]
    fn servers_send_owner_or_nothing() {
        for header in [None, Some(""), Some("Bearer owner"), Some("bearer owner")] {
            assert!(matches!(Caller::of_header(header, false, NOW), Ok(Caller::Server)));
        }
    }

    #[test]
    fn unsigned_tokens_name_users_on_loopback_only() {
        let token = jwt(r#"{"alg":"none"}"#, r#"{"sub":"alice","role":"admin"}"#, "");
        let Ok(Caller::User(claims)) = Caller::of_header(Some(&token), true, NOW) else {
            panic!("expected a user");
        };
        assert_eq!(claims.uid(), Some("alice"));
        assert!(Caller::of_header(Some(&token), false, NOW).is_err());
    }

    #[test]
    fn other_tokens_are_refused() {
        let unsigned = r#"{"alg":"none"}"#;
        for header in [
            "owner".to_owned(),
            "Basic owner".to_owned(),
            "Bearer ya29.token".to_owned(),
            "Bearer a.b.c".to_owned(),
            jwt(r#"{"alg":"RS256"}"#, r#"{"sub":"a"}"#, "c2ln"),
            jwt(unsigned, r#"{"sub":"a"}"#, "c2ln"),
            jwt(unsigned, "[]", ""),
            jwt(unsigned, r#"{"sub":"a","exp":999}"#, ""),
        ] {
            let status = Caller::of_header(Some(&header), true, NOW).expect_err(&header);
            assert_eq!(status.code(), tonic::Code::Unauthenticated);
        }
        let lasting = jwt(unsigned, r#"{"sub":"a","exp":1001}"#, "");
        assert!(Caller::of_header(Some(&lasting), true, NOW).is_ok());
    }

    #[test]
    fn a_token_is_for_the_project_that_its_audience_names() {
        let database = Database::parse("projects/ours/databases/(default)").unwrap();
        let with = |claims: serde_json::Value| {
            Claims(claims.as_object().unwrap().clone()).check_project(&database)
        };
        assert!(with(serde_json::json!({"sub": "a"})).is_ok());
        assert!(with(serde_json::json!({"sub": "a", "aud": "ours"})).is_ok());
        for audience in [serde_json::json!("theirs"), serde_json::json!(["ours"]), 1.into()] {
            let status = with(serde_json::json!({"sub": "a", "aud": audience})).unwrap_err();
            assert_eq!(status.code(), tonic::Code::Unauthenticated);
        }
    }

    #[test]
    fn a_token_that_names_no_user_has_no_auth() {
        assert!(matches!(Claims::default().auth(), Value::Null));
    }
}
