//! What all requests to other services share, apart from those to Firestore. Knows no service.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, Response};

/// A client whose requests may take `timeout`, and carry `headers`. A redirect could lead what they carry,
/// such as a token, elsewhere: none is followed.
///
/// # Errors
/// The TLS library refuses.
pub fn client(timeout: Duration, headers: HeaderMap) -> Result<Client, reqwest::Error> {
    firestore_kit::tls::install_provider();
    let redirects = reqwest::redirect::Policy::none();
    Client::builder().timeout(timeout).redirect(redirects).default_headers(headers).build()
}

/// An error with its cause, which its own text does not name.
pub fn with_cause(error: &reqwest::Error) -> String {
    let cause = std::error::Error::source(error).map(|it| format!(": {it}"));
    format!("{error}{}", cause.unwrap_or_default())
}

/// The body of a response; `None` if it has more than `most` bytes.
///
/// # Errors
/// The connection ended early.
pub async fn body(mut response: Response, most: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > most {
            return Ok(None);
        }
    }
    Ok(Some(body))
}
