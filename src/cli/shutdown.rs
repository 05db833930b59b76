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

/// A command was ended by a signal before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped by signal {signal}")]
pub struct Stopped {
    signal: u8,
}

impl Stopped {
    /// What a shell reports for a program that a signal ended.
    pub const fn exit_code(self) -> u8 {
        128 + self.signal
    }
}

const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

/// Registers for SIGTERM and SIGINT at once, so that none of them ends the process from here on. The
/// future waits for the first.
///
/// # Errors
/// The operating system refuses the registration.
pub fn requested() -> std::io::Result<impl Future<Output = ()>> {
    let signalled = signalled()?;
    Ok(async move {
        signalled.await;
    })
}

/// The same, and which signal it was.
///
/// # Errors
/// The operating system refuses the registration.
pub fn signalled() -> std::io::Result<impl Future<Output = Stopped>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => Stopped { signal: SIGTERM },
            _ = interrupt.recv() => Stopped { signal: SIGINT },
        }
    })
}
