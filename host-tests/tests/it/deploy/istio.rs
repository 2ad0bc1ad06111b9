//! `envoy/istio`: the configuration that Istio makes of it (as of the sources of 1.32), on real Envoy.
//!
//! The configuration is built from the manifests as Istio's translators build it (`pilot/pkg/networking/core`,
//! `pilot/pkg/model/extensions.go`, `pilot/pkg/security/authz`), and the plugin's configuration comes from the manifest. The
//! controller, the module's file and all ports are the test's own. A file replaces the image that Istio's agent pulls.

use std::collections::BTreeMap;
use std::net::IpAddr;

use host_tests::client::Client;
use host_tests::controller::Controller;
use host_tests::envoy::{Bootstrap, Envoy, EnvoyOptions};
use host_tests::tools::{self, Release};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::manifest::{self, at, at_mut, documents, only};
use super::proxy::{self, MANAGER, Rule, router, type_url};
use crate::stage::{METRICS, TOKEN, sample, until};

const NODE: &str = "router~10.0.0.1~awx-istio-0.awx~awx.svc.cluster.local";

/// An address that the AuthorizationPolicy lets reach the metrics page.
const PROMETHEUS: &str = "127.0.0.1";

/// Another address.
const OTHER: &str = "127.0.0.2";

/// Which of the manifests are applied, beside the Gateway and its routes.
#[derive(Default)]
struct Applied {
    envoy_filters: Vec<&'static str>,
    wasm_plugin: bool,
    authorization_policy: bool,
}

impl Applied {
    fn envoy_filters(files: &[&'static str]) -> Self {
        Self { envoy_filters: files.to_vec(), ..Self::default() }
    }
}

/// A running gateway proxy.
struct Proxy {
    envoy: Envoy,
    _controller: Controller,
    _discovery: TempDir,
}

impl Proxy {
    async fn start(release: Release, applied: &Applied) -> Self {
        let controller = manifest::controller();
        let discovery = tempfile::tempdir().unwrap();
        let bootstrap = bootstrap(applied, &controller, &discovery);
        let environment = environment();
        let options = EnvoyOptions { release, workers: 2, environment };
        let envoy = Envoy::start(&Bootstrap::from(bootstrap), &options).await.unwrap();
        Self { envoy, _controller: controller, _discovery: discovery }
    }

    fn client(&self) -> Client {
        Client::http(self.envoy.listeners()[0])
    }

    fn client_at(&self, address: &str) -> Client {
        self.client().at(address.parse::<IpAddr>().unwrap())
    }
}

/// Envoy's container, as the ConfigMap of `gateway.yaml` merges it into the Deployment.
fn overlay() -> Value {
    let map = only("istio/gateway.yaml", "ConfigMap");
    let gateway = only("istio/gateway.yaml", "Gateway");
    assert_eq!(at(&gateway, "/spec/infrastructure/parametersRef/name"), at(&map, "/metadata/name"));
    yaml_serde::from_str(at(&map, "/data/deployment").as_str().unwrap()).unwrap()
}

fn environment() -> BTreeMap<String, String> {
    manifest::environment(at(&overlay(), "/spec/template/spec/containers/0"))
}

fn bootstrap(applied: &Applied, controller: &Controller, discovery: &TempDir) -> Value {
    let rules = proxy::rules("istio/gateway.yaml");
    let mut listener = listener(applied, &rules, discovery);
    for file in &applied.envoy_filters {
        apply(&only(&format!("istio/{file}"), "EnvoyFilter"), &mut listener);
    }
    let before = manifest::replace_module(&mut listener, &tools::module());
    let mounted =
        at(&overlay(), "/spec/template/spec/containers/0/volumeMounts/0/mountPath").clone();
    let mounted = format!("{}/plugin.wasm", mounted.as_str().unwrap());
    assert!(before.iter().all(|file| *file == mounted), "{before:?}");
    let clusters = rules.iter().map(cluster_name).collect::<std::collections::BTreeSet<_>>();
    let clusters = clusters.iter().map(|name| proxy::cluster(name, controller.address()));
    proxy::bootstrap(NODE, listener, clusters.collect())
}

/// `outbound|80||service.namespace.svc.cluster.local`
fn cluster_name(rule: &Rule) -> String {
    let (service, port) = &rule.backend;
    format!("outbound|{port}||{service}.awx.svc.cluster.local")
}

/// The listener of the Gateway before any EnvoyFilter.
fn listener(applied: &Applied, rules: &[Rule], discovery: &TempDir) -> Value {
    let mut filters = Vec::new();
    if applied.authorization_policy {
        filters
            .push(authorization(&only("istio/authorization-policy.yaml", "AuthorizationPolicy")));
    }
    if applied.wasm_plugin {
        filters.push(wasm_filter(&only("istio/wasm-plugin.yaml", "WasmPlugin"), discovery));
    }
    filters.push(router());
    let manager = json!({
        "@type": type_url("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "outbound_0.0.0.0_80",
        "use_remote_address": true,
        // Istio's default, BASE.
        "normalize_path": true,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "stream_idle_timeout": "0s",
        "access_log": [],
        "http_filters": filters,
        "route_config": {"name": "http.80", "virtual_hosts": [
            {"name": "*:80", "domains": ["*"], "routes": rules.iter().flat_map(routes).collect::<Vec<_>>()},
        ]},
    });
    json!({
        "name": "0.0.0.0_80",
        "address": manifest::loopback(),
        "filter_chains": [{"filters": [{"name": MANAGER, "typed_config": manager}]}],
    })
}

fn routes(rule: &Rule) -> impl Iterator<Item = Value> {
    let name = format!("awx.{}.{}", rule.route, rule.place);
    let action = json!({"cluster": cluster_name(rule), "timeout": "0s"});
    rule.matches.iter().map(move |it| json!({"name": name, "match": it, "route": action}))
}

/// A WasmPlugin: a filter whose configuration comes by discovery, here from a file. No field of it sets a `vm_id`.
fn wasm_filter(plugin: &Value, discovery: &TempDir) -> Value {
    let spec = at(plugin, "/spec");
    let variables = at(spec, "/vmConfig/env").as_array().unwrap().iter();
    let host_env_keys = variables.map(|variable| {
        assert_eq!(variable["valueFrom"], "HOST");
        variable["name"].clone()
    });
    let host_env_keys: Vec<_> = host_env_keys.collect();
    let name = "awx.awx-metrics";
    let config = json!({
        "name": name,
        "root_id": spec["pluginName"],
        "failure_policy": spec["failStrategy"],
        "configuration": {
            "@type": type_url("google.protobuf.StringValue"), "value": spec["pluginConfig"].to_string(),
        },
        "vm_config": {
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": tools::module()}},
            "environment_variables": {"host_env_keys": host_env_keys},
        },
    });
    let wasm = type_url("envoy.extensions.filters.http.wasm.v3.Wasm");
    let resource = json!({
        "@type": type_url("envoy.config.core.v3.TypedExtensionConfig"),
        "name": name,
        "typed_config": {"@type": wasm, "config": config},
    });
    let file = discovery.path().join("ecds.json");
    std::fs::write(&file, json!({"resources": [resource]}).to_string()).unwrap();
    json!({
        "name": name,
        "config_discovery": {
            "config_source": {"path_config_source": {"path": file}, "initial_fetch_timeout": "0s"},
            "type_urls": [wasm, type_url("envoy.extensions.filters.http.rbac.v3.RBAC")],
        },
    })
}

/// An AuthorizationPolicy of paths and addresses, as a filter.
fn authorization(policy: &Value) -> Value {
    assert_eq!(at(policy, "/spec/action"), "DENY");
    let rule = at(policy, "/spec/rules/0");
    let paths = at(rule, "/to/0/operation/paths").as_array().unwrap().iter();
    let paths: Vec<_> = paths.map(|path| json!({"url_path": {"path": {"exact": path}}})).collect();
    let blocks = at(rule, "/from/0/source/notRemoteIpBlocks").as_array().unwrap().iter();
    let blocks = blocks.map(|block| {
        let (address, length) = block.as_str().unwrap().split_once('/').unwrap();
        json!({"remote_ip": {"address_prefix": address, "prefix_len": length.parse::<u8>().unwrap()}})
    });
    let blocks: Vec<_> = blocks.collect();
    let rules = json!({"action": "DENY", "policies": {"ns[awx]-policy[awx-metrics]-rule[0]": {
        "permissions": [{"and_rules": {"rules": [{"or_rules": {"rules": paths}}]}}],
        "principals": [{"and_ids": {"ids": [{"not_id": {"or_ids": {"ids": blocks}}}]}}],
    }}});
    json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {"@type": type_url("envoy.extensions.filters.http.rbac.v3.RBAC"), "rules": rules},
    })
}

/// Applies an EnvoyFilter to the listener of the Gateway, and to its routes.
fn apply(envoy_filter: &Value, listener: &mut Value) {
    for patch in at(envoy_filter, "/spec/configPatches").as_array().unwrap() {
        assert_eq!(at(patch, "/match/context"), "GATEWAY");
        let (operation, value) = (&patch["patch"]["operation"], &patch["patch"]["value"]);
        let filter = "/match/listener/filterChain/filter";
        match (patch["applyTo"].as_str().unwrap(), operation.as_str().unwrap()) {
            ("NETWORK_FILTER", "MERGE") => {
                assert_eq!(at(patch, &format!("{filter}/name")), MANAGER);
                merge(at_mut(listener, "/filter_chains/0/filters/0"), value);
            }
            ("HTTP_FILTER", "INSERT_BEFORE") => {
                let before = at(patch, &format!("{filter}/subFilter/name"));
                let filters =
                    at_mut(listener, &format!("{CONNECTION}/http_filters")).as_array_mut().unwrap();
                let place = filters.iter().position(|filter| filter["name"] == *before).unwrap();
                filters.insert(place, value.clone());
            }
            ("HTTP_ROUTE", "MERGE") => {
                let name = at(patch, "/match/routeConfiguration/vhost/route/name");
                let routes =
                    at_mut(listener, &format!("{CONNECTION}/route_config/virtual_hosts/0/routes"));
                let routes = routes.as_array_mut().unwrap().iter_mut();
                let matching: Vec<_> = routes.filter(|route| route["name"] == *name).collect();
                assert!(!matching.is_empty(), "no route is named {name}");
                matching.into_iter().for_each(|route| merge(route, value));
            }
            other => panic!("a patch that is not applied here: {other:?}"),
        }
    }
}

const CONNECTION: &str = "/filter_chains/0/filters/0/typed_config";

/// Merges as protobuf does: messages field by field, and lists by appending.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) => into.extend(from.iter().cloned()),
        (into, from) => *into = from.clone(),
    }
}

async fn the_page_is_served_and_users_are_counted_once(release: Release, applied: &Applied) {
    let proxy = Proxy::start(release, applied).await;
    assert_eq!(proxy.client().get("/api/v2/ping/").await.unwrap().status(), 200);
    let prometheus = proxy.client().bearer(TOKEN);
    let labels = [("gateway", NODE), ("resource", "ping"), ("code", "200")];
    let page = until(&prometheus, "", |page| {
        page.contains("awx_sessions_total{")
            && sample(page, "awx_gateway_requests_total", &labels).is_some()
    });
    assert_eq!(sample(&page.await, "awx_gateway_requests_total", &labels), Some(1.0));
    assert_eq!(proxy.envoy.warnings(), [""; 0]);
    assert_eq!(proxy.envoy.traps(), [""; 0]);
}

/// The recommended way.
fn filter() -> Applied {
    Applied::envoy_filters(&["connection-manager.yaml", "filter.yaml"])
}

fn access_log() -> Applied {
    Applied::envoy_filters(&["connection-manager.yaml", "access-log.yaml"])
}

fn wasm_plugin() -> Applied {
    Applied { wasm_plugin: true, ..Applied::envoy_filters(&["connection-manager.yaml"]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_envoy_filter_serves_the_page() {
    the_page_is_served_and_users_are_counted_once(Release::Newest, &filter()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_envoy_filter_serves_the_page_on_the_oldest_envoy() {
    the_page_is_served_and_users_are_counted_once(Release::Oldest, &filter()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_serves_the_page() {
    the_page_is_served_and_users_are_counted_once(Release::Newest, &access_log()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_serves_the_page_on_the_oldest_envoy() {
    the_page_is_served_and_users_are_counted_once(Release::Oldest, &access_log()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wasm_plugin_serves_the_page() {
    the_page_is_served_and_users_are_counted_once(Release::Newest, &wasm_plugin()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wasm_plugin_serves_the_page_on_the_oldest_envoy() {
    the_page_is_served_and_users_are_counted_once(Release::Oldest, &wasm_plugin()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_access_log_the_filter_is_enabled_on_the_metrics_route_only() {
    let applied = access_log();
    let (controller, discovery) = (manifest::controller(), tempfile::tempdir().unwrap());
    let bootstrap = bootstrap(&applied, &controller, &discovery);
    let manager = at(&bootstrap, &format!("/static_resources/listeners/0{CONNECTION}"));
    assert_eq!(at(manager, "/http_filters/0/disabled"), true);
    for route in at(manager, "/route_config/virtual_hosts/0/routes").as_array().unwrap() {
        let is_metrics = route["name"] == "awx.awx-metrics.0";
        let is_enabled = route.pointer("/typed_per_filter_config/awx_metrics").is_some();
        assert_eq!(is_enabled, is_metrics, "{route}");
    }
}

/// Spellings that Envoy or the controller's own front proxy reads as the metrics path.
const SPELLINGS: [&str; 6] = [
    METRICS,
    "/api/controller/v2/metrics/?format=json",
    "/x/../api/v2/metrics/",
    "//api//v2/metrics",
    "/api/v2%2fmetrics",
    "/api/v2/%6detrics",
];

#[tokio::test(flavor = "multi_thread")]
async fn only_the_permitted_addresses_reach_the_page_under_any_spelling() {
    let applied = Applied { authorization_policy: true, ..filter() };
    let proxy = Proxy::start(Release::Newest, &applied).await;
    let other = proxy.client_at(OTHER).bearer(TOKEN);
    for path in SPELLINGS {
        assert_eq!(other.get(path).await.unwrap().status(), 403, "{path}");
    }
    assert_eq!(other.get("/api/v2/ping/").await.unwrap().status(), 200);
    let prometheus = proxy.client_at(PROMETHEUS);
    assert_eq!(prometheus.get(METRICS).await.unwrap().status(), 401);
    assert_eq!(prometheus.bearer(TOKEN).get(METRICS).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_connection_manager_file_another_spelling_bypasses_the_policy() {
    let applied =
        Applied { authorization_policy: true, ..Applied::envoy_filters(&["filter.yaml"]) };
    let proxy = Proxy::start(Release::Newest, &applied).await;
    let other = proxy.client_at(OTHER).bearer(TOKEN);
    assert_eq!(other.get(METRICS).await.unwrap().status(), 403);
    assert_eq!(other.get("//api//v2/metrics").await.unwrap().status(), 200);
}

/// The plugin's configuration in a file, from its first plugin.
fn plugin(file: &str, pointer: &str) -> Value {
    at(&documents(file)[0], pointer).clone()
}

#[test]
fn the_three_ways_have_the_same_plugin_configuration() {
    let filter = plugin(
        "istio/filter.yaml",
        "/spec/configPatches/0/patch/value/typed_config/config/configuration/value",
    );
    let logger = "/spec/configPatches/0/patch/value/typed_config/access_log/0/typed_config/config";
    let mut access_log = plugin("istio/access-log.yaml", &format!("{logger}/configuration/value"));
    let observe = access_log.as_object_mut().unwrap().remove("observe");
    assert_eq!(observe, Some(json!({"by": "access_log"})));
    assert_eq!(access_log, filter);
    assert_eq!(plugin("istio/wasm-plugin.yaml", "/spec/pluginConfig"), filter);
}
