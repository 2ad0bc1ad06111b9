//! A body that another task fills, piece by piece.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// The body did not reach its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CutOff;

impl std::fmt::Display for CutOff {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("the body was cut off")
    }
}

impl std::error::Error for CutOff {}

/// The sender of the pieces. Dropping it without [`Pieces::end`] truncates the body.
pub(super) struct Pieces(mpsc::Sender<Option<Frame<Bytes>>>);

/// The reader of the body has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

impl Pieces {
    pub(super) async fn send(&self, frame: Frame<Bytes>) -> Result<(), Gone> {
        self.0.send(Some(frame)).await.map_err(|_| Gone)
    }

    pub(super) async fn end(self) -> Result<(), Gone> {
        self.0.send(None).await.map_err(|_| Gone)
    }

    /// Waits until the reader of the body has gone.
    pub(super) async fn gone(&self) {
        self.0.closed().await;
    }
}

/// The body, as hyper reads it.
pub(super) enum PieceBody {
    /// A complete body.
    Whole(Option<Bytes>),
    /// Filled by [`Pieces`].
    Pieces { from: mpsc::Receiver<Option<Frame<Bytes>>>, ended: bool },
}

impl PieceBody {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()).filter(|bytes| !bytes.is_empty()))
    }

    /// One piece at a time, so that a slow reader slows down the writer.
    pub(super) fn pieces() -> (Pieces, Self) {
        let (to, from) = mpsc::channel(1);
        (Pieces(to), Self::Pieces { from, ended: false })
    }
}

impl Body for PieceBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces { ended: true, .. } => Poll::Ready(None),
            Self::Pieces { from, ended } => from.poll_recv(context).map(|piece| match piece {
                Some(Some(frame)) => Some(Ok(frame)),
                Some(None) => {
                    *ended = true;
                    None
                }
                None => Some(Err(CutOff)),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None) | Self::Pieces { ended: true, .. })
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Pieces { .. } => SizeHint::default(),
        }
    }
}
