//! What an operator deploys: the image, and the manifests of `envoy/`.

mod image;
mod kubernetes;
mod manifest;
