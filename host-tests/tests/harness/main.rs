//! Tests of the harness itself, without the filter: our own proxy-wasm host and its proxy run the modules of `fixtures`.

mod proxy;
mod vm;
