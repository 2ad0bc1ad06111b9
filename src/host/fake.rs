//! A [`Host`] for tests: owns the clock, records every call, fails on demand.

use super::{Call, CallId, Host, HostError, Level, Shared, Time, Write};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

/// A host whose every answer a test can choose. Shared data behaves as Envoy's does: a compare-and-swap on a key
/// that does not exist succeeds.
#[derive(Default)]
pub struct FakeHost {
    /// What [`Host::now`] says.
    pub now: Cell<Time>,
    /// What was logged.
    pub log: RefCell<Vec<(Level, String)>>,
    /// What was sent.
    pub calls: RefCell<Vec<SentCall>>,
    /// Whether the next calls are refused at once.
    pub refuses_calls: Cell<bool>,
    /// The request's headers, names in lower case.
    pub request_headers: RefCell<Vec<(String, Vec<u8>)>>,
    /// Properties, by their path joined with dots.
    pub properties: RefCell<HashMap<String, Vec<u8>>>,
    /// The VM's environment.
    pub environment: RefCell<HashMap<String, String>>,
    /// Shared data.
    pub shared: RefCell<HashMap<String, Shared>>,
    /// How often shared data was written.
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
    /// A host at a given second.
    #[must_use]
    pub fn at(seconds: u64) -> Self {
        let host = Self::default();
        host.now.set(Duration::from_secs(seconds));
        host
    }

    /// Moves the clock on.
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
        let standing = shared.get(key).map_or(0, |standing| standing.guard);
        if let Write::IfUnchanged(guard) = write
            && standing != 0
            && standing != guard
        {
            return Err(HostError::Changed);
        }
        shared.insert(key.to_owned(), Shared { value: value.to_vec(), guard: standing + 1 });
        self.writes.set(self.writes.get() + 1);
        Ok(())
    }

    fn request_header(&self, name: &str) -> Option<Vec<u8>> {
        let headers = self.request_headers.borrow();
        headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.clone())
    }

    fn request_headers(&self) -> Vec<(String, Vec<u8>)> {
        self.request_headers.borrow().clone()
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
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
