//! Connections that end when the server does.
//!
//! A connection is a task of its own, which lives as long as its client pleases: a listener for
//! days, and idle ones too. So that a server can end, its connections read the end of the stream
//! from then on, and whatever serves them ends as if the clients had gone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

pub struct Connection {
    stream: TcpStream,
    hold: Hold,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// What a request can do to the connection that it came over.
#[derive(Clone, Debug)]
pub struct Hold(CancellationToken);

impl Hold {
    /// Closes the connection; nothing more is read from it or written to it.
    pub fn close(&self) {
        self.0.cancel();
    }
}

impl Connection {
    pub fn new(stream: TcpStream, stop: &CancellationToken) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let own = stop.child_token();
        let ended = Box::pin(own.clone().cancelled_owned());
        Ok(Self { stream, hold: Hold(own), ended })
    }

    /// Whether the server has ended; wakes the task when it does.
    fn has_ended(&mut self, context: &mut Context<'_>) -> bool {
        self.ended.as_mut().poll(context).is_ready()
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.get_mut().stream)
    }
}

fn closed<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_ended(context) { closed() } else { self.stream().poll_read(context, buffer) }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.has_ended(context) { closed() } else { self.stream().poll_write(context, bytes) }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.has_ended(context) {
            return closed();
        }
        self.stream().poll_write_vectored(context, slices)
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
    type ConnectInfo = Hold;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.hold.clone()
    }
}
