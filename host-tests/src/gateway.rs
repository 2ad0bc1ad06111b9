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

#[cfg(feature = "suite")]
mod running;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

#[cfg(feature = "suite")]
pub use self::running::{Gateway, Host};
use crate::tools;

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
