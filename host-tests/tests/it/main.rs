//! The integration suite.

mod auth;
mod collect;
mod config;
mod envoy;
mod faults;
mod formats;
mod hostile;
mod observe;
mod page;
mod passing;
mod prometheus;
mod proxy;
mod run;
mod scrape;
mod stage;
mod vm;
mod wire;
