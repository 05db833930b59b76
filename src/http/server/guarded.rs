//! A connection that fails if its client sends a head too slowly, or does not read its response.
//! hyper has one time-out for both an idle connection and a slow head; this one tells them apart.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::Limits;
use super::connections::Activity;

pub struct Guarded {
    stream: TcpStream,
    activity: Arc<Activity>,
    limits: Limits,
    head: Deadline,
    /// How many heads had arrived when the current one began.
    heads: u64,
    stall: Deadline,
}

impl Guarded {
    pub fn new(stream: TcpStream, activity: Arc<Activity>, limits: Limits) -> Self {
        let (head, stall) = (Deadline::new(limits.head), Deadline::new(limits.stall));
        Self { stream, activity, limits, head, heads: 0, stall }
    }

    /// Whether the client has begun to send a head and not finished it.
    fn awaits_head(&self) -> bool {
        self.head.is_set && self.heads == self.activity.heads()
    }
}

/// A time that something must be done by, if it is set.
struct Deadline {
    sleep: Pin<Box<Sleep>>,
    is_set: bool,
}

impl Deadline {
    fn new(after: Duration) -> Self {
        Self { sleep: Box::pin(sleep(after)), is_set: false }
    }

    fn set(&mut self, after: Duration) {
        self.sleep.as_mut().reset(Instant::now() + after);
        self.is_set = true;
    }

    /// Ready with an error once the time has come.
    fn poll(&mut self, cx: &mut Context<'_>, what: &'static str) -> Poll<io::Error> {
        ready!(self.sleep.as_mut().poll(cx));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, what))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        let waits = this.awaits_head();
        if read.is_ready() {
            let got_some = buffer.filled().len() > before;
            if got_some && !waits && !this.activity.is_in_flight() {
                this.heads = this.activity.heads();
                this.head.set(this.limits.head);
            }
            // A client that sends a byte now and then is always ready.
            if waits && Instant::now() >= this.head.sleep.deadline() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            return read;
        }
        if waits {
            return this.head.poll(cx, "the head of a request took too long").map(Err);
        }
        Poll::Pending
    }
}

impl Guarded {
    fn after_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall.is_set = false;
            self.activity.set_writing(false);
            return written;
        }
        if !self.stall.is_set {
            self.stall.set(self.limits.stall);
            self.activity.set_writing(true);
        }
        self.stall.poll(cx, "the client does not read its response").map(Err)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.after_write(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.after_write(cx, written)
    }
}
