//! One thread's VM. Every event on that thread enters it, and its requests are carried out afterwards.
//!
//! Everything here runs on one OS thread, as in Envoy, so that callbacks of a VM never overlap.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::signals::{Signal, Signals};
use super::upstream::Upstreams;
use crate::trap::Trap;
use crate::vm::{ContextId, Effect, HttpCall, Plugin, PluginError, Vm};
use crate::world::{Level, World};

/// A thread with a VM.
pub(super) struct Worker {
    pub(super) world: Arc<World>,
    pub(super) upstreams: Upstreams,
    name: String,
    /// The shortest time between two reloads of a plugin after its VM died; `None` on the main thread, where a dead VM
    /// is not rebuilt.
    reload_backoff: Option<Duration>,
    life: RefCell<Option<Life>>,
    lives: Cell<u64>,
    loaded: RefCell<Vec<(Arc<Plugin>, Instant)>>,
    streams: RefCell<HashMap<ContextId, Rc<Signals>>>,
    ticks: RefCell<HashMap<ContextId, JoinHandle<()>>>,
}

/// A VM from its creation to its trap.
struct Life {
    vm: Vm,
    number: u64,
    roots: Vec<(Arc<Plugin>, ContextId)>,
}

/// A context, and the life of its VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    life: u64,
    pub(super) context: ContextId,
}

impl Place {
    /// Another context of the same life.
    pub(super) fn sibling(self, context: ContextId) -> Self {
        Self { context, ..self }
    }
}

/// The VM, or the VM of the context, is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dead;

impl Worker {
    pub(super) fn new(
        world: &Arc<World>,
        name: &str,
        reload_backoff: Option<Duration>,
    ) -> Rc<Self> {
        Rc::new(Self {
            world: Arc::clone(world),
            upstreams: Upstreams::new(world),
            name: name.to_owned(),
            reload_backoff,
            life: RefCell::default(),
            lives: Cell::new(0),
            loaded: RefCell::default(),
            streams: RefCell::default(),
            ticks: RefCell::default(),
        })
    }

    /// Creates the VM and adds all its plugins.
    pub(super) fn start(self: &Rc<Self>, plugins: &[Arc<Plugin>]) {
        for plugin in plugins {
            let _ = self.load(plugin);
        }
    }

    /// The root of a plugin in a living VM. A dead VM is rebuilt, but not more often than the backoff allows.
    pub(super) fn root(self: &Rc<Self>, plugin: &Arc<Plugin>) -> Result<Place, Dead> {
        if let Some(root) = self.known_root(plugin) {
            return Ok(root);
        }
        let backoff = self.reload_backoff.ok_or(Dead)?;
        let loaded = self.loaded.borrow();
        let last = loaded.iter().rev().find(|(have, _)| have == plugin).map(|(_, at)| *at);
        drop(loaded);
        if last.is_some_and(|last| last.elapsed() < backoff) {
            return Err(Dead);
        }
        self.load(plugin)
    }

    /// Enters the VM of `place`.
    pub(super) fn enter<T>(
        self: &Rc<Self>,
        place: Place,
        run: impl FnOnce(&mut Vm, ContextId) -> Result<T, Trap>,
    ) -> Result<T, Dead> {
        let (outcome, effects) = {
            let mut life = self.life.borrow_mut();
            let life = life.as_mut().filter(|life| life.number == place.life).ok_or(Dead)?;
            (run(&mut life.vm, place.context), life.vm.effects())
        };
        if outcome.is_err() {
            self.bury(place.life);
        }
        for effect in effects {
            self.settle(place.life, effect);
        }
        outcome.map_err(|_| Dead)
    }

    /// Registers a stream for the requests of callbacks.
    pub(super) fn watch(&self, place: Place, signals: &Rc<Signals>) {
        self.streams.borrow_mut().insert(place.context, Rc::clone(signals));
    }

    pub(super) fn forget(&self, place: Place) {
        if self.is_alive(place.life) {
            self.streams.borrow_mut().remove(&place.context);
        }
    }

    /// Ends all roots, as Envoy does when it ends.
    pub(super) fn stop(self: &Rc<Self>) {
        for (_, tick) in self.ticks.borrow_mut().drain() {
            tick.abort();
        }
        let roots = self.life.borrow().as_ref().map(|life| (life.number, life.roots.clone()));
        let (life, roots) = roots.unwrap_or_default();
        for (_, context) in roots {
            let _ = self.enter(Place { life, context }, Vm::end_root);
        }
    }

    pub(super) fn queue_ready(self: &Rc<Self>, queue: u32) {
        let roots = self.life.borrow().as_ref().map(|life| (life.number, life.roots.clone()));
        let (life, roots) = roots.unwrap_or_default();
        for (_, context) in roots {
            let _ = self.enter(Place { life, context }, |vm, root| vm.queue_ready(root, queue));
        }
    }

    fn known_root(&self, plugin: &Arc<Plugin>) -> Option<Place> {
        let life = self.life.borrow();
        let life = life.as_ref()?;
        let (_, context) = life.roots.iter().find(|(have, _)| have == plugin)?;
        Some(Place { life: life.number, context: *context })
    }

    fn load(self: &Rc<Self>, plugin: &Arc<Plugin>) -> Result<Place, Dead> {
        self.loaded.borrow_mut().retain(|(have, _)| have != plugin);
        self.loaded.borrow_mut().push((Arc::clone(plugin), Instant::now()));
        self.ensure_life()?;
        let (added, number, effects) = {
            let mut life = self.life.borrow_mut();
            let life = life.as_mut().ok_or(Dead)?;
            let added = life.vm.add_plugin(plugin);
            if let Ok(root) = &added {
                life.roots.push((Arc::clone(plugin), *root));
            }
            (added, life.number, life.vm.effects())
        };
        if let Err(PluginError::Trapped(_)) = &added {
            self.bury(number);
        }
        for effect in effects {
            self.settle(number, effect);
        }
        added.map(|context| Place { life: number, context }).map_err(|_| Dead)
    }

    fn ensure_life(&self) -> Result<(), Dead> {
        let mut life = self.life.borrow_mut();
        if life.is_none() {
            let vm = Vm::new(&self.world, &self.name).map_err(|_| Dead)?;
            self.lives.set(self.lives.get() + 1);
            *life = Some(Life { vm, number: self.lives.get(), roots: Vec::new() });
        }
        Ok(())
    }

    /// Stops the ticks of a dead VM and forgets its streams: a paused stream waits until the client leaves or its idle
    /// timeout.
    fn bury(&self, number: u64) {
        let mut life = self.life.borrow_mut();
        if life.as_ref().is_some_and(|life| life.number == number) {
            *life = None;
            self.streams.borrow_mut().clear();
            for (_, tick) in self.ticks.borrow_mut().drain() {
                tick.abort();
            }
            self.world.log.host(Level::Warn, &format!("the VM of {} is gone", self.name));
        }
    }

    fn is_alive(&self, number: u64) -> bool {
        self.life.borrow().as_ref().is_some_and(|life| life.number == number)
    }

    fn settle(self: &Rc<Self>, life: u64, effect: Effect) {
        match effect {
            Effect::Resume { context, direction } => {
                self.signal(context, Signal::Resume(direction));
            }
            Effect::Reply { context, reply } => self.signal(context, Signal::Reply(reply)),
            Effect::Reset { context } => self.signal(context, Signal::Reset),
            Effect::Call(call) => self.dispatch(life, call),
            Effect::TickPeriod { root, period } => {
                self.tick_every(Place { life, context: root }, period);
            }
            Effect::Enqueued { queue } => self.announce(queue),
            Effect::Done { root } => {
                let _ = self.enter(Place { life, context: root }, Vm::delete);
            }
        }
    }

    fn signal(&self, stream: ContextId, signal: Signal) {
        if let Some(signals) = self.streams.borrow().get(&stream) {
            signals.send(signal);
        }
    }

    fn dispatch(self: &Rc<Self>, life: u64, call: HttpCall) {
        let worker = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let answer = worker.upstreams.call(&call).await;
            let place = Place { life, context: call.root };
            let _ =
                worker.enter(place, |vm, root| vm.http_call_response((root, call.token), answer));
        });
    }

    /// The new period starts at once; the rest of the old one is dropped.
    fn tick_every(self: &Rc<Self>, root: Place, period: Duration) {
        let mut ticks = self.ticks.borrow_mut();
        if let Some(former) = ticks.remove(&root.context) {
            former.abort();
        }
        if period.is_zero() {
            return;
        }
        let worker = Rc::clone(self);
        let ticking = tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(period).await;
                if worker.enter(root, Vm::tick).is_err() {
                    return;
                }
            }
        });
        ticks.insert(root.context, ticking);
    }

    /// Only the VM that enqueued is notified; in Envoy it is the VM that registered the queue last.
    fn announce(self: &Rc<Self>, queue: u32) {
        let worker = Rc::clone(self);
        tokio::task::spawn_local(async move { worker.queue_ready(queue) });
    }
}
