//! The files that operators deploy (`envoy/`) do what their documentation says.

mod index;
mod rules;
