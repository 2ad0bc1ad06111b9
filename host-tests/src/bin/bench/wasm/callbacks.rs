//! The callbacks of a VM to which a page of 100,000 samples is new, and the memory that the page takes there.
//!
//! A worker handles nothing else during a callback, so its longest one is a delay of all its requests. The fuel of the
//! longest is compared with that of the longest for a page of 1,000 samples, which the filter renders in one callback.
//! A callback takes longer when the memory of the VM grows, so scrapes during which it grows are a row of their own.

use std::time::Duration;

use serde_json::{Value, json};

use super::site::{Cost, Scrape, Site};
use crate::report::{Report, Row, quantity};
use crate::rounds::float;
use crate::{BenchError, Settings, pages};

const LARGE: usize = 100_000;
const SMALL: usize = 1_000;
const ROUNDS: u32 = 3;
/// The memory of a VM grows with the first page, and with one or none of the others.
const EDITIONS: [u32; 4] = [1, 2, 3, 4];
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

/// The work for a new page.
struct Work {
    pull: Cost,
    scrape: Scrape,
    /// True if the memory of the serving VM grew.
    grew: bool,
    /// Its growth since the VM was configured, in bytes.
    memory: u64,
}

/// The longest callbacks while a page is new, and the number of ticks that the scrape waits for.
pub(crate) fn callbacks(settings: &Settings, report: &mut Report) -> Result<(), BenchError> {
    let rounds = settings.seconds().min(ROUNDS);
    let [small, large] = [SMALL, LARGE].map(|samples| EDITIONS.map(|it| pages::page(samples, it)));
    let bytes = float(large[0].len() as u64);
    let mut pulls = Vec::new();
    for (format, name) in FORMATS {
        for coding in CODINGS {
            let query = format!("?format={format}");
            let small = work(rounds, &small, &query, coding)?;
            let large = work(rounds, &large, &query, coding)?;
            let name = format!("100,000 new samples, {name}, {coding}");
            scraped(report, &name, &small, &large);
            let memory = memory(&name, &large, bytes);
            report.row(if format == "txt" { memory.at_most(TEXT_BYTES) } else { memory });
            report.detail(&name, large.iter().map(Work::to_json).collect());
            pulls.extend(large.iter().map(|work| millis(work.pull.cpu)));
        }
    }
    // The VM that pulls is usually that of Envoy's main thread, which handles no requests.
    report.row(Row::median("100,000 new samples: callback of the VM that pulls", pulls, "ms"));
    Ok(())
}

/// The work for each of these pages, one after the other, in VMs that are new in each round.
fn work(rounds: u32, pages: &[String], query: &str, coding: &str) -> Result<Vec<Work>, BenchError> {
    let mut all = Vec::new();
    for _ in 0..rounds {
        let mut site = Site::of_sources(&["a"])?;
        let (_, configured) = site.memory();
        for page in pages {
            let pull = site.pull(std::slice::from_ref(page))?;
            let (_, before) = site.memory();
            let scrape = site.scrape(query, coding)?;
            let (_, after) = site.memory();
            let wanted = page.len() / if coding == "gzip" { MOST_PACKED } else { MOST_COMPACT };
            if scrape.page.len() < wanted {
                return Err(BenchError::PageMissing { served: scrape.page.len(), wanted });
            }
            let memory = (after - configured) as u64;
            all.push(Work { pull, scrape, grew: after > before, memory });
        }
    }
    Ok(all)
}

fn scraped(report: &mut Report, name: &str, small: &[Work], large: &[Work]) {
    for (grew, what) in [(false, ""), (true, ", memory grows")] {
        let works = large.iter().filter(|work| work.grew == grew);
        let milliseconds = works.map(|work| work.longest(|cost| millis(cost.cpu))).collect();
        let row = Row::median(&format!("{name}: longest callback{what}"), milliseconds, "ms");
        report.row(row.at_most(LONGEST_MS));
    }
    let longest = |works: &[Work]| works.iter().map(|it| it.longest(fuel)).fold(0.0, f64::max);
    let row = Row::new(&format!("{name}: fuel of the longest"), quantity(longest(large), ""));
    report.row(row.against("1,000 samples", quantity(longest(small), "")));
    let ticks = large.iter().map(|work| float(ticks(&work.scrape))).collect();
    report.row(Row::median(&format!("{name}: ticks until the reply"), ticks, ""));
}

/// The most after any page: each but the first has taken the place of the one before.
fn memory(name: &str, works: &[Work], page: f64) -> Row {
    let most = works.iter().map(|work| work.memory).max().unwrap_or_default();
    let row = Row::new(&format!("{name}: memory of the VM"), quantity(float(most), "B"));
    row.against("the page", quantity(page, "B"))
}

impl Work {
    /// The greatest figure of a callback of the scrape.
    fn longest(&self, figure: impl Fn(&Cost) -> f64) -> f64 {
        self.scrape.callbacks.iter().map(figure).fold(0.0, f64::max)
    }

    fn to_json(&self) -> Value {
        json!({
            "longest callback, CPU ms": self.longest(|cost| millis(cost.cpu)),
            "longest callback, elapsed ms": self.longest(|cost| millis(cost.elapsed)),
            "longest callback, fuel": self.longest(fuel),
            "longest callback, its number": number(&self.scrape),
            "ticks": ticks(&self.scrape),
            "bytes of the reply": self.scrape.page.len(),
            "memory grew": self.grew,
            "growth of memory so far, bytes": self.memory,
            "pull, CPU ms": millis(self.pull.cpu),
            "pull, fuel": fuel(&self.pull),
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
