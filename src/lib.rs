//! A proxy-wasm filter that answers `/api/v2/metrics` of the automation controller (AWX) at the gateway.
//!
//! Three flows, which meet only in shared data and in the model of metric families:
//!
//! ```text
//! OBSERVE  a proxied request ends  ->  facts -> labels -> tally -> shard
//! COLLECT  a tick, one VM leading  ->  pull due sources -> parse -> snapshot
//! SCRAPE   GET /api/v2/metrics     ->  route -> permit -> gather -> merge -> render
//! ```

pub mod auth;
pub mod collect;
pub mod config;
pub mod exposition;
pub mod host;
pub mod limits;
pub mod metrics;
pub mod observe;
pub mod scrape;
pub mod shared;
pub mod site;

#[cfg(target_arch = "wasm32")]
mod wasm;
