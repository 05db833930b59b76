//! Connections that close when the server stops.
//!
//! Each connection is a separate task that lives as long as its client keeps it open, which for
//! listeners and idle clients may be days. When the server stops, every read and write on its
//! connections fails, so that their tasks end as if the clients had disconnected.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

pub struct Connection {
    stream: TcpStream,
    handle: ConnectionHandle,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Counts the bytes that all connections send.
    sent: Arc<AtomicU64>,
}

/// Lets a request close the connection that it came over.
#[derive(Clone, Debug)]
pub struct ConnectionHandle(CancellationToken);

impl ConnectionHandle {
    /// Closes the connection: nothing more is read from it or written to it.
    pub fn close(&self) {
        self.0.cancel();
    }
}

impl Connection {
    pub fn new(
        stream: TcpStream,
        stop: &CancellationToken,
        sent: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let token = stop.child_token();
        let closed = Box::pin(token.clone().cancelled_owned());
        Ok(Self { stream, handle: ConnectionHandle(token), closed, sent })
    }

    /// Whether the connection is closed; if not, wakes the task once it is.
    fn is_closed(&mut self, context: &mut Context<'_>) -> bool {
        self.closed.as_mut().poll(context).is_ready()
    }

    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.sent.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
        written
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.get_mut().stream)
    }
}

fn aborted<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_closed(context) { aborted() } else { self.stream().poll_read(context, buffer) }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_closed(context) {
            return aborted();
        }
        let written = self.as_mut().stream().poll_write(context, bytes);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_closed(context) {
            return aborted();
        }
        let written = self.as_mut().stream().poll_write_vectored(context, slices);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }
}

impl Connected for Connection {
    type ConnectInfo = ConnectionHandle;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.handle.clone()
    }
}
