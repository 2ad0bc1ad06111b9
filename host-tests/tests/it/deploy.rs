//! The files that operators deploy (`envoy/`) and the image do what their documentation says.

mod dashboards;
mod envoy_gateway;
mod fleet;
mod image;
mod index;
mod istio;
mod kubernetes;
mod manifest;
mod monitoring;
mod proxy;
mod queries;
mod rules;
mod runbook;
mod schemas;
mod scrapes;
