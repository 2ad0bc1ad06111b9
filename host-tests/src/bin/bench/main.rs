//! The program of `make bench`: measures the cost of the filter, beside the cost of what it is compared with, in one
//! run.
//!
//! It prints a table and writes the same, with details, to `target/bench.json`. A figure that misses its target does
//! not fail the run, since machines differ and may be busy. A figure that cannot be measured does.
//!
//! To cope with noise, no time is judged alone, only the ratio of two that were measured in the same run, in turn,
//! round by round (see [`rounds`]). CPU time is the process's own, from the kernel's accounting (see [`cpu`]), without
//! the time spent waiting for a core. One contender runs twice, and its ratio to itself shows how far the others can be
//! trusted. The work of the module is also counted on our own host, in fuel, host calls and bytes (see [`wasm`]), which
//! are the same on every machine and in every run.
//!
//! `BENCH_ROUNDS` sets the number of rounds for comparing CPU time, some 50 ms for each contender (by default
//! [`ROUNDS`], about two minutes in all). `BENCH_ONLY` selects parts by a piece of their names: `requests`.

mod cpu;
mod envoys;
mod load;
mod pages;
mod prices;
mod proxied;
mod report;
mod rounds;
mod scrapes;
mod volley;
mod wasm;

use std::env;
use std::fs;
use std::io;
use std::process::ExitCode;

use host_tests::client::ClientError;
use host_tests::gateway::StartError;
use host_tests::tools;
use host_tests::trap::Trap;
use host_tests::vm::PluginError;
use load::LoadError;
use report::Report;

/// The default number of rounds.
const ROUNDS: u32 = 150;

/// The extent of the measurement.
struct Settings {
    rounds: u32,
    /// A piece of the names of the wanted parts.
    only: String,
}

/// The reason why something could not be measured.
#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error("BENCH_ROUNDS is not a number of rounds")]
    Rounds,
    #[error("BENCH_ONLY matches none of the parts: {}", PARTS.map(|(name, _)| name).join(", "))]
    Nothing,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("Envoy was {0}")]
    Envoy(#[from] StartError),
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("{0}")]
    Load(#[from] LoadError),
    #[error("the page was not served in time:\n{log}")]
    NotServed { log: String },
    /// A filter that does not count costs nothing, and its figures mean nothing.
    #[error("{contender} counted {counted} of {sent} requests")]
    Miscounted { contender: &'static str, counted: u64, sent: u64 },
    #[error("{served} of {wanted} series were served")]
    SeriesMissing { served: u64, wanted: u64 },
    #[error(
        "{wrong} of {series} series are not as prometheus_client reads them, {surplus} are too many"
    )]
    SeriesDiffer { series: u64, wrong: u64, surplus: u64 },
    #[error("Python failed: {0}")]
    Python(String),
    #[error("no module: {0}")]
    Module(wasmtime::Error),
    #[error("{0}")]
    Trap(#[from] Trap),
    #[error("the plugin does not run: {0:?}")]
    Plugin(PluginError),
    #[error("{begun} pulls began at a tick, but {due} were due")]
    Pulls { due: usize, begun: usize },
    #[error("a scrape was not answered with a page")]
    NoReply,
    #[error("a scrape was answered with {served} bytes, but the page takes at least {wanted}")]
    PageMissing { served: usize, wanted: usize },
}

impl From<PluginError> for BenchError {
    fn from(error: PluginError) -> Self {
        Self::Plugin(error)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match Settings::from_environment() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("bench: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut report = Report::default();
    let mut code = ExitCode::SUCCESS;
    // Each part runs alone: a failure of one does not stop the others.
    for (name, part) in PARTS.into_iter().filter(|(name, _)| settings.wants(name)) {
        if let Err(error) = part.measure(&settings, &mut report).await {
            eprintln!("bench: {name}: {error}");
            code = ExitCode::FAILURE;
        }
    }
    println!("{report}");
    if let Err(error) = write(&report) {
        eprintln!("bench: bench.json: {error}");
        code = ExitCode::FAILURE;
    }
    code
}

/// A part of the measurement.
#[derive(Clone, Copy)]
enum Part {
    Proxied,
    CountedByFilter,
    CountedByAccessLogger,
    HostCalls,
    BesideDirectResponse,
    BesideEnvoysOwn,
    OnOurHost,
    Parsing,
    Callbacks,
    Growth,
    Size,
}

/// In the table's order.
const PARTS: [(&str, Part); 11] = [
    ("proxied requests", Part::Proxied),
    ("requests counted by the filter", Part::CountedByFilter),
    ("requests counted by the access logger", Part::CountedByAccessLogger),
    ("host calls", Part::HostCalls),
    ("scrapes beside direct_response", Part::BesideDirectResponse),
    ("scrapes beside Envoy's own", Part::BesideEnvoysOwn),
    ("scrapes on our host", Part::OnOurHost),
    ("parsing", Part::Parsing),
    ("callbacks", Part::Callbacks),
    ("growth", Part::Growth),
    ("the module", Part::Size),
];

impl Part {
    async fn measure(self, settings: &Settings, report: &mut Report) -> Result<(), BenchError> {
        match self {
            Self::Proxied => proxied::measure(settings, report).await,
            Self::CountedByFilter => wasm::observed_by_filter(report),
            Self::CountedByAccessLogger => wasm::observed_by_access_logger(report),
            Self::HostCalls => prices::measure(report).await,
            Self::BesideDirectResponse => scrapes::of_the_same_bytes(settings, report).await,
            Self::BesideEnvoysOwn => scrapes::of_as_many_series(settings, report).await,
            Self::OnOurHost => wasm::scraped(report),
            Self::Parsing => wasm::parsed(settings, report),
            Self::Callbacks => wasm::callbacks(settings, report),
            Self::Growth => wasm::grown(report),
            Self::Size => wasm::size(report),
        }
    }
}

impl Settings {
    /// Rounds of one second, for comparing latency: longer, and so fewer.
    fn seconds(&self) -> u32 {
        self.rounds.div_ceil(25)
    }

    fn from_environment() -> Result<Self, BenchError> {
        let rounds = match env::var("BENCH_ROUNDS").as_deref() {
            Err(_) | Ok("") => ROUNDS,
            Ok(rounds) => match rounds.parse() {
                Ok(rounds @ 1..) => rounds,
                _ => return Err(BenchError::Rounds),
            },
        };
        let only = env::var("BENCH_ONLY").unwrap_or_default();
        if PARTS.iter().any(|(name, _)| name.contains(&only)) {
            Ok(Self { rounds, only })
        } else {
            Err(BenchError::Nothing)
        }
    }

    fn wants(&self, part: &str) -> bool {
        part.contains(&self.only)
    }
}

fn write(report: &Report) -> Result<(), BenchError> {
    let file = tools::repository().join("target/bench.json");
    Ok(fs::write(file, serde_json::to_string_pretty(&report.to_json()).map_err(io::Error::from)?)?)
}
