//! The work of the module for a proxied request.

use host_tests::vm::Counts;
use host_tests::{module, tools};
use serde_json::json;

use super::by_callback;
use super::site::{Request, Site, Style};
use crate::report::{Report, Row, quantity};
use crate::rounds::float;
use crate::{BenchError, envoys, pages};

const REQUESTS: [Request; 5] = [
    Request { method: "GET", path: "/api/v2/jobs/?order_by=-finished&page_size=25", status: 200 },
    Request { method: "GET", path: "/api/v2/inventories/3/hosts/?page=2", status: 200 },
    Request { method: "POST", path: "/api/v2/job_templates/7/launch/", status: 201 },
    Request { method: "GET", path: "/api/v2/jobs/4711/", status: 404 },
    Request { method: "GET", path: "/static/media/main.css", status: 304 },
];
/// The first requests of a kind add a series; all later ones cost the same.
const WARM_UP: u32 = 20;
const OBSERVED: u32 = 200;

/// Counted by the filter, beside a filter that does nothing.
pub(crate) fn observed_by_filter(report: &mut Report) -> Result<(), BenchError> {
    let mut empty = Site::new(&module::build("fixture-empty"), &json!({}))?;
    let empty = observe(&mut empty, Style::Filter)?;
    let idle = float(empty.total().fuel) / f64::from(OBSERVED);
    report.row(Row::new("request through an empty SDK filter, fuel", quantity(idle, "")));
    report.detail("request through an empty SDK filter", by_callback(&empty, OBSERVED.into()));
    observed(report, "the filter", Style::Filter)
}

/// Counted by the access logger.
pub(crate) fn observed_by_access_logger(report: &mut Report) -> Result<(), BenchError> {
    observed(report, "the access logger", Style::AccessLog)
}

fn observed(report: &mut Report, contender: &'static str, style: Style) -> Result<(), BenchError> {
    let by = if style == Style::Filter { "filter" } else { "access_log" };
    let mut site = Site::new(&tools::module(), &envoys::plugin(&json!([]), by))?;
    let counts = observe(&mut site, style)?;
    let name = format!("request counted by {contender}");
    let total = counts.total();
    let row = |what: &str, sum: u64| {
        let each = float(sum) / f64::from(OBSERVED);
        Row::new(&format!("{name}, {what}"), quantity(each, ""))
    };
    report.row(row("fuel", total.fuel));
    report.row(row("bytes copied", total.bytes_in + total.bytes_out));
    report.row(row("host calls", total.calls()).at_most(7.0));
    let returning = row("host calls that return bytes", total.calls_that_returned_bytes());
    report.row(returning.at_most(4.0));
    report.detail(&name, by_callback(&counts, OBSERVED.into()));
    check(&mut site, contender)
}

/// The work for all observed requests, once they all do the same.
fn observe(site: &mut Site, style: Style) -> Result<Counts, BenchError> {
    let mut counts = Counts::default();
    for (turn, request) in (0..WARM_UP + OBSERVED).zip(REQUESTS.iter().cycle()) {
        let cost = site.observe(style, request)?;
        if turn >= WARM_UP {
            counts += cost.counts;
        }
    }
    Ok(counts)
}

fn check(site: &mut Site, contender: &'static str) -> Result<(), BenchError> {
    let page = site.scrape("?gateway=only", "identity")?.page;
    let counted = pages::requests(&String::from_utf8_lossy(&page));
    let sent = u64::from(WARM_UP + OBSERVED);
    if counted == sent { Ok(()) } else { Err(BenchError::Miscounted { contender, counted, sent }) }
}
