//! What can go wrong between this process and Firestore. Every message names the operation and its
//! target; callers that can continue match on the predicates of [`Error`].

use std::sync::OnceLock;

use firestore::gcloud_sdk::tonic::{Code, Status};

/// The operation whose failure can mean that another writer was first.
pub(crate) const COMMIT: &str = "commit";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "cannot connect to Firestore at {target}: {detail}; check the address and the credentials"
    )]
    Connect { target: String, detail: String },

    #[error(
        "no Firestore configured: set GOOGLE_CLOUD_PROJECT to a project id, or \
         FIRESTORE_EMULATOR_HOST to the host:port of a local Firestore"
    )]
    NotConfigured,

    #[error("cannot {operation} {target}: {code:?}: {detail}{}", advice(*code))]
    Rpc { operation: &'static str, target: String, code: Code, detail: String },

    #[error("cannot complete a call to Firestore: its task ended early: {0}")]
    Task(String),

    #[error("cannot read {document} as {expected}: {detail}; {}", remedy(document))]
    Decode { document: String, expected: &'static str, detail: String },

    #[error("cannot encode a document: {detail}; nothing was written")]
    Encode { detail: String },
}

/// Names the repair of a document that cannot be read.
type Remedies = fn(&str) -> String;

static REMEDIES: OnceLock<Remedies> = OnceLock::new();

/// Sets what messages say that a person can do about a document that cannot be read. The first call
/// counts: a process has one kind of data.
pub fn set_remedies(remedies: Remedies) {
    let _ = REMEDIES.set(remedies);
}

fn remedy(document: &str) -> String {
    REMEDIES.get().map_or_else(|| "correct the document".to_owned(), |remedies| remedies(document))
}

/// What to do about a code, where that depends on the project and not on the call.
fn advice(code: Code) -> &'static str {
    match code {
        Code::PermissionDenied | Code::Unauthenticated => {
            "; check that the account has the role roles/datastore.user"
        }
        Code::ResourceExhausted => "; check the quotas of the project",
        _ => "",
    }
}

impl Error {
    /// The failure of a call: `operation` is a verb that continues "cannot", with its preposition
    /// if it needs one ("read", "write to").
    pub fn rpc(operation: &'static str, target: impl Into<String>, status: Status) -> Self {
        Self::Rpc {
            operation,
            target: target.into(),
            code: status.code(),
            detail: status.message().to_owned(),
        }
    }

    /// A stored document that is not what it should be: "cannot read `document` as `expected`".
    pub fn decode(
        document: impl Into<String>,
        expected: &'static str,
        detail: impl ToString,
    ) -> Self {
        Self::Decode { document: document.into(), expected, detail: detail.to_string() }
    }

    /// The status code of the response, if Firestore sent one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Rpc { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether a commit's precondition failed or its transaction was aborted: another writer was
    /// first, and nothing of this commit was applied.
    pub fn is_conflict(&self) -> bool {
        let refused = self.is_commit() && self.code().is_some_and(is_refusal);
        // Firestore may abort a transaction at any of its reads.
        refused || self.code() == Some(Code::Aborted)
    }

    /// Whether it is unknown if a failed commit was applied; only reading the state again can say.
    pub fn is_ambiguous(&self) -> bool {
        self.is_commit() && !self.is_conflict() && self.code().is_some_and(is_transient)
    }

    /// Whether the writer can continue from the state once it has read it again: another writer was
    /// first, or it is unknown whether the commit was applied.
    pub fn needs_reread(&self) -> bool {
        self.is_conflict() || self.is_ambiguous()
    }

    /// Whether the cause is one document or a few, so that the same work on other documents may
    /// succeed: one does not decode, is too large to be written, or was contended for too long.
    pub fn concerns_one_document(&self) -> bool {
        let coding = matches!(self, Self::Decode { .. } | Self::Encode { .. });
        coding || self.is_conflict() || self.code() == Some(Code::InvalidArgument)
    }

    /// Whether the same call may succeed when it is repeated (see [`is_transient`]).
    pub fn is_transient(&self) -> bool {
        self.code().is_some_and(is_transient)
    }

    /// Whether a read at an earlier time failed because Firestore keeps no versions of that time (an
    /// hour, or seven days with point-in-time recovery).
    pub fn is_too_old(&self) -> bool {
        let code = self.code();
        !self.is_commit() && matches!(code, Some(Code::FailedPrecondition | Code::InvalidArgument))
    }

    fn is_commit(&self) -> bool {
        matches!(self, Self::Rpc { operation: COMMIT, .. })
    }
}

/// Codes after which the same call may succeed (Firestore, "Error codes", column "Recommended
/// action": retry), and those that a client reports for a broken connection. After a commit, all
/// but ABORTED leave open whether it was applied.
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

/// Codes by which a commit reports that a precondition failed or its transaction was aborted:
/// nothing of it was applied.
pub fn is_refusal(code: Code) -> bool {
    matches!(code, Code::AlreadyExists | Code::FailedPrecondition | Code::NotFound | Code::Aborted)
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_operation_the_target_and_what_to_do() {
        let denied = Error::rpc("read", "things/x", Status::permission_denied("no access"));
        assert_eq!(
            denied.to_string(),
            "cannot read things/x: PermissionDenied: no access; check that the account has the \
             role roles/datastore.user"
        );
        let decode = Error::decode("things/x", "a thing", "size is missing");
        assert_eq!(
            decode.to_string(),
            "cannot read things/x as a thing: size is missing; correct the document"
        );
    }

    #[test]
    fn only_a_commit_can_be_ambiguous() {
        let unavailable = |operation| Error::rpc(operation, "x", Status::unavailable("away"));
        assert!(unavailable(COMMIT).is_ambiguous() && !unavailable(COMMIT).is_conflict());
        assert!(!unavailable("read").needs_reread());
        assert!(Error::rpc("read", "x", Status::aborted("lost")).is_conflict());
        assert!(Error::rpc(COMMIT, "x", Status::failed_precondition("changed")).is_conflict());
    }
}
