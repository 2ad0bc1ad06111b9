//! The integration suite.

mod collect;
mod envoy;
mod prometheus;
mod proxy;
mod run;
mod scrape;
mod stage;
mod vm;
