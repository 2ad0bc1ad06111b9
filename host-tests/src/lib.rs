//! The filter's tests and tools. Open the module that fits the question:
//!
//! | question | module |
//! |---|---|
//! | How does a test start a gateway, on our host or on Envoy? | [`gateway`] |
//! | How is Envoy configured and started? | [`envoy`] |
//! | How does our own proxy-wasm host run a VM: callbacks, host calls, memory, fuel? | [`vm`] |
//! | What do all VMs of a host share: shared data, the clock, the log, metrics, hooks? | [`world`] |
//! | How does our own host serve HTTP: workers, streams, upstreams, local replies? | [`proxy`] |
//! | What does a test see of a callback that did not return? | [`trap`] |
//! | How does the module become an OCI image? | [`image`] |
//! | How is a Kubernetes manifest checked against the types of its kind? | [`kinds`] |
//! | How is the filter's module found, or a fixture's built? | [`module`], [`tools`] |
//! | How does a test kill a VM on real Envoy? | [`fault_injection`] |
//! | What does the stand-in for the controller answer? | [`controller`] |
//! | What did a real controller answer? | [`capture`] |
//! | How does a test send a request, over TLS or plain HTTP? | [`client`], [`certificate`] |
//! | How does a test drive a browser? | [`browser`] |
//! | How does a real Prometheus scrape the filter? | [`prometheus`] |
//! | Which independent programs read a page? | [`oracle`] |
//! | How does a test run a program, and wait for a condition? | [`process`] |
//! | Where are the programs that `make tools` installs? | [`tools`] |
//!
//! The programs are in `src/bin`: `run`, `check-config`, `credential` and `image` are for operators, `controller` is the
//! stand-in alone, `bench` and `screenshot` are for contributors. `tests/it` tests the filter, and `tests/harness` our own
//! host.
//!
//! Without the feature `suite` only the modules that the operators' programs need are built: no wasmtime.

#[cfg(feature = "suite")]
pub mod browser;
#[cfg(feature = "suite")]
pub mod capture;
pub mod certificate;
pub mod client;
pub mod controller;
pub mod envoy;
#[cfg(feature = "suite")]
pub mod fault_injection;
pub mod gateway;
pub mod image;
#[cfg(feature = "suite")]
pub mod kinds;
#[cfg(feature = "suite")]
pub mod module;
#[cfg(feature = "suite")]
pub mod oracle;
pub mod process;
#[cfg(feature = "suite")]
pub mod prometheus;
#[cfg(feature = "suite")]
pub mod proxy;
pub mod tools;
#[cfg(feature = "suite")]
pub mod trap;
#[cfg(feature = "suite")]
pub mod vm;
#[cfg(feature = "suite")]
pub mod world;
