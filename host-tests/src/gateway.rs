//! A gateway with the filter in it, whichever host runs the filter: a scenario is written once and passes on each.
//!
//! ```text
//! on_both_hosts! {
//!     async fn strangers_are_refused(host) {
//!         let controller = Controller::start(ControllerConfig::default());
//!         let spec = GatewaySpec::new(json!({})).cluster("controller", controller.address());
//!         let gateway = Gateway::start(host, &spec).await.unwrap();
//!         let reply = gateway.client().get("/api/v2/metrics").await.unwrap();
//!         assert_eq!(reply.status(), 401);
//!     }
//! }
//! ```

mod wasmtime;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::certificate::Certificate;
use crate::client::Client;
use crate::envoy::Envoy;
use crate::process::eventually;
use crate::proxy::WasmtimeGateway;
use crate::tools::{self, Release};
use crate::world::World;

/// What runs the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Our own host.
    Wasmtime,
    /// A real Envoy.
    Envoy(Release),
}

/// What a gateway is to be.
#[derive(Clone, Debug)]
pub struct GatewaySpec {
    /// The filter.
    pub module: PathBuf,
    /// Where clients come in; at least one.
    pub listeners: Vec<ListenerSpec>,
    /// Clusters by their names, each of one upstream that speaks plain HTTP.
    pub clusters: BTreeMap<String, SocketAddr>,
    /// How many worker threads, each with a VM of its own.
    pub workers: usize,
    /// The VMs' environment.
    pub environment: BTreeMap<String, String>,
    /// The gateway's node id; empty for none.
    pub node: String,
    /// The id of the VMs; plugins with the same share shared data.
    pub vm_id: String,
    /// Whether what the filter logs at the levels `trace` and `debug` is in the log too.
    pub traced: bool,
}

/// Where clients come in.
#[derive(Clone, Debug)]
pub struct ListenerSpec {
    /// The plugin's configuration as the module gets it: JSON, or whatever a test wants to see refused.
    pub plugin: String,
    /// The cluster that gets what the filter lets pass.
    pub upstream: String,
    /// Whether clients speak TLS.
    pub tls: bool,
    /// Where the module stands.
    pub style: Style,
    /// What becomes of a request's path before the filter sees it.
    pub paths: Paths,
}

/// What becomes of a request's path before the filter sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paths {
    /// As the shipped files have it: decoded, resolved, merged, escaped slashes too.
    #[default]
    Normalised,
    /// Nothing.
    AsTheyCome,
}

/// Where the module stands in a listener, by who counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// As a filter that all requests pass.
    #[default]
    Filter,
    /// As an access logger, and as a filter on the metrics route only.
    AccessLog,
}

impl ListenerSpec {
    /// Plain HTTP, with the cluster `controller` behind it, in the style that the plugin's `observe.by` asks for.
    #[must_use]
    pub fn new(plugin: &Value) -> Self {
        let style = match plugin["observe"]["by"].as_str() {
            Some("access_log") => Style::AccessLog,
            _ => Style::Filter,
        };
        Self {
            plugin: plugin.to_string(),
            upstream: "controller".into(),
            tls: false,
            style,
            paths: Paths::default(),
        }
    }

    /// The same, with paths left as clients spell them.
    #[must_use]
    pub fn paths_as_they_come(mut self) -> Self {
        self.paths = Paths::AsTheyCome;
        self
    }

    /// The same with TLS.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }
}

impl GatewaySpec {
    /// One listener over plain HTTP, two workers, no clusters yet.
    #[must_use]
    pub fn new(plugin: &Value) -> Self {
        Self {
            module: tools::module(),
            listeners: vec![ListenerSpec::new(plugin)],
            clusters: BTreeMap::new(),
            workers: 2,
            environment: BTreeMap::new(),
            node: "gateway-1".into(),
            vm_id: "awx_metrics".into(),
            traced: false,
        }
    }

    /// With all that the filter logs, at whatever level.
    #[must_use]
    pub fn traced(mut self) -> Self {
        self.traced = true;
        self
    }

    /// With one more listener.
    #[must_use]
    pub fn listener(mut self, listener: ListenerSpec) -> Self {
        self.listeners.push(listener);
        self
    }

    /// With one more cluster.
    #[must_use]
    pub fn cluster(mut self, name: &str, upstream: SocketAddr) -> Self {
        self.clusters.insert(name.to_owned(), upstream);
        self
    }

    /// With so many workers.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// With this plugin's configuration on the first listener, whatever its bytes.
    ///
    /// # Panics
    /// Where there is no listener.
    #[must_use]
    pub fn plugin(mut self, configuration: &str) -> Self {
        self.listeners[0].plugin = configuration.to_owned();
        self
    }

    /// With a variable in the VMs' environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// A running gateway. It stops with its value.
#[derive(Debug)]
pub struct Gateway {
    running: Running,
    certificate: Certificate,
    tls: Vec<bool>,
}

#[derive(Debug)]
enum Running {
    Wasmtime(WasmtimeGateway),
    Envoy(Envoy),
}

/// What the filter's line begins with that says why it does not start.
const REFUSED: &str = "awx_metrics: configuration refused: ";

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The host would not serve with this configuration, the plugin's or its own.
    #[error("refused:\n{log}")]
    Refused {
        /// What it logged.
        log: String,
    },
    /// The host neither served nor ended.
    #[error("not ready in time:\n{log}")]
    TimedOut {
        /// What it logged.
        log: String,
    },
    /// The host could not be run at all.
    #[error("not started: {0}")]
    NotStarted(#[from] std::io::Error),
}

impl StartError {
    /// What the filter says is wrong with its configuration, if it was the filter that refused: `field: problem`.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        let Self::Refused { log } = self else { return None };
        log.lines().find_map(|line| line.split_once(REFUSED)).map(|(_, why)| why)
    }
}

impl Gateway {
    /// Starts a gateway, and returns once it serves.
    ///
    /// # Errors
    /// See [`StartError`].
    ///
    /// # Panics
    /// Where a tool is missing.
    pub async fn start(host: Host, spec: &GatewaySpec) -> Result<Self, StartError> {
        let certificate = Certificate::for_this_machine().expect("randomness");
        let running = match host {
            Host::Wasmtime => Running::Wasmtime(wasmtime::start(spec, &certificate).await?),
            Host::Envoy(release) => {
                Running::Envoy(Envoy::of_spec(release, spec, &certificate).await?)
            }
        };
        let tls = spec.listeners.iter().map(|listener| listener.tls).collect();
        Ok(Self { running, certificate, tls })
    }

    /// A client of the first listener.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client_of(0)
    }

    /// A client of a listener, by its place in the spec.
    ///
    /// # Panics
    /// Where there is none at this place.
    #[must_use]
    pub fn client_of(&self, listener: usize) -> Client {
        let address = self.address_of(listener);
        if self.tls[listener] {
            Client::https(address, &self.certificate.authority)
        } else {
            Client::http(address)
        }
    }

    /// The first listener's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address_of(0)
    }

    /// A listener's address, by its place in the spec.
    ///
    /// # Panics
    /// Where there is none at this place.
    #[must_use]
    pub fn address_of(&self, listener: usize) -> SocketAddr {
        match &self.running {
            Running::Wasmtime(gateway) => wasmtime::address_of(gateway, listener),
            Running::Envoy(envoy) => envoy.listeners()[listener],
        }
    }

    /// All that was logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        match &self.running {
            Running::Wasmtime(gateway) => wasmtime::log(gateway),
            Running::Envoy(envoy) => envoy.log(),
        }
    }

    /// The log's lines about VMs that trapped. A scenario ends by finding none.
    #[must_use]
    pub fn traps(&self) -> Vec<String> {
        match &self.running {
            Running::Wasmtime(gateway) => gateway.traps().iter().map(ToString::to_string).collect(),
            Running::Envoy(envoy) => envoy.traps(),
        }
    }

    /// Waits until no request is under way, as far as the host says: Envoy counts one as long as it is not logged, which a
    /// busy machine may hold up when its reply is long there. Our own host has no such count.
    ///
    /// # Panics
    /// Where requests go on for half a minute.
    pub async fn idle(&self) {
        let Some(envoy) = self.envoy() else { return };
        let none = eventually(Duration::from_secs(30), async || {
            let stats = envoy.admin().get("/stats?filter=downstream_rq_active").await.ok()?;
            let stats = String::from_utf8_lossy(stats.body()).into_owned();
            let mut others = stats.lines().filter(|line| !line.starts_with("http.admin."));
            others.all(|line| line.ends_with(": 0")).then_some(())
        });
        none.await.expect("the requests end");
    }

    /// The Envoy that the filter runs on, where it is one.
    #[must_use]
    pub fn envoy(&self) -> Option<&Envoy> {
        match &self.running {
            Running::Wasmtime(_) => None,
            Running::Envoy(envoy) => Some(envoy),
        }
    }

    /// On our own host, what its VMs share: the clock, which a test may move, counts, shared data. Envoy shows nothing.
    #[must_use]
    pub fn world(&self) -> Option<&Arc<World>> {
        match &self.running {
            Running::Wasmtime(gateway) => Some(gateway.world()),
            Running::Envoy(_) => None,
        }
    }
}

/// Writes each scenario once and tests it on both hosts: `name::on_wasmtime`, `name::on_envoy`. Give the host a name in the
/// scenario's argument, and start gateways with it.
#[macro_export]
macro_rules! on_both_hosts {
    ($( $(#[$about:meta])* async fn $name:ident($host:ident) $scenario:block )+) => { $(
        $(#[$about])*
        mod $name {
            use super::*;

            async fn scenario($host: $crate::gateway::Host) $scenario

            #[tokio::test(flavor = "multi_thread")]
            async fn on_wasmtime() {
                scenario($crate::gateway::Host::Wasmtime).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_envoy() {
                scenario($crate::gateway::Host::Envoy($crate::tools::Release::Newest)).await;
            }
        }
    )+ };
}
