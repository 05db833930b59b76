//! Notifications: where notices are sent. Knows no Firestore and no job: a [`Sink`] sends
//! the [`Notice`] that it is given.

mod pubsub;
mod webhook;

use std::time::Duration;

use reqwest::header::HeaderMap;

use crate::observability::printable;
use crate::outgoing;
use f0_learning_core::document::Notice;
pub use pubsub::PubSub;
pub use webhook::{SIGNATURE, Secret, TIMESTAMP, Webhook};

/// How long a sink may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The most characters of a text.
const MAX_TEXT: usize = 1_500;

/// The text of a notice in one line, shortened.
fn line(notice: &Notice) -> String {
    printable::line(&notice.text).chars().take(MAX_TEXT).collect()
}

/// Why a notice could not be sent. Names no address, which may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("cannot send: {0}")]
    Request(String),

    #[error("refused with status {0}")]
    Refused(u16),

    #[error("cannot get a token for Pub/Sub: {0}")]
    Token(String),
}

impl From<reqwest::Error> for SendError {
    fn from(error: reqwest::Error) -> Self {
        Self::Request(outgoing::with_cause(&error.without_url()))
    }
}

/// What is wrong with the configuration of a sink.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    #[error(
        "invalid NOTIFY_WEBHOOK_URL: expected an https URL without a user, or http on localhost"
    )]
    Url,

    #[error("invalid NOTIFY_WEBHOOK_SECRET: expected at least {min} bytes, got {got}")]
    Secret { min: usize, got: usize },

    #[error(
        "invalid NOTIFY_PUBSUB_TOPIC `{0}`: expected projects/PROJECT/topics/TOPIC, or TOPIC alone"
    )]
    Topic(String),

    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// A place to send notices to.
#[derive(Debug)]
pub enum Sink {
    Webhook(Webhook),
    PubSub(PubSub),
}

impl Sink {
    /// The sinks that the environment names; none if it names none.
    ///
    /// # Errors
    /// A variable is invalid.
    pub fn from_env(
        project: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<Self>, SinkError> {
        let set = |name| variable(name).filter(|text: &String| !text.trim().is_empty());
        let mut sinks = Vec::new();
        if let Some(url) = set("NOTIFY_WEBHOOK_URL") {
            let secret = set("NOTIFY_WEBHOOK_SECRET").map(Secret::new).transpose()?;
            sinks.push(Self::Webhook(Webhook::new(&url, secret)?));
        }
        if let Some(topic) = set("NOTIFY_PUBSUB_TOPIC") {
            let emulator = set("PUBSUB_EMULATOR_HOST");
            sinks.push(Self::PubSub(PubSub::new(&topic, project, emulator.as_deref())?));
        }
        Ok(sinks)
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::PubSub(_) => "pubsub",
        }
    }

    /// Sends a notice at `now`, in epoch milliseconds.
    ///
    /// # Errors
    /// It was not accepted, or its answer was lost.
    pub async fn send(&self, notice: &Notice, now: i64) -> Result<(), SendError> {
        match self {
            Self::Webhook(webhook) => webhook.send(notice, now).await,
            Self::PubSub(topic) => topic.send(notice).await,
        }
    }
}

fn client() -> Result<reqwest::Client, reqwest::Error> {
    outgoing::client(TIMEOUT, HeaderMap::new())
}

fn accepted(response: &reqwest::Response) -> Result<(), SendError> {
    match response.status() {
        status if status.is_success() => Ok(()),
        status => Err(SendError::Refused(status.as_u16())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinks_are_made_of_variables_and_wrong_ones_are_named() {
        let from = |set: &'static [(&str, &str)]| {
            let find = move |name: &str| {
                set.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned())
            };
            let sinks = Sink::from_env("p", find);
            sinks.map(|sinks| sinks.iter().map(Sink::name).collect::<Vec<_>>())
        };
        assert!(from(&[]).unwrap().is_empty());
        let both = from(&[
            ("NOTIFY_WEBHOOK_URL", "https://hooks.example.com/x"),
            ("NOTIFY_PUBSUB_TOPIC", "learning"),
        ]);
        assert_eq!(both.unwrap(), ["webhook", "pubsub"]);
        for (name, value) in [
            ("NOTIFY_WEBHOOK_URL", "http://hooks.example.com/x"),
            ("NOTIFY_WEBHOOK_URL", "https://user:word@example.com/x"),
            ("NOTIFY_PUBSUB_TOPIC", "projects/p/subscriptions/x"),
        ] {
            let set: &'static [(&str, &str)] = Box::leak(Box::new([(name, value)]));
            assert!(from(set).unwrap_err().to_string().contains(name), "{value}");
        }
        let short =
            from(&[("NOTIFY_WEBHOOK_URL", "https://x/y"), ("NOTIFY_WEBHOOK_SECRET", "abc")]);
        assert!(short.unwrap_err().to_string().contains("at least 16 bytes, got 3"));
    }
}
