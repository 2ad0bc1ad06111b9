//! Fuzz targets for all code that reads bytes of other origin.
//!
//! Each target accepts any bytes, and panics if a promise is broken. "No panic" is the least of the promises: the
//! filter's result is compared with that of a second, slow and simple implementation that shares no code with it, or
//! written and parsed again and compared with itself. The same functions run under the engine (`make fuzz`), and over
//! the corpus in `make test`.
//!
//! With the feature `planted`, each target's own wrapper has one fault, which the engine must find. The faults are
//! here, never in the filter.

mod targets;

/// A function to run over bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is also the name of its folder in the corpus.
    pub name: &'static str,
    /// Panics if the filter breaks a promise.
    pub run: fn(&[u8]),
    /// The longest input worth trying, in bytes.
    pub longest: usize,
    /// The number of runs in `make fuzz`, in thousands: about a minute.
    pub thousands: u32,
    /// Parts of inputs, as hints for the engine.
    pub words: &'static [&'static str],
    /// The fault that the feature `planted` puts into its wrapper.
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

/// True if the planted faults are enabled.
const PLANTED: bool = cfg!(feature = "planted");
