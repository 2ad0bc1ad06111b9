//! `envoy/kubernetes/monitoring`: what prometheus-operator makes of the monitors, in front of the pod of the Deployment.

use host_tests::client::Client;
use host_tests::prometheus::{Prometheus, is_native_a_setting};
use host_tests::tools::{Major, Release};
use serde_json::{Value, json};

use super::kubernetes::Pod;
use super::manifest::{self, Scrape, at, only};
use crate::stage::{METRICS, until};

/// The endpoint of a monitor, or the spec of a ScrapeConfig.
fn of(file: &str, kind: &str, pointer: &str) -> Value {
    at(&only(&format!("kubernetes/monitoring/{file}"), kind), pointer).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_monitor_sees_its_own_part_of_the_page_and_its_token_opens_no_more() {
    let pod = Pod::start(Release::Newest).await;
    let pods = Scrape::of(&of("pod-monitor.yaml", "PodMonitor", "/spec/podMetricsEndpoints/0"));
    let shared = Scrape::of(&of("scrape-config.yaml", "ScrapeConfig", "/spec"));
    let service = Scrape::of(&of("service-monitor.yaml", "ServiceMonitor", "/spec/endpoints/0"));
    let client = pod.metrics();
    until(&client.clone().bearer(service.token), "", |page| page.contains("awx_sessions_total{"))
        .await;

    let has =
        |page: &str| ["awx_sessions_total{", "awx_gateway_workers{"].map(|it| page.contains(it));
    assert_eq!(has(&pods.page(&client).await), [false, true]);
    assert_eq!(has(&shared.page(&client).await), [true, false]);
    assert_eq!(has(&service.page(&client).await), [true, true]);
    let without_parameters = Scrape { target: METRICS.into(), ..pods };
    assert_eq!(has(&without_parameters.page(&client).await), [false, true]);
    let at_the_controller = Client::http(pod.controller.address()).bearer(service.token);
    assert_eq!(at_the_controller.get("/api/v2/me/").await.unwrap().status(), 401);
}

#[test]
fn the_monitors_ask_for_native_histograms() {
    for (file, kind) in
        [("pod-monitor.yaml", "PodMonitor"), ("service-monitor.yaml", "ServiceMonitor")]
    {
        let spec = of(file, kind, "/spec");
        assert_eq!(spec["scrapeNativeHistograms"], true);
        assert_eq!(spec["scrapeProtocols"][0], "PrometheusProto");
    }
}

/// The scrape of Prometheus that prometheus-operator (0.8x) writes for an endpoint of a monitor, or for a ScrapeConfig. The
/// settings of the whole monitor are in `spec`. The address is the test's own, and so is the interval.
fn scrape_config(
    job: &str,
    endpoint: &Value,
    spec: &Value,
    target: &Client,
    is_native: bool,
) -> Value {
    let path = endpoint.get("path").or(endpoint.get("metricsPath")).unwrap();
    let credentials = manifest::secret(at(endpoint, "/authorization/credentials"));
    let mut config = json!({
        "job_name": job,
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "metrics_path": path,
        "authorization": {"type": at(endpoint, "/authorization/type"), "credentials": credentials},
        "sample_limit": spec["sampleLimit"],
        "static_configs": [{"targets": [target.address()]}],
    });
    if let Some(parameters) = endpoint.get("params") {
        config["params"] = parameters.clone();
    }
    if let Some(protocols) = spec.get("scrapeProtocols") {
        config["scrape_protocols"] = protocols.clone();
    }
    if is_native && spec["scrapeNativeHistograms"] == true {
        config["scrape_native_histograms"] = json!(true);
    }
    let relabelings = spec["relabelings"].as_array().into_iter().flatten();
    let relabelings = relabelings.map(|it| {
        json!({"action": it["action"], "target_label": it["targetLabel"], "replacement": it["replacement"]})
    });
    config["relabel_configs"] = relabelings.collect();
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_scrapes_as_the_pod_monitor_and_the_scrape_config_say() {
    let pod = Pod::start(Release::Newest).await;
    let is_native = is_native_a_setting(Major::Three).unwrap();
    let monitor = of("pod-monitor.yaml", "PodMonitor", "/spec");
    let shared = of("scrape-config.yaml", "ScrapeConfig", "/spec");
    let endpoint = at(&monitor, "/podMetricsEndpoints/0");
    let name = shared["jobName"].as_str().unwrap();
    let scrapes = [
        scrape_config("awx/awx-gateway", endpoint, &monitor, &pod.metrics(), is_native),
        scrape_config(name, &shared, &shared, &pod.metrics(), is_native),
    ];
    let config = json!({"scrape_configs": scrapes}).to_string();
    let features = if is_native { "exemplar-storage" } else { "native-histograms" };
    let prometheus = Prometheus::start_with(Major::Three, &config, features).await.unwrap();

    let one = |query: &'static str| prometheus.wait_for(query, |series| series.len() == 1);
    one("awx_gateway_workers{job=\"awx/awx-gateway\"}").await;
    one("count(awx_instance_info{job=\"awx-controller\", instance=\"awx\"})").await;
    one("histogram_count(awx_gateway_latency_seconds{job=\"awx/awx-gateway\"})").await;
    assert_eq!(prometheus.query("awx_gateway_workers{job=\"awx-controller\"}").await, []);
    assert_eq!(prometheus.query("awx_instance_info{job=\"awx/awx-gateway\"}").await, []);
}
