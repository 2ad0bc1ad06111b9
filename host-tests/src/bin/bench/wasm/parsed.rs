//! The work of the module for pages: always those of two sources, so that there is something to merge.

use std::process::Command;

use host_tests::tools;
use serde::Deserialize;
use serde_json::{Value, json};

use super::site::Site;
use crate::report::{Report, Row, quantity};
use crate::rounds::float;
use crate::{BenchError, Settings, envoys, pages};

const SOURCES: [&str; 2] = ["a", "b"];
const SCRIPT: &str = include_str!("../parse.py");
/// In both sources together: about 3 MB.
const SAMPLES: usize = 30_000;
/// Python takes most of a second for one.
const ROUNDS: u32 = 5;
/// In both sources together. The cost should grow linearly; the last size is the most that the filter accepts.
const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 200_000];
const WITHOUT_OWN: &str = "?gateway=none";

/// The speed of parsing, beside that of Python's parser, which then checks that our page is the same.
pub(crate) fn parsed(settings: &Settings, report: &mut Report) -> Result<(), BenchError> {
    let mut site = Site::of_sources(&SOURCES)?;
    let (mut pull, mut scrape, mut python) = (f64::MAX, f64::MAX, f64::MAX);
    let mut bytes = 0.0;
    for edition in 1..=settings.seconds().min(ROUNDS) {
        let pages = SOURCES.map(|_| pages::page(SAMPLES / SOURCES.len(), edition));
        bytes = float(pages.iter().map(|page| page.len() as u64).sum());
        pull = pull.min(site.pull(&pages)?.cpu.as_secs_f64());
        let first = site.scrape(WITHOUT_OWN, "identity")?;
        scrape = scrape.min(first.cost().cpu.as_secs_f64());
        python = python.min(ask_python(&first.page, &pages)?);
    }
    let speed = |seconds: f64| quantity(bytes / seconds / 1e6, "MB/s");
    for (what, seconds) in [
        ("a pull: parsing, storing", pull),
        ("the first scrape after it: parsing, merging, rendering", scrape),
    ] {
        let row = Row::new(what, speed(seconds)).against("prometheus_client", speed(python));
        report.row(row.at_least(20.0));
    }
    Ok(())
}

/// The seconds that prometheus_client takes for the sources' pages. Our page must have the same content.
fn ask_python(ours: &[u8], pages: &[String]) -> Result<f64, BenchError> {
    #[derive(Deserialize)]
    struct Answer {
        seconds: f64,
        series: u64,
        wrong: u64,
        surplus: u64,
    }
    let files = tempfile::tempdir()?;
    let mut command = Command::new(tools::command("python3"));
    command.env("PYTHONPATH", tools::python_packages()).args(["-c", SCRIPT]);
    command.arg(envoys::write(files.path(), "ours", ours)?);
    for (name, page) in SOURCES.iter().zip(pages) {
        command.arg(name).arg(envoys::write(files.path(), name, page.as_bytes())?);
    }
    let output = command.output()?;
    let failed = || BenchError::Python(String::from_utf8_lossy(&output.stderr).into_owned());
    match serde_json::from_slice(&output.stdout).map_err(|_| failed())? {
        Answer { seconds, series: 1.., wrong: 0, surplus: 0 } => Ok(seconds),
        Answer { series, wrong, surplus, .. } => {
            Err(BenchError::SeriesDiffer { series, wrong, surplus })
        }
    }
}

/// The cost of a sample on small pages and on the largest.
pub(crate) fn grown(report: &mut Report) -> Result<(), BenchError> {
    let each = SIZES.iter().map(|&size| per_sample(size)).collect::<Result<Vec<_>, _>>()?;
    let (Some(small), Some(large)) = (each.first(), each.last()) else { return Ok(()) };
    let costs = [
        ("a pull, fuel a sample", ""),
        ("the first scrape after it, fuel a sample", ""),
        ("a pull, memory a sample", "B"),
        ("the first scrape after it, memory a sample", "B"),
    ];
    for (((what, unit), small), large) in costs.into_iter().zip(small).zip(large) {
        let row = Row::new(&format!("{what} of 200,000"), quantity(*large, unit));
        report.row(row.against("of 1,000", quantity(*small, unit)).at_most(1.3));
    }
    let sizes = SIZES.iter().zip(&each).map(|(size, each)| {
        let each = costs.iter().zip(each).map(|((what, _), each)| (*what, json!(each)));
        (size.to_string(), each.collect::<Value>())
    });
    report.detail("growth", sizes.collect());
    Ok(())
}

/// Fuel for a pull and for the first scrape after it, and the growth of the memory of either VM, in bytes.
fn per_sample(size: usize) -> Result<[f64; 4], BenchError> {
    let mut site = Site::of_sources(&SOURCES)?;
    let pages = SOURCES.map(|_| pages::page(size / SOURCES.len(), 1));
    let samples: u64 = pages.iter().map(|page| pages::samples(page)).sum();
    let before = site.memory();
    let pull = site.pull(&pages)?.counts.total().fuel;
    let scrape = site.scrape(WITHOUT_OWN, "identity")?;
    let after = site.memory();
    // One series in fifty is repeated.
    let served = pages::samples(&String::from_utf8_lossy(&scrape.page));
    if served * 100 < samples * 97 {
        return Err(BenchError::SeriesMissing { served, wanted: samples });
    }
    let grown = |before: usize, after: usize| (after - before) as u64;
    let memory = [grown(before.0, after.0), grown(before.1, after.1)];
    let costs = [pull, scrape.cost().counts.total().fuel, memory[0], memory[1]];
    Ok(costs.map(|cost| float(cost) / float(samples)))
}
