//! The integration suite.

mod envoy;
mod prometheus;
