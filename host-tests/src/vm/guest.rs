//! The module's side of a host call: its memory, with checks, and the statuses that it gets.

use wasmtime::{Caller, Memory, format_err};

use super::state::State;
use crate::world::Step;

/// The ABI's statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Status {
    NotFound = 1,
    BadArgument = 2,
    InvalidMemoryAccess = 6,
    Empty = 7,
    CasMismatch = 8,
    InternalFailure = 10,
    Unimplemented = 12,
}

/// The reason why a host call failed.
pub(crate) enum Failure {
    /// The module gets this status.
    Code(u32),
    /// The callback ends.
    Trap(wasmtime::Error),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Code(status as u32)
    }
}

impl From<wasmtime::Error> for Failure {
    fn from(error: wasmtime::Error) -> Self {
        Self::Trap(error)
    }
}

pub(crate) type HostResult<T = ()> = Result<T, Failure>;

/// The caller of a host call.
pub(crate) struct Guest<'a> {
    caller: Caller<'a, State>,
    name: &'static str,
}

/// These calls the hook sees together with their key.
const STEPPING: [&str; 2] = ["proxy_get_shared_data", "proxy_set_shared_data"];

impl<'a> Guest<'a> {
    /// Makes one host call and counts it.
    pub(crate) fn serve(
        caller: Caller<'a, State>,
        name: &'static str,
        call: impl FnOnce(&mut Self) -> HostResult,
    ) -> wasmtime::Result<u32> {
        let mut guest = Self { caller, name };
        guest.state_mut().run.counts.host_calls.entry(name).or_default().calls += 1;
        let outcome = match STEPPING.contains(&name) {
            true => call(&mut guest),
            false => guest.step(None).and_then(|()| call(&mut guest)),
        };
        match outcome {
            Ok(()) => Ok(0),
            Err(Failure::Code(code)) => Ok(code),
            Err(Failure::Trap(error)) => Err(error),
        }
    }

    /// Runs the hook before the call.
    pub(crate) fn step(&self, key: Option<&[u8]>) -> HostResult {
        match self.state().step(self.name, key) {
            Step::Proceed => Ok(()),
            Step::Trap => Err(Failure::Trap(format_err!("killed before {}", self.name))),
        }
    }

    pub(crate) fn state(&self) -> &State {
        self.caller.data()
    }

    pub(crate) fn state_mut(&mut self) -> &mut State {
        self.caller.data_mut()
    }

    /// A copy of bytes of the module.
    pub(crate) fn bytes(&mut self, at: u32, size: u32) -> HostResult<Vec<u8>> {
        let memory = self.memory()?;
        let range = at as usize..(at as usize).saturating_add(size as usize);
        let bytes = memory.data(&self.caller).get(range).ok_or(Status::InvalidMemoryAccess)?;
        let bytes = bytes.to_vec();
        self.state_mut().run.counts.bytes_out += u64::from(size);
        Ok(bytes)
    }

    pub(crate) fn put_u32(&mut self, at: u32, value: u32) -> HostResult {
        self.put(at, &value.to_le_bytes())
    }

    pub(crate) fn put_u64(&mut self, at: u32, value: u64) -> HostResult {
        self.put(at, &value.to_le_bytes())
    }

    pub(crate) fn put(&mut self, at: u32, bytes: &[u8]) -> HostResult {
        let memory = self.memory()?;
        let range = at as usize..(at as usize).saturating_add(bytes.len());
        let place = memory.data_mut(&mut self.caller).get_mut(range);
        place.ok_or(Status::InvalidMemoryAccess)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Passes bytes to the module in memory that it allocates for them; no memory for no bytes.
    pub(crate) fn give(&mut self, bytes: &[u8], pointer_at: u32, size_at: u32) -> HostResult {
        let size = u32::try_from(bytes.len()).map_err(|_| Status::InvalidMemoryAccess)?;
        let mut pointer = 0;
        if size > 0 {
            let allocate = self.state().allocate.clone().ok_or(Status::InvalidMemoryAccess)?;
            pointer = allocate.call(&mut self.caller, size)?;
            self.put(pointer, bytes)?;
            self.count_given(size);
        }
        self.put_u32(pointer_at, pointer)?;
        self.put_u32(size_at, size)
    }

    fn count_given(&mut self, size: u32) {
        let name = self.name;
        let counts = &mut self.state_mut().run.counts;
        counts.bytes_in += u64::from(size);
        counts.host_calls.entry(name).or_default().returned_bytes += 1;
    }

    fn memory(&self) -> HostResult<Memory> {
        self.state().memory.ok_or(Status::InvalidMemoryAccess.into())
    }
}
