//! Host calls: header maps.
//!
//! A map that the context cannot see now is a bad argument (the Rust SDK panics on that); in `on_log` it is not found;
//! its list of pairs is empty. Envoy does the same, so a module that reads the request's headers in a response callback
//! traps here too.

use super::guest::{Failure, Guest, HostResult, Status};
use super::{Exchange, Headers, state::Access};
use crate::world::locked;

/// The ABI's `MapType`.
#[derive(Clone, Copy)]
enum Map {
    Request,
    RequestTrailers,
    Response,
    ResponseTrailers,
    Call,
    CallTrailers,
    /// gRPC, which this host does not support.
    Other,
}

impl Map {
    fn from_number(number: u32) -> HostResult<Self> {
        Ok(match number {
            0 => Self::Request,
            1 => Self::RequestTrailers,
            2 => Self::Response,
            3 => Self::ResponseTrailers,
            4 | 5 => Self::Other,
            6 => Self::Call,
            7 => Self::CallTrailers,
            _ => return Err(Status::BadArgument.into()),
        })
    }

    fn visible(self, access: Access) -> bool {
        match self {
            Self::Request => access.request_headers,
            Self::RequestTrailers => access.request_trailers,
            Self::Response => access.response_headers,
            Self::ResponseTrailers => access.response_trailers,
            Self::Call | Self::CallTrailers | Self::Other => false,
        }
    }

    fn of(self, exchange: &mut Exchange) -> Option<&mut Headers> {
        match self {
            Self::Request => exchange.request_headers.as_mut(),
            Self::RequestTrailers => exchange.request_trailers.as_mut(),
            Self::Response => exchange.response_headers.as_mut(),
            Self::ResponseTrailers => exchange.response_trailers.as_mut(),
            Self::Call | Self::CallTrailers | Self::Other => None,
        }
    }
}

fn read<T>(guest: &Guest<'_>, map: Map, take: impl FnOnce(&Headers) -> T) -> HostResult<Option<T>> {
    let state = guest.state();
    match (map, &state.answer) {
        (Map::Call, Some(answer)) => return Ok(Some(take(&answer.headers))),
        (Map::CallTrailers, Some(answer)) if !answer.trailers.is_empty() => {
            return Ok(Some(take(&answer.trailers)));
        }
        _ => {}
    }
    let Some(context) = state.context() else { return Ok(None) };
    let Some(exchange) = &context.exchange else { return Ok(None) };
    let logged = context.access.logging && !matches!(map, Map::RequestTrailers);
    let visible = if context.access.logging { logged } else { map.visible(context.access) };
    let mut exchange = locked(exchange);
    Ok(map.of(&mut exchange).filter(|_| visible).map(|headers| take(headers)))
}

fn change(guest: &Guest<'_>, map: Map, act: impl FnOnce(&mut Headers)) -> HostResult {
    let unseen = || Failure::from(Status::BadArgument);
    let context = guest.state().context().ok_or_else(unseen)?;
    let exchange = context.exchange.as_ref().ok_or_else(unseen)?;
    if !map.visible(context.access) {
        return Err(unseen());
    }
    act(map.of(&mut locked(exchange)).ok_or_else(unseen)?);
    Ok(())
}

pub(super) fn pairs(guest: &mut Guest<'_>, kind: u32, data_at: u32, size_at: u32) -> HostResult {
    let pairs = read(guest, Map::from_number(kind)?, Headers::clone)?.unwrap_or_default();
    let bytes = if pairs.is_empty() { Vec::new() } else { pairs.to_bytes() };
    guest.give(&bytes, data_at, size_at)
}

pub(super) fn set_pairs(guest: &mut Guest<'_>, kind: u32, data: u32, size: u32) -> HostResult {
    let pairs = Headers::from_bytes(&guest.bytes(data, size)?);
    change(guest, Map::from_number(kind)?, |headers| *headers = pairs)
}

pub(super) fn size(guest: &mut Guest<'_>, kind: u32, size_at: u32) -> HostResult {
    let size = read(guest, Map::from_number(kind)?, Headers::byte_size)?;
    let size = size.ok_or(Status::BadArgument)?;
    guest.put_u32(size_at, u32::try_from(size).unwrap_or(u32::MAX))
}

pub(super) fn value(
    guest: &mut Guest<'_>,
    kind: u32,
    name: u32,
    name_size: u32,
    data_at: u32,
    size_at: u32,
) -> HostResult {
    let map = Map::from_number(kind)?;
    let name = guest.bytes(name, name_size)?;
    let logging = guest.state().context().is_some_and(|context| context.access.logging);
    let unseen = if logging { Status::NotFound } else { Status::BadArgument };
    let value = read(guest, map, |headers| headers.first(&name).map(<[u8]>::to_vec))?;
    let value = value.ok_or(unseen)?.ok_or(Status::NotFound)?;
    guest.give(&value, data_at, size_at)
}

pub(super) fn add(
    guest: &mut Guest<'_>,
    kind: u32,
    name: u32,
    name_size: u32,
    data: u32,
    size: u32,
) -> HostResult {
    let (name, value) = (guest.bytes(name, name_size)?, guest.bytes(data, size)?);
    change(guest, Map::from_number(kind)?, |headers| headers.add(name, value))
}

pub(super) fn replace(
    guest: &mut Guest<'_>,
    kind: u32,
    name: u32,
    name_size: u32,
    data: u32,
    size: u32,
) -> HostResult {
    let (name, value) = (guest.bytes(name, name_size)?, guest.bytes(data, size)?);
    change(guest, Map::from_number(kind)?, |headers| headers.replace(name, value))
}

pub(super) fn remove(guest: &mut Guest<'_>, kind: u32, name: u32, name_size: u32) -> HostResult {
    let name = guest.bytes(name, name_size)?;
    change(guest, Map::from_number(kind)?, |headers| headers.remove(&name))
}
