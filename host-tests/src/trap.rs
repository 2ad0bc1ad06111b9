//! What is left of a callback that did not return.

use std::fmt;

/// A callback that trapped, ran out of fuel or ended its process. The VM is dead from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// Which VM: `canary`, `main`, `worker-0`, ...
    pub vm: String,
    /// The export that was running, as `proxy_on_tick`.
    pub callback: &'static str,
    /// The runtime's reason; before it, what the module wrote to stderr in this callback (a panic's message).
    pub message: String,
}

impl fmt::Display for Trap {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} trapped in {}: {}", self.vm, self.callback, self.message)
    }
}

impl std::error::Error for Trap {}
