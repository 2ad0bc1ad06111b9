//! The wire form of `google.protobuf.Struct` to JSON.
//!
//! ```text
//! Struct    { 1: map of string to Value, repeated: an entry { 1: string, 2: Value } each }
//! ListValue { 1: Value, repeated }
//! Value     { one of 1: null (enum), 2: double, 3: string, 4: bool, 5: Struct, 6: ListValue }
//! ```
//! Envoy or an xDS server writes it, so an entry may have its fields in any order, and no key if the key is empty. Forms
//! that no encoder writes are refused: other fields, a repeated field, a value without a kind. Repeated keys are kept, as
//! in JSON. Any bytes give JSON or nothing, never a panic; [`limits::CONFIG_DEPTH`] bounds the depth.

#[cfg(test)]
mod tests;

use std::iter;

use super::json::Json;
use crate::limits;

/// The first byte of an entry's value: field 2, with a length.
pub(super) const ENTRY_VALUE: u8 = 0x12;

/// Reads a Struct.
pub(super) fn decode(bytes: &[u8]) -> Option<Json> {
    object(bytes, limits::CONFIG_DEPTH)
}

/// Reads a Struct. `depth` counts the objects and lists that may still be opened.
fn object(bytes: &[u8], depth: usize) -> Option<Json> {
    let depth = depth.checked_sub(1)?;
    let entries = fields(bytes).map(|field| match field? {
        (1, Payload::Bytes(bytes)) => entry(bytes, depth),
        _ => None,
    });
    entries.collect::<Option<_>>().map(Json::Object)
}

fn list(bytes: &[u8], depth: usize) -> Option<Json> {
    let depth = depth.checked_sub(1)?;
    let items = fields(bytes).map(|field| match field? {
        (1, Payload::Bytes(bytes)) => value(bytes, depth),
        _ => None,
    });
    items.collect::<Option<_>>().map(Json::List)
}

fn entry(bytes: &[u8], depth: usize) -> Option<(String, Json)> {
    let (mut key, mut json) = (None, None);
    for field in fields(bytes) {
        match field? {
            (1, Payload::Bytes(bytes)) if key.is_none() => key = Some(text(bytes)?),
            (2, Payload::Bytes(bytes)) if json.is_none() => json = Some(value(bytes, depth)?),
            _ => return None,
        }
    }
    Some((key.unwrap_or_default(), json?))
}

fn value(bytes: &[u8], depth: usize) -> Option<Json> {
    let mut fields = fields(bytes);
    let kind = fields.next()??;
    if fields.next().is_some() {
        return None;
    }
    match kind {
        (1, Payload::Varint(0)) => Some(Json::Null),
        (2, Payload::Fixed64) => Some(Json::Number),
        (3, Payload::Bytes(bytes)) => text(bytes).map(Json::Text),
        (4, Payload::Varint(bit @ 0..=1)) => Some(Json::Bool(bit == 1)),
        (5, Payload::Bytes(bytes)) => object(bytes, depth),
        (6, Payload::Bytes(bytes)) => list(bytes, depth),
        _ => None,
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    str::from_utf8(bytes).ok().map(str::to_owned)
}

/// The value of a field, for the wire types that occur in a Struct.
enum Payload<'a> {
    Varint(u64),
    /// A double, which is not kept.
    Fixed64,
    Bytes(&'a [u8]),
}

/// The fields of a message, each with its number. After a field that cannot be read, the others have no meaning.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = Option<(u64, Payload<'_>)>> {
    iter::from_fn(move || if rest.is_empty() { None } else { Some(field(&mut rest)) })
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Payload<'a>)> {
    let tag = varint(rest)?;
    let payload = match tag & 0b111 {
        0 => Payload::Varint(varint(rest)?),
        1 => rest.split_off(..8).map(|_| Payload::Fixed64)?,
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Payload::Bytes(rest.split_off(..length)?)
        }
        _ => return None,
    };
    Some((tag >> 3, payload))
}

/// Reads seven bits of each byte, the lowest first. The top bit is set if another byte follows.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = *rest.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
