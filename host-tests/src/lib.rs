//! The filter's test bed.

pub mod controller;
pub mod oracle;
pub mod certificate;
pub mod client;
pub mod envoy;
pub mod gateway;
pub mod process;
pub mod prometheus;
pub mod tools;
pub mod module;
pub mod proxy;
pub mod trap;
pub mod vm;
pub mod world;
