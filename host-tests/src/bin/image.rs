//! Writes the module as an OCI image, without a daemon and without a network.
//!
//! `image DIRECTORY [ARCHITECTURE]`: the module is the one that `AWX_METRICS_FILTER_WASM` names. It prints the digests that
//! manifests need.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use host_tests::image::{Architecture, Image};
use host_tests::tools;

const USAGE: &str = "usage: image DIRECTORY [amd64|arm64]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let report = match arguments.as_slice() {
        [directory] => build(directory, Architecture::default()),
        [directory, architecture] => match Architecture::parse(architecture) {
            Some(architecture) => build(directory, architecture),
            None => Err(USAGE.to_owned()),
        },
        _ => Err(USAGE.to_owned()),
    };
    match report {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn build(directory: &str, architecture: Architecture) -> Result<String, String> {
    let file = tools::module();
    let module = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let image = Image::new(&module, env!("CARGO_PKG_VERSION"), architecture)
        .map_err(|error| format!("{}: {error}", file.display()))?;
    image.write_to(Path::new(directory)).map_err(|error| format!("{directory}: {error}"))?;
    Ok(format!(
        "image {directory}:{}\nsha256 of the image, for `sha256` of a manifest and for `@sha256:`\n  {}\n\
         sha256 of the module, which Envoy and an HTTP source check\n  {}\n",
        image.tag(),
        image.sha256(),
        image.module_sha256(),
    ))
}
