//! Requests for other paths reach the controller, and their replies return, unchanged; requests for the metrics page,
//! in any spelling, never reach it.

use bytes::Bytes;
use host_tests::client::Client;
use host_tests::controller::{Controller, Received};
use host_tests::on_both_hosts;
use hyper::{Method, Response};
use serde_json::json;

use crate::stage::{Stage, having, plugin};
use crate::wire::ask;

/// Requests that are not pulls.
fn of_clients(controller: &Controller) -> Vec<Received> {
    let is_pull = |request: &Received| {
        request.header("user-agent").is_some_and(|agent| agent.starts_with(b"awx-metrics-filter/"))
    };
    controller.requests().into_iter().filter(|request| !is_pull(request)).collect()
}

fn last(controller: &Controller) -> Received {
    of_clients(controller).pop().expect("a client's request")
}

/// The parts of a reply that a client can see, without those that differ each time and those that a proxy adds.
fn told(reply: &Response<Bytes>) -> (u16, Vec<(String, Vec<u8>)>, Bytes) {
    let changing = ["date", "x-api-total-time", "x-api-request-id", "x-api-time"];
    let of_proxies = [
        "server",
        "x-envoy-upstream-service-time",
        "connection",
        "content-length",
        "transfer-encoding",
    ];
    let headers = reply.headers().iter();
    let mut headers: Vec<_> = headers
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .filter(|(name, _)| {
            !changing.contains(&name.as_str()) && !of_proxies.contains(&name.as_str())
        })
        .collect();
    headers.sort();
    (reply.status().as_u16(), headers, reply.body().clone())
}

/// Spellings of the path that a proxy or the controller could read as the metrics path.
const OURS: [&str; 19] = [
    "/api/v2/metrics",
    "/api/v2/metrics/",
    "/api/controller/v2/metrics/",
    "/api/v2/metrics?format=json",
    "/api/v2/metrics/?",
    "//api/v2/metrics",
    "/api//v2///metrics//",
    "/./api/v2/metrics/.",
    "/api/v2/../v2/metrics",
    "/../api/v2/metrics",
    "/api/v2/metrics/x/..",
    "/api/v2/metric%73",
    "/%61pi/v2/metrics",
    "/api%2Fv2%2fmetrics",
    "/api/v2/metrics%2F",
    "/api/x/%2E%2e/v2/metrics",
    "/api/.%2E/api/v2/metrics",
    "http://gateway/api/v2/metrics/",
    "/api\\v2\\metrics",
];

/// Spellings of other paths.
const OTHERS: [&str; 14] = [
    "/",
    "/api/v2/metric",
    "/api/v2/metricss",
    "/api/v2/metrics/x",
    "/api/v2/Metrics",
    "/api/v2/metrics;x=1",
    "/api/v2/metrics%3F",
    "/api/v2/metrics%20",
    "/api/v2/metrics/..",
    "/x/api/v2/metrics",
    "/?/api/v2/metrics",
    "/api/v2/ping/?next=/api/v2/metrics",
    "/api/v2/metric%2573",
    "/api/v2%252Fmetrics",
];

async fn a_request_reaches_the_controller_whole(stage: &Stage) {
    let body = json!({"extra_vars": "x".repeat(300_000)}).to_string();
    let client = stage
        .gateway
        .client()
        .basic("admin", "password")
        .header("content-type", "application/json")
        .header("x-odd", b"\xffz")
        .header("cookie", "a=b; c=d");
    let target = "/api/v2/job_templates/11/launch/?x=1&y=%20z&x=2";
    let reply = client.request(Method::POST, target, body.clone()).await.unwrap();
    assert_eq!(reply.status(), 201);
    let seen = last(stage.controller());
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", target));
    assert_eq!(seen.body, body.into_bytes());
    assert_eq!(seen.header("authorization"), Some(&b"Basic YWRtaW46cGFzc3dvcmQ="[..]));
    assert_eq!(seen.header("x-odd"), Some(&b"\xffz"[..]));
    assert_eq!(seen.header("cookie"), Some(&b"a=b; c=d"[..]));
    assert_eq!(seen.header("host"), Some(stage.gateway.address().to_string().as_bytes()));
}

async fn a_reply_comes_back_whole(stage: &Stage) {
    for (method, path) in [
        (Method::GET, "/api/v2/ping/"),
        (Method::GET, "/api/v2/me/"),
        (Method::HEAD, "/api/v2/me/"),
        (Method::GET, "/api/v2/nope/"),
        (Method::GET, "/api/v2/me"),
        (Method::GET, "/"),
        (Method::OPTIONS, "/api/v2/ping/"),
        (Method::DELETE, "/api/v2/ping/"),
        (Method::GET, "/api/logout/"),
    ] {
        let as_admin =
            |address| Client::http(address).basic("admin", "password").header("host", "awx");
        let through =
            as_admin(stage.gateway.address()).request(method.clone(), path, "").await.unwrap();
        let direct =
            as_admin(stage.controller().address()).request(method.clone(), path, "").await.unwrap();
        let (mut through, mut direct) = (told(&through), told(&direct));
        // The page after a logout contains random tokens.
        if path == "/api/logout/" {
            through.1.clear();
            direct.1.clear();
        }
        assert_eq!(through, direct, "{method} {path}");
    }
}

async fn every_spelling_of_the_path_is_answered_here(stage: &Stage) {
    for spelling in OURS {
        let line = format!("GET {spelling} HTTP/1.1");
        let reply = ask(stage.gateway.address(), line.as_bytes(), &[]).await;
        assert_eq!(reply.status, 401, "{spelling}");
        let challenges = reply.headers.iter().filter(|(name, _)| name == "www-authenticate");
        assert_eq!(challenges.count(), 2, "{spelling}");
        let token: &[u8] = b"authorization: Bearer demonstration-only";
        let reply = ask(stage.gateway.address(), line.as_bytes(), &[token]).await;
        assert_eq!(reply.status, 200, "{spelling}");
    }
    assert_eq!(of_clients(stage.controller()), []);
}

async fn no_other_path_is_answered_here_and_none_gets_the_controllers_page(stage: &Stage) {
    for spelling in OTHERS {
        let before = of_clients(stage.controller()).len();
        let line = format!("GET {spelling} HTTP/1.1");
        let token: &[u8] = b"authorization: Bearer AdminTokenRead0000000000000001";
        let reply = ask(stage.gateway.address(), line.as_bytes(), &[token]).await;
        assert!(!reply.text().contains("awx_sessions_total"), "{spelling}");
        let seen = of_clients(stage.controller());
        assert_eq!(seen.len(), before + 1, "{spelling}: {} {}", reply.status, reply.text());
    }
}

on_both_hosts! {
    async fn requests_and_replies_pass_unchanged(host) {
        let stage = Stage::start(host).await;
        a_request_reaches_the_controller_whole(&stage).await;
        a_reply_comes_back_whole(&stage).await;
    }

    async fn all_spellings_of_the_metrics_path_are_answered_and_no_other_path(host) {
        let stage = Stage::start(host).await;
        every_spelling_of_the_path_is_answered_here(&stage).await;
        no_other_path_is_answered_here_and_none_gets_the_controllers_page(&stage).await;
    }

    async fn requests_for_other_hosts_are_not_answered(host) {
        let plugin = having(plugin(0), "/hosts", json!(["metrics.example", "other.example:8443"]));
        let stage = Stage::with(host, &plugin).await;
        let status = async |name: &str| {
            let client = stage.prometheus().header("host", name);
            client.get("/api/v2/metrics?x").await.unwrap().status().as_u16()
        };
        for name in ["metrics.example", "METRICS.example:9", "other.example:8443"] {
            assert_eq!(status(name).await, 200, "{name}");
        }
        for name in ["other.example", "other.example:1", "metrics.example.org", "x"] {
            // The controller's redirect.
            assert_eq!(status(name).await, 301, "{name}");
        }
        assert_eq!(of_clients(stage.controller()).len(), 4);
    }
}
