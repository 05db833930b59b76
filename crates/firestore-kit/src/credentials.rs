//! The service's own credentials for other Google APIs, which are called over HTTP.

use firestore::gcloud_sdk::{GCP_DEFAULT_SCOPES, GoogleAuthHeaders};
use http::header::HeaderMap;

/// The headers that authorize a request, from the Application Default Credentials. Tokens are renewed
/// before they expire.
#[derive(Debug)]
pub struct GoogleHeaders(GoogleAuthHeaders);

impl GoogleHeaders {
    /// # Errors
    /// There are no credentials: one line that says what failed.
    pub async fn find() -> Result<Self, String> {
        crate::tls::install_provider();
        let found = GoogleAuthHeaders::from_adc_with_scopes(GCP_DEFAULT_SCOPES.clone()).await;
        Ok(Self(found.map_err(|error| error.to_string())?))
    }

    /// The headers of a request that is made now.
    ///
    /// # Errors
    /// The metadata server, or the server of tokens, did not answer.
    pub async fn current(&self) -> Result<HeaderMap, String> {
        let headers = self.0.headers().await.map_err(|error| error.to_string())?;
        Ok(HeaderMap::clone(&headers))
    }
}
