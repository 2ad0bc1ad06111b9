//! One VM: an instance of the module, driven callback by callback.
//!
//! It does no I/O and does not wait. The requests of a callback are returned by [`Vm::effects`], and the answers of the
//! outside are passed in by another callback. A callback that traps returns an error; then the VM is dead, and every
//! call returns the same error.
//!
//! The order of events is Envoy's (proxy-wasm-cpp-host, `src/context.cc` and `src/wasm.cc`).

mod calls;
mod counts;
mod effect;
mod exchange;
mod general;
mod guest;
mod headers;
mod imports;
mod maps;
mod property;
mod shared;
mod state;
mod streams;
pub(crate) mod wasi;

pub use counts::{CallbackCounts, Counts, HostCallCounts};
pub use effect::{CallAnswer, Direction, Effect, HttpCall, LocalReply};
pub use exchange::{Connection, Exchange, Facts, SharedExchange};
pub use headers::Headers;
pub use state::Plugin;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use wasmtime::{Func, Instance, Store, Val};

use crate::trap::Trap;
use crate::world::{World, locked};
use state::{Access, Context, State};

/// The id of a context within its VM; never 0.
pub type ContextId = u32;

/// The decision of a callback about the message that it saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Pass it on.
    Continue,
    /// Hold it.
    Pause,
}

/// The reason why a plugin does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginError {
    /// `on_vm_start` returned false.
    NotStarted,
    /// `on_configure` returned false.
    NotConfigured,
    /// A callback trapped.
    Trapped(Trap),
}

impl From<Trap> for PluginError {
    fn from(trap: Trap) -> Self {
        Self::Trapped(trap)
    }
}

/// An instance of the world's module. It may be sent to another thread.
pub struct Vm {
    store: Store<State>,
    exports: HashMap<&'static str, Func>,
    counts: Arc<Mutex<Counts>>,
    next_context: ContextId,
    dead: Option<Trap>,
}

/// All callbacks of this host.
const CALLBACKS: [&str; 15] = [
    "_initialize",
    "proxy_on_context_create",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_queue_ready",
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_response_body",
    "proxy_on_response_trailers",
    "proxy_on_http_call_response",
    "proxy_on_log",
    "proxy_on_done",
];
const ON_DELETE: &str = "proxy_on_delete";

impl Vm {
    /// A new, initialised instance. Its log lines, traps and counts carry `name`.
    ///
    /// # Errors
    /// If it traps during its creation.
    pub fn new(world: &Arc<World>, name: &str) -> Result<Self, Trap> {
        let mut store = Store::new(world.module.engine(), State::new(Arc::clone(world), name));
        let counts = Arc::default();
        world.register_counts(name, &counts);
        let made = instantiate(world, &mut store);
        let mut vm = Self { store, exports: HashMap::new(), counts, next_context: 1, dead: None };
        match made {
            Ok(instance) => vm.bind(instance),
            Err(error) => return Err(vm.die("_instantiate", &error)),
        }
        vm.run(0, "_initialize", &[])?;
        Ok(vm)
    }

    /// The trap that killed it.
    #[must_use]
    pub fn trap(&self) -> Option<&Trap> {
        self.dead.as_ref()
    }

    /// Its counts so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        locked(&self.counts).clone()
    }

    /// True if the module exports this callback. Others are skipped.
    #[must_use]
    pub fn exports(&self, callback: &str) -> bool {
        self.exports.contains_key(callback)
    }

    /// Bytes of linear memory, which never shrinks.
    #[must_use]
    pub fn memory_size(&self) -> usize {
        self.store.data().memory.map_or(0, |memory| memory.data_size(&self.store))
    }

    /// The requests of callbacks since the last call.
    pub fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.store.data_mut().effects)
    }

    /// Creates, starts and configures a root context.
    ///
    /// # Errors
    /// If the module refuses the plugin, or traps.
    pub fn add_plugin(&mut self, plugin: &Arc<Plugin>) -> Result<ContextId, PluginError> {
        let root = self.create_root(plugin)?;
        if !self.start(root)? {
            return Err(PluginError::NotStarted);
        }
        if !self.configure(root)? {
            return Err(PluginError::NotConfigured);
        }
        Ok(root)
    }

    /// Creates a root context.
    ///
    /// # Errors
    /// The trap.
    pub fn create_root(&mut self, plugin: &Arc<Plugin>) -> Result<ContextId, Trap> {
        let root = self.new_context(None, Arc::clone(plugin), None);
        self.run(root, "proxy_on_context_create", &[root, 0])?;
        Ok(root)
    }

    /// `on_vm_start`; true if the module does not export it.
    ///
    /// # Errors
    /// The trap.
    pub fn start(&mut self, root: ContextId) -> Result<bool, Trap> {
        let size = length(self.store.data().world.config.vm_configuration.len());
        Ok(self.run(root, "proxy_on_vm_start", &[root, size])? != Some(0))
    }

    /// `on_configure`; true if the module does not export it.
    ///
    /// # Errors
    /// The trap.
    pub fn configure(&mut self, root: ContextId) -> Result<bool, Trap> {
        let configuration = self.context(root).map(|root| root.plugin.configuration.len());
        let size = length(configuration.unwrap_or_default());
        self.access(root, |access| access.configuring = true);
        let configured = self.run(root, "proxy_on_configure", &[root, size]);
        self.access(root, |access| access.configuring = false);
        Ok(configured? != Some(0))
    }

    /// `on_tick`.
    ///
    /// # Errors
    /// The trap.
    pub fn tick(&mut self, root: ContextId) -> Result<(), Trap> {
        self.run(root, "proxy_on_tick", &[root]).map(drop)
    }

    /// `on_queue_ready`.
    ///
    /// # Errors
    /// The trap.
    pub fn queue_ready(&mut self, root: ContextId, queue: u32) -> Result<(), Trap> {
        self.run(root, "proxy_on_queue_ready", &[root, queue]).map(drop)
    }

    /// `on_http_call_response`. Without an answer, the module sees no headers: the answer was truncated or too large.
    ///
    /// # Errors
    /// The trap.
    pub fn http_call_response(
        &mut self,
        call: (ContextId, u32),
        answer: Option<CallAnswer>,
    ) -> Result<(), Trap> {
        let (root, token) = call;
        let sizes = answer.as_ref().map_or([0; 3], |answer| {
            [answer.headers.len(), answer.body.len(), answer.trailers.len()].map(length)
        });
        let [headers, body, trailers] = sizes;
        self.store.data_mut().answer = answer;
        let run =
            self.run(root, "proxy_on_http_call_response", &[root, token, headers, body, trailers]);
        self.store.data_mut().answer = None;
        run.map(drop)
    }

    /// Ends a root. Returns false if the root postpones its end: an [`Effect::Done`] follows, then the caller calls
    /// [`Vm::delete`].
    ///
    /// # Errors
    /// The trap.
    pub fn end_root(&mut self, root: ContextId) -> Result<bool, Trap> {
        if self.run(root, "proxy_on_done", &[root])? == Some(0) {
            self.store.data_mut().ending.insert(root);
            return Ok(false);
        }
        self.delete(root)?;
        Ok(true)
    }

    /// `on_delete`.
    ///
    /// # Errors
    /// The trap.
    pub fn delete(&mut self, context: ContextId) -> Result<(), Trap> {
        let deleted = self.run(context, ON_DELETE, &[context]);
        self.store.data_mut().contexts.remove(&context);
        deleted.map(drop)
    }

    fn bind(&mut self, instance: Instance) {
        let names = CALLBACKS.iter().chain([&ON_DELETE]);
        for name in names.copied() {
            if let Some(callback) = instance.get_func(&mut self.store, name) {
                self.exports.insert(name, callback);
            }
        }
    }

    fn new_context(
        &mut self,
        root: Option<ContextId>,
        plugin: Arc<Plugin>,
        exchange: Option<SharedExchange>,
    ) -> ContextId {
        let id = self.next_context;
        self.next_context += 1;
        let root = root.unwrap_or(id);
        let context = Context { root, plugin, exchange, access: Access::default() };
        self.store.data_mut().contexts.insert(id, context);
        id
    }

    /// Runs a callback. Returns `None` if the module does not export it or it returns nothing.
    fn run(
        &mut self,
        context: ContextId,
        callback: &'static str,
        arguments: &[u32],
    ) -> Result<Option<u32>, Trap> {
        if let Some(trap) = &self.dead {
            return Err(trap.clone());
        }
        self.store.data_mut().enter(callback, context);
        let Some(function) = self.exports.get(callback).copied() else { return Ok(None) };
        let arguments: Vec<Val> =
            arguments.iter().map(|&value| Val::I32(value.cast_signed())).collect();
        let mut results = vec![Val::I32(0); function.ty(&self.store).results().len()];
        let limit = self.store.data().world.config.fuel;
        let outcome = self
            .store
            .set_fuel(limit)
            .and_then(|()| function.call(&mut self.store, &arguments, &mut results));
        self.count(limit);
        match outcome {
            Ok(()) => Ok(results.first().and_then(Val::i32).map(i32::cast_unsigned)),
            Err(error) => Err(self.die(callback, &error)),
        }
    }

    fn count(&mut self, limit: u64) {
        let left = self.store.get_fuel().unwrap_or_default();
        let run = &mut self.store.data_mut().run;
        let mut counts = std::mem::take(&mut run.counts);
        counts.runs = 1;
        counts.fuel = limit - left;
        *locked(&self.counts).callbacks.entry(run.callback).or_default() += counts;
    }

    fn die(&mut self, callback: &'static str, error: &wasmtime::Error) -> Trap {
        let state = self.store.data_mut();
        let stderr = std::mem::take(&mut state.run.stderr);
        let message = format!("{stderr}{}", error.root_cause());
        let trap = Trap { vm: state.vm.clone(), callback, message };
        state.world.record_trap(trap.clone());
        // The requests of a failed callback are dropped, as in Envoy.
        state.effects.clear();
        self.dead = Some(trap.clone());
        trap
    }

    fn context(&self, context: ContextId) -> Option<&Context> {
        self.store.data().contexts.get(&context)
    }

    fn access(&mut self, context: ContextId, change: impl FnOnce(&mut Access)) {
        if let Some(context) = self.store.data_mut().contexts.get_mut(&context) {
            change(&mut context.access);
        }
    }
}

fn instantiate(world: &World, store: &mut Store<State>) -> wasmtime::Result<Instance> {
    store.set_fuel(world.config.fuel)?;
    let instance = imports::linker(&world.module)?.instantiate(&mut *store, &world.module)?;
    let memory = instance.get_memory(&mut *store, "memory");
    let allocate = ["proxy_on_memory_allocate", "malloc"]
        .into_iter()
        .find_map(|name| instance.get_typed_func(&mut *store, name).ok());
    let state = store.data_mut();
    state.memory = memory;
    state.allocate = allocate;
    Ok(instance)
}

fn length(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}
