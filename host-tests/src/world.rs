//! The state that all VMs of one `vm_id` and module share: shared data, queues, metrics, the log, the clock, the
//! environment.
//!
//! A [`World`] is one loaded module and everything that outlives a VM. Nothing here runs wasm.

mod clock;
mod log;
mod metrics;
mod shared;

pub use clock::Clock;
pub use log::{Level, Log, LogLine};
pub use metrics::{Metric, MetricError, MetricKind, Metrics};
pub use shared::{CasMismatch, Queues, SharedData};

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use wasmtime::{Config, Engine, Module};

use crate::trap::Trap;
use crate::vm::Counts;

/// Far more than any correct callback needs (hashing a password takes about 1e9): some ten seconds.
pub const DEFAULT_FUEL: u64 = 20_000_000_000;

/// The configuration of a world.
#[derive(Clone, Debug)]
pub struct WorldConfig {
    /// The scope of shared data and queues.
    pub vm_id: String,
    /// The configuration that `on_vm_start` may read.
    pub vm_configuration: Vec<u8>,
    /// The VM's environment variables.
    pub environment: BTreeMap<String, String>,
    /// Envoy's node id; empty means it has none.
    pub node_id: String,
    /// The most fuel that one callback may use before it traps.
    pub fuel: u64,
    /// Lines below this level are dropped, as in Envoy.
    pub log_level: Level,
    /// The addresses of the clusters. A cluster without an address has no healthy host.
    pub clusters: BTreeMap<String, Vec<SocketAddr>>,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            vm_id: String::new(),
            vm_configuration: Vec::new(),
            environment: BTreeMap::new(),
            node_id: "test-node".into(),
            fuel: DEFAULT_FUEL,
            log_level: Level::Info,
            clusters: BTreeMap::new(),
        }
    }
}

/// A host call that is about to happen, for a [`World::before_each_host_call`] hook.
#[derive(Clone, Copy, Debug)]
pub struct HostCall<'a> {
    /// The VM.
    pub vm: &'a str,
    /// The callback.
    pub callback: &'static str,
    /// The import, such as `proxy_get_shared_data`.
    pub name: &'static str,
    /// The key, for shared data.
    pub key: Option<&'a [u8]>,
}

/// The decision of a hook about a host call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Let it happen.
    Proceed,
    /// Kill the VM here.
    Trap,
}

/// A hook before each host call.
pub type Hook = Arc<dyn Fn(&HostCall<'_>) -> Step + Send + Sync>;

/// One module and the state that its VMs share. Each part has its own lock, and no lock is taken while another is held.
pub struct World {
    /// The compiled module.
    pub(crate) module: Module,
    /// The configuration. Only the clusters change later.
    pub(crate) config: WorldConfig,
    /// Shared data.
    pub shared: SharedData,
    /// Shared queues.
    pub queues: Queues,
    /// Metrics that the module defined.
    pub metrics: Metrics,
    /// Log lines.
    pub log: Log,
    /// The wall clock that the module sees.
    pub clock: Clock,
    clusters: RwLock<BTreeMap<String, Vec<SocketAddr>>>,
    traps: Mutex<Vec<Trap>>,
    counts: Mutex<Vec<(String, Arc<Mutex<Counts>>)>>,
    hook: RwLock<Option<Hook>>,
    active_requests: AtomicUsize,
}

impl World {
    /// Loads the module at `path`, compiled once per process.
    ///
    /// # Errors
    /// If the file cannot be read or is not a module.
    pub fn load(path: &Path, config: WorldConfig) -> wasmtime::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            module: compiled(path)?,
            log: Log::new(config.log_level),
            clusters: RwLock::new(config.clusters.clone()),
            config,
            shared: SharedData::default(),
            queues: Queues::default(),
            metrics: Metrics::default(),
            clock: Clock::default(),
            traps: Mutex::default(),
            counts: Mutex::default(),
            hook: RwLock::default(),
            active_requests: AtomicUsize::new(0),
        }))
    }

    /// Every trap so far, in order.
    #[must_use]
    pub fn traps(&self) -> Vec<Trap> {
        locked(&self.traps).clone()
    }

    /// The counts of each VM so far, dead ones included, in the order of their creation. Names repeat after a reload.
    #[must_use]
    pub fn counts(&self) -> Vec<(String, Counts)> {
        locked(&self.counts)
            .iter()
            .map(|(vm, counts)| (vm.clone(), locked(counts).clone()))
            .collect()
    }

    /// Calls `hook` before each host call of every callback that starts from now on. It runs on the VM's thread without
    /// any lock, so it may wait for another VM, or drive one.
    pub fn before_each_host_call(
        &self,
        hook: impl Fn(&HostCall<'_>) -> Step + Send + Sync + 'static,
    ) {
        *self.hook.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(hook));
    }

    /// Removes the hook.
    pub fn unhook(&self) {
        *self.hook.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The addresses of a cluster; `None` if there is no such cluster.
    #[must_use]
    pub fn cluster(&self, name: &str) -> Option<Vec<SocketAddr>> {
        self.clusters.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Gives a cluster other addresses, or creates it.
    pub fn move_cluster(&self, name: &str, addresses: Vec<SocketAddr>) {
        let mut clusters = self.clusters.write().unwrap_or_else(PoisonError::into_inner);
        clusters.insert(name.to_owned(), addresses);
    }

    /// The number of requests that began and have not been logged.
    #[must_use]
    pub fn active_requests(&self) -> usize {
        self.active_requests.load(Ordering::SeqCst)
    }

    pub(crate) fn request_began(&self) {
        self.active_requests.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn request_logged(&self) {
        self.active_requests.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn hook(&self) -> Option<Hook> {
        self.hook.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn record_trap(&self, trap: Trap) {
        self.log.host(Level::Error, &trap.to_string());
        locked(&self.traps).push(trap);
    }

    pub(crate) fn register_counts(&self, vm: &str, counts: &Arc<Mutex<Counts>>) {
        locked(&self.counts).push((vm.to_owned(), Arc::clone(counts)));
    }
}

/// Locks a mutex. A test that panicked with the lock has already failed; other threads may continue.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One engine per process: a module of one engine cannot run in another.
fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut config = Config::new();
        config.consume_fuel(true);
        Engine::new(&config).expect("wasmtime supports this machine")
    })
}

fn compiled(path: &Path) -> wasmtime::Result<Module> {
    static MODULES: OnceLock<Mutex<HashMap<PathBuf, Module>>> = OnceLock::new();
    let mut modules = locked(MODULES.get_or_init(Mutex::default));
    if let Some(module) = modules.get(path) {
        return Ok(module.clone());
    }
    let module = Module::from_file(engine(), path)?;
    modules.insert(path.to_owned(), module.clone());
    Ok(module)
}
