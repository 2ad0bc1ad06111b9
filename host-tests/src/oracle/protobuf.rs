//! Pages in Prometheus protobuf (prometheus/client_model, `metrics.proto`), in the terms of text: a histogram's parts
//! are samples with suffixes, as Prometheus makes them. Keys and varints are read by prost.

use bytes::Buf;
use prost::DecodeError;
use prost::encoding::{WireType, decode_key, decode_varint};

use super::{OracleFamily, OracleSample, python_float};

/// Reads a page of delimited messages. Of a bound or quantile the number is there, not how a text spelt it; see
/// [`super::with_points_as_numbers`].
///
/// # Errors
/// Where the bytes are no such messages.
///
/// # Panics
/// Where the messages lack what Prometheus needs.
pub fn families(mut page: &[u8]) -> Result<Vec<OracleFamily>, DecodeError> {
    let mut families = Vec::new();
    while !page.is_empty() {
        let length = decode_varint(&mut page)?;
        families.push(family(&Message::read(take(&mut page, length)?)?)?);
    }
    Ok(families)
}

/// A message's fields by number, in the order they came.
struct Message<'a>(Vec<(u32, Field<'a>)>);

#[derive(Clone, Copy)]
enum Field<'a> {
    Whole(u64),
    Float(f64),
    Bytes(&'a [u8]),
}

impl<'a> Message<'a> {
    fn read(mut bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let (number, wire) = decode_key(&mut bytes)?;
            let field = match wire {
                WireType::Varint => Field::Whole(decode_varint(&mut bytes)?),
                WireType::SixtyFourBit => Field::Float(take(&mut bytes, 8)?.get_f64_le()),
                WireType::LengthDelimited => {
                    let length = decode_varint(&mut bytes)?;
                    Field::Bytes(take(&mut bytes, length)?)
                }
                other => panic!("field {number} is {other:?}, which no message has"),
            };
            fields.push((number, field));
        }
        Ok(Self(fields))
    }

    fn all(&self, number: u32) -> impl Iterator<Item = Field<'a>> {
        self.0.iter().filter(move |(have, _)| *have == number).map(|(_, field)| *field)
    }

    fn float(&self, number: u32) -> f64 {
        match self.all(number).next() {
            Some(Field::Float(value)) => value,
            _ => panic!("field {number} is no double"),
        }
    }

    fn whole(&self, number: u32) -> u64 {
        match self.all(number).next() {
            Some(Field::Whole(value)) => value,
            _ => panic!("field {number} is no integer"),
        }
    }

    fn text(&self, number: u32) -> String {
        let bytes = match self.all(number).next() {
            Some(Field::Bytes(bytes)) => bytes,
            None => b"",
            _ => panic!("field {number} is no string"),
        };
        String::from_utf8(bytes.to_vec()).expect("a string is UTF-8")
    }

    fn messages(&self, number: u32) -> Result<Vec<Self>, DecodeError> {
        let read = |field| match field {
            Field::Bytes(bytes) => Self::read(bytes),
            _ => panic!("field {number} is no message"),
        };
        self.all(number).map(read).collect()
    }

    fn message(&self, number: u32) -> Result<Self, DecodeError> {
        Ok(self.messages(number)?.pop().unwrap_or_else(|| panic!("no field {number}")))
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Result<&'a [u8], DecodeError> {
    // Prost's own error for what ends too soon.
    let ends_too_soon = || decode_varint(&mut &[0x80_u8][..]).unwrap_err();
    let length = usize::try_from(length).map_err(|_| ends_too_soon())?;
    let (first, rest) = bytes.split_at_checked(length).ok_or_else(ends_too_soon)?;
    *bytes = rest;
    Ok(first)
}

/// `MetricType`, and where a `Metric` has its value then.
const TYPES: [(&str, u32); 5] =
    [("counter", 3), ("gauge", 2), ("summary", 4), ("unknown", 5), ("histogram", 7)];

fn family(message: &Message<'_>) -> Result<OracleFamily, DecodeError> {
    let kind = usize::try_from(message.whole(3)).ok().and_then(|number| TYPES.get(number));
    let (kind, value) = kind.expect("a known type");
    let name = message.text(1);
    let mut samples = Vec::new();
    for metric in message.messages(4)? {
        let labels = metric.messages(1)?;
        let labels = labels.iter().map(|pair| (pair.text(1), pair.text(2))).collect();
        let value = metric.message(*value)?;
        samples.extend(samples_of(&name, kind, &value)?.into_iter().map(|mut sample| {
            sample.labels.extend(Vec::clone(&labels));
            sample
        }));
    }
    Ok(OracleFamily {
        name,
        help: message.text(2),
        kind: (*kind).to_owned(),
        unit: String::new(),
        samples,
    })
}

/// The samples of one metric, without the labels that all of them have.
fn samples_of(
    name: &str,
    kind: &str,
    value: &Message<'_>,
) -> Result<Vec<OracleSample>, DecodeError> {
    let sample = |suffix: &str, point: Option<(&str, f64)>, value: f64| OracleSample {
        name: format!("{name}{suffix}"),
        labels: point.map(|(label, at)| (label.to_owned(), python_float(at))).into_iter().collect(),
        value: python_float(value),
    };
    let points = match kind {
        "histogram" => value
            .messages(3)?
            .iter()
            .map(|bucket| sample("_bucket", Some(("le", bucket.float(2))), bucket.whole(1) as f64))
            .collect(),
        "summary" => value
            .messages(3)?
            .iter()
            .map(|point| sample("", Some(("quantile", point.float(1))), point.float(2)))
            .collect(),
        _ => return Ok(vec![sample("", None, value.float(1))]),
    };
    let ends =
        vec![sample("_sum", None, value.float(2)), sample("_count", None, value.whole(1) as f64)];
    Ok([points, ends].concat())
}
