//! Runs [`Participant`] and [`Directory`] through every interleaving of a few VMs, step by step, deaths at any step included.
//!
//! What is explored is the code that is shipped. A step is one call to the host and all that the VM computes up to its
//! next one. Since the code is deterministic in what the host answers, it can be stopped at any call and taken up again:
//! by running the same piece of work from its start, giving it the answers it had, and one more. From there on the host
//! answers nothing, and what comes of that is thrown away. States that were seen before (same shared data, same VMs,
//! same answers so far) are not entered twice.

use super::directory::Directory;
use super::membership::{Membership, SlotState};
use super::participant::Participant;
use super::shard::Shard;
use crate::host::fake::FakeHost;
use crate::host::{Call, CallId, Host, HostError, Level, Shared, Time, Write};
use crate::shared::codec::Entry;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

mod scenarios;

/// What a VM does, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Work {
    /// A request ends.
    Count,
    Beat,
    /// A scrape.
    Gather,
}

/// How the host, or the VMs' timing, is spoilt, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// Every compare-and-swap succeeds.
    SwapsBlindly,
    /// Who gathers does not see that the directory changed meanwhile.
    GathersBlindly,
}

/// What may happen.
struct Scenario {
    /// What the VMs did before, one after the other.
    before: Vec<(usize, Work)>,
    programs: Vec<Vec<Work>>,
    /// Whose steps the programs begin with.
    begun: Vec<usize>,
    flaw: Flaw,
    /// How many VMs may die, in the middle of whatever they do.
    deaths: usize,
    /// How many beats a VM may begin between two of another that lives. With a patience of one beat and one watcher, one
    /// is what the protocol allows.
    ahead: usize,
    /// Whether only doubling counts as going wrong.
    may_lose: bool,
}

/// What was met on the way.
#[derive(Debug, Default)]
struct Explored {
    states: usize,
    /// How it can end: take-overs so far, and the state of each slot.
    ends: HashSet<(u64, Vec<SlotState>)>,
    most_slots: usize,
}

/// What went wrong, and after which steps of which VM.
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
    /// The most that any scrape showed.
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
    program: Vec<Work>,
    /// What the host answered in the work at hand.
    answers: Vec<Answer>,
    /// Requests that ended, and how many of them must be visible.
    counted: u64,
    visible: u64,
    /// What the scrape at hand must show at least.
    least: u64,
    /// For each other VM, the beats that this one began since that one's last.
    ahead: Vec<usize>,
}

#[derive(Clone, Debug, Hash)]
enum Answer {
    Read(Option<Kept<(Vec<u8>, u32)>>),
    Written(bool),
}

const REQUESTS: u32 = 1;
/// In a violation's steps, added to the number of a VM that dies.
const DIES: usize = 100;

/// Shared data, as Envoy has it.
type Data = BTreeMap<Rc<str>, Kept<(Vec<u8>, u32)>>;

/// Answers a piece of work as before, then once from shared data, then nothing more.
struct Replay<'a> {
    answers: RefCell<std::slice::Iter<'a, Answer>>,
    fresh: RefCell<Option<Answer>>,
    stopped: Cell<bool>,
    data: RefCell<&'a mut Data>,
    flaw: Flaw,
    work: Work,
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
        let standing = data.get(key).map(|kept| kept.value.1);
        if let (Write::IfUnchanged(guard), Some(standing)) = (how, standing)
            && guard != standing
            && self.flaw != Flaw::SwapsBlindly
        {
            return false;
        }
        data.insert(key.into(), Kept::new((value.to_vec(), standing.unwrap_or(0) + 1)));
        true
    }
}

impl Host for Replay<'_> {
    fn shared(&self, key: &str) -> Option<Shared> {
        let answer = self.answer(|data| Answer::Read(data.get(key).cloned()));
        let Some(Answer::Read(Some(kept))) = answer else { return None };
        let (value, guard) = (*kept.value).clone();
        let blind = self.flaw == Flaw::GathersBlindly && self.work == Work::Gather;
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
        panic!("nothing here may depend on a clock")
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
        for &(vm, work) in &scenario.before {
            world.change(vm, |vm| vm.program.push(work));
            let end = world.vms[vm].value.program.len() - 1;
            while world.vms[vm].value.program.len() > end {
                world.step(vm, scenario.flaw).expect("nothing goes wrong one after the other");
            }
        }
        for &vm in &scenario.begun {
            world.step(vm, scenario.flaw).expect("nothing goes wrong yet");
        }
        world
    }

    /// Every state that can follow.
    fn successors(&self, flaw: Flaw) -> Result<Vec<Self>, Violation> {
        let mut successors = Vec::new();
        for vm in (0..self.vms.len()).filter(|&vm| !self.vms[vm].value.program.is_empty()) {
            if self.keeps_pace(vm) {
                let mut next = self.clone();
                next.step(vm, flaw)?;
                successors.push(next);
            }
            if self.deaths > 0 && self.vms[vm].value.lives() {
                let mut next = self.clone();
                next.deaths -= 1;
                next.steps.push(DIES + vm);
                next.change(vm, |vm| (vm.program.clear(), vm.answers.clear()));
                successors.push(next);
            }
        }
        Ok(successors)
    }

    /// Whether this VM, if it is to begin a beat, has let every other one that lives have its own meanwhile.
    fn keeps_pace(&self, at: usize) -> bool {
        let vm = &self.vms[at].value;
        let begins = vm.answers.is_empty() && vm.program.last() == Some(&Work::Beat);
        let mut others =
            self.vms.iter().zip(&vm.ahead).enumerate().filter(|(other, _)| *other != at);
        !begins
            || others.all(|(_, (other, ahead))| !other.value.can_be_silent() || *ahead < self.ahead)
    }

    fn step(&mut self, at: usize, flaw: Flaw) -> Result<(), Violation> {
        self.steps.push(at);
        let visible = self.vms.iter().map(|vm| vm.value.visible).sum::<u64>().max(self.shown);
        let mut vm = (*self.vms[at].value).clone();
        let work = *vm.program.last().expect("a program that is not at its end");
        let enters = vm.answers.is_empty() && !vm.participant.has_slot();
        if vm.answers.is_empty() {
            vm.begin(work, visible);
        }
        let (mut participant, mut shard) = (vm.participant.clone(), vm.shard.clone());
        let replay = Replay {
            answers: RefCell::new(vm.answers.iter()),
            fresh: RefCell::new(None),
            stopped: Cell::new(false),
            data: RefCell::new(&mut self.data),
            flaw,
            work,
        };
        let seen = work.run(&mut participant, &mut shard, &replay);
        let (fresh, stopped) = (replay.fresh.into_inner(), replay.stopped.get());
        vm.answers.extend(fresh);
        if !stopped {
            (vm.participant, vm.shard) = (participant, shard);
            vm.finish();
        }
        let least = vm.least;
        self.vms[at] = Kept::new(vm);
        if enters || work == Work::Beat && !stopped {
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

impl Work {
    /// Does it; what a scrape shows.
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
            Self::Beat => {
                let _ = participant.beat(host, shard);
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

impl Vm {
    fn begin(&mut self, work: Work, visible: u64) {
        match work {
            Work::Count => self.counted += 1,
            Work::Beat => self.ahead.iter_mut().for_each(|ahead| *ahead += 1),
            Work::Gather => self.least = visible,
        }
    }

    fn finish(&mut self) {
        self.answers.clear();
        self.program.pop();
        if self.participant.has_slot() {
            self.visible = self.counted;
        }
    }

    /// Whether others have to wait for it: it lives, and has a slot or is about to.
    fn can_be_silent(&self) -> bool {
        self.lives() && (self.participant.has_slot() || !self.answers.is_empty())
    }

    /// Whether it still has something to do that others see.
    fn lives(&self) -> bool {
        self.program.iter().any(|work| *work != Work::Gather)
    }
}

/// Enters every state.
fn explore(scenario: &Scenario) -> Result<Explored, Violation> {
    let (mut seen, mut open) = (HashSet::new(), vec![World::new(scenario)]);
    let mut explored = Explored::default();
    while let Some(world) = open.pop() {
        let successors = world.successors(scenario.flaw)?;
        if successors.is_empty() {
            explored.end(&world);
        }
        open.extend(successors.into_iter().filter(|next| seen.insert(next.fingerprint())));
    }
    explored.states = seen.len();
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
