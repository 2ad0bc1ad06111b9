//! The interface to Envoy: the filter uses Envoy only through [`Host`], so that all other code runs and is tested without
//! it.
//!
//! All results are hostile: clients choose the bytes of headers and properties, and shared data may have been written by
//! another version of this module.

#[cfg(test)]
pub mod fake;

use std::time::Duration;

/// A time, as the duration since the Unix epoch. The host's clock may jump, also backwards.
pub type Time = Duration;

/// The operations of the host.
pub trait Host {
    /// The wall clock.
    fn now(&self) -> Time;

    /// Writes one line to the proxy's log. It must not contain a secret.
    fn log(&self, level: Level, line: &str);

    /// Fills `buffer` from the system's random generator.
    fn random(&self, buffer: &mut [u8]);

    /// A variable of the VM's environment (`vm_config.environment_variables`).
    fn environment(&self, name: &str) -> Option<String>;

    /// The value under `key` in the shared data of this `vm_id`, with the guard for a [`Write::IfUnchanged`].
    fn shared(&self, key: &str) -> Option<Shared>;

    /// Writes `value` under `key`.
    ///
    /// # Errors
    /// [`HostError::Changed`] if the guard of a [`Write::IfUnchanged`] is no longer current.
    fn share(&self, key: &str, value: &[u8], write: Write) -> Result<(), HostError>;

    /// The first request header of this name. There may be more: see [`Host::request_headers`].
    fn request_header(&self, name: &str) -> Option<Vec<u8>>;

    /// All request headers, in their order, with names in lower case.
    fn request_headers(&self) -> Vec<(String, Vec<u8>)>;

    /// A property (`["response", "code"]`), in Envoy's encoding: integers are 8 bytes, little-endian.
    fn property(&self, path: &[&str]) -> Option<Vec<u8>>;

    /// Sends an HTTP request to a cluster. The context that sent it receives the answer.
    ///
    /// # Errors
    /// [`HostError::Refused`] if the cluster does not exist or has no healthy host. Then no answer comes.
    fn call(&self, call: &Call<'_>) -> Result<CallId, HostError>;
}

/// Identifies a call within a VM.
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
    /// The time limit for the answer. Envoy takes less than a millisecond as no limit.
    pub timeout: Duration,
}

/// Headers of a [`Call`] for a page. They prefer text, which every controller has, to OpenMetrics, which is the only format
/// of some other sources.
pub const ASKING: [(&str, &str); 2] = [
    ("accept", "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5"),
    ("user-agent", concat!("awx-metrics-filter/", env!("CARGO_PKG_VERSION"))),
];

/// The answer to a [`Call`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Names in lower case, including `:status`. Empty if the answer was cut off or exceeds the host's limit.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The complete body.
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

/// The condition under which a value is written to shared data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Always, whatever the current value is.
    Always,
    /// Only if the value was not written since it was read. **A key that does not exist is written in any case**: the host's
    /// shared data has no atomic create.
    IfUnchanged(u32),
}

/// The severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For debugging the filter.
    Debug,
    /// An event that an operator may want to know about.
    Info,
    /// A problem that an operator should look at.
    Warn,
    /// A failure.
    Error,
}

/// Why an operation of the host failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The value was written since it was read.
    #[error("the shared value changed since it was read")]
    Changed,
    /// The host did not send the call, or failed for a reason that it does not explain.
    #[error("the host refused")]
    Refused,
}
