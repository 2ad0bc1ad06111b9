//! The filter's test bed.

pub mod browser;
pub mod capture;
pub mod certificate;
pub mod client;
pub mod controller;
pub mod doomed;
pub mod envoy;
pub mod gateway;
pub mod module;
pub mod oracle;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod tools;
pub mod trap;
pub mod vm;
pub mod world;
