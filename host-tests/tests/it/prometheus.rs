//! A real Prometheus against a real Envoy.
