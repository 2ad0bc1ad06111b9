//! The work of the module, counted on our own host: fuel (about one unit per wasm instruction), host calls, the host
//! calls that return bytes, and copied bytes. Compared times are CPU times of the same thread, the best of some rounds;
//! counting fuel makes the module slower here than elsewhere.

mod callbacks;
mod observed;
mod parsed;
mod site;

use std::fs;

use host_tests::tools;
use host_tests::vm::Counts;
use serde_json::{Value, json};

use self::site::Site;
use crate::report::{Report, Row, quantity};
use crate::rounds::float;
use crate::scrapes::SAMPLES;
use crate::{BenchError, envoys, pages};

pub(crate) use self::callbacks::callbacks;
pub(crate) use self::observed::{observed_by_access_logger, observed_by_filter};
pub(crate) use self::parsed::{grown, parsed};

const MODULE_BYTES: f64 = 600_000.0;

/// The size of the module.
pub(crate) fn size(report: &mut Report) -> Result<(), BenchError> {
    let bytes = float(fs::metadata(tools::module())?.len());
    report.row(Row::new("the module", quantity(bytes, "B")).at_most(MODULE_BYTES));
    Ok(())
}

/// A scrape of a page that the VM has already rendered, and of one that it has not.
pub(crate) fn scraped(report: &mut Report) -> Result<(), BenchError> {
    let mut site = Site::of_sources(&["a"])?;
    site.pull(&[pages::page(SAMPLES, 1)])?;
    let first = site.scrape("", "identity")?.cost();
    // The first scrape is itself counted, which adds new series to the next one.
    site.scrape("", "identity")?;
    let again = site.scrape("", "identity")?;
    let (again, served) = (again.cost(), again.page);
    let name = format!("scrape of {} kB", served.len() / 1000);
    for (name, cost) in [(format!("{name}, new to the VM"), first), (name, again)] {
        let total = cost.counts.total();
        let row = |what: &str, figure| Row::new(&format!("{name}, {what}"), figure);
        report.row(row("fuel", quantity(float(total.fuel), "")));
        report.row(row("host calls", quantity(float(total.calls()), "")));
        let copied = quantity(float(total.bytes_out + total.bytes_in), "B");
        let page = quantity(float(served.len() as u64), "B");
        report.row(row("bytes copied", copied).against("the page", page));
        report.detail(&name, by_callback(&cost.counts, 1.0));
    }
    Ok(())
}

/// By callback and host call, divided by `of`.
fn by_callback(counts: &Counts, of: f64) -> Value {
    let callbacks = counts.callbacks.iter().map(|(&name, did)| {
        let calls = did.host_calls.iter().map(|(&call, calls)| {
            let returned = float(calls.returned_bytes) / of;
            (call, json!({"calls": float(calls.calls) / of, "returned bytes": returned}))
        });
        let did = json!({
            "runs": float(did.runs) / of,
            "fuel": float(did.fuel) / of,
            "bytes to the host": float(did.bytes_out) / of,
            "bytes from the host": float(did.bytes_in) / of,
            "host calls": calls.collect::<Value>(),
        });
        (name, did)
    });
    callbacks.collect()
}

impl Site {
    /// The filter's module, with a source of each of these names.
    fn of_sources(names: &[&str]) -> Result<Self, BenchError> {
        let sources = names.iter().map(|name| json!({"name": name, "cluster": name})).collect();
        Self::new(&tools::module(), &envoys::plugin(&sources, "filter"))
    }
}
