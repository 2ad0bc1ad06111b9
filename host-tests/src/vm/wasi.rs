//! The part of WASI preview 1 that Rust's standard library uses. Standard output and error go to the log.

use wasmtime::{Caller, format_err};

use super::guest::{Failure, Guest, HostResult};
use super::state::State;
use crate::world::Level;

/// `ENOTSUP`
pub(super) const NOT_SUPPORTED: i32 = 58;
/// `EBADF`
const BAD_FILE: Failure = Failure::Code(8);
const MICROSECOND: u64 = 1000;

pub(super) fn clock_time(guest: &mut Guest<'_>, clock: u32, _: u64, time_at: u32) -> HostResult {
    let time = match clock {
        0 => guest.state().world.clock.now(),
        1 => guest.state().monotonic(),
        _ => return Err(Failure::Code(NOT_SUPPORTED.unsigned_abs())),
    };
    guest.put_u64(time_at, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

pub(super) fn clock_resolution(guest: &mut Guest<'_>, _: u32, resolution_at: u32) -> HostResult {
    guest.put_u64(resolution_at, MICROSECOND)
}

pub(super) fn random(guest: &mut Guest<'_>, at: u32, size: u32) -> HostResult {
    // The address is checked before anything is allocated.
    guest.bytes(at, size)?;
    let mut bytes = vec![0; size as usize];
    fill_random(&mut bytes);
    guest.put(at, &bytes)
}

/// Fills the bytes from the machine's random generator.
pub(crate) fn fill_random(bytes: &mut [u8]) {
    let provider = rustls::crypto::ring::default_provider();
    provider.secure_random.fill(bytes).expect("the machine has a random generator");
}

pub(super) fn environment_sizes(guest: &mut Guest<'_>, count_at: u32, size_at: u32) -> HostResult {
    let lines = lines(guest);
    let size: usize = lines.iter().map(Vec::len).sum();
    guest.put_u32(count_at, u32::try_from(lines.len()).unwrap_or(u32::MAX))?;
    guest.put_u32(size_at, u32::try_from(size).unwrap_or(u32::MAX))
}

pub(super) fn environment(guest: &mut Guest<'_>, pointers_at: u32, texts_at: u32) -> HostResult {
    let (mut pointer_at, mut text_at) = (pointers_at, texts_at);
    for line in lines(guest) {
        guest.put_u32(pointer_at, text_at)?;
        guest.put(text_at, &line)?;
        pointer_at += 4;
        text_at += u32::try_from(line.len()).unwrap_or(u32::MAX);
    }
    Ok(())
}

/// The lines, each with its final zero.
fn lines(guest: &Guest<'_>) -> Vec<Vec<u8>> {
    let variables = &guest.state().world.config.environment;
    variables.iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

pub(super) fn no_arguments(guest: &mut Guest<'_>, count_at: u32, size_at: u32) -> HostResult {
    guest.put_u32(count_at, 0)?;
    guest.put_u32(size_at, 0)
}

pub(super) fn arguments(_: &mut Guest<'_>, _: u32, _: u32) -> HostResult {
    Ok(())
}

pub(super) fn yield_now(_: &mut Guest<'_>) -> HostResult {
    Ok(())
}

pub(super) fn write(
    guest: &mut Guest<'_>,
    file: u32,
    pieces: u32,
    count: u32,
    written_at: u32,
) -> HostResult {
    let level = match file {
        1 => Level::Info,
        2 => Level::Error,
        _ => return Err(BAD_FILE),
    };
    let mut text = Vec::new();
    for piece in 0..count {
        let piece = guest.bytes(pieces.saturating_add(piece.saturating_mul(8)), 8)?;
        let number = |at: usize| piece[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
        text.extend(guest.bytes(number(0), number(4))?);
    }
    let written = u32::try_from(text.len()).unwrap_or(u32::MAX);
    print(guest.state_mut(), level, &text);
    guest.put_u32(written_at, written)
}

fn print(state: &mut State, level: Level, text: &[u8]) {
    let line = text.strip_suffix(b"\n").unwrap_or(text);
    if line.is_empty() {
        return;
    }
    if level == Level::Error {
        state.run.stderr.push_str(&String::from_utf8_lossy(text));
    }
    state.world.log.write(level, &state.vm, line);
}

pub(super) fn exit(_: Caller<'_, State>, code: u32) -> wasmtime::Result<()> {
    Err(format_err!("proc_exit({code})"))
}
