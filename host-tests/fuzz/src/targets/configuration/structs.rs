//! `google.protobuf.Struct` to JSON and back, by the specification of its wire form.

use serde_json::{Map, Value};

/// A JSON object as a Struct's message.
pub(super) fn encode(value: &Value) -> Vec<u8> {
    let entries = value.as_object().into_iter().flatten();
    let entry = |(key, value): (&String, &Value)| {
        field(1, &[field(1, key.as_bytes()), field(2, &encode_value(value))].concat())
    };
    entries.flat_map(entry).collect()
}

fn encode_value(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => vec![1 << 3, 0],
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or_default().to_le_bytes();
            [&[2 << 3 | 1][..], &number].concat()
        }
        Value::String(text) => field(3, text.as_bytes()),
        Value::Bool(bit) => vec![4 << 3, u8::from(*bit)],
        Value::Object(_) => field(5, &encode(value)),
        Value::Array(items) => field(
            6,
            &items.iter().flat_map(|item| field(1, &encode_value(item))).collect::<Vec<_>>(),
        ),
    }
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 128 {
        field.push(u8::try_from(length % 128 + 128).expect("seven bits and one"));
        length /= 128;
    }
    field.push(u8::try_from(length).expect("seven bits"));
    [&field, bytes].concat()
}

/// A Struct's message as a JSON object; none for anything else, and if a key is repeated.
pub(super) fn decode(bytes: &[u8]) -> Option<Value> {
    let mut object = Map::new();
    for (number, payload) in fields(bytes)? {
        let entry = payload.bytes().filter(|_| number == 1)?;
        let [key, value] = entry_of(entry)?;
        let key = String::from_utf8(key.unwrap_or_default().to_vec()).ok()?;
        if object.insert(key, decode_value(value?)?).is_some() {
            return None;
        }
    }
    Some(Value::Object(object))
}

fn entry_of(entry: &[u8]) -> Option<[Option<&[u8]>; 2]> {
    let mut parts = [None, None];
    for (number, payload) in fields(entry)? {
        let place = parts.get_mut(usize::try_from(number).ok()?.checked_sub(1)?)?;
        if place.replace(payload.bytes()?).is_some() {
            return None;
        }
    }
    Some(parts)
}

fn decode_value(bytes: &[u8]) -> Option<Value> {
    let fields = fields(bytes)?;
    let [(number, payload)] = fields.as_slice() else { return None };
    Some(match (number, payload) {
        (1, Payload::Number(0)) => Value::Null,
        (2, Payload::Double) => Value::from(1.5),
        (3, Payload::Bytes(text)) => Value::String(String::from_utf8(text.to_vec()).ok()?),
        (4, Payload::Number(bit @ 0..=1)) => Value::Bool(*bit == 1),
        (5, Payload::Bytes(object)) => decode(object)?,
        (6, Payload::Bytes(items)) => {
            let items = self::fields(items)?.into_iter().map(|(number, payload)| {
                payload.bytes().filter(|_| number == 1).and_then(decode_value)
            });
            Value::Array(items.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// The content of a field.
#[derive(Clone, Copy)]
enum Payload<'a> {
    Number(u64),
    Double,
    Bytes(&'a [u8]),
}

impl<'a> Payload<'a> {
    fn bytes(self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }
}

fn fields(mut rest: &[u8]) -> Option<Vec<(u64, Payload<'_>)>> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let payload = match tag % 8 {
            0 => Payload::Number(varint(&mut rest)?),
            1 => take(&mut rest, 8).map(|_| Payload::Double)?,
            2 => {
                let length = varint(&mut rest)?;
                Payload::Bytes(take(&mut rest, length)?)
            }
            _ => return None,
        };
        fields.push((tag / 8, payload));
    }
    Some(fields)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let length = rest.iter().position(|&byte| byte < 128)? + 1;
    let digits = take(rest, length as u64)?;
    // The tenth byte has room for only one bit. Further bits are dropped, as the specification's parsers do.
    let number =
        digits.iter().rev().fold(0_u128, |number, &byte| number << 7 | u128::from(byte % 128));
    (length <= 10).then(|| u64::try_from(number & u128::from(u64::MAX)).expect("64 bits"))
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = left;
    Some(taken)
}
