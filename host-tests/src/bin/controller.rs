//! Runs only the stand-in controller, as slow as the real one: `controller [--listen ADDRESS] [--tls]`.
//!
//! It prints its address on one line, and runs until it is stopped.

use std::process::ExitCode;

use host_tests::controller::{Controller, ControllerConfig};

const USAGE: &str = "usage: controller [--listen ADDRESS:PORT] [--tls]";

fn main() -> ExitCode {
    let config = match config(std::env::args().skip(1)) {
        Ok(config) => config,
        Err(mistake) => {
            eprintln!("{mistake}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match Controller::try_start(config) {
        Ok(controller) => {
            println!("{}", controller.address());
            loop {
                std::thread::park();
            }
        }
        Err(error) => {
            eprintln!("cannot listen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn config(mut arguments: impl Iterator<Item = String>) -> Result<ControllerConfig, String> {
    let mut config = ControllerConfig::lifelike();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--listen" => {
                let address = arguments.next().unwrap_or_default();
                config.listen =
                    address.parse().map_err(|_| format!("{address:?} is not ADDRESS:PORT"))?;
            }
            "--tls" => config.tls = true,
            _ => return Err(format!("{argument:?} is not an option")),
        }
    }
    Ok(config)
}
