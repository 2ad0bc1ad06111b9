//! A `google.protobuf.Struct`, in which a configuration can be written as YAML.
//!
//! Envoy's documentation has it passed on as JSON. Envoy 1.36.2 and 1.40.0 pass on the message as it is encoded, so
//! it is decoded here, by the wire format of protocol buffers:
//!
//! ```text
//! Struct    = *( 0x0A length entry )                      an entry for each field
//! entry     = 0x0A length key 0x12 length Value           in either order
//! ListValue = *( 0x0A length Value )
//! Value     = 0x08 varint / 0x11 8 bytes / 0x1A length text / 0x20 varint / 0x2A length Struct / 0x32 length ListValue
//! ```
//!
//! Untrusted bytes give `None`, never a panic; the depth is bounded, and memory by a constant factor of their number.

use super::json::Json;
use crate::limits;

/// Decodes a Struct that has a field. No JSON is one: each field has a byte 0x12, which JSON never has.
pub(super) fn parse(bytes: &[u8]) -> Option<Json> {
    if bytes.is_empty() { None } else { object(bytes, limits::CONFIG_DEPTH) }
}

fn object(mut bytes: &[u8], depth: usize) -> Option<Json> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let Field::Bytes(1, inner) = field(&mut bytes)? else { return None };
        entries.push(entry(inner, depth)?);
    }
    Some(Json::Object(entries))
}

fn entry(mut bytes: &[u8], depth: usize) -> Option<(String, Json)> {
    let (mut key, mut found) = (String::new(), None);
    while !bytes.is_empty() {
        match field(&mut bytes)? {
            Field::Bytes(1, inner) => key = text(inner)?,
            Field::Bytes(2, inner) => found = Some(value(inner, depth)?),
            _ => return None,
        }
    }
    Some((key, found?))
}

fn value(mut bytes: &[u8], depth: usize) -> Option<Json> {
    let depth = depth.checked_sub(1)?;
    let value = match field(&mut bytes)? {
        Field::Varint(1, _) => Json::Null,
        Field::Fixed64(2) => Json::Number,
        Field::Bytes(3, inner) => Json::Text(text(inner)?),
        Field::Varint(4, value) => Json::Bool(value != 0),
        Field::Bytes(5, inner) => object(inner, depth)?,
        Field::Bytes(6, inner) => list(inner, depth)?,
        _ => return None,
    };
    bytes.is_empty().then_some(value)
}

fn list(mut bytes: &[u8], depth: usize) -> Option<Json> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        let Field::Bytes(1, inner) = field(&mut bytes)? else { return None };
        items.push(value(inner, depth)?);
    }
    Some(Json::List(items))
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// A field of a message, with its number.
enum Field<'a> {
    Varint(u64, u64),
    /// The configuration has no numbers, so that the value is not kept.
    Fixed64(u64),
    Bytes(u64, &'a [u8]),
}

fn field<'a>(bytes: &mut &'a [u8]) -> Option<Field<'a>> {
    let tag = varint(bytes)?;
    let number = tag >> 3;
    match tag & 7 {
        0 => Some(Field::Varint(number, varint(bytes)?)),
        1 => take(bytes, 8).map(|_| Field::Fixed64(number)),
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            take(bytes, length).map(|inner| Field::Bytes(number, inner))
        }
        _ => None,
    }
}

/// Seven bits a byte, the lowest first; ten bytes at most.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(bytes, 1)?.first()?;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `{"a": "b", "l": [true, null, 1.5], "o": {}}`, as protobuf encodes it.
    const SAMPLE: &[u8] = b"\n\x08\n\x01a\x12\x03\x1a\x01b\
        \n\x1a\n\x01l\x12\x15\x32\x13\n\x02\x20\x01\n\x02\x08\x00\n\x09\x11\0\0\0\0\0\0\xf8\x3f\
        \n\x07\n\x01o\x12\x02\x2a\x00";

    fn shown(json: &Json) -> String {
        match json {
            Json::Null => "null".into(),
            Json::Bool(value) => value.to_string(),
            Json::Number => "number".into(),
            Json::Text(text) => format!("{text:?}"),
            Json::List(items) => {
                format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(","))
            }
            Json::Object(entries) => {
                let entry = |(key, value): &(String, Json)| format!("{key}:{}", shown(value));
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
            }
        }
    }

    /// A Struct with a Struct in it, and so on.
    fn nested(levels: usize) -> Vec<u8> {
        (0..levels).fold(Vec::new(), |inner, _| {
            let framed = |tag: u8, inner: &[u8]| {
                let mut framed = vec![tag];
                let mut length = inner.len();
                while length > 0x7F {
                    framed.push(0x80 | u8::try_from(length & 0x7F).unwrap());
                    length >>= 7;
                }
                framed.push(u8::try_from(length).unwrap());
                framed.extend(inner);
                framed
            };
            framed(b'\n', &framed(0x12, &framed(0x2A, &inner)))
        })
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let read = parse(SAMPLE).map(|json| shown(&json));
        assert_eq!(read.as_deref(), Some(r#"{a:"b",l:[true,null,number],o:{}}"#));
    }

    #[test]
    fn what_is_cut_off_is_no_struct_but_between_two_fields() {
        for end in 0..SAMPLE.len() {
            let whole_fields = [10, 38].contains(&end);
            assert_eq!(parse(&SAMPLE[..end]).is_some(), whole_fields, "cut off after {end} bytes");
        }
    }

    #[test]
    fn a_struct_deeper_than_the_limit_is_none() {
        assert!(parse(&nested(limits::CONFIG_DEPTH)).is_some());
        assert!(parse(&nested(limits::CONFIG_DEPTH + 1)).is_none());
    }

    #[test]
    fn a_length_beyond_the_end_is_none() {
        assert!(parse(b"\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").is_none());
        assert!(parse(b"\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").is_none());
    }

    #[test]
    fn a_text_that_is_not_utf8_is_none() {
        assert!(parse(b"\n\x08\n\x01a\x12\x03\x1a\x01\xff").is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_json_is_a_struct(spaces in "[ \n\t\r]{0,9}", key in "[a-z]{1,9}", value in "[^\u{0}-\u{1f}\"\\\\]{0,99}") {
            let json = format!("{spaces}{{\"{key}\":{spaces}\"{value}\"}}");
            prop_assert!(parse(json.as_bytes()).is_none());
        }
    }
}
