//! VMs without sockets, driven on a stopped clock: they write at the same time, die at any host call, and get hostile
//! requests.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use awx_metrics_filter::limits;
use host_tests::tools;
use host_tests::trap::Trap;
use host_tests::vm::{ContextId, Effect, Exchange, Headers, Plugin, SharedExchange, Vm};
use host_tests::world::{HostCall, Step, World, WorldConfig};

use super::traffic::{KINDS, Kind, Sent};
use super::{STYLES, counting, requests};
use crate::stage::{TOKEN, sample};

/// The VMs, each on its own thread.
const VMS: usize = 8;

/// The number of times that the clock moves by a beat.
const ROUNDS: usize = 50;

/// The requests of each VM between two beats.
const REQUESTS_A_ROUND: usize = 500;

/// The requests of each VM.
const EACH: usize = ROUNDS * REQUESTS_A_ROUND;

/// The VMs that die, in each style.
const DEATHS: usize = 150;

/// The time at which the clock stops. It moves only when a test moves it.
const NOW: Duration = Duration::from_secs(1_700_000_000);

/// A VM as a worker has it: the filter, and the access logger if that counts.
struct Worker {
    vm: Vm,
    filter: ContextId,
    logger: Option<ContextId>,
}

impl Worker {
    fn start(world: &Arc<World>, name: &str, by: &str) -> Result<Self, Trap> {
        let mut vm = Vm::new(world, name)?;
        let mut root = |root_id: &str| {
            let configuration = counting(by).to_string().into_bytes();
            let plugin = Plugin { name: root_id.into(), root_id: root_id.into(), configuration };
            vm.add_plugin(&Arc::new(plugin)).unwrap()
        };
        let filter = root("awx_metrics");
        let logger = (by == "access_log").then(|| root("awx_metrics_log"));
        Ok(Self { vm, filter, logger })
    }

    fn tick(&mut self) -> Result<(), Trap> {
        self.vm.tick(self.filter)?;
        self.logger.map_or(Ok(()), |logger| self.vm.tick(logger))
    }

    /// Serves a request of this kind. Returns the page if it was a scrape.
    fn serve(&mut self, kind: &Kind) -> Result<Option<String>, Trap> {
        let enters = self.logger.is_none() || kind.resource == "metrics";
        self.pass(&exchange(kind), kind.code, enters)
    }

    /// Serves a request, from its headers to its `on_log`. It passes the filter only if `enters`.
    fn pass(
        &mut self,
        exchange: &SharedExchange,
        code: u16,
        enters: bool,
    ) -> Result<Option<String>, Trap> {
        let stream = match enters {
            true => Some(self.vm.open(self.filter, exchange)?),
            false => None,
        };
        if let Some(stream) = stream {
            self.vm.request_headers(stream, true)?;
        }
        let page = self.vm.effects().into_iter().find_map(reply);
        let mut ended = exchange.lock().unwrap();
        ended.facts.code = Some(code);
        ended.facts.duration = Some(Duration::from_millis(3));
        drop(ended);
        if let Some(stream) = stream {
            self.vm.log(stream)?;
            self.vm.close(stream)?;
        }
        if let Some(logger) = self.logger {
            self.vm.log_at_root(logger, exchange)?;
        }
        Ok(page)
    }

    fn page(&mut self) -> String {
        let scrape = KINDS.iter().find(|kind| kind.known && kind.code == 200).unwrap();
        self.serve(scrape).unwrap().expect("a page")
    }
}

fn exchange(kind: &Kind) -> SharedExchange {
    let mut headers = Headers::from_iter([
        (":method", kind.method),
        (":path", kind.path),
        (":authority", "gateway"),
    ]);
    if kind.known {
        headers.add("authorization", format!("Bearer {TOKEN}"));
    }
    Exchange::of(headers)
}

fn reply(effect: Effect) -> Option<String> {
    match effect {
        Effect::Reply { reply, .. } => Some(String::from_utf8(reply.body).unwrap()),
        _ => None,
    }
}

fn world(by: &str) -> Arc<World> {
    let world = World::load(&tools::module(), WorldConfig::default()).unwrap();
    world.clock.stop_at(NOW);
    // Envoy starts a canary VM before all others.
    Worker::start(&world, "canary", by).unwrap();
    world
}

/// Makes VMs write at the same time: a VM that is about to write waits for another one, unless no other can come.
#[derive(Default)]
struct Rendezvous {
    state: Mutex<Meeting>,
    changed: Condvar,
}

#[derive(Default)]
struct Meeting {
    /// VMs that serve requests, the waiting one included.
    serving: usize,
    /// True while one of them waits for another.
    is_one_waiting: bool,
    pairs: usize,
}

impl Rendezvous {
    fn enter(&self) {
        self.state.lock().unwrap().serving += 1;
    }

    fn leave(&self) {
        self.state.lock().unwrap().serving -= 1;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let mut meeting = self.state.lock().unwrap();
        if std::mem::take(&mut meeting.is_one_waiting) {
            meeting.pairs += 1;
            self.changed.notify_all();
            return;
        }
        meeting.is_one_waiting = true;
        let pairs = meeting.pairs;
        let goes_on = |meeting: &mut Meeting| meeting.pairs == pairs && meeting.serving > 1;
        let mut meeting = self.changed.wait_while(meeting, goes_on).unwrap();
        if meeting.pairs == pairs {
            meeting.is_one_waiting = false;
        }
    }

    fn pairs(&self) -> usize {
        self.state.lock().unwrap().pairs
    }
}

/// State that the threads share.
struct Crowd {
    world: Arc<World>,
    /// Where all VMs wait before each round.
    round: Barrier,
    /// Where VMs wait for each other before they write their shards.
    shards: Rendezvous,
    /// The VMs that have written the directory; they do it for the first time all at once.
    entered: Mutex<BTreeSet<String>>,
    entering: Barrier,
}

impl Crowd {
    fn start(by: &str) -> Arc<Self> {
        let crowd = Arc::new(Self {
            world: world(by),
            round: Barrier::new(VMS),
            shards: Rendezvous::default(),
            entered: Mutex::default(),
            entering: Barrier::new(VMS),
        });
        let waiting = Arc::downgrade(&crowd);
        crowd.world.before_each_host_call(move |call| {
            if let Some(crowd) = waiting.upgrade() {
                crowd.wait_before(call);
            }
            Step::Proceed
        });
        crowd
    }

    fn wait_before(&self, call: &HostCall<'_>) {
        if is_write(call, "/shard/") {
            self.shards.wait();
        } else if is_write(call, "/directory/")
            && self.entered.lock().unwrap().insert(call.vm.to_owned())
        {
            self.entering.wait();
        }
    }

    /// Serves a round of requests while the other VMs do the same. Between rounds the clock moves by one beat.
    fn serve_round(&self, worker: &mut Worker, numbers: Range<usize>, sent: &mut Sent) {
        self.shards.enter();
        self.round.wait();
        worker.tick().unwrap();
        for number in numbers {
            let kind = &KINDS[number % KINDS.len()];
            worker.serve(kind).unwrap();
            sent.count(kind, 1);
        }
        self.shards.leave();
        if self.round.wait().is_leader() {
            self.world.clock.advance(limits::HEARTBEAT);
        }
    }
}

fn is_write(call: &HostCall<'_>, part: &str) -> bool {
    let key = call.key.unwrap_or_default();
    call.name == "proxy_set_shared_data" && key.windows(part.len()).any(|at| at == part.as_bytes())
}

fn counts_to_the_last_while_writers_meet(by: &'static str) {
    let crowd = Crowd::start(by);
    let threads = (0..VMS).map(|place| {
        let crowd = Arc::clone(&crowd);
        thread::spawn(move || {
            let name = format!("worker-{place}");
            let mut worker = Worker::start(&crowd.world, &name, by).unwrap();
            let mut sent = Sent::default();
            for round in 0..ROUNDS {
                // Each kind in turn; each VM begins with another one.
                let first = place + round * REQUESTS_A_ROUND;
                crowd.serve_round(&mut worker, first..first + REQUESTS_A_ROUND, &mut sent);
            }
            (worker, sent)
        })
    });
    let threads: Vec<_> = threads.collect();
    let (mut workers, mut all) = (Vec::new(), Sent::default());
    for thread in threads {
        let (worker, sent) = thread.join().unwrap();
        workers.push(worker);
        all = all.and(sent);
    }
    crowd.world.unhook();
    let page = workers[0].page();
    all.assert_counted(&page);
    assert_eq!(sample(&page, "awx_gateway_workers", &[]), Some(VMS as f64));
    assert_eq!(all.total(), (VMS * EACH) as u64);
    assert_eq!(crowd.entered.lock().unwrap().len(), VMS);
    // Each request writes a shard. Only the last VM of a round writes without another.
    let pairs = crowd.shards.pairs();
    assert!(pairs >= (VMS - 1) * EACH / 2, "{by}: {pairs} pairs");
    assert_eq!(crowd.world.traps(), []);
}

#[test]
fn eight_vms_that_write_at_the_same_time_lose_no_request_by_filter() {
    counts_to_the_last_while_writers_meet("filter");
}

#[test]
fn eight_vms_that_write_at_the_same_time_lose_no_request_by_access_log() {
    counts_to_the_last_while_writers_meet("access_log");
}

/// Kills the VM `mortal` at each host call in turn. Each successor goes on from what the last one left.
#[test]
fn a_vm_that_dies_at_any_host_call_loses_nothing_that_a_page_has_shown() {
    for by in STYLES {
        let world = world(by);
        let mut watcher = Worker::start(&world, "watcher", by).unwrap();
        let mut last = requests(&watcher.page());
        let mut complete = 1;
        for deaths in 0..DEATHS {
            complete += serve_until_death(&world, by, deaths % 50);
            world.clock.advance(Duration::from_secs(2));
            watcher.tick().unwrap();
            let now = requests(&watcher.page());
            for (series, count) in &last {
                assert!(now.get(series) >= Some(count), "{by}: {series:?} went down at {deaths}");
            }
            // Every complete request is on the page. The request that a death interrupts may be there or not.
            let counted: u64 = now.values().sum();
            assert!(
                (complete..=complete + deaths as u64 + 1).contains(&counted),
                "{counted}, not {complete}"
            );
            complete += 1;
            last = now;
        }
        assert_eq!(world.traps().len(), DEATHS);
        assert_bounded(&world, &mut watcher, DEATHS);
    }
}

/// Serves requests other than scrapes in a VM that dies after this many host calls. Returns how many were complete.
fn serve_until_death(world: &Arc<World>, by: &str, host_calls: usize) -> u64 {
    let mut worker = Worker::start(world, "mortal", by).unwrap();
    let left = AtomicUsize::new(host_calls);
    world.before_each_host_call(move |call| {
        let one_less = |left: usize| left.checked_sub(1);
        let dies = call.vm == "mortal"
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_err();
        if dies { Step::Trap } else { Step::Proceed }
    });
    let served = KINDS[..27].iter().cycle().map_while(|kind| worker.serve(kind).ok());
    let served = served.count() as u64;
    world.unhook();
    served
}

/// Checks that the slots of dead VMs are free after the patience of the others: the number of keys is bounded.
fn assert_bounded(world: &World, watcher: &mut Worker, deaths: usize) {
    let deaths = deaths as f64;
    for _ in 0..40 {
        world.clock.advance(Duration::from_secs(2));
        watcher.tick().unwrap();
    }
    let page = watcher.page();
    let takeovers = sample(&page, "awx_gateway_vm_takeovers_total", &[]).unwrap();
    let is_shard = |key: &&Vec<u8>| key.windows(7).any(|at| at == b"/shard/");
    let shards = world.shared.sizes().keys().filter(is_shard).count();
    assert!(takeovers >= deaths * 0.8 && takeovers <= deaths, "{takeovers}");
    // A slot has two keys. At most this many VMs die while the others are still patient, which is ten beats.
    assert!(shards <= 2 * 16, "{shards}");
    assert_eq!(sample(&page, "awx_gateway_workers", &[]), Some(1.0));
}

/// Requests, no two alike.
const HOSTILE: u64 = 100_000;

#[test]
fn hostile_paths_methods_and_codes_grow_nothing_and_all_are_counted() {
    for by in STYLES {
        let world = world(by);
        let mut worker = Worker::start(&world, "worker-0", by).unwrap();
        let mut memory = 0;
        let all: Vec<_> =
            RESOURCES.iter().flat_map(|of| METHODS.map(|method| (*of, method))).collect();
        for number in 0..HOSTILE {
            let (resource, method) = all[number as usize % all.len()];
            let method = if method.is_empty() { format!("M{number}") } else { method.to_owned() };
            let path = format!("/api/v2/{resource}{number}/%ff\u{1f4a5}?{number}");
            let headers = [(":method", method.as_str()), (":path", &path), (":authority", "a")];
            let code = u16::try_from(number / all.len() as u64 % 65_536).unwrap();
            worker.pass(&Exchange::of(Headers::from_iter(headers)), code, by == "filter").unwrap();
            if number == HOSTILE / 10 {
                // The second page shows the series of the first scrape, and is made while the first page is still cached.
                worker.page();
                worker.page();
                memory = worker.vm.memory_size();
            }
        }
        let page = worker.page();
        let counted = requests(&page);
        let overflowed = sample(&page, "awx_gateway_overflowed_requests_total", &[]).unwrap();
        assert!(counted.len() <= 500, "{} series", counted.len());
        assert!(overflowed > 0.0);
        // Two scrapes in between.
        let sum = counted.values().sum::<u64>() as f64 + overflowed;
        assert!((sum - (HOSTILE + 2) as f64).abs() < 0.5, "{sum}");
        assert_eq!(worker.vm.memory_size(), memory);
        let largest = world.shared.sizes().into_values().max().unwrap();
        assert!(largest <= 16 * 1024, "{largest}");
    }
}

/// The beginnings of hostile paths: known resources, and unknown ones.
const RESOURCES: [&str; 6] =
    ["jobs/", "hosts/", "job_templates/", "inventories/", "unknown-", "\u{202e}"];

/// Methods. The empty one becomes a different method each time.
const METHODS: [&str; 5] = ["GET", "POST", "PROPFIND", "get", ""];
