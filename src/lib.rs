//! A proxy-wasm filter that answers `/api/v2/metrics` of the automation controller (AWX) at the gateway.
//!
//! Three flows, which meet only in shared data and in the model of metric families:
//!
//! ```text
//! OBSERVE  a proxied request ends  ->  facts -> labels -> tally -> shard            (every request)
//! COLLECT  a tick, one VM pulling  ->  pull due sources -> parse -> snapshot        (every few seconds)
//! SCRAPE   GET /api/v2/metrics     ->  route -> permit -> gather -> merge -> render (every few seconds)
//! ```
//!
//! In reading order: [`observe`], [`collect`] and [`scrape`] are the flows, each top to bottom in one file that names
//! its steps; [`site`] puts them side by side for one configuration in one VM. [`auth`] decides who may see what,
//! [`config`] reads what the operator wrote. [`metrics`] is the model, [`exposition`] reads and writes it. [`shared`] is
//! what the VMs have in common. [`host`] is the seam to Envoy, [`upstream`] says why an
//! answer is no page, and [`limits`] has every bound. The entry of the module,
//! `wasm`, turns Envoy's callbacks into calls of a [`site::Site`]; it exists for the wasm target alone.

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
pub mod upstream;

#[cfg(target_arch = "wasm32")]
mod wasm;
