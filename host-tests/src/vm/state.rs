//! The state of the VM that host calls read and write.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Memory, TypedFunc};

use super::counts::CallbackCounts;
use super::{CallAnswer, ContextId, Effect, SharedExchange};
use crate::world::{Hook, HostCall, Step, World};

/// A plugin as one listener names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    /// Its name in Envoy.
    pub name: String,
    /// The id of its root context in the module.
    pub root_id: String,
    /// The configuration that `on_configure` reads.
    pub configuration: Vec<u8>,
}

/// The data of a wasmtime store.
pub(crate) struct State {
    pub(crate) world: Arc<World>,
    pub(crate) vm: String,
    pub(crate) memory: Option<Memory>,
    pub(crate) allocate: Option<TypedFunc<u32, u32>>,
    pub(crate) contexts: HashMap<ContextId, Context>,
    pub(crate) effects: Vec<Effect>,
    /// The answer that `on_http_call_response` may read now.
    pub(crate) answer: Option<CallAnswer>,
    pub(crate) next_token: u32,
    /// Roots that postponed their end in `on_done`.
    pub(crate) ending: HashSet<ContextId>,
    pub(crate) run: Run,
    born: std::time::Instant,
    /// The last time of the monotonic clock.
    last_seen: Cell<Duration>,
}

/// The callback that is running.
#[derive(Default)]
pub(crate) struct Run {
    pub(crate) callback: &'static str,
    pub(crate) context: ContextId,
    /// A local reply was made: the stream does not continue after this callback.
    pub(crate) replied: bool,
    pub(crate) stderr: String,
    pub(crate) counts: CallbackCounts,
    hook: Option<Hook>,
}

/// A root or stream context.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) root: ContextId,
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) exchange: Option<SharedExchange>,
    pub(crate) access: Access,
}

/// The parts of the exchange that a context may access now (Envoy's `Context` sets these pointers before a callback,
/// and clears them when the filter lets the message through).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) request_headers: bool,
    pub(crate) request_body: bool,
    pub(crate) request_trailers: bool,
    pub(crate) response_headers: bool,
    pub(crate) response_body: bool,
    pub(crate) response_trailers: bool,
    /// In `on_log`: all headers may be read, none written.
    pub(crate) logging: bool,
    /// In `on_configure`: the plugin's configuration may be read.
    pub(crate) configuring: bool,
}

impl State {
    pub(crate) fn new(world: Arc<World>, vm: &str) -> Self {
        Self {
            world,
            vm: vm.to_owned(),
            memory: None,
            allocate: None,
            contexts: HashMap::new(),
            effects: Vec::new(),
            answer: None,
            next_token: 0,
            ending: HashSet::new(),
            run: Run::default(),
            born: std::time::Instant::now(),
            last_seen: Cell::default(),
        }
    }

    pub(crate) fn enter(&mut self, callback: &'static str, context: ContextId) {
        let hook = self.world.hook();
        self.run = Run { callback, context, hook, ..Run::default() };
    }

    /// The context of host calls: the callback's, or the one that the module chose.
    pub(crate) fn context(&self) -> Option<&Context> {
        self.contexts.get(&self.run.context)
    }

    pub(crate) fn context_mut(&mut self) -> Option<&mut Context> {
        self.contexts.get_mut(&self.run.context)
    }

    pub(crate) fn root_id(&self) -> ContextId {
        self.context().map_or(self.run.context, |context| context.root)
    }

    /// A clock that never goes back, and stops while the wall clock is stopped: then a callback does the same in every
    /// run.
    pub(crate) fn monotonic(&self) -> Duration {
        if !self.world.clock.is_stopped() {
            self.last_seen.set(self.born.elapsed());
        }
        self.last_seen.get()
    }

    pub(crate) fn step(&self, name: &'static str, key: Option<&[u8]>) -> Step {
        let Some(hook) = &self.run.hook else { return Step::Proceed };
        hook(&HostCall { vm: &self.vm, callback: self.run.callback, name, key })
    }
}
