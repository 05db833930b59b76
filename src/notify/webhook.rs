//! A webhook: one POST for each notice, in the form that Slack takes, signed.
//!
//! The signature is HMAC-SHA256 over `TIMESTAMP.BODY` with the shared secret, so that a receiver knows
//! who sent a message, and that it is recent.

use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use ring::hmac;
use url::{Host, Url};

use super::{SendError, SinkError, accepted, client, line};
use f0_learning_core::document::Notice;

/// The header with the signature: `v1=` and 64 hexadecimal digits.
pub const SIGNATURE: &str = "X-F0-Signature";
/// The header with the time of the attempt, in epoch seconds.
pub const TIMESTAMP: &str = "X-F0-Timestamp";

const MIN_SECRET_BYTES: usize = 16;

/// The key of the signatures.
pub struct Secret(hmac::Key);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// # Errors
    /// It is too short.
    pub fn new(secret: String) -> Result<Self, SinkError> {
        match secret.trim().len() {
            got if got < MIN_SECRET_BYTES => Err(SinkError::Secret { min: MIN_SECRET_BYTES, got }),
            _ => Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret.trim().as_bytes()))),
        }
    }

    fn sign(&self, timestamp: i64, body: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{timestamp}.{body}").as_bytes());
        format!("v1={}", hex::encode(tag.as_ref()))
    }
}

#[derive(Debug)]
pub struct Webhook {
    url: Url,
    secret: Option<Secret>,
    client: Client,
}

impl Webhook {
    /// # Errors
    /// The URL is not one of https, or of http on this machine.
    pub fn new(url: &str, secret: Option<Secret>) -> Result<Self, SinkError> {
        let url = Url::parse(url.trim()).map_err(|_| SinkError::Url)?;
        let is_local = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || !(url.scheme() == "https" || (url.scheme() == "http" && is_local)) {
            return Err(SinkError::Url);
        }
        Ok(Self { url, secret, client: client()? })
    }

    /// # Errors
    /// It was not accepted, or its answer was lost.
    pub async fn send(&self, notice: &Notice, now: i64) -> Result<(), SendError> {
        let (timestamp, body) = (now / 1_000, body(notice));
        let mut request =
            self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        if let Some(secret) = &self.secret {
            request = request
                .header(TIMESTAMP, timestamp.to_string())
                .header(SIGNATURE, secret.sign(timestamp, &body));
        }
        accepted(&request.body(body).send().await?)
    }
}

fn body(notice: &Notice) -> String {
    // Slack reads these as the start of a mention or of a link.
    let text = line(notice).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut body = serde_json::to_value(notice).unwrap_or_default();
    body["text"] = text.into();
    body.to_string()
}

#[cfg(test)]
mod tests {
    use f0_learning_core::document::NoticeKind;

    use super::*;

    fn notice() -> Notice {
        Notice {
            id: "audit-1".to_owned(),
            kind: NoticeKind::DraftWaiting,
            at: 1_780_000_000_000,
            project: "p".to_owned(),
            text: "<!channel> router & co\nwaits".to_owned(),
            policy: Some("router".to_owned()),
            version: None,
            actor: None,
        }
    }

    #[test]
    fn a_text_can_neither_mention_people_nor_end_its_line() {
        let body: serde_json::Value = serde_json::from_str(&body(&notice())).unwrap();
        assert_eq!(body["text"], "&lt;!channel&gt; router &amp; co\\nwaits");
        assert_eq!((&body["kind"], &body["id"]), (&"draft-waiting".into(), &"audit-1".into()));
        assert_eq!((&body["policy"], body.get("version")), (&"router".into(), None));
    }

    #[test]
    fn a_signature_is_that_of_rfc_4231_over_time_and_body() {
        // Computed with: printf '1780000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let secret = Secret::new("0123456789abcdef".to_owned()).unwrap();
        assert_eq!(
            secret.sign(1_780_000_000, "{}"),
            "v1=2c48252c6a47fdb9b333f61ba8d2f35f0f966922f9eeba7a6fc8d7e3e5ba2b4b"
        );
        assert_eq!(format!("{secret:?}"), "Secret", "a secret is not printed");
    }
}
