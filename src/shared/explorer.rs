//! A model checker: runs [`Participant`] and [`Directory`] through every interleaving of a few VMs, with deaths at any step.
//!
//! It explores the code of the module itself. A step is one call to the host, with all that the VM computes up to the next
//! call. The code depends only on the host's answers, so it can be stopped at any call and resumed: the explorer runs the
//! same operation again from its start, with the recorded answers and one more. After that the host answers nothing, and
//! the result is discarded. A state that was visited before (the same shared data, VMs and recorded answers) is not
//! explored again.

use super::directory::Directory;
use super::membership::{Membership, SlotState};
use super::participant::{Counters, Participant};
use super::shard::{Entry, Shard};
use crate::host::fake::FakeHost;
use crate::host::{Call, CallId, Host, HostError, Level, Shared, Time, Write};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

mod scenarios;

/// An operation of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operation {
    /// A request ends.
    Count,
    Heartbeat,
    /// A scrape.
    Gather,
}

/// A fault of the host, to show that the explorer detects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Every compare-and-swap succeeds.
    SwapsBlindly,
    /// A gather does not notice that the directory changed in the meantime.
    GathersBlindly,
}

/// The operations of the VMs.
struct Scenario {
    /// The operations before, one after the other.
    before: Vec<(usize, Operation)>,
    programs: Vec<Vec<Operation>>,
    /// The VMs that make the first steps of the programs, in order.
    begun: Vec<usize>,
    fault: Fault,
    /// The number of VMs that may die, at any step.
    deaths: usize,
    /// The number of heartbeats that a VM may begin between two heartbeats of another live VM. With a patience of one
    /// heartbeat and one monitoring VM, the protocol allows one.
    ahead: usize,
    /// True if only counting twice is a violation.
    may_lose: bool,
}

/// The result of an exploration.
#[derive(Debug, Default)]
struct Explored {
    states: usize,
    /// The possible ends: the number of evictions, and the state of each slot.
    ends: HashSet<(u64, Vec<SlotState>)>,
    most_slots: usize,
}

/// A broken promise, and the VMs that made the steps up to it.
#[derive(Debug, PartialEq, Eq)]
enum Violation {
    /// A scrape shows less than was visible before it began.
    Lost { seen: u64, least: u64, steps: Vec<usize> },
    /// A scrape shows more than was ever counted.
    Doubled { seen: u64, most: u64, steps: Vec<usize> },
}

#[derive(Clone)]
struct World {
    data: Data,
    vms: Vec<Kept<Vm>>,
    /// The largest count that any scrape showed.
    shown: u64,
    deaths: usize,
    ahead: usize,
    may_lose: bool,
    steps: Vec<usize>,
}

/// A value that is shared between states, hashed once.
#[derive(Debug)]
struct Kept<T> {
    value: Rc<T>,
    hash: u64,
}

impl<T: Hash> Kept<T> {
    fn new(value: T) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Self { value: Rc::new(value), hash: hasher.finish() }
    }
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self { value: Rc::clone(&self.value), hash: self.hash }
    }
}

impl<T> Hash for Kept<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

#[derive(Clone, Hash)]
struct Vm {
    participant: Participant,
    shard: Shard,
    program: Vec<Operation>,
    /// The host's answers in the current operation.
    answers: Vec<Answer>,
    /// The requests that ended, and how many of them must be visible.
    counted: u64,
    visible: u64,
    /// The least count that the current scrape must show.
    least: u64,
    /// For each other VM, the heartbeats that this VM began since that VM's last one.
    ahead: Vec<usize>,
}

#[derive(Clone, Debug, Hash)]
enum Answer {
    Read(Option<Kept<(Vec<u8>, u32)>>),
    Written(bool),
}

const REQUESTS: u32 = 1;
/// Added to the number of a VM that dies, in the steps of a violation.
const DIES: usize = 100;

/// Shared data, as in Envoy.
type Data = BTreeMap<Rc<str>, Kept<(Vec<u8>, u32)>>;

/// A host that repeats the recorded answers of an operation, then answers once from shared data, then nothing more.
struct Replay<'a> {
    answers: RefCell<std::slice::Iter<'a, Answer>>,
    fresh: RefCell<Option<Answer>>,
    stopped: Cell<bool>,
    data: RefCell<&'a mut Data>,
    fault: Fault,
    operation: Operation,
}

impl Replay<'_> {
    fn answer(&self, ask: impl FnOnce(&mut Data) -> Answer) -> Option<Answer> {
        if let Some(answer) = self.answers.borrow_mut().next() {
            return Some(answer.clone());
        }
        if self.fresh.borrow().is_some() {
            self.stopped.set(true);
            return None;
        }
        let answer = ask(&mut self.data.borrow_mut());
        self.fresh.replace(Some(answer.clone()));
        Some(answer)
    }

    fn write(&self, data: &mut Data, key: &str, value: &[u8], how: Write) -> bool {
        let stored = data.get(key).map(|kept| kept.value.1);
        if let (Write::IfUnchanged(guard), Some(stored)) = (how, stored)
            && guard != stored
            && self.fault != Fault::SwapsBlindly
        {
            return false;
        }
        data.insert(key.into(), Kept::new((value.to_vec(), stored.unwrap_or(0) + 1)));
        true
    }
}

impl Host for Replay<'_> {
    fn shared(&self, key: &str) -> Option<Shared> {
        let answer = self.answer(|data| Answer::Read(data.get(key).cloned()));
        let Some(Answer::Read(Some(kept))) = answer else { return None };
        let (value, guard) = (*kept.value).clone();
        let blind = self.fault == Fault::GathersBlindly && self.operation == Operation::Gather;
        Some(Shared { value, guard: if blind { 1 } else { guard } })
    }

    fn share(&self, key: &str, value: &[u8], write: Write) -> Result<(), HostError> {
        match self.answer(|data| Answer::Written(self.write(data, key, value, write))) {
            Some(Answer::Written(true)) => Ok(()),
            _ => Err(HostError::Changed),
        }
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }

    fn now(&self) -> Time {
        panic!("the protocol must not depend on a clock")
    }

    fn log(&self, _: Level, _: &str) {}

    fn environment(&self, _: &str) -> Option<String> {
        None
    }

    fn request_header(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn request_headers(&self) -> Vec<(String, Vec<u8>)> {
        Vec::new()
    }

    fn property(&self, _: &[&str]) -> Option<Vec<u8>> {
        None
    }

    fn call(&self, _: &Call<'_>) -> Result<CallId, HostError> {
        Err(HostError::Refused)
    }
}

impl World {
    fn new(scenario: &Scenario) -> Self {
        let directory = Directory::new("s", 99);
        let host = FakeHost::default();
        directory.create(&host);
        let data = host.shared.into_inner().into_iter();
        let data = data.map(|(key, made)| (key.into(), Kept::new((made.value, made.guard))));
        let vms = scenario.programs.iter().zip(1..).map(|(program, owner)| {
            Kept::new(Vm {
                participant: Participant::new(directory.clone(), owner).with_patience(1),
                shard: Shard::default(),
                program: program.iter().rev().copied().collect(),
                answers: Vec::new(),
                counted: 0,
                visible: 0,
                least: 0,
                ahead: vec![0; scenario.programs.len()],
            })
        });
        let (data, vms) = (data.collect(), vms.collect());
        let Scenario { deaths, ahead, may_lose, .. } = *scenario;
        let mut world = Self { data, vms, shown: 0, deaths, ahead, may_lose, steps: Vec::new() };
        for &(vm, operation) in &scenario.before {
            world.change(vm, |vm| vm.program.push(operation));
            let end = world.vms[vm].value.program.len() - 1;
            while world.vms[vm].value.program.len() > end {
                world.step(vm, scenario.fault).expect("no violation without concurrency");
            }
        }
        for &vm in &scenario.begun {
            world.step(vm, scenario.fault).expect("no violation yet");
        }
        world
    }

    /// Every possible next state.
    fn successors(&self, fault: Fault) -> Result<Vec<Self>, Violation> {
        let mut successors = Vec::new();
        for vm in (0..self.vms.len()).filter(|&vm| !self.vms[vm].value.program.is_empty()) {
            if self.keeps_pace(vm) {
                let mut next = self.clone();
                next.step(vm, fault)?;
                successors.push(next);
            }
            if self.deaths > 0 && self.vms[vm].value.is_alive() {
                let mut next = self.clone();
                next.deaths -= 1;
                next.steps.push(DIES + vm);
                next.change(vm, |vm| (vm.program.clear(), vm.answers.clear()));
                successors.push(next);
            }
        }
        Ok(successors)
    }

    /// Returns true unless this VM is about to begin a heartbeat that would put it too far ahead of another live VM.
    fn keeps_pace(&self, at: usize) -> bool {
        let vm = &self.vms[at].value;
        let begins = vm.answers.is_empty() && vm.program.last() == Some(&Operation::Heartbeat);
        let mut others =
            self.vms.iter().zip(&vm.ahead).enumerate().filter(|(other, _)| *other != at);
        !begins
            || others
                .all(|(_, (other, ahead))| !other.value.can_be_suspected() || *ahead < self.ahead)
    }

    fn step(&mut self, at: usize, fault: Fault) -> Result<(), Violation> {
        self.steps.push(at);
        let visible = self.vms.iter().map(|vm| vm.value.visible).sum::<u64>().max(self.shown);
        let mut vm = (*self.vms[at].value).clone();
        let operation = *vm.program.last().expect("a program that is not finished");
        let acquires = vm.answers.is_empty() && !vm.participant.has_slot();
        if vm.answers.is_empty() {
            vm.begin(operation, visible);
        }
        let (mut participant, mut shard) = (vm.participant.clone(), vm.shard.clone());
        let replay = Replay {
            answers: RefCell::new(vm.answers.iter()),
            fresh: RefCell::new(None),
            stopped: Cell::new(false),
            data: RefCell::new(&mut self.data),
            fault,
            operation,
        };
        let seen = operation.run(&mut participant, &mut shard, &replay);
        let (fresh, stopped) = (replay.fresh.into_inner(), replay.stopped.get());
        vm.answers.extend(fresh);
        if !stopped {
            (vm.participant, vm.shard) = (participant, shard);
            vm.finish();
        }
        let least = vm.least;
        self.vms[at] = Kept::new(vm);
        if acquires || operation == Operation::Heartbeat && !stopped {
            (0..self.vms.len()).for_each(|other| self.change(other, |vm| vm.ahead[at] = 0));
        }
        if stopped {
            return Ok(());
        }
        seen.map_or(Ok(()), |seen| self.check(seen, least))
    }

    fn change<T>(&mut self, at: usize, change: impl FnOnce(&mut Vm) -> T) {
        let mut vm = (*self.vms[at].value).clone();
        change(&mut vm);
        self.vms[at] = Kept::new(vm);
    }

    fn check(&mut self, seen: u64, least: u64) -> Result<(), Violation> {
        let most = self.vms.iter().map(|vm| vm.value.counted).sum();
        let steps = self.steps.clone();
        if seen < least && !self.may_lose {
            return Err(Violation::Lost { seen, least, steps });
        }
        if seen > most {
            return Err(Violation::Doubled { seen, most, steps });
        }
        self.shown = self.shown.max(seen);
        Ok(())
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.data, &self.vms, self.shown, self.deaths).hash(&mut hasher);
        hasher.finish()
    }
}

impl Operation {
    /// Runs it; returns the count that a scrape shows.
    fn run(
        self,
        participant: &mut Participant,
        shard: &mut Shard,
        host: &Replay<'_>,
    ) -> Option<u64> {
        match self {
            Self::Count => {
                shard.add(REQUESTS, 1);
                participant.publish(host, shard);
                None
            }
            Self::Heartbeat => {
                let _ = participant.heartbeat(host, shard);
                None
            }
            Self::Gather => {
                let gathered = participant.gather(host, shard)?;
                let requests = gathered.sum.entries().find_map(|entry| match entry {
                    Entry::Series { key: REQUESTS, count } => Some(count),
                    _ => None,
                });
                Some(requests.unwrap_or(0))
            }
        }
    }
}

/// In this model a VM's counters are its shard alone.
impl Counters for Shard {
    fn shard(&self) -> &Shard {
        self
    }

    fn publish(&mut self, owner: u64, incarnation: u32, flags: u32) -> &[u8] {
        Self::publish(self, owner, incarnation, flags)
    }

    fn clear(&mut self) {
        Self::clear(self);
    }
}

impl Vm {
    fn begin(&mut self, operation: Operation, visible: u64) {
        match operation {
            Operation::Count => self.counted += 1,
            Operation::Heartbeat => self.ahead.iter_mut().for_each(|ahead| *ahead += 1),
            Operation::Gather => self.least = visible,
        }
    }

    fn finish(&mut self) {
        self.answers.clear();
        self.program.pop();
        if self.participant.has_slot() {
            self.visible = self.counted;
        }
    }

    /// Returns true if other VMs have to wait for it: it is alive, and has a slot or is acquiring one.
    fn can_be_suspected(&self) -> bool {
        self.is_alive() && (self.participant.has_slot() || !self.answers.is_empty())
    }

    /// Returns true if it still has an operation that other VMs can observe.
    fn is_alive(&self) -> bool {
        self.program.iter().any(|operation| *operation != Operation::Gather)
    }
}

/// Visits every state.
fn explore(scenario: &Scenario) -> Result<Explored, Violation> {
    let (mut visited, mut open) = (HashSet::new(), vec![World::new(scenario)]);
    let mut explored = Explored::default();
    while let Some(world) = open.pop() {
        let successors = world.successors(scenario.fault)?;
        if successors.is_empty() {
            explored.end(&world);
        }
        open.extend(successors.into_iter().filter(|next| visited.insert(next.fingerprint())));
    }
    explored.states = visited.len();
    Ok(explored)
}

impl Explored {
    fn end(&mut self, world: &World) {
        let (_, directory) = world.data.iter().find(|(key, _)| key.contains("directory")).unwrap();
        let membership = Membership::decode(&directory.value.0).unwrap();
        self.ends.insert((
            membership.takeovers,
            membership.slots.iter().map(|slot| slot.state).collect(),
        ));
        self.most_slots = self.most_slots.max(membership.slots.len());
    }
}
