//! A [`Host`] for tests: it has its own clock, records calls, and fails on demand.

use super::{Call, CallId, Host, HostError, Level, Shared, Time, Write};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

/// A host whose results the test sets. Its shared data behaves like Envoy's: a compare-and-swap on a key that does not exist
/// succeeds.
#[derive(Default)]
pub struct FakeHost {
    /// The result of [`Host::now`].
    pub now: Cell<Time>,
    /// The lines that were logged.
    pub log: RefCell<Vec<(Level, String)>>,
    /// The calls that were sent.
    pub calls: RefCell<Vec<SentCall>>,
    /// True if the next calls are to be refused.
    pub refuses_calls: Cell<bool>,
    /// The request's headers, names in lower case.
    pub request_headers: RefCell<Vec<(String, Vec<u8>)>>,
    /// Properties, by their path joined with dots.
    pub properties: RefCell<HashMap<String, Vec<u8>>>,
    /// The number of properties that were read.
    pub property_reads: Cell<usize>,
    /// The VM's environment.
    pub environment: RefCell<HashMap<String, String>>,
    /// Shared data.
    pub shared: RefCell<HashMap<String, Shared>>,
    /// The number of writes to shared data.
    pub writes: Cell<usize>,
    random: Cell<u8>,
}

/// A [`Call`] as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentCall {
    /// The cluster.
    pub cluster: String,
    /// The `:authority`.
    pub authority: String,
    /// The `:path`.
    pub path: String,
    /// The other headers.
    pub headers: Vec<(String, String)>,
    /// The time limit.
    pub timeout: Duration,
}

impl FakeHost {
    /// A host whose clock is at this second.
    #[must_use]
    pub fn at(seconds: u64) -> Self {
        let host = Self::default();
        host.now.set(Duration::from_secs(seconds));
        host
    }

    /// Advances the clock.
    pub fn pass(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }
}

impl Host for FakeHost {
    fn now(&self) -> Time {
        self.now.get()
    }

    fn log(&self, level: Level, line: &str) {
        self.log.borrow_mut().push((level, line.to_owned()));
    }

    fn random(&self, buffer: &mut [u8]) {
        for byte in buffer {
            self.random.set(self.random.get().wrapping_mul(5).wrapping_add(3));
            *byte = self.random.get();
        }
    }

    fn environment(&self, name: &str) -> Option<String> {
        self.environment.borrow().get(name).cloned()
    }

    fn shared(&self, key: &str) -> Option<Shared> {
        self.shared.borrow().get(key).cloned()
    }

    fn share(&self, key: &str, value: &[u8], write: Write) -> Result<(), HostError> {
        let mut shared = self.shared.borrow_mut();
        let stored = shared.get(key).map_or(0, |stored| stored.guard);
        if let Write::IfUnchanged(guard) = write
            && stored != 0
            && stored != guard
        {
            return Err(HostError::Changed);
        }
        shared.insert(key.to_owned(), Shared { value: value.to_vec(), guard: stored + 1 });
        self.writes.set(self.writes.get() + 1);
        Ok(())
    }

    fn request_header(&self, name: &str) -> Option<Vec<u8>> {
        let headers = self.request_headers.borrow();
        headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
    }

    fn request_headers(&self) -> Vec<(String, Vec<u8>)> {
        self.request_headers.borrow().clone()
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.property_reads.set(self.property_reads.get() + 1);
        self.properties.borrow().get(&path.join(".")).cloned()
    }

    fn call(&self, call: &Call<'_>) -> Result<CallId, HostError> {
        if self.refuses_calls.get() {
            return Err(HostError::Refused);
        }
        let mut calls = self.calls.borrow_mut();
        calls.push(SentCall {
            cluster: call.cluster.to_owned(),
            authority: call.authority.to_owned(),
            path: call.path.to_owned(),
            headers: call
                .headers
                .iter()
                .map(|&(name, value)| (name.into(), value.into()))
                .collect(),
            timeout: call.timeout,
        });
        Ok(u32::try_from(calls.len()).unwrap_or(u32::MAX))
    }
}
