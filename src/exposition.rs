//! One model, many formats: what reads pages into [`crate::metrics`], and what writes them out.

pub mod form;
pub mod gzip;
pub mod json;
pub mod openmetrics;
pub mod page;
pub mod parse;
pub mod protobuf;
mod sound;
pub mod text;
