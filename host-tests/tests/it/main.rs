//! The integration suite.

mod auth;
mod collect;
mod config;
mod deploy;
mod driven;
mod envoy;
mod faults;
mod flood;
mod formats;
mod hostile;
mod observe;
mod page;
mod passing;
mod paths;
mod prometheus;
mod proxy;
mod replies;
mod run;
mod scrape;
mod secrets;
mod security;
mod stage;
mod tenants;
mod timing;
mod vm;
mod wire;
