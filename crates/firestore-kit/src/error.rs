//! What can go wrong between us and Firestore. Every message says what was attempted on which
//! document; the callers that can go on match on [`Error::code`].

use firestore::gcloud_sdk::tonic::{Code, Status};

/// The operation whose refusal can mean that somebody else was first.
pub const COMMITTING: &str = "committing";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot connect to Firestore at {target}: {detail}")]
    Connect { target: String, detail: String },

    #[error(
        "no Firestore configured: set GOOGLE_CLOUD_PROJECT to a project id, or \
         FIRESTORE_EMULATOR_HOST to the host:port of a local Firestore"
    )]
    NotConfigured,

    #[error("{operation} {target} failed: {code:?}: {detail}")]
    Rpc { operation: &'static str, target: String, code: Code, detail: String },

    #[error("a task that wrote to Firestore ended early: {0}")]
    Task(String),

    #[error("{document} does not read as {expected}: {detail}; correct or delete the document")]
    Decode { document: String, expected: &'static str, detail: String },
}

impl Error {
    pub fn rpc(operation: &'static str, target: impl Into<String>, status: Status) -> Self {
        Self::Rpc {
            operation,
            target: target.into(),
            code: status.code(),
            detail: status.message().to_owned(),
        }
    }

    pub fn decode(
        document: impl Into<String>,
        expected: &'static str,
        detail: impl ToString,
    ) -> Self {
        Self::Decode { document: document.into(), expected, detail: detail.to_string() }
    }

    /// The status code of the answer, where Firestore gave one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Rpc { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether a commit's precondition failed or its transaction lost: somebody else was first,
    /// and nothing of ours was applied.
    pub fn is_conflict(&self) -> bool {
        let refused = self.is_commit() && self.code().is_some_and(is_refusal);
        // A transaction that lost may be told so at any of its reads.
        refused || self.code() == Some(Code::Aborted)
    }

    /// Whether a commit failed in a way that leaves open whether it was applied; only reading the
    /// state again tells.
    pub fn is_ambiguous(&self) -> bool {
        self.is_commit() && !self.is_conflict() && self.code().is_some_and(is_transient)
    }

    /// Whether whoever made a commit can go on from the state, once it is read again: somebody else
    /// was first, or nobody knows whether the commit was applied.
    pub fn needs_reread(&self) -> bool {
        self.is_conflict() || self.is_ambiguous()
    }

    /// Whether it is about the documents at hand alone, so that others may fare better: one does
    /// not decode, is too large to be written, or was contended for too long.
    pub fn is_isolated(&self) -> bool {
        let decode = matches!(self, Self::Decode { .. });
        decode || self.is_conflict() || self.code() == Some(Code::InvalidArgument)
    }

    /// Whether the same call may succeed when it is repeated (see [`is_transient`]).
    pub fn is_transient(&self) -> bool {
        self.code().is_some_and(is_transient)
    }

    fn is_commit(&self) -> bool {
        matches!(self, Self::Rpc { operation: COMMITTING, .. })
    }
}

/// Codes after which the same call may well succeed (Firestore, "Error codes", column
/// "Recommended action": retry), and those that a client makes of a connection that broke. After a
/// commit they leave open whether it was applied, ABORTED excepted.
pub fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Internal
            | Code::Aborted
            | Code::Unknown
            | Code::Cancelled
    )
}

/// Codes by which a commit says that a precondition failed or its transaction lost: nothing of it
/// was applied.
pub fn is_refusal(code: Code) -> bool {
    matches!(code, Code::AlreadyExists | Code::FailedPrecondition | Code::NotFound | Code::Aborted)
}

pub type Result<T, E = Error> = std::result::Result<T, E>;
