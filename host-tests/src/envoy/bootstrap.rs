//! Envoy's configuration, built from the files that ship. A test changes only addresses and the plugin's configuration;
//! the rest is what operators run.
//!
//! If a file does not have the shape that is changed here, that is a panic.

use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde_json::{Value, json};

use crate::certificate::CertificateFiles;
use crate::gateway::{GatewaySpec, ListenerSpec, Paths, Style};
use crate::tools;

const CONNECTION_MANAGER: &str = "/filter_chains/0/filters/0/typed_config";

/// The positions of the plugin within the connection manager: as filter, and as access logger if that counts.
const PLUGINS: [&str; 2] =
    ["/http_filters/0/typed_config/config", "/access_log/0/typed_config/config"];

/// A whole configuration.
#[derive(Clone, Debug)]
pub struct Bootstrap(Value);

impl Bootstrap {
    /// A file of `envoy/`, as it ships.
    ///
    /// # Panics
    /// If the file is missing or not YAML.
    #[must_use]
    pub fn shipped(file: &str) -> Self {
        let file = tools::repository().join("envoy").join(file);
        let yaml = fs::read_to_string(&file).expect("a shipped configuration");
        Self(yaml_serde::from_str(&yaml).expect("YAML"))
    }

    /// The configuration for a spec, with addresses that the system chooses.
    #[must_use]
    pub fn of_spec(spec: &GatewaySpec, files: &CertificateFiles) -> Self {
        let listeners = spec.listeners.iter().enumerate();
        let listeners = listeners.map(|(index, listener)| {
            Listener::of_spec(spec, listener, files).named(&format!("listener-{index}"))
        });
        let clusters = spec.clusters.iter().map(|(name, upstream)| Cluster::plain(name, *upstream));
        let mut bootstrap = Self::shipped("http.yaml")
            .with_listeners(listeners.collect())
            .with_clusters(clusters.collect())
            .on_free_ports();
        *at(&mut bootstrap.0, "/node/id") = json!(spec.node);
        bootstrap
    }

    /// The same, with other listeners.
    #[must_use]
    pub fn with_listeners(mut self, listeners: Vec<Listener>) -> Self {
        let listeners = listeners.into_iter().map(|listener| listener.0).collect();
        *at(&mut self.0, "/static_resources/listeners") = listeners;
        self
    }

    /// The same, with other clusters.
    #[must_use]
    pub fn with_clusters(mut self, clusters: Vec<Cluster>) -> Self {
        let clusters = clusters.into_iter().map(|cluster| cluster.0).collect();
        *at(&mut self.0, "/static_resources/clusters") = clusters;
        self
    }

    /// The same, with every port chosen by the system, including the admin interface's.
    #[must_use]
    pub fn on_free_ports(mut self) -> Self {
        self = self.admin_port(0);
        let listeners = at(&mut self.0, "/static_resources/listeners").as_array_mut();
        for listener in listeners.expect("listeners") {
            *at(listener, "/address/socket_address/port_value") = json!(0);
        }
        self
    }

    /// The same, with the admin interface on another port.
    #[must_use]
    pub fn admin_port(mut self, port: u16) -> Self {
        *at(&mut self.0, "/admin/address/socket_address/port_value") = json!(port);
        self
    }

    /// Its first listener.
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    pub fn listener(&self) -> Listener {
        Listener(self.0["static_resources"]["listeners"][0].clone())
    }

    /// Its first cluster.
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        Cluster(self.0["static_resources"]["clusters"][0].clone())
    }

    /// The names of its listeners.
    pub(super) fn listener_names(&self) -> Vec<String> {
        let listeners = self.0["static_resources"]["listeners"].as_array().expect("listeners");
        listeners.iter().map(|listener| listener["name"].as_str().expect("a name").into()).collect()
    }
}

/// Any configuration, in the proto's JSON.
impl From<Value> for Bootstrap {
    fn from(configuration: Value) -> Self {
        Self(configuration)
    }
}

/// As JSON, which Envoy reads as well as YAML.
impl fmt::Display for Bootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A listener with the filter in it.
#[derive(Clone, Debug)]
pub struct Listener(Value);

impl Listener {
    fn of_spec(spec: &GatewaySpec, listener: &ListenerSpec, files: &CertificateFiles) -> Self {
        let file = match (listener.style, listener.tls) {
            (Style::Filter, false) => "http.yaml",
            (Style::Filter, true) => "https.yaml",
            (Style::AccessLog, false) => "access-log.yaml",
            (Style::AccessLog, true) => panic!("no file ships with TLS and the access log"),
        };
        let mut shipped = Bootstrap::shipped(file).listener();
        if listener.tls {
            shipped = shipped.certificate(files);
        }
        if listener.paths == Paths::AsTheyCome {
            shipped = shipped.paths_as_they_come();
        }
        let variables: Vec<_> = spec.environment.keys().collect();
        shipped.set("/vm_config/environment_variables/host_env_keys", &json!(variables));
        shipped.set("/vm_config/vm_id", &json!(spec.vm_id));
        shipped.module(&spec.module).plugin(&listener.plugin).upstream(&listener.upstream)
    }

    /// The same with another name, which the statistics use too.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        *at(&mut self.0, "/name") = json!(name);
        *at(&mut self.0, &format!("{CONNECTION_MANAGER}/stat_prefix")) = json!(name);
        self
    }

    /// The same with another module.
    #[must_use]
    pub fn module(mut self, module: &Path) -> Self {
        self.set("/vm_config/code/local/filename", &json!(module));
        self
    }

    /// The same with another configuration of the plugin, which gets this text unchanged.
    #[must_use]
    pub fn plugin(mut self, configuration: &str) -> Self {
        let configuration = json!({
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": configuration,
        });
        self.set("/configuration", &configuration);
        self
    }

    /// The same with another authority of the controller, if the plugin's configuration is the shipped one.
    #[must_use]
    pub fn controller_authority(mut self, authority: &str) -> Self {
        self.set("/configuration/value/sources/0/authority", &json!(authority));
        self
    }

    /// The same, if the plugin's configuration is the shipped one, without its tokens and users: clients log in only to
    /// the controller.
    #[must_use]
    pub fn controller_auth(mut self, authority: &str) -> Self {
        let controller = json!({"cluster": "controller", "authority": authority});
        self.set("/configuration/value/auth", &json!({"controller": controller}));
        self
    }

    /// The same in a VM whose environment is only this variable: the gateways of two tenants in one Envoy.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        let mut variables = serde_json::Map::new();
        variables.insert(name.to_owned(), json!(value));
        self.set("/vm_config/environment_variables", &json!({ "key_values": variables }));
        self
    }

    /// The same on another port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        *at(&mut self.0, "/address/socket_address/port_value") = json!(port);
        self
    }

    /// The same with another cluster behind it.
    #[must_use]
    pub fn upstream(mut self, cluster: &str) -> Self {
        let routes = format!("{CONNECTION_MANAGER}/route_config/virtual_hosts/0/routes");
        for route in at(&mut self.0, &routes).as_array_mut().expect("routes") {
            *at(route, "/route/cluster") = json!(cluster);
        }
        self
    }

    /// The same, with the filter read from a file that contains its [`Listener::discovery`]. Envoy reads the file again
    /// when it is replaced.
    #[must_use]
    pub fn discovered(mut self, file: &Path) -> Self {
        *at(&mut self.0, &format!("{CONNECTION_MANAGER}/http_filters/0")) = json!({
            "name": "awx_metrics",
            "config_discovery": {
                "config_source": {"path_config_source": {"path": file}},
                "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"],
            },
        });
        self
    }

    /// Its filter as a discovery response, which Envoy reads from a file.
    #[must_use]
    pub fn discovery(&self) -> String {
        let filter = format!("{CONNECTION_MANAGER}/http_filters/0/typed_config");
        let resource = json!({
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": "awx_metrics",
            "typed_config": self.0.pointer(&filter).expect("a filter"),
        });
        json!({"resources": [resource]}).to_string()
    }

    /// The same, with unchanged paths.
    #[must_use]
    pub fn paths_as_they_come(mut self) -> Self {
        let manager = at(&mut self.0, CONNECTION_MANAGER);
        *at(manager, "/normalize_path") = json!(false);
        *at(manager, "/merge_slashes") = json!(false);
        *at(manager, "/path_with_escaped_slashes_action") = json!("KEEP_UNCHANGED");
        self
    }

    /// The same, with clients' addresses taken from `x-forwarded-for`, as Envoy does by default.
    #[must_use]
    pub fn addresses_from_the_header(mut self) -> Self {
        *at(at(&mut self.0, CONNECTION_MANAGER), "/use_remote_address") = json!(false);
        self
    }

    /// The same, with the connection's address in the filter state, by the network filter of the README. To be called last:
    /// that filter comes first.
    ///
    /// # Panics
    /// If the README has no such filter.
    #[must_use]
    pub fn connection_address_in_filter_state(mut self) -> Self {
        let filters = at(&mut self.0, "/filter_chains/0/filters").as_array_mut().expect("filters");
        let readme = fs::read_to_string(tools::repository().join("README.md")).expect("the README");
        let mut blocks = readme.split("```yaml").filter_map(|block| block.split("```").next());
        let filter = blocks.find(|block| block.contains("network.set_filter_state"));
        let filter: Vec<Value> = yaml_serde::from_str(filter.expect("a filter")).expect("YAML");
        filters.splice(0..0, filter);
        self
    }

    /// The same, with the plugin's setting that lets the body of a request through while the request is paused at its
    /// headers.
    #[must_use]
    pub fn headers_stop_iteration(mut self) -> Self {
        let filter = format!("{CONNECTION_MANAGER}{}", PLUGINS[0]);
        at(&mut self.0, &filter)["allow_on_headers_stop_iteration"] = json!(true);
        self
    }

    /// The same over plain HTTP/1.1.
    #[must_use]
    pub fn without_tls(mut self) -> Self {
        let remove = |value: &mut Value, field| value.as_object_mut().expect("a map").remove(field);
        remove(at(&mut self.0, "/filter_chains/0"), "transport_socket");
        remove(at(&mut self.0, CONNECTION_MANAGER), "http2_protocol_options");
        self
    }

    /// The same with another certificate.
    #[must_use]
    pub fn certificate(mut self, files: &CertificateFiles) -> Self {
        let certificates = "/filter_chains/0/transport_socket/typed_config/common_tls_context\
                            /tls_certificates/0";
        *at(&mut self.0, certificates) = json!({
            "certificate_chain": {"filename": files.certificate},
            "private_key": {"filename": files.key},
        });
        self
    }

    /// Changes the plugin in each of its positions.
    fn set(&mut self, pointer: &str, value: &Value) {
        let manager = at(&mut self.0, CONNECTION_MANAGER);
        for plugin in PLUGINS {
            if let Some(plugin) = manager.pointer_mut(plugin) {
                *at(plugin, pointer) = value.clone();
            }
        }
    }
}

/// A cluster of one upstream.
#[derive(Clone, Debug)]
pub struct Cluster(Value);

/// The way to authenticate an upstream over TLS.
#[derive(Clone, Debug)]
pub enum UpstreamTls<'a> {
    /// By a certificate that an authority in this file signed.
    Authority(&'a Path),
    /// By a certificate that an authority of this machine signed.
    System,
    /// Not at all: any server gets the credentials.
    Unchecked,
}

impl Cluster {
    /// The shipped cluster under this name, with one upstream that speaks plain HTTP.
    ///
    /// # Panics
    /// If the shipped cluster has another shape.
    #[must_use]
    pub fn plain(name: &str, upstream: SocketAddr) -> Self {
        let mut cluster = Bootstrap::shipped("http.yaml").cluster();
        cluster.0.as_object_mut().expect("a cluster").remove("transport_socket");
        *at(&mut cluster.0, "/name") = json!(name);
        *at(&mut cluster.0, "/load_assignment/cluster_name") = json!(name);
        cluster.upstream(&upstream.ip().to_string(), upstream.port())
    }

    /// The same with another upstream.
    #[must_use]
    pub fn upstream(mut self, host: &str, port: u16) -> Self {
        let address = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address";
        *at(&mut self.0, address) = json!({"address": host, "port_value": port});
        self
    }

    /// The same with an upstream that speaks TLS and has this name or address in its certificate.
    #[must_use]
    pub fn upstream_tls(mut self, host: &str, tls: &UpstreamTls<'_>) -> Self {
        let (san_type, sni) = match host.parse::<IpAddr>() {
            Ok(_) => ("IP_ADDRESS", ""),
            Err(_) => ("DNS", host),
        };
        *self.tls("/sni") = json!(sni);
        let context = self.tls("/common_tls_context/validation_context");
        context["match_typed_subject_alt_names"] =
            json!([{"san_type": san_type, "matcher": {"exact": host}}]);
        match tls {
            UpstreamTls::System => {}
            UpstreamTls::Authority(file) => context["trusted_ca"] = json!({"filename": file}),
            UpstreamTls::Unchecked => *context = json!({}),
        }
        self
    }

    fn tls(&mut self, pointer: &str) -> &mut Value {
        at(&mut self.0, &format!("/transport_socket/typed_config{pointer}"))
    }
}

fn at<'a>(value: &'a mut Value, pointer: &str) -> &'a mut Value {
    value
        .pointer_mut(pointer)
        .unwrap_or_else(|| panic!("the shipped configuration has no {pointer}"))
}
