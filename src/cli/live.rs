//! Views that are read again and again: a frame replaces the last one on a terminal. Elsewhere there is
//! one frame.

use std::time::Duration;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use super::output::{self, screen};
use super::{one_line, shutdown};

/// Reads and prints until Ctrl-C. A read that fails is reported and repeated. A terminal that changes its
/// size gets the last frame again.
///
/// # Errors
/// [`shutdown::Stopped`] after a signal.
pub async fn repeat<T>(
    every: Duration,
    mut read: impl AsyncFnMut() -> Result<T>,
    print: impl Fn(&T),
) -> Result<()> {
    if !screen::is_live() {
        print(&read().await?);
        return Ok(());
    }
    let mut stopped = std::pin::pin!(shutdown::signalled()?);
    let mut resized = signal(SignalKind::window_change())?;
    loop {
        let frame = tokio::select! {
            frame = read() => frame,
            stopped = &mut stopped => return Err(stopped.into()),
        };
        let shown = async {
            loop {
                draw(&frame, every, &print);
                tokio::select! {
                    stopped = &mut stopped => return stopped,
                    _ = resized.recv() => {}
                }
            }
        };
        if let Ok(stopped) = tokio::time::timeout(every, shown).await {
            return Err(stopped.into());
        }
    }
}

fn draw<T>(frame: &Result<T>, every: Duration, print: impl Fn(&T)) {
    let footer = format!("every {} s; press Ctrl-C to stop", every.as_secs());
    output::frame(&footer, || match frame {
        Ok(frame) => print(frame),
        Err(error) => complain!("cannot read, trying again: {}", one_line(error)),
    });
}
