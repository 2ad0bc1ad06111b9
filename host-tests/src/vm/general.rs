//! Host calls: log, time, ticks, buffers, properties, contexts.

use std::time::Duration;

use super::guest::{Failure, Guest, HostResult, Status};
use super::{Effect, property};
use crate::world::{Level, locked};

pub(super) fn log(guest: &mut Guest<'_>, level: u32, data: u32, size: u32) -> HostResult {
    let message = guest.bytes(data, size)?;
    let level = Level::from_number(level).ok_or(Status::BadArgument)?;
    let state = guest.state();
    state.world.log.write(level, &state.vm, &message);
    Ok(())
}

pub(super) fn log_level(guest: &mut Guest<'_>, level_at: u32) -> HostResult {
    let level = guest.state().world.log.level();
    guest.put_u32(level_at, level as u32)
}

pub(super) fn now(guest: &mut Guest<'_>, time_at: u32) -> HostResult {
    let now = guest.state().world.clock.now();
    guest.put_u64(time_at, u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

pub(super) fn set_tick_period(guest: &mut Guest<'_>, period: u32) -> HostResult {
    let root = guest.state().root_id();
    let period = Duration::from_millis(period.into());
    guest.state_mut().effects.push(Effect::TickPeriod { root, period });
    Ok(())
}

/// The ABI's `BufferType`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Buffer {
    RequestBody,
    ResponseBody,
    CallBody,
    VmConfiguration,
    PluginConfiguration,
    /// Never filled by this host: TCP, gRPC and foreign functions.
    Other,
}

impl Buffer {
    fn from_number(number: u32) -> HostResult<Self> {
        Ok(match number {
            0 => Self::RequestBody,
            1 => Self::ResponseBody,
            2 | 3 | 5 | 8 => Self::Other,
            4 => Self::CallBody,
            6 => Self::VmConfiguration,
            7 => Self::PluginConfiguration,
            _ => return Err(Status::BadArgument.into()),
        })
    }
}

pub(super) fn buffer(
    guest: &mut Guest<'_>,
    kind: u32,
    start: u32,
    size: u32,
    data_at: u32,
    size_at: u32,
) -> HostResult {
    let start = start as usize;
    // The size is a limit: to read everything, the SDK passes the largest possible number.
    let end = start.saturating_add(size as usize);
    let piece = with_buffer(guest, Buffer::from_number(kind)?, |whole| {
        whole.get(start.min(whole.len())..end.min(whole.len())).unwrap_or_default().to_vec()
    })?;
    guest.give(&piece, data_at, size_at)
}

/// A body that does not exist now is empty; any other missing buffer is not found.
fn with_buffer<T>(
    guest: &Guest<'_>,
    buffer: Buffer,
    take: impl FnOnce(&[u8]) -> T,
) -> HostResult<T> {
    let state = guest.state();
    let not_found = || Failure::from(Status::NotFound);
    let context = state.context();
    let exchange = context.and_then(|context| context.exchange.as_ref());
    let access = context.map(|context| context.access).unwrap_or_default();
    match (buffer, exchange) {
        (Buffer::RequestBody, Some(exchange)) if access.request_body => {
            Ok(take(&locked(exchange).request_body))
        }
        (Buffer::ResponseBody, Some(exchange)) if access.response_body => {
            Ok(take(&locked(exchange).response_body))
        }
        (Buffer::RequestBody | Buffer::ResponseBody, _) => Ok(take(&[])),
        (Buffer::CallBody, _) => Ok(take(&state.answer.as_ref().ok_or_else(not_found)?.body)),
        (Buffer::VmConfiguration, _) => Ok(take(&state.world.config.vm_configuration)),
        (Buffer::PluginConfiguration, _) if access.configuring => {
            Ok(take(&context.ok_or_else(not_found)?.plugin.configuration))
        }
        (Buffer::PluginConfiguration | Buffer::Other, _) => Err(not_found()),
    }
}

pub(super) fn set_buffer(
    guest: &mut Guest<'_>,
    kind: u32,
    start: u32,
    length: u32,
    data: u32,
    size: u32,
) -> HostResult {
    let buffer = Buffer::from_number(kind)?;
    let data = guest.bytes(data, size)?;
    let context = guest.state().context().ok_or(Status::BadArgument)?;
    let exchange = context.exchange.as_ref().ok_or(Status::BadArgument)?;
    let mut exchange = locked(exchange);
    let body = match buffer {
        Buffer::RequestBody if context.access.request_body => &mut exchange.request_body,
        Buffer::ResponseBody if context.access.response_body => &mut exchange.response_body,
        _ => return Err(Status::BadArgument.into()),
    };
    splice(body, start as usize, length as usize, &data)
}

/// Envoy can prepend, append, or replace everything, but not insert.
fn splice(body: &mut Vec<u8>, start: usize, length: usize, data: &[u8]) -> HostResult {
    match (start, length) {
        (0, 0) => drop(body.splice(0..0, data.iter().copied())),
        (0, length) if length >= body.len() => data.clone_into(body),
        (start, _) if start > 0 && start >= body.len() => body.extend_from_slice(data),
        _ => return Err(Status::BadArgument.into()),
    }
    Ok(())
}

pub(super) fn property(
    guest: &mut Guest<'_>,
    path: u32,
    size: u32,
    data_at: u32,
    size_at: u32,
) -> HostResult {
    let path = guest.bytes(path, size)?;
    let value = property::value(guest.state(), &path).ok_or(Status::NotFound)?;
    guest.give(&value, data_at, size_at)
}

pub(super) fn set_property(
    guest: &mut Guest<'_>,
    path: u32,
    path_size: u32,
    data: u32,
    size: u32,
) -> HostResult {
    let path = guest.bytes(path, path_size)?;
    let value = guest.bytes(data, size)?;
    let context = guest.state().context().ok_or(Status::NotFound)?;
    let exchange = context.exchange.as_ref().ok_or(Status::NotFound)?;
    locked(exchange).facts.filter_state.insert(path, value);
    Ok(())
}

pub(super) fn set_effective_context(guest: &mut Guest<'_>, context: u32) -> HostResult {
    let state = guest.state_mut();
    if !state.contexts.contains_key(&context) {
        return Err(Status::BadArgument.into());
    }
    state.run.context = context;
    Ok(())
}

pub(super) fn done(guest: &mut Guest<'_>) -> HostResult {
    let state = guest.state_mut();
    let root = state.root_id();
    if !state.ending.remove(&root) {
        return Err(Status::NotFound.into());
    }
    state.effects.push(Effect::Done { root });
    Ok(())
}

/// This host has no foreign functions.
pub(super) fn foreign(
    guest: &mut Guest<'_>,
    name: u32,
    size: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
) -> HostResult {
    guest.bytes(name, size)?;
    Err(Status::NotFound.into())
}
