//! A real Prometheus scrapes a real Envoy over TLS, with the configuration that users of the controller have.

use std::net::SocketAddr;

use host_tests::client::Client;
use host_tests::controller::{Controller, ControllerConfig};
use host_tests::gateway::{Gateway, GatewaySpec, Host};
use host_tests::prometheus::{Prometheus, ScrapeConfig, ScrapeCredential, Series};
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
    let config = ScrapeConfig { target, credential, interval: "1s" };
    Prometheus::start(&config).await.unwrap()
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
    follows_the_sessions(ScrapeCredential::Bearer("demonstration-only".into())).await;
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
