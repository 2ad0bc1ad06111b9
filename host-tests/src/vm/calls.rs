//! Host calls: continue, pause, reply, send requests. They record an [`Effect`]; nothing happens inside a callback.

use std::time::Duration;

use super::guest::{Guest, HostResult, Status};
use super::{Direction, Effect, Headers, HttpCall, LocalReply};

pub(super) fn continue_stream(guest: &mut Guest<'_>, kind: u32) -> HostResult {
    let direction = match kind {
        0 => Direction::Request,
        1 => Direction::Response,
        2 => return Ok(()),
        3 => return Err(Status::Unimplemented.into()),
        _ => return Err(Status::BadArgument.into()),
    };
    let state = guest.state_mut();
    let context = state.run.context;
    let Some(stream) = state.context_mut().filter(|stream| stream.exchange.is_some()) else {
        return Ok(());
    };
    // Envoy forgets the request here, whichever half continues.
    stream.access.request_headers = false;
    stream.access.request_body = false;
    stream.access.request_trailers = false;
    state.effects.push(Effect::Resume { context, direction });
    Ok(())
}

pub(super) fn close_stream(guest: &mut Guest<'_>, kind: u32) -> HostResult {
    let state = guest.state_mut();
    let context = state.run.context;
    match kind {
        0 | 1 if state.context().is_some_and(|stream| stream.exchange.is_some()) => {
            state.effects.push(Effect::Reset { context });
            Ok(())
        }
        0..=3 => Ok(()),
        _ => Err(Status::BadArgument.into()),
    }
}

#[expect(clippy::too_many_arguments, reason = "the ABI passes each pointer by itself")]
pub(super) fn reply(
    guest: &mut Guest<'_>,
    status: u32,
    details: u32,
    details_size: u32,
    data: u32,
    size: u32,
    headers: u32,
    headers_size: u32,
    _grpc: u32,
) -> HostResult {
    let details = String::from_utf8_lossy(&guest.bytes(details, details_size)?).into_owned();
    let body = guest.bytes(data, size)?;
    let headers = Headers::from_bytes(&guest.bytes(headers, headers_size)?);
    let reply = LocalReply { status, details, headers, body };
    let state = guest.state_mut();
    state.run.replied = true;
    let context = state.run.context;
    if state.context().is_some_and(|stream| stream.exchange.is_some()) {
        state.effects.push(Effect::Reply { context, reply });
    }
    Ok(())
}

/// An unknown cluster, or a request without method, path or authority, is a bad argument; a cluster without an address
/// is an internal failure. In both cases no answer ever comes.
#[expect(clippy::too_many_arguments, reason = "the ABI passes each pointer by itself")]
pub(super) fn http(
    guest: &mut Guest<'_>,
    cluster: u32,
    cluster_size: u32,
    headers: u32,
    headers_size: u32,
    data: u32,
    size: u32,
    trailers: u32,
    trailers_size: u32,
    timeout: u32,
    token_at: u32,
) -> HostResult {
    let cluster = guest.bytes(cluster, cluster_size)?;
    let headers = Headers::from_bytes(&guest.bytes(headers, headers_size)?);
    let body = guest.bytes(data, size)?;
    guest.bytes(trailers, trailers_size)?;
    guest.put_u32(token_at, 0)?;
    let cluster = String::from_utf8(cluster).map_err(|_| Status::BadArgument)?;
    let timeout = i32::try_from(timeout).map_err(|_| Status::BadArgument)?;
    let addresses = guest.state().world.cluster(&cluster).ok_or(Status::BadArgument)?;
    let needed: [&[u8]; 3] = [b":method", b":path", b":authority"];
    if needed.into_iter().any(|name| headers.first(name).is_none()) {
        return Err(Status::BadArgument.into());
    }
    if addresses.is_empty() {
        return Err(Status::InternalFailure.into());
    }
    let timeout = Duration::from_millis(timeout.unsigned_abs().into());
    let timeout = (!timeout.is_zero()).then_some(timeout);
    let token =
        dispatch(guest, |token, root| HttpCall { token, root, cluster, headers, body, timeout });
    guest.put_u32(token_at, token)
}

fn dispatch(guest: &mut Guest<'_>, call: impl FnOnce(u32, u32) -> HttpCall) -> u32 {
    let state = guest.state_mut();
    state.next_token += 1;
    let (token, root) = (state.next_token, state.root_id());
    state.effects.push(Effect::Call(call(token, root)));
    token
}

/// The status of the last gRPC call or failed HTTP call, which only C++ modules ask for.
pub(super) fn status(
    guest: &mut Guest<'_>,
    code_at: u32,
    data_at: u32,
    size_at: u32,
) -> HostResult {
    guest.put_u32(code_at, 0)?;
    guest.give(&[], data_at, size_at)
}
