//! The plugin's configuration as Envoy hands it over, to JSON.
//!
//! What the module gets depends on the type of `configuration`, the same in Envoy 1.36.2 and 1.40.0: of a `StringValue`
//! and of a `BytesValue` the value, of every other message its wire form. That goes for a `Struct` too, although the
//! documentation of Envoy's `PluginConfig` says that it becomes JSON; without entries it is no bytes at all.

use super::error::Problem;
use super::json::{self, Json};
use super::wire;
use crate::limits;

/// Reads JSON or a Struct's wire form. No bytes, as there are without a configuration, are an empty object.
pub(super) fn parse(bytes: &[u8]) -> Result<Json, Problem> {
    if bytes.len() > limits::CONFIG_BYTES {
        return Err(Problem::TooLarge { most: limits::CONFIG_BYTES });
    }
    if bytes.trim_ascii().is_empty() {
        return Ok(Json::Object(Vec::new()));
    }
    // The first byte tells nothing: a Struct begins with 0x0a, and so does JSON behind an empty line. But every entry of
    // a Struct holds this control character, and no JSON does, not even in a string. So no bytes are both, and which
    // they are meant to be is known even where they are neither.
    if bytes.contains(&wire::ENTRY_VALUE) {
        return wire::decode(bytes).ok_or(Problem::NotStruct);
    }
    json::parse(bytes)
}
