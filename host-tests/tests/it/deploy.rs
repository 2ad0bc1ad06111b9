//! What an operator deploys: the image, and the manifests of `envoy/`.

mod envoy_gateway;
mod image;
mod istio;
mod kubernetes;
mod manifest;
mod monitoring;
mod proxy;
mod schemas;
