//! A proxy that runs the module as Envoy does: a canary VM first, then one VM on the main thread and one on each worker
//! thread, behind real sockets.

mod body;
mod http;
mod message;
mod path;
mod relay;
mod reply;
mod signals;
mod stream;
mod threads;
mod tls;
mod upstream;
mod worker;

pub use tls::Identity;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::trap::Trap;
use crate::vm::{Counts, Plugin, PluginError, Vm};
use crate::world::{Level, LogLine, World, WorldConfig};

/// Envoy's default is one second with jitter; the measured time is 1.1 s.
pub const DEFAULT_RELOAD_BACKOFF: Duration = Duration::from_millis(1100);
/// Envoy's default.
pub const DEFAULT_STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Envoy's default.
pub const DEFAULT_ROUTE_TIMEOUT: Duration = Duration::from_secs(15);

/// The configuration of a proxy.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// The module.
    pub module: PathBuf,
    /// The number of worker threads.
    pub workers: usize,
    /// The configuration that its VMs share: `vm_id`, environment, clusters, ...
    pub world: WorldConfig,
    /// Its listeners, each on a random port of 127.0.0.1.
    pub listeners: Vec<Listener>,
    /// The shortest time between two reloads of a plugin in a worker whose VM died.
    pub reload_backoff: Duration,
}

/// A listener, its filters and its routes.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The name that tests use.
    pub name: String,
    /// The filters, in the order in which they see requests.
    pub filters: Vec<Arc<Plugin>>,
    /// The access loggers. They are called on their roots, after the filters' `on_log`.
    pub access_loggers: Vec<Arc<Plugin>>,
    /// Its certificate, if it speaks TLS.
    pub tls: Option<Identity>,
    /// The first route with a matching prefix is used. Without one, the reply is 404.
    pub routes: Vec<Route>,
    /// True if paths are normalised before filters see them.
    pub normal_paths: bool,
    /// The longest time that a filter may hold a message; then the client gets 504 (408 if its request is incomplete).
    /// This ends a stream whose VM died while it was paused.
    pub stream_idle_timeout: Duration,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            name: String::new(),
            filters: Vec::new(),
            access_loggers: Vec::new(),
            tls: None,
            routes: Vec::new(),
            normal_paths: true,
            stream_idle_timeout: DEFAULT_STREAM_IDLE_TIMEOUT,
        }
    }
}

/// A route.
#[derive(Clone, Debug)]
pub struct Route {
    /// The prefix of the path.
    pub prefix: String,
    /// The cluster.
    pub cluster: String,
    /// Zero means no timeout.
    pub timeout: Duration,
    /// True if requests pass the listener's filters.
    pub filtered: bool,
}

impl Route {
    /// A route for all paths to this cluster.
    #[must_use]
    pub fn all_to(cluster: &str) -> Self {
        Self {
            prefix: "/".into(),
            cluster: cluster.into(),
            timeout: DEFAULT_ROUTE_TIMEOUT,
            filtered: true,
        }
    }
}

impl GatewayConfig {
    /// Two workers and one cleartext listener with one filter; all requests go to the cluster `controller`.
    #[must_use]
    pub fn new(module: PathBuf, root_id: &str, configuration: impl Into<Vec<u8>>) -> Self {
        let filter = Plugin {
            name: "awx".into(),
            root_id: root_id.into(),
            configuration: configuration.into(),
        };
        let listener = Listener {
            name: "http".into(),
            filters: vec![Arc::new(filter)],
            routes: vec![Route::all_to("controller")],
            ..Listener::default()
        };
        Self {
            module,
            workers: 2,
            world: WorldConfig::default(),
            listeners: vec![listener],
            reload_backoff: DEFAULT_RELOAD_BACKOFF,
        }
    }

    /// Adds a cluster.
    #[must_use]
    pub fn cluster(mut self, name: &str, address: SocketAddr) -> Self {
        self.world.clusters.insert(name.into(), vec![address]);
        self
    }

    /// All distinct plugins: listeners with the same plugin share its roots.
    fn plugins(&self) -> Vec<Arc<Plugin>> {
        let mut plugins: Vec<Arc<Plugin>> = Vec::new();
        for listener in &self.listeners {
            for plugin in listener.filters.iter().chain(&listener.access_loggers) {
                if !plugins.contains(plugin) {
                    plugins.push(Arc::clone(plugin));
                }
            }
        }
        plugins
    }
}

/// The reason why a proxy did not start.
#[derive(Debug)]
pub enum StartError {
    /// The module cannot be read.
    Module(String),
    /// The canary failed.
    Refused {
        /// Its failure.
        reason: PluginError,
        /// The first error that the module logged.
        line: Option<LogLine>,
    },
    /// A certificate cannot be used.
    Tls(String),
    /// A socket or a thread could not be created.
    Io(io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Module(why) | Self::Tls(why) => to.write_str(why),
            Self::Refused { line: Some(line), .. } => to.write_str(&line.message),
            Self::Refused { reason, line: None } => write!(to, "{reason:?}"),
            Self::Io(error) => error.fmt(to),
        }
    }
}

impl std::error::Error for StartError {}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A running proxy. Dropping it ends its roots and waits for its threads.
pub struct WasmtimeGateway {
    world: Arc<World>,
    addresses: Vec<(String, SocketAddr)>,
    _threads: threads::Threads,
}

impl WasmtimeGateway {
    /// Starts the proxy. When this returns, all VMs are configured and all listeners accept connections.
    ///
    /// # Errors
    /// If the module refuses a plugin's configuration, or the module, a certificate, a socket or a thread fails.
    pub async fn start(config: GatewayConfig) -> Result<Self, StartError> {
        let world = World::load(&config.module, config.world.clone())
            .map_err(|error| StartError::Module(format!("{error:#}")))?;
        let plugins = config.plugins();
        try_canaries(&world, &plugins)?;
        let (threads, addresses) = threads::start(&world, &config, &plugins).await?;
        Ok(Self { world, addresses, _threads: threads })
    }

    /// The first listener's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses.first().expect("a gateway has a listener").1
    }

    /// A listener's address.
    #[must_use]
    pub fn address_of(&self, listener: &str) -> Option<SocketAddr> {
        self.addresses.iter().find(|(name, _)| name == listener).map(|(_, address)| *address)
    }

    /// The state that its VMs share: shared data, metrics, log, clock, clusters, hooks.
    #[must_use]
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// True if every request has been logged.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.world.active_requests() == 0
    }

    /// All traps so far.
    #[must_use]
    pub fn traps(&self) -> Vec<Trap> {
        self.world.traps()
    }

    /// The log so far.
    #[must_use]
    pub fn logs(&self) -> Vec<LogLine> {
        self.world.log.lines()
    }

    /// The counts of each VM so far.
    #[must_use]
    pub fn counts(&self) -> Vec<(String, Counts)> {
        self.world.counts()
    }
}

impl std::fmt::Debug for WasmtimeGateway {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("WasmtimeGateway")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Runs each plugin alone in its own VM, which is then dropped without any further callback.
fn try_canaries(world: &Arc<World>, plugins: &[Arc<Plugin>]) -> Result<(), StartError> {
    for plugin in plugins {
        let tried = Vm::new(world, "canary")
            .map_err(PluginError::Trapped)
            .and_then(|mut vm| vm.add_plugin(plugin));
        if let Err(reason) = tried {
            let by_module = |line: &LogLine| line.level >= Level::Error && line.vm != "host";
            let line = world.log.find(by_module);
            return Err(StartError::Refused { reason, line });
        }
    }
    Ok(())
}
