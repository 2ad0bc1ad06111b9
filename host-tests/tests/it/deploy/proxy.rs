//! The parts of Envoy's configuration that Istio and Envoy Gateway make in the same way.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::manifest::{at, documents};

pub(super) const MANAGER: &str = "envoy.filters.network.http_connection_manager";
pub(super) const TYPES: &str = "type.googleapis.com";

/// The router, the last filter of each connection manager.
pub(super) fn router() -> Value {
    json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": format!("{TYPES}/envoy.extensions.filters.http.router.v3.Router")},
    })
}

/// The type of a message, as an `Any` names it.
pub(super) fn type_url(message: &str) -> String {
    format!("{TYPES}/{message}")
}

/// A rule of an HTTPRoute.
pub(super) struct Rule {
    /// The name of the HTTPRoute.
    pub(super) route: String,
    /// The place of the rule in it.
    pub(super) place: usize,
    /// Envoy's matches: exact paths, or a prefix.
    pub(super) matches: Vec<Value>,
    /// The Service, and its port.
    pub(super) backend: (String, u64),
}

/// The rules of all HTTPRoutes of a file, the exact paths first, as the Gateway API orders them.
pub(super) fn rules(file: &str) -> Vec<Rule> {
    let routes = documents(file).into_iter().filter(|document| document["kind"] == "HTTPRoute");
    let mut rules: Vec<_> = routes
        .flat_map(|route| {
            let name = at(&route, "/metadata/name").as_str().expect("a name").to_owned();
            let rules = at(&route, "/spec/rules").as_array().expect("rules").clone();
            rules.into_iter().enumerate().map(move |(place, rule)| Rule::new(&name, place, &rule))
        })
        .collect();
    rules.sort_by_key(|rule| rule.matches.iter().any(|it| it.get("prefix").is_some()));
    rules
}

impl Rule {
    fn new(route: &str, place: usize, rule: &Value) -> Self {
        let matches = at(rule, "/matches").as_array().expect("matches").iter();
        let backend = at(rule, "/backendRefs/0");
        let name = backend["name"].as_str().expect("a Service").to_owned();
        Self {
            route: route.to_owned(),
            place,
            matches: matches.map(path_match).collect(),
            backend: (name, backend["port"].as_u64().expect("a port")),
        }
    }
}

fn path_match(one: &Value) -> Value {
    let path = at(one, "/path");
    match path["type"].as_str() {
        Some("Exact") => json!({"path": path["value"]}),
        Some("PathPrefix") if path["value"] == "/" => json!({"prefix": "/"}),
        _ => panic!("a match that is not translated here: {one}"),
    }
}

/// A cluster of one plain HTTP endpoint.
pub(super) fn cluster(name: &str, address: SocketAddr) -> Value {
    let socket = json!({"address": address.ip().to_string(), "port_value": address.port()});
    let endpoint = json!({"endpoint": {"address": {"socket_address": socket}}});
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    })
}

/// A whole configuration with one listener, and with a limit of connections, as both set one.
pub(super) fn bootstrap(node: &str, listener: Value, clusters: Vec<Value>) -> Value {
    let limit = json!({
        "@type": type_url("envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"),
        "max_active_downstream_connections": 50_000,
    });
    json!({
        "overload_manager": {"resource_monitors": [
            {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": limit},
        ]},
        "node": {"id": node, "cluster": "gateway"},
        "admin": {"address": super::manifest::loopback()},
        "static_resources": {"listeners": [listener], "clusters": clusters},
    })
}
