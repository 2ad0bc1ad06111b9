//! Writes fields of messages (Protocol Buffers documentation, "Encoding") with micropb's encoder.
//!
//! A page is written message within message in a single pass, without a value for each message. The length of a
//! message, which precedes it, is therefore only known at its end.

use micropb::{PbEncoder, Tag, WIRE_TYPE_I64, WIRE_TYPE_LEN, WIRE_TYPE_VARINT};

pub(super) fn push_whole(field: u8, value: u64, out: &mut Vec<u8>) {
    let Ok(()) = begun(field, WIRE_TYPE_VARINT, out).encode_varint64(value);
}

/// Writes a `sint`, which is short for small values of either sign.
pub(super) fn push_signed(field: u8, value: i64, out: &mut Vec<u8>) {
    let Ok(()) = begun(field, WIRE_TYPE_VARINT, out).encode_sint64(value);
}

pub(super) fn push_float(field: u8, value: f64, out: &mut Vec<u8>) {
    let Ok(()) = begun(field, WIRE_TYPE_I64, out).encode_double(value);
}

pub(super) fn push_bytes(field: u8, value: &str, out: &mut Vec<u8>) {
    let Ok(()) = begun(field, WIRE_TYPE_LEN, out).encode_string(value);
}

/// Begins a message within another. The result is the argument of [`close`].
pub(super) fn open(field: u8, out: &mut Vec<u8>) -> usize {
    begun(field, WIRE_TYPE_LEN, out);
    out.len()
}

/// Ends a message that began at `start`: inserts its length before it.
pub(super) fn close(start: usize, out: &mut Vec<u8>) {
    let end = out.len();
    let Ok(()) = PbEncoder::new(&mut *out).encode_varint64((end - start) as u64);
    let length = out.len() - end;
    if let Some(message) = out.get_mut(start..) {
        message.rotate_right(length);
    }
}

/// Begins a field, before its value.
fn begun(field: u8, wire_type: u8, out: &mut Vec<u8>) -> PbEncoder<&mut Vec<u8>> {
    let mut encoder = PbEncoder::new(out);
    let Ok(()) = encoder.encode_tag(Tag::from_parts(field.into(), wire_type));
    encoder
}
