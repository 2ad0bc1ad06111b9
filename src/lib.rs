//! A proxy-wasm filter that answers `/api/v2/metrics` of the automation controller (AWX) at the gateway.
//!
//! It has three flows, which meet only in shared data and in the model of metric families:
//!
//! ```text
//! OBSERVE  a proxied request ends  ->  facts -> labels -> tally -> shard            (every request)
//! COLLECT  a tick, one VM pulling  ->  pull due sources -> parse -> snapshot        (every few seconds)
//! SCRAPE   GET /api/v2/metrics     ->  route -> permit -> gather -> merge -> render (every few seconds)
//! ```
//!
//! Open the module that fits the question:
//!
//! | question | module |
//! |---|---|
//! | Where do Envoy's callbacks arrive? | `wasm`, for the wasm target alone |
//! | How do the flows of one configuration work together in a VM? | [`site`] |
//! | How is a proxied request counted? | [`observe`] |
//! | How are sources pulled, and by which VM? | [`collect`] |
//! | How is a scrape answered? | [`scrape`], which lists its steps |
//! | Which credentials open which part of the page? | [`auth`] |
//! | What did the operator configure? | [`config`] |
//! | What is a metric family, and how are pages stored and merged? | [`metrics`] |
//! | How is a format parsed or rendered? | [`exposition`]: [`exposition::parse`], [`exposition::render`](mod@exposition::render) |
//! | What do VMs store in shared data? | [`shared`] |
//! | How does the filter call Envoy? | [`host`] |
//! | Why is an upstream's answer not a metrics page? | [`upstream`] |
//! | How large may a value become? | [`limits`] |
//!
//! A proxied request passes `wasm` (headers, then log), [`site::Site::request`], which finds that it is no scrape
//! ([`scrape::route`]), and [`site::Site::ended`], which counts it ([`observe::Observer::record`]). A scrape passes `wasm`,
//! [`site::Site::request`] and [`scrape::Scraper::start`]. If it waits, [`site::Site::tick`] or [`site::Site::answered`]
//! returns its reply.

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
