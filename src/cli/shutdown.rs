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
    tokio::spawn(async move {
        if requested().await.is_ok() {
            signalled.cancel();
        }
    });
    stop
}

/// Waits for SIGTERM or SIGINT.
pub async fn requested() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
