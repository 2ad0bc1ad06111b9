//! What a callback asked for, to be done when it has returned: a VM is never entered twice.

use std::time::Duration;

use super::{ContextId, Headers};

/// What whoever drives a VM has to do after a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Go on with a paused stream.
    Resume {
        /// Which stream.
        context: ContextId,
        /// Which half.
        direction: Direction,
    },
    /// Answer the request here and now.
    Reply {
        /// Which stream.
        context: ContextId,
        /// With what.
        reply: LocalReply,
    },
    /// Cut the stream off.
    Reset {
        /// Which stream.
        context: ContextId,
    },
    /// Send a request to a cluster; its answer goes to [`super::Vm::http_call_response`].
    Call(HttpCall),
    /// Tick this root every so often from now on; zero means never.
    TickPeriod {
        /// Which root.
        root: ContextId,
        /// How often.
        period: Duration,
    },
    /// Something was put into this shared queue.
    Enqueued {
        /// Which queue.
        queue: u32,
    },
    /// The root that put off its end is done.
    Done {
        /// Which root.
        root: ContextId,
    },
}

/// The half of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client.
    Request,
    /// To the client.
    Response,
}

/// A reply that a filter makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalReply {
    /// The status, as the module gave it.
    pub status: u32,
    /// For `response.code_details`.
    pub details: String,
    /// Headers beside those the host makes.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

/// A request that a module sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCall {
    /// What tells its answer from others', within the VM.
    pub token: u32,
    /// The root context that owns it: a call outlives the stream that made it, and the SDK drops an answer to a stream
    /// that is gone.
    pub root: ContextId,
    /// The cluster; it exists and has an address.
    pub cluster: String,
    /// `:method`, `:path` and `:authority` among them.
    pub headers: Headers,
    /// The body, often empty.
    pub body: Vec<u8>,
    /// How long the answer may take.
    pub timeout: Option<Duration>,
}

/// The answer to an [`HttpCall`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallAnswer {
    /// `:status` among them.
    pub headers: Headers,
    /// The body, whole.
    pub body: Vec<u8>,
    /// Often none.
    pub trailers: Headers,
}
