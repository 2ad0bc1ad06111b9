//! Runs the engine over the targets, adds new inputs to the corpus, and writes RECORD.md.
//!
//! `campaign ENGINE PLANTED`: the engine, and the engine whose targets contain the planted faults. `FUZZ_TARGET`
//! selects one target, `FUZZ_RUNS` sets the number of runs of each, `FUZZ_SEED` the seed of the random numbers.

mod engine;
mod record;

use engine::{Engine, EngineError};
use fuzz::{TARGETS, Target};
use record::{Line, Record};
use std::env;
use std::path::Path;
use std::process::ExitCode;

/// The number of runs within which a planted fault must be found.
const RUNS_TO_FIND: u64 = 5_000_000;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The reason why a campaign ended early.
#[derive(Debug, thiserror::Error)]
enum CampaignError {
    #[error("usage: campaign ENGINE PLANTED")]
    Usage,
    #[error("{0} is not a number")]
    NotANumber(&'static str),
    #[error("no target {0}")]
    NoTarget(String),
    #[error("{target}: {error}")]
    Engine { target: &'static str, error: EngineError },
    #[error("{0}: the planted fault was not found")]
    NotFound(&'static str),
    #[error("RECORD.md: {0}")]
    Record(#[from] std::io::Error),
}

fn run() -> Result<(), CampaignError> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [engine, planted] = arguments.as_slice() else { return Err(CampaignError::Usage) };
    let seed = number("FUZZ_SEED")?.unwrap_or(1);
    let runs = number("FUZZ_RUNS")?;
    let mut record = Record::read()?;
    for target in targets()? {
        let runs = runs.unwrap_or(u64::from(target.thousands) * 1_000);
        let [plain, planted] =
            [engine, planted].map(|path| Engine::new(Path::new(path), target, seed));
        let of_target = |error| CampaignError::Engine { target: target.name, error };
        let found_after = planted.find(RUNS_TO_FIND, &plain).map_err(of_target)?;
        let found_after = found_after.ok_or(CampaignError::NotFound(target.name))?;
        let outcome = plain.search(runs).map_err(of_target)?;
        let line = Line { target, seed, outcome, found_after };
        println!("{line}");
        record.set(&line);
        record.write()?;
    }
    Ok(())
}

fn targets() -> Result<Vec<&'static Target>, CampaignError> {
    match env::var("FUZZ_TARGET").ok().filter(|name| !name.is_empty()) {
        None => Ok(TARGETS.iter().collect()),
        Some(name) => Ok(vec![fuzz::target(&name).ok_or(CampaignError::NoTarget(name))?]),
    }
}

fn number(variable: &'static str) -> Result<Option<u64>, CampaignError> {
    let text = env::var(variable).ok().filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(|_| CampaignError::NotANumber(variable))).transpose()
}
