//! The files that operators deploy (`envoy/`) do what their documentation says.

mod dashboards;
mod fleet;
mod index;
mod queries;
mod rules;
mod runbook;
mod scrapes;
