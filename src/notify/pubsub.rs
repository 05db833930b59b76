//! A topic of Pub/Sub, over its REST API: one message for each notice.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use reqwest::header::HeaderMap;
use serde_json::json;
use tokio::sync::OnceCell;

use super::{SendError, SinkError, accepted, client, line};
use f0_learning_core::document::Notice;
use firestore_kit::GoogleHeaders;

#[derive(Debug)]
pub struct PubSub {
    /// Where messages are published.
    url: String,
    /// An emulator needs no token.
    is_local: bool,
    client: Client,
    credentials: OnceCell<GoogleHeaders>,
}

impl PubSub {
    /// A topic by its full name, or by its name in `project`; at `emulator` (`host:port`) instead of
    /// Google's service.
    ///
    /// # Errors
    /// The name is not one of a topic.
    pub fn new(topic: &str, project: &str, emulator: Option<&str>) -> Result<Self, SinkError> {
        let invalid = || SinkError::Topic(topic.to_owned());
        let parts: Vec<&str> = topic.trim().split('/').collect();
        let (project, name) = match parts[..] {
            [name] => (project, name),
            ["projects", project, "topics", name] => (project, name),
            _ => return Err(invalid()),
        };
        let is_plain = |part: &str| {
            !part.is_empty()
                && part.chars().all(|it| it.is_ascii_alphanumeric() || "-_.~:".contains(it))
        };
        if !is_plain(project) || !is_plain(name) {
            return Err(invalid());
        }
        let base = emulator.map_or_else(
            || "https://pubsub.googleapis.com".to_owned(),
            |address| format!("http://{address}"),
        );
        Ok(Self {
            url: format!("{base}/v1/projects/{project}/topics/{name}:publish"),
            is_local: emulator.is_some(),
            client: client()?,
            credentials: OnceCell::new(),
        })
    }

    /// # Errors
    /// It was not accepted, or its answer was lost.
    pub async fn send(&self, notice: &Notice) -> Result<(), SendError> {
        let notice = Notice { text: line(notice), ..notice.clone() };
        let kind: &'static str = notice.kind.into();
        let data = serde_json::to_vec(&notice).unwrap_or_default();
        let message = json!({
            "data": STANDARD.encode(data),
            "attributes": { "id": notice.id, "kind": kind },
        });
        let request = self.client.post(&self.url).headers(self.headers().await?);
        let body = json!({ "messages": [message] }).to_string();
        accepted(&request.header("content-type", "application/json").body(body).send().await?)
    }

    async fn headers(&self) -> Result<HeaderMap, SendError> {
        if self.is_local {
            return Ok(HeaderMap::new());
        }
        let credentials = self.credentials.get_or_try_init(GoogleHeaders::find).await;
        credentials.map_err(SendError::Token)?.current().await.map_err(SendError::Token)
    }
}
