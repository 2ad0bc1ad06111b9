//! The measured Envoys: the shipped gateway with one worker, and with the subject of the measurement instead of its
//! filter.
//!
//! There is one worker, since the cost of a request does not depend on their number, and two cores serve Envoy, its
//! upstream and the load.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use host_tests::envoy::{Bootstrap, Envoy, EnvoyOptions};
use host_tests::gateway::StartError;
use host_tests::tools;
use serde_json::{Value, json};

/// A token that the plugin's configurations here permit.
pub(crate) const TOKEN: &str = "demonstration-only";
/// Its SHA-256.
const TOKEN_SHA256: &str = "bb37e032ed32c08ca2f865e5a876ee282c0953bb0b86f637d56712deb2a59d92";
/// The longest time until a condition is met.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// More than every page here.
const DIRECT_RESPONSE_BYTES: u32 = 64 << 20;

/// Envoy's task beside forwarding requests.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role<'a> {
    /// Nothing.
    Plain,
    /// The Lua filter runs this script.
    Lua(&'a str),
    /// This module runs as a filter, with this configuration.
    Filter(&'a Path, &'a Value),
    /// The same, on the metrics route only, and as an access logger on every request.
    AccessLogger(&'a Path, &'a Value),
}

/// An Envoy that forwards requests to `upstream`.
pub(crate) async fn gateway(role: Role<'_>, upstream: SocketAddr) -> Result<Envoy, StartError> {
    let mut configuration = shipped();
    with_clusters(&mut configuration, &[("controller".to_owned(), upstream)]);
    let manager = manager(&mut configuration);
    let filters = &mut manager["http_filters"];
    match role {
        Role::Plain => *filters = json!([filters[1]]),
        Role::Lua(script) => filters[0] = lua(script),
        Role::Filter(module, plugin) => load(&mut filters[0], module, plugin),
        Role::AccessLogger(module, plugin) => {
            load(&mut filters[0], module, plugin);
            by_access_logger(manager);
        }
    }
    start(configuration).await
}

/// An Envoy that answers by itself: each of `answers` is a route with its answer.
pub(crate) async fn answering(answers: Vec<Value>) -> Result<Envoy, StartError> {
    let mut configuration = shipped();
    with_clusters(&mut configuration, &[]);
    let manager = manager(&mut configuration);
    manager["http_filters"] = json!([manager["http_filters"][1]]);
    manager["route_config"]["max_direct_response_body_size_bytes"] = json!(DIRECT_RESPONSE_BYTES);
    *routes(manager) = json!(answers);
    start(configuration).await
}

/// An Envoy with this number of unused clusters: its statistics are a large page.
pub(crate) async fn with_statistics(clusters: u16) -> Result<Envoy, StartError> {
    let mut configuration = shipped();
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let names = (0..clusters).map(|number| (format!("cluster-{number}"), nobody));
    let all: Vec<_> = names.chain([("controller".to_owned(), nobody)]).collect();
    with_clusters(&mut configuration, &all);
    let manager = manager(&mut configuration);
    manager["http_filters"] = json!([manager["http_filters"][1]]);
    start(configuration).await
}

/// A route that answers with a metrics page.
pub(crate) fn page_at(prefix: &str, file: &Path) -> Value {
    file_at(prefix, file, &[("content-type", "text/plain; version=0.0.4; charset=utf-8")])
}

/// A route that answers with a file, and with these headers.
pub(crate) fn file_at(prefix: &str, file: &Path, headers: &[(&str, &str)]) -> Value {
    let headers = headers.iter().map(|(key, value)| {
        json!({
            "header": {"key": key, "value": value},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        })
    });
    json!({
        "match": {"prefix": prefix},
        "direct_response": {"status": 200, "body": {"filename": file}},
        "response_headers_to_add": headers.collect::<Value>(),
    })
}

/// A plugin's configuration: one token, these sources, one way of counting.
pub(crate) fn plugin(sources: &Value, observe: &str) -> Value {
    json!({
        "sources": sources,
        "auth": {"tokens": [{"name": "prometheus", "sha256": TOKEN_SHA256}]},
        "observe": {"by": observe},
    })
}

fn shipped() -> Value {
    let shipped = Bootstrap::shipped("http.yaml").on_free_ports();
    serde_json::from_str(&shipped.to_string()).expect("a bootstrap is JSON")
}

async fn start(configuration: Value) -> Result<Envoy, StartError> {
    let options = EnvoyOptions {
        release: tools::Release::Newest,
        workers: 1,
        environment: Default::default(),
    };
    Envoy::start(&Bootstrap::from(configuration), &options).await
}

fn manager(configuration: &mut Value) -> &mut Value {
    let chain = &mut configuration["static_resources"]["listeners"][0]["filter_chains"][0];
    &mut chain["filters"][0]["typed_config"]
}

fn routes(manager: &mut Value) -> &mut Value {
    &mut manager["route_config"]["virtual_hosts"][0]["routes"]
}

fn with_clusters(configuration: &mut Value, clusters: &[(String, SocketAddr)]) {
    let clusters = clusters.iter().map(|(name, address)| {
        let socket = json!({"address": address.ip(), "port_value": address.port()});
        let endpoint = json!({"endpoint": {"address": {"socket_address": socket}}});
        json!({
            "name": name,
            "type": "STATIC",
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [endpoint]}],
            },
        })
    });
    configuration["static_resources"]["clusters"] = clusters.collect();
}

fn load(filter: &mut Value, module: &Path, plugin: &Value) {
    let config = &mut filter["typed_config"]["config"];
    config["vm_config"]["code"]["local"]["filename"] = json!(module);
    config["vm_config"]["environment_variables"] = json!({});
    config["configuration"] = json!({
        "@type": "type.googleapis.com/google.protobuf.StringValue",
        "value": plugin.to_string(),
    });
}

/// The filter on the metrics routes, and the same module under its other root id as a logger of all requests.
fn by_access_logger(manager: &mut Value) {
    let filter = &mut manager["http_filters"][0];
    filter["disabled"] = json!(true);
    let name = filter["name"].as_str().expect("a name").to_owned();
    let mut config = filter["typed_config"]["config"].clone();
    config["root_id"] = json!("awx_metrics_log");
    manager["access_log"] = json!([{
        "name": "envoy.access_loggers.wasm",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.wasm.v3.WasmAccessLog",
            "config": config,
        },
    }]);
    let routes = routes(manager);
    let mut metrics = routes[0].clone();
    metrics["match"] = json!({"prefix": "/api/v2/metrics"});
    metrics["typed_per_filter_config"] = json!({name: {
        "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
        "config": {},
    }});
    *routes = json!([metrics, routes[0]]);
}

fn lua(script: &str) -> Value {
    json!({
        "name": "count",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": script},
        },
    })
}

/// Writes a page to a file that Envoy can read.
pub(crate) fn write(
    directory: &Path,
    name: &str,
    page: &[u8],
) -> std::io::Result<std::path::PathBuf> {
    let file = directory.join(name);
    fs::write(&file, page)?;
    Ok(file)
}
