//! The requests of callbacks to a stream, queued until the stream handles them.

use std::cell::RefCell;
use std::collections::VecDeque;

use tokio::sync::Notify;

use crate::vm::{Direction, LocalReply};

/// A request to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Resume(Direction),
    Reply(LocalReply),
    Reset,
}

/// The queue of one stream context.
#[derive(Default)]
pub(super) struct Signals {
    waiting: RefCell<VecDeque<Signal>>,
    sent: Notify,
}

impl Signals {
    pub(super) fn send(&self, signal: Signal) {
        self.waiting.borrow_mut().push_back(signal);
        self.sent.notify_one();
    }

    pub(super) async fn next(&self) -> Signal {
        loop {
            let next = self.waiting.borrow_mut().pop_front();
            match next {
                Some(signal) => return signal,
                None => self.sent.notified().await,
            }
        }
    }
}
