//! What the module does, counted on our own host: fuel (about one unit an instruction of wasm), host calls, those among
//! them that return bytes, and bytes copied. Where time is compared, it is CPU time of the same thread, best of some
//! rounds; the module runs slower here than it would without the counting of fuel.

mod site;

use std::fs;
use std::path::Path;
use std::process::Command;

use host_tests::trap::Trap;
use host_tests::vm::{CallbackCounts, Counts, PluginError};
use host_tests::{module, tools};
use serde::Deserialize;
use serde_json::{Value, json};

use self::site::{Request, Site, Style};
use crate::report::{Report, Row, quantity};
use crate::rounds::float;
use crate::{Settings, envoys, pages};

/// Beyond it the module is too large to be pushed to a fleet without a thought.
const MODULE_BYTES: f64 = 500_000.0;
const SCRIPT: &str = include_str!("parse.py");
const REQUESTS: [Request; 5] = [
    Request { method: "GET", path: "/api/v2/jobs/?order_by=-finished&page_size=25", status: 200 },
    Request { method: "GET", path: "/api/v2/inventories/3/hosts/?page=2", status: 200 },
    Request { method: "POST", path: "/api/v2/job_templates/7/launch/", status: 201 },
    Request { method: "GET", path: "/api/v2/jobs/4711/", status: 404 },
    Request { method: "GET", path: "/static/media/main.css", status: 304 },
];
/// The first requests of a kind enter a series; from then on each costs the same.
const WARM_UP: u32 = 20;
const OBSERVED: u32 = 200;
/// Samples of the page that is parsed against Python's parser: about 3 MB.
const PARSED_SAMPLES: usize = 30_000;
const PARSE_ROUNDS: u32 = 3;
/// The sizes between which cost is to grow as the number of samples does.
const GROWTH: [usize; 4] = [1_000, 10_000, 100_000, 200_000];
const WITHOUT_OURS: &str = "?gateway=none";

/// Why the module could not be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WasmError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Load(wasmtime::Error),
    #[error("{0:?}")]
    Plugin(PluginError),
    #[error("{0}")]
    Trap(Trap),
    #[error("{seen} pulls began at a tick at which {wanted} were due")]
    Pulls { wanted: usize, seen: usize },
    #[error("a scrape was not answered with a page")]
    NoReply,
    #[error("{style:?} counted {counted} of {sent} requests")]
    Miscounted { style: Style, counted: f64, sent: u32 },
    #[error("Python failed: {0}")]
    Python(String),
    #[error(
        "of {series} series that Python read {wrong} are wrong on our page, which has {surplus} too many"
    )]
    Differs { series: u64, wrong: u64, surplus: u64 },
}

impl From<Trap> for WasmError {
    fn from(trap: Trap) -> Self {
        Self::Trap(trap)
    }
}

impl From<PluginError> for WasmError {
    fn from(error: PluginError) -> Self {
        Self::Plugin(error)
    }
}

pub(crate) fn measure(settings: &Settings, report: &mut Report) -> Result<(), WasmError> {
    let module = tools::module();
    size(&module, report)?;
    scraped(&module, report)?;
    parsed(&module, settings, report)?;
    grown(&module, report)?;
    observed(&module, report)
}

fn size(module: &Path, report: &mut Report) -> Result<(), WasmError> {
    let bytes = float(fs::metadata(module)?.len());
    report.row(Row::new("the module", quantity(bytes, "B")).at_most(MODULE_BYTES));
    Ok(())
}

/// A scrape of the page that the VM has rendered already, and of one that it has not.
fn scraped(module: &Path, report: &mut Report) -> Result<(), WasmError> {
    let page = pages::page(1_000, 1);
    let mut site = Site::new(module, &envoys::plugin(&sources(&["a"]), "filter"))?;
    site.pull(std::slice::from_ref(&page))?;
    let (first, _) = site.scrape("")?;
    let (again, served) = site.scrape("")?;
    let name = format!("scrape of {} kB", served.len() / 1000);
    describe(report, &format!("{name}, page new to the VM"), &first.counts);
    describe(report, &name, &again.counts);
    let copied = again.total().bytes_out + again.total().bytes_in;
    let page = quantity(float(served.len() as u64), "B");
    let copied = quantity(float(copied), "B");
    report.row(Row::new(&format!("{name}, bytes copied"), copied).against("the page", page));
    Ok(())
}

/// Two sources' pages, merged into one.
fn parsed(module: &Path, settings: &Settings, report: &mut Report) -> Result<(), WasmError> {
    let names = ["a", "b"];
    let mut site = Site::new(module, &envoys::plugin(&sources(&names), "filter"))?;
    let (mut pull, mut scrape, mut python) = (f64::MAX, f64::MAX, f64::MAX);
    let mut bytes = 0.0;
    for edition in 0..settings.rounds.min(PARSE_ROUNDS) {
        let pages = names.map(|_| pages::page(PARSED_SAMPLES / names.len(), edition));
        bytes = float(pages.iter().map(|page| page.len() as u64).sum());
        pull = pull.min(site.pull(&pages)?.cpu.as_secs_f64());
        let (cost, served) = site.scrape(WITHOUT_OURS)?;
        scrape = scrape.min(cost.cpu.as_secs_f64());
        let sources: Vec<_> = names.into_iter().zip(pages.iter().map(String::as_bytes)).collect();
        python = python.min(ask_python(&served, &sources)?);
    }
    let speed = |seconds: f64| quantity(bytes / seconds / 1e6, "MB/s");
    let row = |what, seconds| {
        let mut row = Row::new(what, speed(seconds)).against("prometheus_client", speed(python));
        row = row.at_least(20.0);
        row
    };
    report.row(row("a pull: parsing, storing", pull));
    report.row(row("a scrape of new pages: parsing, merging, rendering", scrape));
    Ok(())
}

/// The seconds that prometheus_client takes for the sources' pages, ours having all that is on them.
fn ask_python(ours: &[u8], sources: &[(&str, &[u8])]) -> Result<f64, WasmError> {
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
    for (name, page) in sources {
        command.arg(name).arg(envoys::write(files.path(), name, page)?);
    }
    let output = command.output()?;
    let failed = || WasmError::Python(String::from_utf8_lossy(&output.stderr).into_owned());
    match serde_json::from_slice(&output.stdout).map_err(|_| failed())? {
        Answer { seconds, wrong: 0, surplus: 0, series: 1.. } => Ok(seconds),
        Answer { series, wrong, surplus, .. } => Err(WasmError::Differs { series, wrong, surplus }),
    }
}

/// What a sample costs on small pages and on the largest: fuel for a pull and the first scrape after it, and memory.
fn grown(module: &Path, report: &mut Report) -> Result<(), WasmError> {
    let mut each = Vec::new();
    for size in GROWTH {
        each.push(per_sample(module, size)?);
    }
    let names = [
        "fuel a sample to pull",
        "fuel a sample to scrape first",
        "memory a sample to pull",
        "memory a sample to scrape",
    ];
    let (Some(small), Some(large)) = (each.first(), each.last()) else { return Ok(()) };
    for ((name, small), large) in names.into_iter().zip(small).zip(large) {
        let unit = if name.starts_with("memory") { "B" } else { "" };
        let row = Row::new(&format!("{name}, of 200,000"), quantity(*large, unit));
        report.row(row.against("of 1,000", quantity(*small, unit)).at_most(1.3));
    }
    let sizes = GROWTH.iter().zip(&each);
    report.detail("growth", sizes.map(|(size, each)| (size.to_string(), json!(each))).collect());
    Ok(())
}

/// Fuel for a pull, for a scrape; bytes of memory of the VM that pulls, and of the one that scrapes.
fn per_sample(module: &Path, size: usize) -> Result<[f64; 4], WasmError> {
    let names = ["a", "b"];
    let mut site = Site::new(module, &envoys::plugin(&sources(&names), "filter"))?;
    let pages = names.map(|_| pages::page(size / names.len(), 1));
    let samples: u64 = pages.iter().map(|page| pages::samples(page)).sum();
    let before = site.memory();
    let pull = site.pull(&pages)?.total().fuel;
    let scrape = site.scrape("")?.0.total().fuel;
    let after = site.memory();
    let memory = |before: usize, after: usize| (after - before) as u64;
    let costs = [pull, scrape, memory(before.0, after.0), memory(before.1, after.1)];
    Ok(costs.map(|cost| float(cost) / float(samples)))
}

/// A request that passes, in both styles and beside a filter that does nothing.
fn observed(module: &Path, report: &mut Report) -> Result<(), WasmError> {
    let empty = Site::new(&module::build("fixture-empty"), &json!({}))?;
    let (_, empty) = requests(empty, Style::Filter)?;
    describe_each(report, "request through an empty SDK filter", &empty);
    for (style, name, by) in [
        (Style::Filter, "request counted by the filter", "filter"),
        (Style::AccessLog, "request counted by the access logger", "access_log"),
    ] {
        let site = Site::new(module, &envoys::plugin(&json!([]), by))?;
        let (mut site, counts) = requests(site, style)?;
        let did = describe_each(report, name, &counts);
        let calls = |what, calls: f64| Row::new(&format!("{name}, {what}"), quantity(calls, ""));
        let [all, returning] = [did.calls(), did.calls_that_returned_bytes()].map(each);
        report.row(calls("host calls", all).at_most(7.0));
        report.row(calls("host calls that return bytes", returning).at_most(4.0));
        counted(&mut site, style)?;
    }
    Ok(())
}

/// What all observed requests did together, once they all do the same.
fn requests(mut site: Site, style: Style) -> Result<(Site, Counts), WasmError> {
    let mut counts = Counts::default();
    for turn in 0..WARM_UP + OBSERVED {
        let request = &REQUESTS[turn as usize % REQUESTS.len()];
        let cost = site.observe(style, request)?;
        if turn >= WARM_UP {
            counts += cost.counts;
        }
    }
    Ok((site, counts))
}

/// Whether what was sent was counted: a filter that does not count costs nothing and proves nothing.
fn counted(site: &mut Site, style: Style) -> Result<(), WasmError> {
    let page = String::from_utf8_lossy(&site.scrape("?gateway=only")?.1).into_owned();
    let lines = page.lines().filter(|line| line.starts_with("awx_gateway_requests_total{"));
    let counted: f64 = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
    let sent = WARM_UP + OBSERVED;
    if counted == f64::from(sent) {
        Ok(())
    } else {
        Err(WasmError::Miscounted { style, counted, sent })
    }
}

fn describe_each(report: &mut Report, name: &str, counts: &Counts) -> CallbackCounts {
    let total = counts.total();
    report.row(Row::new(&format!("{name}, fuel"), quantity(each(total.fuel), "")));
    let copied = each(total.bytes_in + total.bytes_out);
    report.row(Row::new(&format!("{name}, bytes copied"), quantity(copied, "B")));
    report.detail(name, detail(counts, f64::from(OBSERVED)));
    total
}

fn each(sum: u64) -> f64 {
    float(sum) / f64::from(OBSERVED)
}

fn describe(report: &mut Report, name: &str, counts: &Counts) {
    let total = counts.total();
    report.row(Row::new(&format!("{name}, fuel"), quantity(float(total.fuel), "")));
    let calls = quantity(float(total.calls()), "");
    report.row(Row::new(&format!("{name}, host calls"), calls));
    report.detail(name, detail(counts, 1.0));
}

/// By callback and host call, for one of so many.
fn detail(counts: &Counts, of: f64) -> Value {
    let callbacks = counts.callbacks.iter().map(|(name, did)| {
        let calls = did.host_calls.iter().map(|(call, calls)| {
            let returned = float(calls.returned_bytes) / of;
            (
                call.to_string(),
                json!({"calls": float(calls.calls) / of, "returned bytes": returned}),
            )
        });
        let did = json!({
            "runs": float(did.runs) / of,
            "fuel": float(did.fuel) / of,
            "bytes to the host": float(did.bytes_out) / of,
            "bytes from the host": float(did.bytes_in) / of,
            "host calls": calls.collect::<Value>(),
        });
        (name.to_string(), did)
    });
    callbacks.collect()
}

fn sources(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name, "cluster": name})).collect()
}
