//! Fuzz targets: all that reads bytes which others wrote.
//!
//! Each target takes any bytes, and panics where a promise is broken. "No panic" is the least of them: what the filter
//! makes of the bytes is compared with a second, slow and straightforward reading that shares no code with it, or sent
//! round and compared with itself. The same functions run under the engine (`make fuzz`), and over the corpus in
//! `make test`.
//!
//! With the feature `planted` each target's own wrapper has one fault, which the engine has to find. The faults are
//! here, never in the filter.

mod targets;

/// What is run over bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and its folder's in the corpus.
    pub name: &'static str,
    /// Panics where the filter breaks a promise.
    pub run: fn(&[u8]),
    /// The longest input worth trying, in bytes.
    pub longest: usize,
    /// How many runs `make fuzz` gives it, in thousands: about a minute's worth.
    pub thousands: u32,
    /// What inputs are made of, for the engine to try.
    pub words: &'static [&'static str],
    /// What the fault is that the feature `planted` puts into its wrapper.
    pub fault: &'static str,
}

/// Every target.
pub const TARGETS: [Target; 10] = [
    targets::accept::TARGET,
    targets::configuration::TARGET,
    targets::credentials::TARGET,
    targets::number::TARGET,
    targets::page::TARGET,
    targets::path::TARGET,
    targets::query::TARGET,
    targets::rendered::TARGET,
    targets::shard::TARGET,
    targets::verdicts::TARGET,
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// True if the faults are in.
const PLANTED: bool = cfg!(feature = "planted");
