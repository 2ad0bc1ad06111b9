//! The wire form of `google.protobuf.Struct` to JSON.
//!
//! ```text
//! Struct    { 1: map of string to Value, repeated: an entry { 1: string, 2: Value } each }
//! ListValue { 1: Value, repeated }
//! Value     { one of 1: null (enum), 2: double, 3: string, 4: bool, 5: Struct, 6: ListValue }
//! ```
//! Envoy or an xDS server wrote it, so an entry may have its fields in any order, and no key where that is empty. What no
//! encoder writes is refused: other fields, a field twice, a value of no kind. Keys that stand twice are kept, as JSON's
//! are. Any bytes give JSON or nothing, never a panic; [`limits::CONFIG_DEPTH`] bounds the depth.

#[cfg(test)]
mod tests;

use std::iter;

use super::json::Json;
use crate::limits;

/// What an entry's value begins with: field 2, of the type that states its length.
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

/// What a field holds, of the wire types that a Struct has.
enum Payload<'a> {
    Varint(u64),
    /// A double, which is not kept.
    Fixed64,
    Bytes(&'a [u8]),
}

/// The fields of a message, each with its number. After the first that cannot be read the others mean nothing.
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

/// Seven bits a byte, the lowest first; the top bit says that another byte follows.
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
