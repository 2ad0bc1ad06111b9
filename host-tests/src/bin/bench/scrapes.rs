//! The cost and duration of a scrape in Envoy, beside the best that Envoy itself can do: the same bytes as a
//! `direct_response`, and its own statistics as a metrics page.

use std::net::SocketAddr;
use std::time::Duration;

use host_tests::client::Client;
use host_tests::envoy::Envoy;
use host_tests::{process, tools};
use hyper::HeaderMap;
use serde_json::json;

use crate::envoys::{self, Role};
use crate::load::Load;
use crate::report::{Report, Row, quantity};
use crate::rounds::{Contender, compare_cpu, compare_latency};
use crate::{BenchError, Settings, pages};

/// A page of about 100 kB.
pub(crate) const SAMPLES: usize = 1_100;
/// The real controller's time for a scrape with a bearer token, in microseconds (median; two workers, 246 jobs).
const CONTROLLER_US: f64 = 167_000.0;
/// Their statistics have about 10,000 series.
const CLUSTERS: u16 = 56;
/// A page is pulled at the first tick.
const PULLED: Duration = Duration::from_secs(20);
/// The name in a query and in the report, the coding, and the target. Prometheus asks for gzip.
const FORMATS: [(&str, &str, &str, f64); 6] = [
    ("txt", "text", "gzip", 2.0),
    ("openmetrics", "OpenMetrics", "gzip", 2.0),
    ("json", "JSON", "identity", 4.0),
    ("json", "JSON", "gzip", 4.0),
    ("protobuf", "protobuf", "identity", 4.0),
    ("protobuf", "protobuf", "gzip", 4.0),
];
/// Each of them takes this fraction of the rounds, since they are many.
const FEWER: u32 = 3;
/// Scrapes of a round: some 20 ms.
const SCRAPES: u32 = 100;
const PATH: &str = "/api/v2/metrics";

/// Compares with a `direct_response` of the same bytes.
pub(crate) async fn of_the_same_bytes(
    settings: &Settings,
    report: &mut Report,
) -> Result<(), BenchError> {
    let page = pages::page(SAMPLES, 1);
    let files = tempfile::tempdir()?;
    let pulled = envoys::write(files.path(), "pulled", page.as_bytes())?;
    let upstream = envoys::answering(vec![envoys::page_at("/", &pulled)]).await?;
    let ours = serving(upstream.listeners()[0]).await?;
    let served = served(&ours, page.len()).await?;
    let copy = envoys::write(files.path(), "served", &served)?;
    let direct = envoys::answering(vec![envoys::page_at(PATH, &copy)]).await?;
    let contenders = [scraped(ours), scraped(direct)];
    let [cpu, direct_cpu] = compare_cpu(&contenders, settings.rounds, SCRAPES)?;
    let [ours, direct] = compare_latency(&contenders, settings.seconds()).await?;

    let what = |figure| format!("scrape of {} kB of text, {figure}", served.len() / 1000);
    let against = "direct_response";
    report.row(Row::new(&what("Envoy CPU"), cpu).against(against, direct_cpu).at_most(1.6));
    report.row(Row::new(&what("p50"), ours.p50()).against(against, direct.p50()).at_most(1.6));
    report.row(Row::new(&what("p99"), ours.p99()).against(against, direct.p99()).at_most(1.6));
    let controller = quantity(CONTROLLER_US, "us");
    report.row(Row::new(&what("p50"), ours.p50()).times_better_than("the controller", controller));
    let [ours, _] = contenders;
    in_other_formats(settings, report, ours.envoy).await
}

/// Compares the CPU time of the other formats, and of compressed pages, with a `direct_response` of the same bytes.
async fn in_other_formats(
    settings: &Settings,
    report: &mut Report,
    mut ours: Envoy,
) -> Result<(), BenchError> {
    for (format, name, coding, limit) in FORMATS {
        let query = format!("{PATH}?format={format}");
        let client = Client::http(ours.listeners()[0]).bearer(envoys::TOKEN);
        let served = client.header("accept-encoding", coding).get(&query).await?;
        let files = tempfile::tempdir()?;
        let copy = envoys::write(files.path(), "served", served.body())?;
        let headers = copied(served.headers(), coding)?;
        let direct = envoys::answering(vec![envoys::file_at(PATH, &copy, &headers)]).await?;
        let asking = |envoy: Envoy| {
            let mut load = load(envoy.listeners()[0], &query);
            load.headers.push(format!("Accept-Encoding: {coding}"));
            Contender { load, envoy }
        };
        let contenders = [asking(ours), asking(direct)];
        let rounds = settings.rounds.div_ceil(FEWER);
        let [cpu, direct_cpu] = compare_cpu(&contenders, rounds, SCRAPES)?;
        let what =
            format!("scrape of {} kB of {name}, {coding}, Envoy CPU", served.body().len() / 1000);
        let row = Row::new(&what, cpu).against("direct_response", direct_cpu);
        report.row(row.at_most(limit));
        [Contender { envoy: ours, .. }, _] = contenders;
    }
    Ok(())
}

/// The headers of a page that describe its bytes.
fn copied<'a>(headers: &'a HeaderMap, coding: &str) -> Result<Vec<(&'a str, &'a str)>, BenchError> {
    let text = |name: &'static str| Some((name, headers.get(name)?.to_str().ok()?));
    let content_type = text("content-type").ok_or(BenchError::NoReply)?;
    match (text("content-encoding"), coding) {
        (Some(encoding @ (_, "gzip")), "gzip") => Ok(vec![content_type, encoding]),
        (None, "identity") => Ok(vec![content_type]),
        _ => Err(BenchError::NoReply),
    }
}

/// Compares with Envoy's own statistics, which our filter serves too: the same series.
pub(crate) async fn of_as_many_series(
    settings: &Settings,
    report: &mut Report,
) -> Result<(), BenchError> {
    let statistics = envoys::with_statistics(CLUSTERS).await?;
    let admin = statistics.admin();
    let page = admin.get("/stats/prometheus").await?.into_body();
    let files = tempfile::tempdir()?;
    let pulled = envoys::write(files.path(), "pulled", &page)?;
    let upstream = envoys::answering(vec![envoys::page_at("/", &pulled)]).await?;
    let ours = serving(upstream.listeners()[0]).await?;
    let wanted = pages::samples(&String::from_utf8_lossy(&page));
    let served = pages::samples(&String::from_utf8_lossy(&served(&ours, page.len() / 2).await?));
    if served < wanted {
        return Err(BenchError::SeriesMissing { served, wanted });
    }
    let admin = Contender { envoy: statistics, load: load(admin.address(), "/stats/prometheus") };
    let contenders = [scraped(ours), admin];
    let [cpu, admin_cpu] = compare_cpu(&contenders, settings.seconds(), SCRAPES / 10)?;
    let [ours, admin] = compare_latency(&contenders, settings.seconds()).await?;

    let what = |figure| format!("scrape of {served} series, {figure}");
    let against = format!("Envoy's own {wanted}");
    let time = Row::new(&what("p50"), ours.p50()).times_better_than(&against, admin.p50());
    report.row(time.at_least(5.0));
    let cpu = Row::new(&what("Envoy CPU"), cpu).times_better_than(&against, admin_cpu);
    report.row(cpu.at_least(5.0));
    Ok(())
}

/// Our gateway, which pulls from `controller`.
async fn serving(controller: SocketAddr) -> Result<Envoy, BenchError> {
    let sources = json!([{"name": "controller", "cluster": "controller"}]);
    let plugin = envoys::plugin(&sources, "filter");
    Ok(envoys::gateway(Role::Filter(&tools::module(), &plugin), controller).await?)
}

/// Our page, once it is larger than `bytes`.
async fn served(ours: &Envoy, bytes: usize) -> Result<Vec<u8>, BenchError> {
    let client = Client::http(ours.listeners()[0]).bearer(envoys::TOKEN);
    let page = process::eventually(PULLED, async || {
        let page = client.get(PATH).await.ok()?.into_body();
        (page.len() > bytes).then(|| page.to_vec())
    });
    page.await.ok_or_else(|| BenchError::NotServed { log: ours.log() })
}

fn scraped(envoy: Envoy) -> Contender {
    Contender { load: load(envoy.listeners()[0], PATH), envoy }
}

/// One connection, since a Prometheus does not scrape a target twice at once.
fn load(address: SocketAddr, path: &str) -> Load {
    Load {
        address,
        connections: 1,
        headers: vec![
            format!("Authorization: Bearer {}", envoys::TOKEN),
            "User-Agent: Prometheus/3.0.0".into(),
            "Accept: text/plain;version=0.0.4;q=0.9,*/*;q=0.1".into(),
        ],
        requests: vec![format!("GET {path}")],
    }
}
