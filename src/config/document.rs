//! The bytes that Envoy gives to the module, to JSON.
//!
//! They depend on the type of `configuration`, in the same way in Envoy 1.36.2 and 1.40.0. For a `StringValue` and a
//! `BytesValue` they are the value; for every other message they are its wire form. This includes `Struct`, although the
//! documentation of Envoy's `PluginConfig` says that it becomes JSON. A `Struct` without entries gives no bytes.

use super::error::Problem;
use super::json::{self, Json};
use super::wire;
use crate::limits;

/// Reads JSON or the wire form of a Struct. Without a configuration there are no bytes, which mean an empty object.
pub(super) fn parse(bytes: &[u8]) -> Result<Json, Problem> {
    if bytes.len() > limits::CONFIG_BYTES {
        return Err(Problem::TooLarge { most: limits::CONFIG_BYTES });
    }
    if bytes.trim_ascii().is_empty() {
        return Ok(Json::Object(Vec::new()));
    }
    // The first byte does not distinguish the two: a Struct begins with 0x0a, and so does JSON after an empty line. But
    // every entry of a Struct contains this control character, and JSON never does, not even in a string. So an error
    // names the right form even if the bytes are neither.
    if bytes.contains(&wire::ENTRY_VALUE) {
        return wire::decode(bytes).ok_or(Problem::NotStruct);
    }
    json::parse(bytes)
}
