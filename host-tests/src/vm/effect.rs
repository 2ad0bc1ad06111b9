//! The requests of a callback, carried out after it has returned: a VM is never entered twice.

use std::time::Duration;

use super::{ContextId, Headers};

/// An action that the driver of a VM must take after a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Resume a paused stream.
    Resume {
        /// The stream.
        context: ContextId,
        /// The half.
        direction: Direction,
    },
    /// Answer the request at once.
    Reply {
        /// The stream.
        context: ContextId,
        /// The reply.
        reply: LocalReply,
    },
    /// Reset the stream.
    Reset {
        /// The stream.
        context: ContextId,
    },
    /// Send a request to a cluster; its answer goes to [`super::Vm::http_call_response`].
    Call(HttpCall),
    /// Tick this root with this period from now on; zero means never.
    TickPeriod {
        /// The root.
        root: ContextId,
        /// The period.
        period: Duration,
    },
    /// A value was put into this shared queue.
    Enqueued {
        /// The queue.
        queue: u32,
    },
    /// A root that postponed its end is done.
    Done {
        /// The root.
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
    /// Headers in addition to those that the host sets.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

/// A request that a module sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCall {
    /// The id of the call within the VM.
    pub token: u32,
    /// The root context that owns it. A call outlives the stream that made it, and the SDK drops an answer to a stream
    /// that has ended.
    pub root: ContextId,
    /// The cluster; it exists and has an address.
    pub cluster: String,
    /// The headers, including `:method`, `:path` and `:authority`.
    pub headers: Headers,
    /// The body, often empty.
    pub body: Vec<u8>,
    /// The longest time until the answer.
    pub timeout: Option<Duration>,
}

/// The answer to an [`HttpCall`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallAnswer {
    /// The headers, including `:status`.
    pub headers: Headers,
    /// The complete body.
    pub body: Vec<u8>,
    /// Usually none.
    pub trailers: Headers,
}
