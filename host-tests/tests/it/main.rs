//! The integration suite.

mod envoy;
mod prometheus;
mod run;
mod proxy;
mod vm;
