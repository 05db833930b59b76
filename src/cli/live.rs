//! Views that are read again and again: a frame replaces the last one on a terminal. Elsewhere there is
//! one frame.

use std::time::Duration;

use anyhow::Result;

use super::output::{self, screen};
use super::{one_line, shutdown};

/// Reads and prints until Ctrl-C. A read that fails is reported and repeated.
pub async fn repeat<T>(
    every: Duration,
    mut read: impl AsyncFnMut() -> Result<T>,
    print: impl Fn(&T),
) -> Result<()> {
    if !screen::is_live() {
        print(&read().await?);
        return Ok(());
    }
    let mut end = std::pin::pin!(shutdown::requested()?);
    loop {
        let frame = tokio::select! {
            frame = read() => frame,
            () = &mut end => return Ok(()),
        };
        output::clear();
        match frame {
            Ok(frame) => print(&frame),
            Err(error) => complain!("cannot read, trying again: {}", one_line(&error)),
        }
        say!("every {} s; press Ctrl-C to stop", every.as_secs());
        if tokio::time::timeout(every, &mut end).await.is_ok() {
            return Ok(());
        }
    }
}
