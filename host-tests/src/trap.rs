//! The trap of a callback.

use std::fmt;

/// A callback that trapped, ran out of fuel or exited its process. Its VM is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// The name of the VM: `canary`, `main`, `worker-0`, ...
    pub vm: String,
    /// The running export, such as `proxy_on_tick`.
    pub callback: &'static str,
    /// The module's standard error during the callback (the message of a panic), followed by the runtime's reason.
    pub message: String,
}

impl fmt::Display for Trap {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} trapped in {}: {}", self.vm, self.callback, self.message)
    }
}

impl std::error::Error for Trap {}
