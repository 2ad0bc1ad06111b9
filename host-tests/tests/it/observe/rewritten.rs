//! Paths that a route rewrites are counted as the client sent them, and a client cannot choose the path that its
//! request counts under. Envoy removes a client's own `x-envoy-original-path` if `use_remote_address` is on, as in the
//! shipped files; but never from a request that it refuses early, and not at all without that setting.

use std::collections::BTreeMap;

use host_tests::client::Client;
use host_tests::envoy::{Bootstrap, Cluster, Envoy, EnvoyOptions};
use host_tests::process::eventually;
use host_tests::tools::{self, Release};
use serde_json::{Value, json};

use super::traffic::Upstream;
use super::{Requests, counting, of, requests};
use crate::stage::{PATIENCE, TOKEN, scrape};
use crate::wire::raw;

const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// The shipped gateway with two more routes: one rewrites jobs to hosts, the other answers for teams without a cluster.
fn rewriting(file: &str, by: &str, remote: bool, upstream: &Upstream) -> Bootstrap {
    let shipped = Bootstrap::shipped(file);
    let plugin = counting(by).to_string();
    let listener = shipped.listener().module(&tools::module()).plugin(&plugin);
    let bootstrap = shipped
        .with_listeners(vec![listener])
        .with_clusters(vec![Cluster::plain("controller", upstream.address())])
        .on_free_ports();
    let mut bootstrap: Value = serde_json::from_str(&bootstrap.to_string()).unwrap();
    let manager = bootstrap.pointer_mut(MANAGER).unwrap();
    manager["use_remote_address"] = json!(remote);
    let routes = manager.pointer_mut("/route_config/virtual_hosts/0/routes").unwrap();
    let more = [
        json!({
            "match": {"prefix": "/api/v2/jobs/"},
            "route": {"cluster": "controller", "prefix_rewrite": "/api/v2/hosts/"},
        }),
        json!({"match": {"prefix": "/api/v2/teams/"}, "direct_response": {"status": 404}}),
    ];
    routes.as_array_mut().unwrap().splice(0..0, more);
    Bootstrap::from(bootstrap)
}

async fn start(file: &str, by: &str, release: Release, remote: bool) -> (Upstream, Envoy) {
    let upstream = Upstream::start().await;
    let environment = BTreeMap::from([("CONTROLLER_TOKEN".into(), "anything".into())]);
    let options = EnvoyOptions { release, workers: 1, environment };
    let bootstrap = rewriting(file, by, remote, &upstream);
    (upstream, Envoy::start(&bootstrap, &options).await.unwrap())
}

/// The counts without scrapes, once their sum is `count`.
async fn counted(client: &Client, count: u64) -> Option<Requests> {
    eventually(PATIENCE, async || {
        let mut counted = requests(&scrape(&client.clone().bearer(TOKEN), "?gateway=only").await);
        counted.retain(|(_, resource, _), _| resource != "metrics");
        (counted.values().sum::<u64>() == count).then_some(counted)
    })
    .await
}

async fn count_as_sent(file: &str, by: &str, release: Release) {
    let (_upstream, envoy) = start(file, by, release, true).await;
    let client = Client::http(envoy.listeners()[0]);
    client.get("/api/v2/jobs/7/").await.unwrap();
    let liar = client.clone().header("x-envoy-original-path", "/api/login/");
    for path in ["/api/v2/jobs/8/", "/api/v2/users/"] {
        liar.get(path).await.unwrap();
    }
    let expected: Requests = of(&[("GET", "jobs", 200, 2), ("GET", "users", 200, 1)]);
    assert_eq!(counted(&client, 3).await, Some(expected));
}

/// Requests that reach no cluster, each with a forged original path.
async fn count_as_refused(file: &str, by: &str, release: Release, remote: bool) {
    let (_upstream, envoy) = start(file, by, release, remote).await;
    let address = envoy.listeners()[0];
    let forged = "x-envoy-original-path: /api/login/\r\nx-envoy-original-host: other\r\n";
    // Envoy refuses the first one before any filter, because it has no host; the route answers the second one.
    for (head, status) in [
        ("GET /api/v2/users/ HTTP/1.1", "400"),
        ("GET /api/v2/teams/ HTTP/1.1\r\nhost: gateway", "404"),
        ("GET /api/v2/jobs/7/ HTTP/1.1\r\nhost: gateway", "200"),
    ] {
        let request = format!("{head}\r\n{forged}connection: close\r\n\r\n");
        let reply = raw(address, request.as_bytes()).await;
        assert_eq!(std::str::from_utf8(&reply[9..12]).unwrap(), status, "{head}");
    }
    let expected: Requests =
        of(&[("GET", "users", 400, 1), ("GET", "teams", 404, 1), ("GET", "jobs", 200, 1)]);
    assert_eq!(counted(&Client::http(address), 3).await, Some(expected), "remote {remote}");
}

async fn count_as_refused_in_every_style(release: Release) {
    for (file, by) in [("http.yaml", "filter"), ("access-log.yaml", "access_log")] {
        for remote in [true, false] {
            count_as_refused(file, by, release, remote).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_counts_by_its_own_path_despite_a_forged_header() {
    count_as_refused_in_every_style(Release::Newest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_counts_by_its_own_path_on_the_oldest_envoy() {
    count_as_refused_in_every_style(Release::Oldest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_counts_paths_as_they_were_sent() {
    count_as_sent("http.yaml", "filter", Release::Newest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_logger_counts_paths_as_they_were_sent() {
    count_as_sent("access-log.yaml", "access_log", Release::Newest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_logger_of_the_oldest_envoy_counts_paths_as_they_were_sent() {
    count_as_sent("access-log.yaml", "access_log", Release::Oldest).await;
}
