//! The integration suite.

mod envoy;
mod prometheus;
mod run;
mod vm;
