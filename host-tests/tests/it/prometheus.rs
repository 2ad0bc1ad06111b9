//! Real Prometheus, 2 and 3, scrapes a real Envoy over TLS, with the configuration that users of the controller have.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use host_tests::capture;
use host_tests::client::Client;
use host_tests::controller::{Controller, ControllerConfig, Mode};
use host_tests::gateway::{Gateway, GatewaySpec, Host};
use host_tests::prometheus::{Prometheus, ScrapeConfig, ScrapeCredential, ScrapeFormat, Series};
use host_tests::tools::{Major, Release};
use hyper::Method;
use serde_json::{Value, json};

/// Writes each scenario once and tests it with both versions: `name::with_2`, `name::with_3`.
macro_rules! with_both {
    ($( async fn $name:ident($major:ident) $scenario:block )+) => { $(
        mod $name {
            use super::*;

            async fn scenario($major: Major) $scenario

            #[tokio::test(flavor = "multi_thread")]
            async fn with_2() {
                scenario(Major::Two).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn with_3() {
                scenario(Major::Three).await;
            }
        }
    )+ };
}

const USERS_SESSIONS: &str = r#"awx_sessions_total{type="user"}"#;

/// Its token is `demonstration-only`, and the password of its user is `password`.
fn plugin() -> Value {
    json!({
        "sources": [{
            "name": "controller", "cluster": "controller", "interval": "1s",
            "credential": {"bearer_env": "CONTROLLER_TOKEN"},
        }],
        "auth": {
            "tokens": [{
                "name": "prometheus",
                "sha256": "bb37e032ed32c08ca2f865e5a876ee282c0953bb0b86f637d56712deb2a59d92",
            }],
            "users": [{
                "name": "admin",
                "password_hash": "pbkdf2_sha256$20000$b7dSxqmWQ0aYvKc2hT4e$\
                                  m6OiI/g4LsKHr3fCZ2jeg4OlE9ODbGuwJxWvJnNUBew=",
            }],
        },
    })
}

async fn token_of(controller: &Controller) -> String {
    let admin = Client::http(controller.address()).basic("admin", "password");
    let admin = admin.header("content-type", "application/json");
    let reply = admin.request(Method::POST, "/api/v2/tokens/", r#"{"scope": "read"}"#).await;
    let reply: Value = serde_json::from_slice(reply.unwrap().body()).unwrap();
    reply["token"].as_str().unwrap().to_owned()
}

/// A gateway with TLS, in front of a stand-in.
async fn gateway(controller: &Controller) -> Gateway {
    let mut spec = GatewaySpec::new(&plugin())
        .cluster("controller", controller.address())
        .environment("CONTROLLER_TOKEN", &token_of(controller).await);
    spec.listeners[0].tls = true;
    Gateway::start(Host::Envoy(Release::Newest), &spec).await.unwrap()
}

/// The usual configuration, with an interval of one second.
fn config(major: Major, target: SocketAddr) -> ScrapeConfig {
    let (credential, interval, format) = (bearer(), "1s", ScrapeFormat::Preferred);
    ScrapeConfig { major, target, credential, interval, format }
}

async fn scraping(format: ScrapeFormat, config: ScrapeConfig) -> Prometheus {
    Prometheus::start(&ScrapeConfig { format, ..config }).await.unwrap()
}

fn bearer() -> ScrapeCredential {
    ScrapeCredential::Bearer("demonstration-only".into())
}

/// A controller that always sends the same page.
fn saying(page: String) -> Controller {
    saying_as("text/plain; charset=utf-8", page)
}

fn saying_as(content_type: &str, page: String) -> Controller {
    let controller = Controller::start(ControllerConfig::default());
    controller.set_mode(Mode::Page(page.into_bytes(), content_type.to_owned()));
    controller
}

fn is_one_of(wanted: f64) -> impl FnMut(&[Series]) -> bool {
    move |answer| matches!(answer, [series] if series.value == wanted)
}

/// Checks that Prometheus shows the stand-in's number of sessions, and follows its changes.
async fn follows_the_sessions(major: Major, credential: ScrapeCredential) {
    let controller = Controller::start(ControllerConfig::default());
    let gateway = gateway(&controller).await;
    let config = ScrapeConfig { credential, ..config(major, gateway.address()) };
    let prometheus = Prometheus::start(&config).await.unwrap();

    let before = controller.sessions() as f64;
    prometheus.wait_for(USERS_SESSIONS, is_one_of(before)).await;
    let session = controller.log_in("admin").unwrap();
    prometheus.wait_for(USERS_SESSIONS, is_one_of(before + 1.0)).await;
    assert!(controller.log_out(&session));
    prometheus.wait_for(USERS_SESSIONS, is_one_of(before)).await;
    assert_up(&prometheus).await;
    assert_eq!(gateway.traps(), [""; 0]);
}

/// Checks that the last scrape succeeded.
async fn assert_up(prometheus: &Prometheus) {
    prometheus.wait_for(UP, is_one_of(1.0)).await;
    assert_eq!(prometheus.targets().await[0].last_error, "");
}

with_both! {
    async fn with_a_bearer_token_prometheus_follows_the_controllers_numbers(major) {
        follows_the_sessions(major, bearer()).await;
    }

    async fn with_a_password_prometheus_follows_the_controllers_numbers(major) {
        let (username, password) = ("admin".into(), "password".into());
        follows_the_sessions(major, ScrapeCredential::Basic { username, password }).await;
    }

    async fn with_a_wrong_token_the_target_is_down_and_shows_the_reason(major) {
        let controller = Controller::start(ControllerConfig::default());
        let gateway = gateway(&controller).await;
        let credential = ScrapeCredential::Bearer("a guess".into());
        let config = ScrapeConfig { credential, ..config(major, gateway.address()) };
        let prometheus = Prometheus::start(&config).await.unwrap();
        prometheus.wait_for(UP, is_one_of(0.0)).await;
        let target = prometheus.targets().await.remove(0);
        assert_eq!(target.health, "down");
        assert_eq!(target.last_error, "server returned HTTP status 401 Unauthorized");
        assert_eq!(target.url, format!("https://{}/api/v2/metrics", gateway.address()));
    }

    async fn prometheus_gets_the_same_series_in_every_format(major) {
        let controller = saying(capture::named("m-bearer-read").reply.text());
        let gateway = gateway(&controller).await;
        let [text, open, protobuf] = [
            scraped(major, &gateway, ScrapeFormat::Text, "text").await,
            scraped(major, &gateway, ScrapeFormat::Preferred, "openmetrics").await,
            scraped(major, &gateway, ScrapeFormat::Protobuf, "protobuf").await,
        ];
        // Exactly equal, including `le`.
        assert_eq!(by_labels(&open, str::to_owned), by_labels(&text, str::to_owned));
        // Only Prometheus 2 has its own notation for bounds in protobuf.
        let spelt = if major == Major::Two { as_number } else { str::to_owned };
        assert_eq!(by_labels(&protobuf, spelt), by_labels(&text, spelt));
        assert_eq!(gateway.traps(), [""; 0]);
    }

    async fn prometheus_gets_the_latency_as_a_native_histogram_and_as_classic_series(major) {
        let controller = Controller::start(ControllerConfig::default());
        let gateway = gateway(&controller).await;
        let config = config(major, gateway.address());
        let prometheus = scraping(ScrapeFormat::Protobuf, config).await;
        // Both are from one scrape, and so equal to the last request.
        let all = "sum(awx_gateway_request_duration_seconds_count)";
        let counted = format!("histogram_count(awx_gateway_latency_seconds) == on() ({all} > 0)");
        prometheus.wait_for(&counted, |answer| answer.len() == 1).await;
        let quantile = "histogram_quantile(0.5, awx_gateway_latency_seconds)";
        let [median] = prometheus.query(quantile).await.try_into().unwrap();
        assert!((1e-6..60.0).contains(&median.value), "{median:?}");
        let buckets = r#"awx_gateway_request_duration_seconds_bucket{resource="metrics"}"#;
        assert_eq!(prometheus.query(buckets).await.len(), 14);
        assert_up(&prometheus).await;
    }

    async fn prometheus_stores_the_exemplars_of_a_source(major) {
        let controller = saying_as(
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "# TYPE seen counter\nseen_total 7 # {trace_id=\"a # b\"} 0.5\n# TYPE took histogram\n\
             took_bucket{le=\"+Inf\"} 1 # {trace_id=\"c\"} 2.5\ntook_sum 2.5\ntook_count 1\n# EOF\n"
                .into(),
        );
        let gateway = gateway(&controller).await;
        for how in [ScrapeFormat::Preferred, ScrapeFormat::Protobuf] {
            let prometheus = scraping(how, config(major, gateway.address())).await;
            let exemplars = prometheus.wait_for_exemplars(r#"{__name__=~"seen.*|took.*"}"#, 2).await;
            let traces = exemplars.iter().map(|it| (&*it.series, &*it.trace, it.value));
            let traces: Vec<_> = traces.collect();
            assert_eq!(traces, [("seen_total", "a # b", 0.5), ("took_bucket", "c", 2.5)], "{how:?}");
            assert_up(&prometheus).await;
        }
    }

    async fn prometheus_scrapes_a_compressed_page_of_ten_megabytes(major) {
        let (_controller, gateway, prometheus) = ten_megabytes(major, ScrapeFormat::Preferred).await;
        assert_up(&prometheus).await;
        // The number of scrapes does not matter.
        let sent = bytes_sent(&gateway).await;
        assert!((1..10_000_000).contains(&sent), "{sent}");
        assert_eq!(gateway.traps(), [""; 0]);
    }
}

/// 1 if its target is up.
const UP: &str = r#"up{job="controller"}"#;

/// The series of the controller among the scraped ones.
const CONTROLLERS: &str = r#"{job="controller",__name__!~"awx_gateway_.*|scrape_.*|up"}"#;

/// The controller's series, once the gateway has counted a scrape in the format that this Prometheus must request.
async fn scraped(major: Major, gateway: &Gateway, how: ScrapeFormat, format: &str) -> Vec<Series> {
    let prometheus = scraping(how, config(major, gateway.address())).await;
    let told = format!(r#"awx_gateway_scrapes_total{{format="{format}"}} > 0"#);
    prometheus.wait_for(&told, |answer| answer.len() == 1).await;
    prometheus.wait_for(&format!("count({CONTROLLERS}) > 100"), |it| it.len() == 1).await;
    assert_up(&prometheus).await;
    prometheus.query(CONTROLLERS).await
}

/// Series by their labels, with bounds in the given notation.
fn by_labels(series: &[Series], spelt: fn(&str) -> String) -> BTreeMap<Vec<(String, String)>, u64> {
    let of_series = |series: &Series| {
        let labels = series.labels.iter().filter(|(name, _)| *name != "instance");
        let label = |(name, value): (&String, &String)| match name.as_str() {
            "le" | "quantile" => (name.clone(), spelt(value)),
            _ => (name.clone(), value.clone()),
        };
        (labels.map(label).collect(), series.value.to_bits())
    };
    series.iter().map(of_series).collect()
}

fn as_number(bound: &str) -> String {
    bound.parse::<f64>().unwrap().to_string()
}

/// Prometheus 3 parses `le` and `quantile` of histograms and summaries as numbers; Prometheus 2 keeps them as in text.
#[tokio::test(flavor = "multi_thread")]
async fn prometheus_2_and_3_get_the_same_series_except_for_the_format_of_bounds() {
    let controller = saying(capture::named("m-bearer-read").reply.text());
    let gateway = gateway(&controller).await;
    let two = scraped(Major::Two, &gateway, ScrapeFormat::Preferred, "openmetrics").await;
    let three = scraped(Major::Three, &gateway, ScrapeFormat::Preferred, "openmetrics").await;
    assert_ne!(by_labels(&three, str::to_owned), by_labels(&two, str::to_owned));
    assert_eq!(by_labels(&three, as_number), by_labels(&two, as_number));
}

/// The gateway needs no `fallback_scrape_protocol` because it sends a known type: a scrape of a page with an unknown
/// type fails. The filter of this gateway answers elsewhere, and lets the controller's page through.
#[tokio::test(flavor = "multi_thread")]
async fn prometheus_3_refuses_a_page_with_an_unknown_content_type() {
    let controller = saying_as("text/x-odd", "odd 1\n".into());
    let mut plugin = plugin();
    plugin["paths"] = json!(["/elsewhere"]);
    let mut spec = GatewaySpec::new(&plugin)
        .cluster("controller", controller.address())
        .environment("CONTROLLER_TOKEN", &token_of(&controller).await);
    spec.listeners[0].tls = true;
    let gateway = Gateway::start(Host::Envoy(Release::Newest), &spec).await.unwrap();
    let credential = ScrapeCredential::Bearer(token_of(&controller).await);
    let config = ScrapeConfig { credential, ..config(Major::Three, gateway.address()) };
    let prometheus = Prometheus::start(&config).await.unwrap();
    prometheus.wait_for(UP, is_one_of(0.0)).await;
    let error = prometheus.targets().await.remove(0).last_error;
    assert!(error.contains("text/x-odd") && error.contains("fallback_scrape_protocol"), "{error}");
}

/// A controller with a page of ten megabytes, a gateway in front of it, and a Prometheus that has scraped it.
async fn ten_megabytes(major: Major, how: ScrapeFormat) -> (Controller, Gateway, Prometheus) {
    let padding = "x".repeat(80);
    let line = |at| format!("many{{padding=\"{padding}\",place=\"{at}\"}} {at}\n");
    let page: String = (0..95_000).map(line).collect();
    assert!(page.len() > 10_000_000, "{}", page.len());
    let controller = saying(page);
    let gateway = gateway(&controller).await;
    let config = ScrapeConfig { interval: "5s", ..config(major, gateway.address()) };
    let prometheus = scraping(how, config).await;
    prometheus.wait_for("count(many)", is_one_of(95_000.0)).await;
    prometheus.wait_for(r#"many{place="94999"}"#, is_one_of(94_999.0)).await;
    (controller, gateway, prometheus)
}

/// The number of bytes sent to clients so far, without TLS.
async fn bytes_sent(gateway: &Gateway) -> u64 {
    let admin = gateway.envoy().unwrap().admin();
    let stats = admin.get("/stats?filter=downstream_cx_tx_bytes_total").await.unwrap();
    let stats = String::from_utf8(stats.into_body().to_vec()).unwrap();
    let clients = stats.lines().filter(|line| !line.starts_with("http.admin."));
    clients.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_3_scrapes_ten_megabytes_uncompressed_if_configured() {
    let all = ten_megabytes(Major::Three, ScrapeFormat::Uncompressed).await;
    let (_controller, gateway, prometheus) = all;
    assert_up(&prometheus).await;
    let sent = bytes_sent(&gateway).await;
    assert!(sent > 10_000_000, "{sent}");
    assert_eq!(gateway.traps(), [""; 0]);
}
