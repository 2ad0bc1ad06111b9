//! A real Prometheus scrapes a real Envoy over TLS, with the configuration that users of the controller have.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use host_tests::capture;
use host_tests::client::Client;
use host_tests::controller::{Controller, ControllerConfig, Mode};
use host_tests::gateway::{Gateway, GatewaySpec, Host};
use host_tests::prometheus::{Asking, Prometheus, ScrapeConfig, ScrapeCredential, Series};
use host_tests::tools::Release;
use hyper::Method;
use serde_json::{Value, json};

const USERS_SESSIONS: &str = r#"awx_sessions_total{type="user"}"#;

/// Its token is `demonstration-only`, its user's password `password`.
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

async fn prometheus(target: SocketAddr, credential: ScrapeCredential) -> Prometheus {
    asking(target, credential, ("1s", Asking::ByItself)).await
}

async fn asking(
    target: SocketAddr,
    credential: ScrapeCredential,
    (interval, asking): (&'static str, Asking),
) -> Prometheus {
    let config = ScrapeConfig { target, credential, interval, asking };
    Prometheus::start(&config).await.unwrap()
}

fn bearer() -> ScrapeCredential {
    ScrapeCredential::Bearer("demonstration-only".into())
}

/// A controller that always says the same.
fn saying(page: String) -> Controller {
    let controller = Controller::start(ControllerConfig::default());
    controller.set_mode(Mode::Page(page.into_bytes(), "text/plain; charset=utf-8".to_owned()));
    controller
}

fn is_one_of(wanted: f64) -> impl FnMut(&[Series]) -> bool {
    move |answer| matches!(answer, [series] if series.value == wanted)
}

/// Prometheus shows the stand-in's number of sessions, and follows it.
async fn follows_the_sessions(credential: ScrapeCredential) {
    let controller = Controller::start(ControllerConfig::default());
    let gateway = gateway(&controller).await;
    let prometheus = prometheus(gateway.address(), credential).await;

    let before = controller.sessions() as f64;
    prometheus.wait_for(USERS_SESSIONS, is_one_of(before)).await;
    let session = controller.log_in("admin").unwrap();
    prometheus.wait_for(USERS_SESSIONS, is_one_of(before + 1.0)).await;
    assert!(controller.log_out(&session));
    prometheus.wait_for(USERS_SESSIONS, is_one_of(before)).await;

    prometheus.wait_for(r#"up{job="controller"}"#, is_one_of(1.0)).await;
    assert_eq!(prometheus.targets().await[0].last_error, "");
    assert_eq!(gateway.traps(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_bearer_token_it_follows_the_controllers_numbers() {
    follows_the_sessions(bearer()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_password_it_follows_the_controllers_numbers() {
    let (username, password) = ("admin".into(), "password".into());
    follows_the_sessions(ScrapeCredential::Basic { username, password }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_wrong_token_its_target_is_down_and_says_why() {
    let controller = Controller::start(ControllerConfig::default());
    let gateway = gateway(&controller).await;
    let credential = ScrapeCredential::Bearer("a guess".into());
    let prometheus = prometheus(gateway.address(), credential).await;
    prometheus.wait_for(r#"up{job="controller"}"#, is_one_of(0.0)).await;
    let target = prometheus.targets().await.remove(0);
    assert_eq!(target.health, "down");
    assert_eq!(target.last_error, "server returned HTTP status 401 Unauthorized");
    assert_eq!(target.url, format!("https://{}/api/v2/metrics", gateway.address()));
}

/// What of the scraped series is the controller's.
const CONTROLLERS: &str = r#"{job="controller",__name__!~"awx_gateway_.*|scrape_.*|up"}"#;

/// Series by their labels, bounds as numbers: of protobuf this Prometheus spells them in its own way.
fn by_labels(series: Vec<Series>) -> BTreeMap<Vec<(String, String)>, u64> {
    let as_number = |(name, value): (String, String)| match value.parse::<f64>() {
        Ok(bound) if name == "le" => (name, bound.to_string()),
        _ => (name, value),
    };
    let of_series = |series: Series| {
        let labels = series.labels.into_iter().filter(|(name, _)| name != "instance");
        (labels.map(as_number).collect(), series.value.to_bits())
    };
    series.into_iter().map(of_series).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_the_same_series_in_whatever_format_it_asks_for() {
    let controller = saying(capture::named("m-bearer-read").reply.text());
    let gateway = gateway(&controller).await;
    let mut answers = Vec::new();
    for (kind, format) in [
        (Asking::ForText, "text"),
        (Asking::ByItself, "openmetrics"),
        (Asking::ForProtobuf, "protobuf"),
    ] {
        let prometheus = asking(gateway.address(), bearer(), ("1s", kind)).await;
        let told = format!(r#"awx_gateway_scrapes_total{{format="{format}"}} > 0"#);
        prometheus.wait_for(&told, |answer| answer.len() == 1).await;
        prometheus.wait_for(&format!("count({CONTROLLERS}) > 100"), |it| it.len() == 1).await;
        answers.push((format, prometheus.query(CONTROLLERS).await));
    }
    let [(_, text), (_, open), (_, protobuf)] = answers.try_into().unwrap();
    // To the letter, `le` included.
    let exactly = |series: &Vec<Series>| {
        let mut series = series.clone();
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        series
    };
    assert_eq!(exactly(&open), exactly(&text));
    assert_eq!(by_labels(protobuf), by_labels(text));
    assert_eq!(gateway.traps(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_scrapes_a_page_of_ten_megabytes() {
    let padding = "x".repeat(80);
    let line = |at| format!("many{{padding=\"{padding}\",place=\"{at}\"}} {at}\n");
    let page: String = (0..95_000).map(line).collect();
    assert!(page.len() > 10_000_000, "{}", page.len());
    let controller = saying(page);
    let gateway = gateway(&controller).await;
    let prometheus = asking(gateway.address(), bearer(), ("5s", Asking::ByItself)).await;
    prometheus.wait_for("count(many)", is_one_of(95_000.0)).await;
    prometheus.wait_for(r#"many{place="94999"}"#, is_one_of(94_999.0)).await;
    assert_eq!(gateway.traps(), [""; 0]);
}
