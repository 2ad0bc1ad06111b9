//! Prometheus as a reader of many small pages: each page is a target of the same run, and one server serves all of
//! them, so that hundreds take seconds.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::{Prometheus, Series};
use crate::gateway::StartError;
use crate::tools::Major;

/// A page and its Content-Type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The bytes.
    pub body: Bytes,
    /// Its Content-Type.
    pub media_type: &'static str,
}

/// Prometheus's result for a page: its series, without the labels that Prometheus adds, or the reason why the scrape
/// failed.
pub type Reading = Result<Vec<Series>, String>;

/// Makes Prometheus read pages. The results are in the order of the pages. Prometheus parses timestamps and then
/// ignores them, so that samples of any time are stored.
///
/// # Errors
/// If the server or Prometheus does not start.
///
/// # Panics
/// If Prometheus does not scrape all of them in time.
pub async fn readings(major: Major, pages: &[Page]) -> Result<Vec<Reading>, StartError> {
    let address = serve(pages.to_vec()).await?;
    let prometheus = Prometheus::start_with(major, &config(address, pages.len()), "").await?;
    let all = pages.len() as f64;
    prometheus.wait_for("count(up)", |count| count.iter().any(|it| it.value >= all)).await;
    let mut readings = vec![Ok(Vec::new()); pages.len()];
    for mut series in prometheus.query(r#"{job="pages",__name__!~"up|scrape_.*"}"#).await {
        let page = series.labels.remove("page").and_then(|page| page.parse::<usize>().ok());
        series.labels.retain(|name, _| name != "job" && name != "instance");
        let reading = readings.get_mut(page.expect("a page")).expect("one of these");
        reading.as_mut().expect("still series").push(series);
    }
    for target in prometheus.targets().await.into_iter().filter(|it| it.health != "up") {
        let page = target.url.rsplit('/').next().and_then(|page| page.parse::<usize>().ok());
        readings[page.expect("a page")] = Err(target.last_error);
    }
    Ok(readings)
}

fn config(address: SocketAddr, pages: usize) -> String {
    let target = |page: usize| {
        format!(
            "      - targets: ['{address}']\n        \
             labels: {{__metrics_path__: '/{page}', page: '{page}'}}\n"
        )
    };
    let targets: String = (0..pages).map(target).collect();
    format!(
        "scrape_configs:
  - job_name: pages
    scrape_interval: 5s
    scrape_timeout: 5s
    honor_timestamps: false
    static_configs:
{targets}"
    )
}

/// Serves pages by their index for as long as the runtime lives.
async fn serve(pages: Vec<Page>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let pages = Arc::new(pages);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let pages = Arc::clone(&pages);
            let service = service_fn(move |request: Request<_>| {
                let reply = reply(&pages, request.uri().path());
                async move { Ok::<_, Infallible>(reply) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // Prometheus aborts connections when it ends.
            tokio::spawn(async { drop(connection.await) });
        }
    });
    Ok(address)
}

fn reply(pages: &[Page], path: &str) -> Response<Full<Bytes>> {
    let page = path.strip_prefix('/').and_then(|place| pages.get(place.parse::<usize>().ok()?));
    let page = page.expect("a page of these");
    let reply = Response::builder().header(CONTENT_TYPE, page.media_type);
    reply.body(Full::new(page.body.clone())).expect("a reply")
}

/// Series by their labels, compared as every reader does it: a label without a value counts as absent.
#[must_use]
pub fn by_labels(series: &[Series]) -> BTreeMap<Vec<(String, String)>, String> {
    let labels = |series: &Series| {
        let labels = series.labels.iter().filter(|(_, value)| !value.is_empty());
        labels.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    series.iter().map(|series| (labels(series), format!("{:?}", series.value))).collect()
}
