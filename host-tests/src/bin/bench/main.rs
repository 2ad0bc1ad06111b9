//! What `make bench` runs: what the filter costs, measured beside what it is to be compared with, in one run.
//!
//! Prints a table and writes the same, with details, to `target/bench.json`. A figure that misses its target does not
//! fail the run: machines differ, and this one may be busy. What cannot be measured does.
//!
//! How noise is met: nothing is judged by a time alone, only by the ratio of two that were taken in the same run, in
//! turn, round by round (see [`rounds`]). CPU time is the process's own, from the kernel's accounting (see [`cpu`]);
//! waiting for a core does not count. What the module does is counted on our own host as well, in fuel, host calls and
//! bytes (see [`wasm`]): these are the same on every machine and in every run.
//!
//! `BENCH_ROUNDS` says how many rounds there are, of a second for each contender (12 where it is not set: about two and
//! a half minutes in all).

mod cpu;
mod envoys;
mod load;
mod pages;
mod proxied;
mod report;
mod rounds;
mod scrapes;
mod wasm;

use std::fs;
use std::io;
use std::process::ExitCode;

use host_tests::client::ClientError;
use host_tests::gateway::StartError;
use host_tests::tools;
use load::LoadError;
use report::Report;

/// Rounds, where nobody says how many.
const ROUNDS: u32 = 12;

/// How thoroughly to measure.
struct Settings {
    rounds: u32,
}

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("Envoy was {0}")]
    Envoy(#[from] StartError),
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("{0}")]
    Load(#[from] LoadError),
    #[error("{who} counted {count} requests, and {answered} were answered")]
    Miscounted { who: &'static str, count: f64, answered: f64 },
    #[error("the page was not served in time:\n{log}")]
    NotServed { log: String },
    #[error("{served} series are served of {wanted}")]
    SeriesMissing { served: u64, wanted: u64 },
    #[error("the module: {0}")]
    Wasm(#[from] wasm::WasmError),
}

#[tokio::main]
async fn main() -> ExitCode {
    let rounds = std::env::var("BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let settings = Settings { rounds: rounds.unwrap_or(ROUNDS) };
    let mut report = Report::default();
    let outcomes = [
        ("the module", wasm::measure(&settings, &mut report).map_err(Into::into)),
        ("scrapes", scrapes::measure(&settings, &mut report).await),
        ("proxied requests", proxied::measure(&settings, &mut report).await),
        ("bench.json", write(&report).map_err(Into::into)),
    ];
    println!("{report}");
    let mut code = ExitCode::SUCCESS;
    for (part, outcome) in outcomes {
        if let Err(error) = outcome {
            eprintln!("bench: {part}: {error}");
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn write(report: &Report) -> io::Result<()> {
    let file = tools::repository().join("target/bench.json");
    fs::write(file, serde_json::to_string_pretty(&report.to_json())?)
}
