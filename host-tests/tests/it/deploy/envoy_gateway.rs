//! `envoy/envoy-gateway`: the configuration that Envoy Gateway (1.9) makes of it, on real Envoy.
//!
//! The configuration is built from the manifests as Envoy Gateway's translator builds it (`internal/xds/translator`), and the
//! plugin's configuration comes from the manifest. The controller and all ports are the test's own. Envoy fetches the module
//! over HTTP and checks its SHA-256, as it does from Envoy Gateway.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use host_tests::client::Client;
use host_tests::controller::Controller;
use host_tests::envoy::{Bootstrap, Envoy, EnvoyOptions};
use host_tests::image::{Architecture, Image};
use host_tests::tools::{self, Release};
use serde_json::{Value, json};
use serde_json_path::JsonPath;

use super::manifest::{self, at, only};
use super::proxy::{self, MANAGER, Rule, router, type_url};
use crate::stage::{METRICS, TOKEN, sample, until};

const NODE: &str = "envoy-awx-awx-0";

/// Envoy Gateway's name of the filter: its kind, and what is the `vm_id` too.
const FILTER: &str = "envoy.filters.http.wasm";

/// A running proxy of the Gateway.
struct Proxy {
    envoy: Envoy,
    _controller: Controller,
}

impl Proxy {
    async fn start(release: Release) -> Self {
        let controller = manifest::controller();
        let listener = patched(listener(&proxy::rules("envoy-gateway/gateway.yaml")));
        let clusters = clusters(&controller, module_server());
        let bootstrap = Bootstrap::from(proxy::bootstrap(NODE, listener, clusters));
        let proxy = only("envoy-gateway/envoy-proxy.yaml", "EnvoyProxy");
        let workers = usize::try_from(at(&proxy, "/spec/concurrency").as_u64().unwrap()).unwrap();
        let options = EnvoyOptions { release, workers, environment: environment(&proxy) };
        let envoy = Envoy::start(&bootstrap, &options).await.unwrap();
        Self { envoy, _controller: controller }
    }

    fn client(&self) -> Client {
        Client::http(self.envoy.listeners()[0])
    }
}

fn environment(proxy: &Value) -> BTreeMap<String, String> {
    manifest::environment(at(proxy, "/spec/provider/kubernetes/envoyDeployment/container"))
}

/// Serves the module, as Envoy Gateway does.
fn module_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let module = fs::read(tools::module()).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // An Envoy that has ended needs no module.
            let _ = stream.and_then(|stream| serve(stream, &module));
        }
    });
    address
}

fn serve(mut stream: TcpStream, module: &[u8]) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.extend(byte);
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        module.len()
    )?;
    stream.write_all(module)
}

/// The SHA-256 of the module, in hex.
fn module_sha256() -> String {
    let module = fs::read(tools::module()).unwrap();
    Image::new(&module, "0", Architecture::Amd64).unwrap().module_sha256().to_owned()
}

fn cluster_name(rule: &Rule) -> String {
    format!("httproute/awx/{}/rule/{}", rule.route, rule.place)
}

fn clusters(controller: &Controller, modules: SocketAddr) -> Vec<Value> {
    let rules = proxy::rules("envoy-gateway/gateway.yaml");
    let mut clusters: Vec<_> = rules
        .iter()
        .map(|rule| proxy::cluster(&cluster_name(rule), controller.address()))
        .collect();
    clusters.push(proxy::cluster("wasm_cluster", modules));
    clusters
}

/// The listener `awx/awx/http`.
fn listener(rules: &[Rule]) -> Value {
    let gateway = only("envoy-gateway/gateway.yaml", "Gateway");
    let name = at(&gateway, "/spec/listeners/0/name").as_str().unwrap();
    let policy = only("envoy-gateway/client-traffic-policy.yaml", "ClientTrafficPolicy");
    let (wasm, wasm_name) =
        wasm_filter(&only("envoy-gateway/extension-policy.yaml", "EnvoyExtensionPolicy"));
    let routes: Vec<_> = rules.iter().flat_map(|rule| routes(rule, &wasm_name)).collect();
    let escaped_slashes = match at(&policy, "/spec/path/escapedSlashesAction").as_str() {
        Some("UnescapeAndForward") => "UNESCAPE_AND_FORWARD",
        other => panic!("{other:?} is not translated here"),
    };
    let manager = json!({
        "@type": type_url("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "http-10080",
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "http2_protocol_options": {
            "initial_connection_window_size": 1_048_576, "initial_stream_window_size": 65_536,
            "max_concurrent_streams": 100,
        },
        "http_filters": [wasm, router()],
        "merge_slashes": true,
        "normalize_path": true,
        "path_with_escaped_slashes_action": escaped_slashes,
        "request_timeout": at(&policy, "/spec/timeout/http/requestReceivedTimeout"),
        "stream_idle_timeout": at(&policy, "/spec/timeout/http/streamIdleTimeout"),
        "server_header_transformation": "PASS_THROUGH",
        "use_remote_address": true,
        "route_config": {
            "name": format!("awx/awx/{name}"),
            "ignore_port_in_host_matching": true,
            "virtual_hosts": [{"name": format!("awx/awx/{name}/*"), "domains": ["*"], "routes": routes}],
        },
    });
    json!({
        "name": format!("awx/awx/{name}"),
        "address": manifest::loopback(),
        "per_connection_buffer_limit_bytes": 32_768,
        "default_filter_chain": {
            "name": format!("awx/awx/{name}"),
            "filters": [{"name": MANAGER, "typed_config": manager}],
        },
    })
}

fn routes(rule: &Rule, filter: &str) -> Vec<Value> {
    let routes = rule.matches.iter().enumerate().map(|(place, path)| {
        json!({
            "name": format!("{}/match/{place}/*", cluster_name(rule)),
            "match": path,
            "route": {"cluster": cluster_name(rule), "upgrade_configs": [{"upgrade_type": "websocket"}]},
            "typed_per_filter_config": {
                filter: {"@type": type_url("envoy.config.route.v3.FilterConfig"), "config": {}},
            },
        })
    });
    routes.collect()
}

/// The filter of an EnvoyExtensionPolicy, and its name. It is disabled, and each route enables it.
fn wasm_filter(policy: &Value) -> (Value, String) {
    let name = at(policy, "/metadata/name").as_str().unwrap();
    let wasm = at(policy, "/spec/wasm/0");
    let id = format!("envoyextensionpolicy/awx/{name}/wasm/0");
    let config = json!({
        "name": wasm["name"],
        "root_id": wasm["rootID"],
        "fail_open": wasm["failOpen"],
        "configuration": {
            "@type": type_url("google.protobuf.StringValue"), "value": wasm["config"].to_string(),
        },
        "vm_config": {
            "vm_id": id,
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"remote": {
                "http_uri": {"uri": "http://envoy-gateway/module.wasm", "cluster": "wasm_cluster", "timeout": "10s"},
                "sha256": module_sha256(),
            }},
            "environment_variables": {"host_env_keys": at(wasm, "/env/hostKeys")},
        },
    });
    let name = format!("{FILTER}/{id}");
    let typed =
        json!({"@type": type_url("envoy.extensions.filters.http.wasm.v3.Wasm"), "config": config});
    (json!({"name": name, "disabled": true, "typed_config": typed}), name)
}

/// The listener with the patches of the EnvoyPatchPolicy. As in Envoy Gateway, `path` is put behind each place that
/// `jsonPath` finds, and a patch that finds none is an error.
fn patched(mut listener: Value) -> Value {
    let policy = only("envoy-gateway/failure-policy.yaml", "EnvoyPatchPolicy");
    for patch in at(&policy, "/spec/jsonPatches").as_array().unwrap() {
        assert_eq!(patch["type"], type_url("envoy.config.listener.v3.Listener"));
        assert_eq!(patch["name"], listener["name"]);
        let operation = &patch["operation"];
        let path = JsonPath::parse(operation["jsonPath"].as_str().unwrap()).unwrap();
        let places: Vec<_> = path
            .query_located(&listener)
            .locations()
            .map(|place| place.to_json_pointer())
            .collect();
        assert!(!places.is_empty(), "{path} finds nothing");
        for place in places {
            let mut operation = operation.clone();
            operation["path"] = json!(format!("{place}{}", operation["path"].as_str().unwrap()));
            let patch: json_patch::Patch = serde_json::from_value(json!([operation])).unwrap();
            json_patch::patch(&mut listener, &patch).unwrap();
        }
    }
    listener
}

async fn the_page_is_served_and_users_are_counted_once(release: Release) {
    let proxy = Proxy::start(release).await;
    assert_eq!(proxy.client().get("/api/v2/ping/").await.unwrap().status(), 200);
    let prometheus = proxy.client().bearer(TOKEN);
    let labels = [("gateway", NODE), ("resource", "ping"), ("code", "200")];
    let page = until(&prometheus, "", |page| {
        page.contains("awx_sessions_total{")
            && sample(page, "awx_gateway_requests_total", &labels).is_some()
    });
    assert_eq!(sample(&page.await, "awx_gateway_requests_total", &labels), Some(1.0));
    // Envoy gives this warning to every configuration of Envoy Gateway with a Wasm extension.
    let is_other =
        |line: &String| !line.ends_with("Wasm remote code fetch is unstable and may cause a crash");
    let warnings: Vec<_> = proxy.envoy.warnings().into_iter().filter(is_other).collect();
    assert_eq!(warnings, [""; 0]);
    assert_eq!(proxy.envoy.traps(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policies_serve_the_page_and_count_users() {
    the_page_is_served_and_users_are_counted_once(Release::Newest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policies_serve_the_page_and_count_users_on_the_oldest_envoy() {
    the_page_is_served_and_users_are_counted_once(Release::Oldest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_needs_credentials_under_any_spelling() {
    let proxy = Proxy::start(Release::Newest).await;
    for path in [METRICS, "/api/controller/v2/metrics/", "//api//v2/metrics", "/api/v2%2fmetrics"] {
        assert_eq!(proxy.client().get(path).await.unwrap().status(), 401, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_patches_reach_envoy() {
    let proxy = Proxy::start(Release::Newest).await;
    let dump = proxy.envoy.admin().get("/config_dump?resource=static_listeners").await.unwrap();
    let dump = String::from_utf8(dump.into_body().to_vec()).unwrap();
    assert!(dump.contains("\"failure_policy\": \"FAIL_RELOAD\""), "{dump}");
    assert!(dump.contains("\"delayed_close_timeout\": \"10s\""), "{dump}");
}
