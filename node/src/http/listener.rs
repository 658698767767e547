//! A listener that bounds how many connections there are and how long one may keep silent.
//!
//! Where it sits: between the socket and axum in `http.rs`. The server library has no bound of either kind.

use std::{
    future::Future as _,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};

/// A connection on which nothing moves for so long is closed; above the longest wait for a result.
const IDLE: Duration = Duration::from_secs(100);
/// A connection to which nothing was sent for so long is closed, however slowly it still sends: heads are never
/// answered before they are complete.
const UNANSWERED: Duration = Duration::from_secs(200);
/// Pause after the system refused a connection (mostly: no more file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// See the module's words.
#[derive(Debug)]
pub(super) struct BoundedListener {
    inner: TcpListener,
    slots: Arc<Semaphore>,
}

impl BoundedListener {
    /// Takes connections from `inner` while `slots` has room; several listeners may share `slots`.
    pub fn new(inner: TcpListener, slots: Arc<Semaphore>) -> Self {
        Self { inner, slots }
    }
}

impl axum::serve::Listener for BoundedListener {
    type Io = Guarded;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guarded, SocketAddr) {
        loop {
            // The semaphore is never closed; were it, waiting is right too.
            let Ok(slot) = self.slots.clone().acquire_owned().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            match self.inner.accept().await {
                Ok((stream, peer)) => {
                    // Replies are small and waited for; without this one waits for the other's delayed acknowledgement.
                    let _ = stream.set_nodelay(true);
                    return (Guarded::new(stream, slot), peer);
                }
                Err(fault) => {
                    tracing::warn!(%fault, "could not accept an http connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A connection with its slot and its deadlines.
#[derive(Debug)]
pub(super) struct Guarded {
    stream: TcpStream,
    timer: Pin<Box<Sleep>>,
    moved: Instant,
    answered: Instant,
    _slot: OwnedSemaphorePermit,
}

impl Guarded {
    fn new(stream: TcpStream, slot: OwnedSemaphorePermit) -> Self {
        let now = Instant::now();
        Self { stream, timer: Box::pin(tokio::time::sleep(IDLE)), moved: now, answered: now, _slot: slot }
    }

    /// Fails once a deadline has passed; else has the task woken when one might.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let deadline = self.moved.checked_add(IDLE).min(self.answered.checked_add(UNANSWERED));
            match deadline.filter(|deadline| *deadline > Instant::now()) {
                Some(deadline) => self.timer.as_mut().reset(deadline),
                None => return Err(io::Error::new(io::ErrorKind::TimedOut, "the client kept silent for too long")),
            }
        }
        Ok(())
    }

    /// `poll` with its progress noted and the deadlines checked while there is none.
    fn noted<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>, wrote: bool) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.moved = Instant::now();
            if wrote {
                self.answered = self.moved;
            }
            return poll;
        }
        match self.check(cx) {
            Ok(()) => Poll::Pending,
            Err(late) => Poll::Ready(Err(late)),
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.noted(cx, poll, false)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.noted(cx, poll, true)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.noted(cx, poll, true)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
