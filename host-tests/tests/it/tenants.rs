//! Two gateways in one Envoy that differ only in the value of the variable with their credential.

use host_tests::client::Client;
use host_tests::controller::{Controller, ControllerConfig};
use host_tests::envoy::{Bootstrap, Cluster, Envoy, EnvoyOptions};
use host_tests::process::eventually;
use host_tests::tools::{self, Release};
use serde_json::json;
use std::collections::BTreeMap;

use crate::stage::{CONTROLLER_TOKEN, PATIENCE, TOKEN, cluster, fetches, having, plugin, scrape};

async fn neither_is_served_the_others_page(release: Release) {
    let controller = Controller::start(ControllerConfig::default());
    let by_variable = json!({"bearer_env": "CONTROLLER_TOKEN"});
    let plugin = having(plugin(0), "/sources/0/credential", by_variable).to_string();
    let tenant = |name: &str, token: &str| {
        let listener = Bootstrap::shipped("http.yaml").listener().module(&tools::module());
        let listener = listener.plugin(&plugin).upstream(&cluster(0)).named(name);
        listener.environment("CONTROLLER_TOKEN", token)
    };
    let bootstrap = Bootstrap::shipped("http.yaml")
        .with_listeners(vec![tenant("one", CONTROLLER_TOKEN), tenant("other", "WrongToken")])
        .with_clusters(vec![Cluster::plain(&cluster(0), controller.address())])
        .on_free_ports();
    let options = EnvoyOptions { release, workers: 1, environment: BTreeMap::new() };
    let envoy = Envoy::start(&bootstrap, &options).await.unwrap();
    let [one, other] = [0, 1].map(|it| Client::http(envoy.listeners()[it]).bearer(TOKEN));

    let both_pulled = async || {
        let [one, other] = [scrape(&one, "").await, scrape(&other, "").await];
        let done = one.contains("awx_sessions_total{") && fetches(&other, "status") >= 1.0;
        done.then_some(other)
    };
    let other = eventually(PATIENCE, both_pulled).await.expect("one has a page, the other a 401");
    assert!(!other.contains("awx_sessions_total{"), "{other}");
    assert!(other.contains("reason=\"status 401\""), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_with_different_values_of_a_variable_share_no_page() {
    neither_is_served_the_others_page(Release::Newest).await;
}
