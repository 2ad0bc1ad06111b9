//! A gateway with the filter, on either host: a scenario is written once and runs on each.
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

#[cfg(feature = "suite")]
mod running;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

#[cfg(feature = "suite")]
pub use self::running::{Gateway, Host};
use crate::tools;

/// The description of a gateway.
#[derive(Clone, Debug)]
pub struct GatewaySpec {
    /// The module of the filter.
    pub module: PathBuf,
    /// The listeners; at least one.
    pub listeners: Vec<ListenerSpec>,
    /// Clusters by name, each with one upstream that speaks plain HTTP.
    pub clusters: BTreeMap<String, SocketAddr>,
    /// The number of worker threads, each with its own VM.
    pub workers: usize,
    /// The VMs' environment.
    pub environment: BTreeMap<String, String>,
    /// The gateway's node id; empty for none.
    pub node: String,
    /// The id of the VMs. Plugins with the same id share shared data.
    pub vm_id: String,
    /// True if the log includes the filter's lines of the levels `trace` and `debug`.
    pub traced: bool,
}

/// A listener.
#[derive(Clone, Debug)]
pub struct ListenerSpec {
    /// The plugin's configuration, passed on unchanged: JSON, or bytes that the filter must refuse.
    pub plugin: String,
    /// The cluster for requests that the filter lets through.
    pub upstream: String,
    /// True if clients speak TLS.
    pub tls: bool,
    /// The place of the module in the listener.
    pub style: Style,
    /// The treatment of paths before the filter sees them.
    pub paths: Paths,
}

/// The treatment of paths before the filter sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paths {
    /// As in the shipped files: decoded, resolved, merged, with escaped slashes decoded.
    #[default]
    Normalised,
    /// Unchanged.
    AsTheyCome,
}

/// The place of the module in a listener, by the plugin that counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// As a filter that all requests pass.
    #[default]
    Filter,
    /// As an access logger, and as a filter on the metrics route only.
    AccessLog,
}

impl ListenerSpec {
    /// A listener for plain HTTP in front of the cluster `controller`, in the style of the plugin's `observe.by`.
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

    /// The same, with unchanged paths.
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

    /// The same, with all that the filter logs at any level.
    #[must_use]
    pub fn traced(mut self) -> Self {
        self.traced = true;
        self
    }

    /// The same, with one more listener.
    #[must_use]
    pub fn listener(mut self, listener: ListenerSpec) -> Self {
        self.listeners.push(listener);
        self
    }

    /// The same, with one more cluster.
    #[must_use]
    pub fn cluster(mut self, name: &str, upstream: SocketAddr) -> Self {
        self.clusters.insert(name.to_owned(), upstream);
        self
    }

    /// The same, with another number of workers.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// The same, with this plugin configuration on the first listener.
    ///
    /// # Panics
    /// If there is no listener.
    #[must_use]
    pub fn plugin(mut self, configuration: &str) -> Self {
        self.listeners[0].plugin = configuration.to_owned();
        self
    }

    /// The same, with a variable in the VMs' environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// The prefix of the filter's log line about a refused configuration.
const REFUSED: &str = "awx_metrics: configuration refused: ";

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The host refused the configuration, the plugin's or its own.
    #[error("refused:\n{log}")]
    Refused {
        /// The log.
        log: String,
    },
    /// The host neither served nor ended.
    #[error("not ready in time:\n{log}")]
    TimedOut {
        /// The log.
        log: String,
    },
    /// The host could not be started.
    #[error("not started: {0}")]
    NotStarted(#[from] std::io::Error),
}

impl StartError {
    /// The problem that the filter reports in its configuration, as `field: problem`, if the filter refused it.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        let Self::Refused { log } = self else { return None };
        log.lines().find_map(|line| line.split_once(REFUSED)).map(|(_, why)| why)
    }
}
