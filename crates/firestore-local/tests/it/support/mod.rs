//! Helpers of the tests: a server, clients for it, and builders for requests.
//!
//! All calls go over gRPC through the `firestore` crate's authenticated channel. No helper accesses
//! the server's internals, so that tests see what any client sees.

pub mod calls;
pub mod http;
pub mod program;
pub mod queries;
pub mod random;
pub mod values;
pub mod writes;

use std::ops::Deref;

use axum::http::Extensions;
use axum::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use firestore::gcloud_sdk::GoogleAuthMiddleware;
use firestore::gcloud_sdk::google_cloud_auth::credentials::{
    CacheableResource, Credentials, CredentialsProvider, EntityTag,
};
use firestore::gcloud_sdk::google_cloud_auth::errors::CredentialsError;
use firestore::{FirestoreDb, FirestoreDbOptions};
use firestore_local::{Builder, Concurrency, Running, Server};

pub use firestore::gcloud_sdk::google::firestore::v1;
use v1::firestore_client::FirestoreClient;

/// Large enough for any answer. Firestore's documents and pages may exceed tonic's limit of 4 MiB.
const MAX_ANSWER_BYTES: usize = 32 << 20;

/// A server in this process, and a client of one of its projects.
pub struct Local {
    pub server: Running,
    client: Client,
}

impl Local {
    /// Starts a server that keeps data in memory.
    pub async fn start() -> Self {
        Self::of(Server::builder()).await
    }

    /// Starts a server in memory whose transactions are optimistic.
    pub async fn optimistic() -> Self {
        Self::of(Server::builder().concurrency(Concurrency::Optimistic)).await
    }

    pub async fn of(builder: Builder) -> Self {
        let server = builder.start().await.expect("the server starts");
        let client = Client::connect(server.addr(), "demo-tests").await;
        Self { server, client }
    }

    /// A client of another project of the same server.
    pub async fn project(&self, project: &str) -> Client {
        Client::connect(self.server.addr(), project).await
    }
}

impl Deref for Local {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// A client of one database. Its calls are in `calls`.
#[derive(Clone)]
pub struct Client {
    pub db: FirestoreDb,
}

impl Client {
    pub async fn connect(address: impl ToString, project: &str) -> Self {
        Self::with_options(address, FirestoreDbOptions::new(project.to_owned())).await
    }

    pub async fn with_options(address: impl ToString, options: FirestoreDbOptions) -> Self {
        Self::with_token(address, options, "owner").await
    }

    /// A client that sends a token, for example that of a user.
    pub async fn with_token(
        address: impl ToString,
        options: FirestoreDbOptions,
        token: &str,
    ) -> Self {
        let options = options.with_firebase_api_url(format!("http://{}", address.to_string()));
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
        let credentials = Credentials::from(Bearer { tag: EntityTag::new(), bearer });
        let db = FirestoreDb::with_options_auth(options, credentials).await;
        Self { db: db.expect("the client connects") }
    }

    /// The generated client, for RPCs that the crate's interface does not offer.
    pub fn api(&self) -> FirestoreClient<GoogleAuthMiddleware> {
        self.db.client().get().max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// `projects/{project}/databases/{database}`.
    pub fn database(&self) -> String {
        self.db.get_database_path().clone()
    }

    /// The parent of the top-level collections.
    pub fn root(&self) -> String {
        self.db.get_documents_path().clone()
    }

    /// The full name of a document.
    pub fn name(&self, path: &str) -> String {
        format!("{}/{path}", self.db.get_documents_path())
    }

    /// The part of a document's name after the database.
    pub fn path<'a>(&self, name: &'a str) -> &'a str {
        name.strip_prefix(&format!("{}/", self.root())).expect("a name in this database")
    }
}

/// Sends a token: `owner` identifies a server, not a user, to local Firestores.
#[derive(Debug)]
struct Bearer {
    tag: EntityTag,
    bearer: HeaderValue,
}

impl CredentialsProvider for Bearer {
    async fn headers(
        &self,
        extensions: Extensions,
    ) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        if extensions.get::<EntityTag>() == Some(&self.tag) {
            return Ok(CacheableResource::NotModified);
        }
        Ok(CacheableResource::New {
            entity_tag: self.tag.clone(),
            data: HeaderMap::from_iter([(AUTHORIZATION, self.bearer.clone())]),
        })
    }

    async fn universe_domain(&self) -> Option<String> {
        None
    }
}
