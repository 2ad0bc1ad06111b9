//! The compiled modules: the filter and the fixtures.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use crate::world::locked;

/// The filter's module, from `AWX_METRICS_FILTER_WASM` if that is set, else built.
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn filter() -> PathBuf {
    std::env::var_os("AWX_METRICS_FILTER_WASM")
        .map_or_else(|| build("awx-metrics-filter"), PathBuf::from)
}

/// Builds a package of this workspace for wasm32-wasip1, once per process.
///
/// # Panics
/// If cargo fails.
#[must_use]
pub fn build(package: &str) -> PathBuf {
    static BUILT: OnceLock<Mutex<HashMap<String, PathBuf>>> = OnceLock::new();
    // The lock is held while cargo runs, so that other threads wait instead of running cargo too.
    let mut built = locked(BUILT.get_or_init(Mutex::default));
    if let Some(module) = built.get(package) {
        return module.clone();
    }
    let module = compile(package);
    built.insert(package.to_owned(), module.clone());
    module
}

fn compile(package: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("host-tests has a parent");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(root)
        .args(["build", "--quiet", "--release", "--locked", "--lib"])
        .args(["--target", "wasm32-wasip1", "--package", package])
        .status()
        .expect("cargo runs");
    assert!(status.success(), "cargo could not build {package} for wasm32-wasip1");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    target.join("wasm32-wasip1/release").join(package.replace('-', "_")).with_extension("wasm")
}
