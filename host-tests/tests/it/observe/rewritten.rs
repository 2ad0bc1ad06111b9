//! Paths that a route rewrites count as the client sent them, and no client can say by what path it counts: Envoy takes
//! `x-envoy-original-path` off what comes from outside, as long as `use_remote_address` is on, as it ships.

use std::collections::BTreeMap;

use host_tests::client::Client;
use host_tests::envoy::{Bootstrap, Cluster, Envoy, EnvoyOptions};
use host_tests::process::eventually;
use host_tests::tools::{self, Release};
use serde_json::{Value, json};

use super::traffic::Upstream;
use super::{Requests, counting, of, requests};
use crate::stage::{PATIENCE, TOKEN, scrape};

const ROUTES: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config\
                      /route_config/virtual_hosts/0/routes";

/// What ships, with one more route, which makes jobs hosts.
fn rewriting(file: &str, by: &str, upstream: &Upstream) -> Bootstrap {
    let shipped = Bootstrap::shipped(file);
    let plugin = counting(by).to_string();
    let listener = shipped.listener().module(&tools::module()).plugin(&plugin);
    let bootstrap = shipped
        .with_listeners(vec![listener])
        .with_clusters(vec![Cluster::plain("controller", upstream.address())])
        .on_free_ports();
    let mut bootstrap: Value = serde_json::from_str(&bootstrap.to_string()).unwrap();
    let routes = bootstrap.pointer_mut(ROUTES).unwrap().as_array_mut().unwrap();
    routes.insert(
        0,
        json!({
            "match": {"prefix": "/api/v2/jobs/"},
            "route": {"cluster": "controller", "prefix_rewrite": "/api/v2/hosts/"},
        }),
    );
    Bootstrap::from(bootstrap)
}

async fn count_as_sent(file: &str, by: &str, release: Release) {
    let upstream = Upstream::start().await;
    let environment = BTreeMap::from([("CONTROLLER_TOKEN".into(), "anything".into())]);
    let options = EnvoyOptions { release, workers: 1, environment };
    let envoy = Envoy::start(&rewriting(file, by, &upstream), &options).await.unwrap();
    let client = Client::http(envoy.listeners()[0]);
    client.get("/api/v2/jobs/7/").await.unwrap();
    let liar = client.clone().header("x-envoy-original-path", "/api/login/");
    for path in ["/api/v2/jobs/8/", "/api/v2/users/"] {
        liar.get(path).await.unwrap();
    }
    let counted = eventually(PATIENCE, async || {
        let mut counted = requests(&scrape(&client.clone().bearer(TOKEN), "?gateway=only").await);
        counted.retain(|(_, resource, _), _| resource != "metrics");
        (counted.values().sum::<u64>() == 3).then_some(counted)
    });
    let expected: Requests = of(&[("GET", "jobs", 200, 2), ("GET", "users", 200, 1)]);
    assert_eq!(counted.await, Some(expected));
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
