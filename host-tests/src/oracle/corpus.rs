//! The pages in prometheus_client's own tests, which `make tools` installs into `.tools/corpus`.

use std::process::Command;

use serde::Deserialize;

use super::{OracleError, run};
use crate::tools;

const SCRIPT: &str = include_str!("corpus.py");

/// Good and bad pages, each once. [`super::families_of_pages`] tells which is which, since the tests are older than the
/// parser.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Corpus {
    /// Pages in text 0.0.4.
    pub text: Vec<String>,
    /// Pages in OpenMetrics.
    pub openmetrics: Vec<String>,
}

/// Runs the tests with their own version of the parsers, and returns the pages that these read.
///
/// # Errors
/// [`OracleError::Python`] if a test fails.
///
/// # Panics
/// If the tests or Python are not installed.
pub fn corpus() -> Result<Corpus, OracleError> {
    let mut python = Command::new(tools::command("python3"));
    python.env("PYTHONPATH", tools::python_corpus()).args(["-c", SCRIPT]);
    let output = run(&mut python, b"").map_err(OracleError::Process)?;
    serde_json::from_slice(&output.stdout)
        .map_err(|_| OracleError::Python(String::from_utf8_lossy(&output.stderr).into_owned()))
}
