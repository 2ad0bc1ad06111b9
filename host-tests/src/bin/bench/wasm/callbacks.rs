//! The callbacks of a VM to which a page of 100,000 samples is new, and the memory that the page takes there.
//!
//! A worker handles nothing else during a callback, so its longest one is a delay of all its requests. The fuel of the
//! longest is compared with that of the longest for a page of 1,000 samples, which the filter renders in one callback.
//! Of times there is the median, not the least: a callback takes longer when the memory of the VM grows, in Envoy too.

use std::time::Duration;

use serde_json::{Value, json};

use super::site::{Cost, Scrape, Site};
use crate::report::{Report, Row, quantity};
use crate::rounds::float;
use crate::{BenchError, Settings, pages};

const LARGE: usize = 100_000;
const SMALL: usize = 1_000;
/// New pages, one after the other. The memory of the VM grows with the first, and with one of the next few.
const ROUNDS: u32 = 5;
/// The name in a query, and in the report.
const FORMATS: [(&str, &str); 4] =
    [("txt", "text"), ("openmetrics", "OpenMetrics"), ("json", "JSON"), ("protobuf", "protobuf")];
const CODINGS: [&str; 2] = ["identity", "gzip"];
/// A reply that is smaller than the page by more than this lacks its samples, and its cost means nothing.
const MOST_COMPACT: usize = 2;
const MOST_PACKED: usize = 100;
const LONGEST_MS: f64 = 5.0;
/// Bytes of memory for each byte of the page, if it is served as text.
const TEXT_BYTES: f64 = 2.0;

/// The work of a VM for several new pages, one after the other.
struct Work {
    pulls: Vec<Cost>,
    scrapes: Vec<Scrape>,
    /// The growth of the serving VM's memory after each page, in bytes.
    memory: Vec<u64>,
}

/// The longest callbacks while a page is new, and the number of ticks that the scrape waits for.
pub(crate) fn callbacks(settings: &Settings, report: &mut Report) -> Result<(), BenchError> {
    let editions = 1..=settings.seconds().min(ROUNDS);
    let of = |samples: usize| -> Vec<String> {
        editions.clone().map(|edition| pages::page(samples, edition)).collect()
    };
    let (small, large) = (of(SMALL), of(LARGE));
    let bytes = float(large.iter().map(|page| page.len() as u64).max().unwrap_or_default());
    let mut pulls = Vec::new();
    for (format, name) in FORMATS {
        for coding in CODINGS {
            let query = format!("?format={format}");
            let small = Work::on(&small, &query, coding)?;
            let large = Work::on(&large, &query, coding)?;
            let name = format!("100,000 new samples, {name}, {coding}");
            scraped(report, &name, &small, &large);
            let memory = memory(&name, &large, bytes);
            report.row(if format == "txt" { memory.at_most(TEXT_BYTES) } else { memory });
            report.detail(&name, large.to_json());
            pulls.extend(large.pulls);
        }
    }
    // The VM that pulls is usually that of Envoy's main thread, which handles no requests.
    let pulls = pulls.iter().map(|cost| millis(cost.cpu)).collect();
    report.row(Row::median("100,000 new samples: callback of the VM that pulls", pulls, "ms"));
    Ok(())
}

fn scraped(report: &mut Report, name: &str, small: &Work, large: &Work) {
    let milliseconds = large.longest(|cost| millis(cost.cpu));
    let longest = Row::median(&format!("{name}: longest callback"), milliseconds, "ms");
    report.row(longest.at_most(LONGEST_MS));
    let fuel = |work: &Work| work.longest(fuel).into_iter().fold(0.0, f64::max);
    let [few, many] = [small, large].map(fuel);
    let longest = Row::new(&format!("{name}: fuel of the longest"), quantity(many, ""));
    report.row(longest.against("1,000 samples", quantity(few, "")));
    let ticks = large.scrapes.iter().map(|scrape| float(ticks(scrape))).collect();
    report.row(Row::median(&format!("{name}: ticks until the reply"), ticks, ""));
}

/// After the last page, when each has taken the place of the one before.
fn memory(name: &str, work: &Work, page: f64) -> Row {
    let grown = float(work.memory.last().copied().unwrap_or_default());
    let row = Row::new(&format!("{name}: memory of the VM"), quantity(grown, "B"));
    row.against("the page", quantity(page, "B"))
}

impl Work {
    /// The work on each of these pages in turn, in VMs that are new.
    fn on(pages: &[String], query: &str, coding: &str) -> Result<Self, BenchError> {
        let mut site = Site::of_sources(&["a"])?;
        let (_, before) = site.memory();
        let mut work = Self { pulls: Vec::new(), scrapes: Vec::new(), memory: Vec::new() };
        for page in pages {
            work.pulls.push(site.pull(std::slice::from_ref(page))?);
            let scrape = site.scrape(query, coding)?;
            let wanted = page.len() / if coding == "gzip" { MOST_PACKED } else { MOST_COMPACT };
            if scrape.page.len() < wanted {
                return Err(BenchError::PageMissing { served: scrape.page.len(), wanted });
            }
            work.scrapes.push(scrape);
            work.memory.push((site.memory().1 - before) as u64);
        }
        Ok(work)
    }

    /// The greatest figure of a callback in each scrape.
    fn longest(&self, figure: impl Fn(&Cost) -> f64) -> Vec<f64> {
        let longest = |scrape: &Scrape| scrape.callbacks.iter().map(&figure).fold(0.0, f64::max);
        self.scrapes.iter().map(longest).collect()
    }

    fn to_json(&self) -> Value {
        json!({
            "longest callback, CPU ms": self.longest(|cost| millis(cost.cpu)),
            "longest callback, elapsed ms": self.longest(|cost| millis(cost.elapsed)),
            "longest callback, fuel": self.longest(fuel),
            "longest callback, its number": self.scrapes.iter().map(number).collect::<Vec<_>>(),
            "ticks": self.scrapes.iter().map(ticks).collect::<Vec<_>>(),
            "bytes of the reply": self.scrapes.iter().map(|it| it.page.len()).collect::<Vec<_>>(),
            "growth of memory, bytes": self.memory,
            "pull, CPU ms": self.pulls.iter().map(|cost| millis(cost.cpu)).collect::<Vec<_>>(),
            "pull, fuel": self.pulls.iter().map(fuel).collect::<Vec<_>>(),
        })
    }
}

fn ticks(scrape: &Scrape) -> u64 {
    scrape.callbacks.iter().map(|cost| cost.counts.of("proxy_on_tick").runs).sum()
}

/// The place of the callback that takes the most fuel: 0 opens the stream, 1 is the request, then come the ticks.
fn number(scrape: &Scrape) -> Option<usize> {
    let fuel = scrape.callbacks.iter().map(|cost| cost.counts.total().fuel);
    fuel.enumerate().max_by_key(|(_, fuel)| *fuel).map(|(number, _)| number)
}

fn fuel(cost: &Cost) -> f64 {
    float(cost.counts.total().fuel)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
