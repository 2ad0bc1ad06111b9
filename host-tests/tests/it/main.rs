//! The integration suite.

mod auth;
mod collect;
mod envoy;
mod passing;
mod prometheus;
mod proxy;
mod run;
mod scrape;
mod stage;
mod vm;
mod wire;
