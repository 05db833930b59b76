//! The address of a Firestore database, and the connection to it.

use std::sync::Arc;

use firestore::errors::FirestoreError;
use firestore::gcloud_sdk::google_cloud_auth::credentials::{
    CacheableResource, Credentials, CredentialsProvider, EntityTag,
};
use firestore::gcloud_sdk::google_cloud_auth::errors::CredentialsError;
use firestore::gcloud_sdk::{GCP_DEFAULT_SCOPES, GoogleAuthHeaders, GoogleAuthMiddleware};
use firestore::{FirestoreDb, FirestoreDbOptions};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::error::{Error, Result};
use crate::{Client, Db};

/// The project, the database, and the address of a local server if it is not Google's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    pub project: String,
    pub database: Option<String>,
    /// `host:port` of a local Firestore, which accepts plaintext and needs no credentials.
    pub emulator: Option<String>,
}

impl Connection {
    /// Reads GOOGLE_CLOUD_PROJECT, FIRESTORE_DATABASE and FIRESTORE_EMULATOR_HOST through `var`.
    /// With an emulator and no project, the project is `default_project`.
    ///
    /// # Errors
    /// [`Error::NotConfigured`] if neither project nor emulator is set: a fallback would let a
    /// misconfigured container write to a disk that is lost with it.
    pub fn from_env(default_project: &str, var: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let set = |name| var(name).filter(|text: &String| !text.trim().is_empty());
        let emulator = set("FIRESTORE_EMULATOR_HOST");
        let project = set("GOOGLE_CLOUD_PROJECT")
            .or_else(|| emulator.as_ref().map(|_| default_project.to_owned()))
            .ok_or(Error::NotConfigured)?;
        Ok(Self { project, database: set("FIRESTORE_DATABASE"), emulator })
    }

    /// A project of the local Firestore at `address`.
    pub fn local(project: impl Into<String>, address: impl ToString) -> Self {
        Self { project: project.into(), database: None, emulator: Some(address.to_string()) }
    }
}

/// Google's Firestore.
const GOOGLE_URL: &str = "https://firestore.googleapis.com";

/// The database that a project has by default.
const DEFAULT_DATABASE: &str = "(default)";

impl Db {
    /// Connects. For a database of Google's, finds the Application Default Credentials, too.
    pub async fn connect(connection: &Connection) -> Result<Self> {
        crate::tls::install_provider();
        let id = connection.database.as_deref().unwrap_or(DEFAULT_DATABASE);
        let database = format!("projects/{}/databases/{id}", connection.project);
        let target = match &connection.emulator {
            Some(address) => address.clone(),
            None => format!("project {}", connection.project),
        };
        let failed = |detail: String| Error::Connect { target: target.clone(), detail };
        let (client, local) = match &connection.emulator {
            Some(address) => {
                let db = local(connection, address).await.map_err(|it| failed(it.to_string()))?;
                (db.client().get(), Some(db))
            }
            None => (google(&database).await.map_err(failed)?, None),
        };
        Ok(Self {
            client,
            project: connection.project.as_str().into(),
            documents: format!("{database}/documents").into(),
            database: database.into(),
            local,
            retry: Arc::default(),
            time: Arc::default(),
            usage: Arc::default(),
            sizes: Arc::default(),
        })
    }

    /// Whether the database is that of a local Firestore, whose time is the clock of its machine.
    pub fn is_local(&self) -> bool {
        self.local.is_some()
    }

    /// The project of the database.
    pub fn project(&self) -> &str {
        &self.project
    }
}

async fn local(
    connection: &Connection,
    address: &str,
) -> std::result::Result<FirestoreDb, FirestoreError> {
    let mut options = FirestoreDbOptions::new(connection.project.clone());
    if let Some(database) = &connection.database {
        options = options.with_database_id(database.clone());
    }
    let address = address.trim_start_matches("http://");
    let options = options.with_firebase_api_url(format!("http://{address}"));
    FirestoreDb::with_options_auth(options, Credentials::from(OwnerToken::new())).await
}

/// The `firestore` crate connects with roots of its own, to which no private root can be added; so
/// the channel is made here.
async fn google(database: &str) -> std::result::Result<Client, String> {
    let channel = crate::tls::google_channel(GOOGLE_URL).await?;
    let credentials = GoogleAuthHeaders::from_adc_with_scopes(GCP_DEFAULT_SCOPES.clone()).await;
    let credentials = credentials.map_err(|error| error.to_string())?;
    let service = GoogleAuthMiddleware::new(channel, credentials, Some(database.to_owned()));
    Ok(Client::new(service.map_err(|error| error.to_string())?))
}

/// The token that local Firestores grant full access; any other is a user, subject to the rules.
#[derive(Debug)]
struct OwnerToken {
    /// Identifies the only header there is, so that the client caches it.
    tag: EntityTag,
}

impl OwnerToken {
    fn new() -> Self {
        Self { tag: EntityTag::new() }
    }
}

impl CredentialsProvider for OwnerToken {
    async fn headers(
        &self,
        extensions: http::Extensions,
    ) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        if extensions.get::<EntityTag>() == Some(&self.tag) {
            return Ok(CacheableResource::NotModified);
        }
        let owner = HeaderValue::from_static("Bearer owner");
        Ok(CacheableResource::New {
            entity_tag: self.tag.clone(),
            data: HeaderMap::from_iter([(AUTHORIZATION, owner)]),
        })
    }

    async fn universe_domain(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &'static [(&'static str, &'static str)]) -> Result<Connection> {
        Connection::from_env("demo-project", |name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn an_emulator_without_a_project_uses_the_default_project() {
        let connection = env(&[("FIRESTORE_EMULATOR_HOST", "127.0.0.1:8080")]).unwrap();
        assert_eq!(connection, Connection::local("demo-project", "127.0.0.1:8080"));
    }

    #[test]
    fn without_a_configuration_the_error_names_the_variables_to_set() {
        let message = env(&[("GOOGLE_CLOUD_PROJECT", " ")]).unwrap_err().to_string();
        assert!(message.contains("GOOGLE_CLOUD_PROJECT"), "{message}");
        assert!(message.contains("FIRESTORE_EMULATOR_HOST"), "{message}");
    }
}
