//! Commits that another worker may have overtaken, or whose answer was lost.

use crate::store::{Result, StoreError};

/// How often a commit is repeated on top of what other workers have counted meanwhile.
pub(super) const MAX_ATTEMPTS: u32 = 12;

/// The answer to a commit.
pub(super) enum Commit<T> {
    /// It was applied, and left this state.
    Applied(T),
    /// It was refused, or its answer was lost. Only the state that is stored now shows which.
    Unknown { stored: T, error: StoreError },
}

/// Commits, and reads the stored state where that alone shows whether the commit was applied.
pub(super) async fn commit_or_reread<T>(
    commit: impl Future<Output = Result<T>>,
    reread: impl Future<Output = Result<T>>,
) -> Result<Commit<T>> {
    match commit.await {
        Ok(state) => Ok(Commit::Applied(state)),
        Err(error) if error.needs_reread() => Ok(Commit::Unknown { stored: reread.await?, error }),
        Err(error) => Err(error),
    }
}
