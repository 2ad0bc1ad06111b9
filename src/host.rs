//! The seam: everything the filter asks of Envoy goes through [`Host`], so that the rest runs and is tested without one.
//!
//! What comes back is hostile: header and property values are bytes of anybody's choosing, shared data may have been
//! written by another version of this module.

#[cfg(test)]
pub mod fake;

use std::time::Duration;

/// A moment, as the time since the Unix epoch. The host's clock may jump, back too.
pub type Time = Duration;

/// What the host does for the filter.
pub trait Host {
    /// The wall clock.
    fn now(&self) -> Time;

    /// Writes one line to the proxy's log. Never pass a secret.
    fn log(&self, level: Level, line: &str);

    /// Bytes of the system's random generator, to the end of `buffer`.
    fn random(&self, buffer: &mut [u8]);

    /// A variable of the VM's environment (`vm_config.environment_variables`).
    fn environment(&self, name: &str) -> Option<String>;

    /// The value under `key` in the shared data of this `vm_id`, with the guard for a [`Write::IfUnchanged`].
    fn shared(&self, key: &str) -> Option<Shared>;

    /// Writes `value` under `key`.
    ///
    /// # Errors
    /// [`HostError::Changed`] where the guard of a [`Write::IfUnchanged`] no longer holds.
    fn share(&self, key: &str, value: &[u8], write: Write) -> Result<(), HostError>;

    /// The first request header of this name. There may be more: see [`Host::request_headers`].
    fn request_header(&self, name: &str) -> Option<Vec<u8>>;

    /// All request headers, in the order they came, names in lower case.
    fn request_headers(&self) -> Vec<(String, Vec<u8>)>;

    /// A property (`["response", "code"]`), in the encoding Envoy gives it: integers are 8 bytes, little-endian.
    fn property(&self, path: &[&str]) -> Option<Vec<u8>>;

    /// Sends an HTTP request to a cluster; its answer comes to the context that sent it.
    ///
    /// # Errors
    /// [`HostError::Refused`] at once, and then no answer ever comes: an unknown cluster, or none of its hosts healthy.
    fn call(&self, call: &Call<'_>) -> Result<CallId, HostError>;
}

/// What tells the answer of one call from another's, within a VM.
pub type CallId = u32;

/// An HTTP request that the filter sends. Its method is GET, its body empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// Envoy's name of the cluster.
    pub cluster: &'a str,
    /// The `:authority`.
    pub authority: &'a str,
    /// The `:path`, query included.
    pub path: &'a str,
    /// Further headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// How long the answer may take. Envoy takes less than a millisecond as no limit.
    pub timeout: Duration,
}

/// Headers of a [`Call`] for a page: the format that a controller has, OpenMetrics of who has no other, and who asks.
pub const ASKING: [(&str, &str); 2] = [
    ("accept", "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5"),
    ("user-agent", concat!("awx-metrics-filter/", env!("CARGO_PKG_VERSION"))),
];

/// The answer to a [`Call`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Names in lower case, `:status` among them. Empty where the answer was cut off or over the host's limit.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, whole.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_slice())
    }
}

/// A value in shared data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The bytes.
    pub value: Vec<u8>,
    /// Changes with every write of the key; never 0.
    pub guard: u32,
}

/// On what condition a value is written to shared data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Whatever stands there.
    Always,
    /// Only if nobody wrote since it was read. **A key that does not exist is written all the same**: the host's
    /// shared data has no atomic create.
    IfUnchanged(u32),
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever debugs the filter.
    Debug,
    /// What an operator may want to know.
    Info,
    /// What an operator should look at.
    Warn,
    /// What does not work.
    Error,
}

/// Why the host did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Somebody else wrote the value since it was read.
    #[error("the shared value changed since it was read")]
    Changed,
    /// The host would not send the call, or failed in a way it does not explain.
    #[error("the host refused")]
    Refused,
}
