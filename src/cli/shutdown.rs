//! The signal to stop: SIGTERM from Cloud Run, Ctrl-C on a terminal.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cloud Run sends SIGKILL ten seconds after SIGTERM; this leaves a margin for the rest of the
/// shutdown.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// A token that is cancelled by SIGTERM or SIGINT, for a command that ends after its pass.
pub fn token() -> CancellationToken {
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    if let Ok(requested) = requested() {
        tokio::spawn(async move {
            requested.await;
            signalled.cancel();
        });
    }
    stop
}

/// Registers for SIGTERM and SIGINT at once, so that none of them ends the process from here on. The
/// future waits for the first.
///
/// # Errors
/// The operating system refuses the registration.
pub fn requested() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
