//! The integration suite.

mod envoy;
mod prometheus;
mod proxy;
mod run;
mod vm;
