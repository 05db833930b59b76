//! The signal to end: SIGTERM from Cloud Run, Ctrl-C from a person.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cloud Run sends SIGKILL ten seconds after SIGTERM; this leaves a margin for what comes after
/// the passes in hand.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// A token that is cancelled by SIGTERM or SIGINT, for a command that ends after its pass.
pub fn token() -> CancellationToken {
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        if requested().await.is_ok() {
            told.cancel();
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
