//! The work of a VM, callback by callback. None of it depends on the machine, so tests and benchmarks may assert on it.

use std::collections::BTreeMap;
use std::ops::AddAssign;

/// The work of a VM so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By export, such as `proxy_on_log`, `_initialize` included.
    pub callbacks: BTreeMap<&'static str, CallbackCounts>,
}

/// The work of all runs of one callback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallbackCounts {
    /// The number of runs.
    pub runs: u64,
    /// The wasm fuel that it used: about one unit per instruction.
    pub fuel: u64,
    /// By import, such as `proxy_get_property`.
    pub host_calls: BTreeMap<&'static str, HostCallCounts>,
    /// Bytes that the host read from the module's memory.
    pub bytes_out: u64,
    /// Bytes that the host wrote into memory that the module allocated for it.
    pub bytes_in: u64,
}

/// The calls of one import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostCallCounts {
    /// The number of calls.
    pub calls: u64,
    /// The number of calls that returned bytes, for which the host calls back into the module to allocate.
    pub returned_bytes: u64,
}

impl Counts {
    /// The sum over all callbacks.
    #[must_use]
    pub fn total(&self) -> CallbackCounts {
        let mut total = CallbackCounts::default();
        for counts in self.callbacks.values() {
            total += counts.clone();
        }
        total
    }

    /// One callback; all zero if it never ran.
    #[must_use]
    pub fn of(&self, callback: &str) -> CallbackCounts {
        self.callbacks.get(callback).cloned().unwrap_or_default()
    }

    /// The work since `earlier`, a former snapshot of the same VM. Callbacks that did not run are left out.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let callbacks = self.callbacks.iter().filter_map(|(name, now)| {
            let before = earlier.of(name);
            (now.runs > before.runs).then(|| (*name, now.since(&before)))
        });
        Self { callbacks: callbacks.collect() }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        for (name, counts) in other.callbacks {
            *self.callbacks.entry(name).or_default() += counts;
        }
    }
}

impl CallbackCounts {
    /// All host calls.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.host_calls.values().map(|counts| counts.calls).sum()
    }

    /// The host calls that returned bytes.
    #[must_use]
    pub fn calls_that_returned_bytes(&self) -> u64 {
        self.host_calls.values().map(|counts| counts.returned_bytes).sum()
    }

    fn since(&self, earlier: &Self) -> Self {
        let host_calls = self.host_calls.iter().filter_map(|(name, now)| {
            let before = earlier.host_calls.get(name).copied().unwrap_or_default();
            let since = HostCallCounts {
                calls: now.calls - before.calls,
                returned_bytes: now.returned_bytes - before.returned_bytes,
            };
            (since.calls > 0).then_some((*name, since))
        });
        Self {
            runs: self.runs - earlier.runs,
            fuel: self.fuel - earlier.fuel,
            host_calls: host_calls.collect(),
            bytes_out: self.bytes_out - earlier.bytes_out,
            bytes_in: self.bytes_in - earlier.bytes_in,
        }
    }
}

impl AddAssign for CallbackCounts {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.fuel += other.fuel;
        self.bytes_out += other.bytes_out;
        self.bytes_in += other.bytes_in;
        for (name, counts) in other.host_calls {
            let sum = self.host_calls.entry(name).or_default();
            sum.calls += counts.calls;
            sum.returned_bytes += counts.returned_bytes;
        }
    }
}
