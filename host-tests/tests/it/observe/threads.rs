//! VMs on threads of their own, without sockets between: writers meet on purpose, and VMs die where it hurts.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use awx_metrics_filter::limits;
use host_tests::tools;
use host_tests::trap::Trap;
use host_tests::vm::{ContextId, Effect, Exchange, Headers, Plugin, SharedExchange, Vm};
use host_tests::world::{HostCall, Step, World, WorldConfig};

use super::traffic::{KINDS, Kind, Sent};
use super::{STYLES, counting, requests};
use crate::stage::{TOKEN, sample};

/// VMs, each on a thread.
const VMS: usize = 8;

/// Requests of each.
const EACH: usize = 25_000;

/// How often a worker's timer would have come meanwhile: often enough to beat, seldom enough not to count as work.
const REQUESTS_A_TICK: usize = 500;

/// A VM as a worker has it: the filter, and the access logger where that counts.
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

    /// A request of this kind; the page, where it was a scrape.
    fn serve(&mut self, kind: &Kind) -> Result<Option<String>, Trap> {
        let enters = self.logger.is_none() || kind.resource == "metrics";
        self.pass(&exchange(kind), kind.code, enters)
    }

    /// A request from its headers to its `on_log`, which enters the filter or does not.
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
    // As Envoy does, before there is any other.
    Worker::start(&world, "canary", by).unwrap();
    world
}

/// A place where VMs that are about to write wait for each other, for a moment.
#[derive(Default)]
struct Meeting {
    waiting: AtomicUsize,
    met: AtomicUsize,
}

impl Meeting {
    fn wait(&self, patience: Duration) {
        let until = Instant::now() + patience;
        self.waiting.fetch_add(1, Ordering::SeqCst);
        while self.waiting.load(Ordering::SeqCst) < 2 && Instant::now() < until {
            thread::yield_now();
        }
        let met = self.waiting.load(Ordering::SeqCst) >= 2;
        self.met.fetch_add(usize::from(met), Ordering::SeqCst);
        // The others are to see this one too.
        thread::yield_now();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

fn is_write(call: &HostCall<'_>, part: &str) -> bool {
    let key = call.key.unwrap_or_default();
    call.name == "proxy_set_shared_data" && key.windows(part.len()).any(|at| at == part.as_bytes())
}

/// Each kind in turn, beginning elsewhere for each VM.
fn work(worker: &mut Worker, numbers: Range<usize>) -> Sent {
    let mut sent = Sent::default();
    for number in numbers {
        let kind = &KINDS[number % KINDS.len()];
        worker.serve(kind).unwrap();
        sent.count(kind, 1);
        if number % REQUESTS_A_TICK == 0 {
            worker.tick().unwrap();
        }
    }
    sent
}

fn counts_to_the_last_while_writers_meet(by: &'static str) {
    let world = world(by);
    let (entering, writing) = (Arc::new(Meeting::default()), Arc::new(Meeting::default()));
    let (at_directory, at_shard) = (Arc::clone(&entering), Arc::clone(&writing));
    world.before_each_host_call(move |call| {
        if is_write(call, "/directory/") {
            at_directory.wait(Duration::from_millis(20));
        } else if is_write(call, "/shard/") {
            at_shard.wait(Duration::from_micros(5));
        }
        Step::Proceed
    });
    let together = Arc::new(Barrier::new(VMS));
    let threads = (0..VMS).map(|place| {
        let (world, together) = (Arc::clone(&world), Arc::clone(&together));
        thread::spawn(move || {
            let mut worker = Worker::start(&world, &format!("worker-{place}"), by).unwrap();
            together.wait();
            let sent = work(&mut worker, place..place + EACH);
            together.wait();
            (worker, sent)
        })
    });
    let began = Instant::now();
    let threads: Vec<_> = threads.collect();
    let (mut workers, mut all) = (Vec::new(), Sent::default());
    for thread in threads {
        let (worker, sent) = thread.join().unwrap();
        workers.push(worker);
        all = all.and(sent);
    }
    world.unhook();
    // Who was done first beat no more, and on a busy machine is suspected for it: at its next beat it objects.
    world.clock.advance(limits::HEARTBEAT);
    workers.iter_mut().for_each(|worker| worker.tick().unwrap());
    let page = workers[0].page();
    all.assert_counted(&page);
    assert_eq!(sample(&page, "awx_gateway_workers", &[]), Some(8.0));
    assert_eq!(all.total(), (VMS * EACH) as u64);
    let met = [&entering, &writing].map(|meeting| meeting.met.load(Ordering::SeqCst));
    println!(
        "{by}: {} in {:?}; met at the directory and at shards: {met:?}",
        all.total(),
        began.elapsed()
    );
    assert!(met[0] >= VMS && met[1] >= 1_000, "{met:?}");
    assert_eq!(world.traps(), []);
}

#[test]
fn eight_vms_that_meet_at_every_write_lose_nothing_by_filter() {
    counts_to_the_last_while_writers_meet("filter");
}

#[test]
fn eight_vms_that_meet_at_every_write_lose_nothing_by_access_log() {
    counts_to_the_last_while_writers_meet("access_log");
}

/// A VM on one thread that dies again and again at one host call, and after each death a successor that goes on.
#[test]
fn vms_that_die_at_any_host_call_take_nothing_with_them_that_was_on_a_page() {
    for by in STYLES {
        let world = world(by);
        let mut watcher = Worker::start(&world, "watcher", by).unwrap();
        let mut last = requests(&watcher.page());
        let mut complete = 1;
        for deaths in 0..150 {
            let mut doomed = Worker::start(&world, "doomed", by).unwrap();
            let left = Arc::new(AtomicUsize::new(deaths % 50));
            let armed = Arc::new(AtomicBool::new(true));
            let (calls, on) = (Arc::clone(&left), Arc::clone(&armed));
            world.before_each_host_call(move |call| {
                let dies = call.vm == "doomed"
                    && on.load(Ordering::SeqCst)
                    && calls
                        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                        .is_err();
                if dies { Step::Trap } else { Step::Proceed }
            });
            let served = (0..).map_while(|number: usize| doomed.serve(&KINDS[number % 27]).ok());
            complete += served.count() as u64;
            world.unhook();
            world.clock.advance(Duration::from_secs(2));
            watcher.tick().unwrap();
            let now = requests(&watcher.page());
            for (series, count) in &last {
                assert!(now.get(series) >= Some(count), "{by}: {series:?} went down at {deaths}");
            }
            // What was complete is there; of the one in which it died nothing is promised.
            let counted: u64 = now.values().sum();
            assert!(
                (complete..=complete + deaths as u64 + 1).contains(&counted),
                "{counted}, not {complete}"
            );
            complete += 1;
            last = now;
        }
        assert_eq!(world.traps().len(), 150);
        assert_bounded(&world, &mut watcher, 150);
    }
}

/// Once the dead have been silent for long enough, their slots are free: there are no more keys than before.
fn assert_bounded(world: &World, watcher: &mut Worker, deaths: u32) {
    for _ in 0..40 {
        world.clock.advance(Duration::from_secs(2));
        watcher.tick().unwrap();
    }
    let page = watcher.page();
    let takeovers = sample(&page, "awx_gateway_vm_takeovers_total", &[]).unwrap();
    let shards =
        world.shared.sizes().keys().filter(|key| key.windows(7).any(|at| at == b"/shard/")).count();
    println!("{takeovers} takeovers of {deaths} deaths, {shards} shards");
    assert!(takeovers >= f64::from(deaths) * 0.8 && takeovers <= f64::from(deaths), "{takeovers}");
    // Two keys for a slot; as many slots as VMs died within the patience of the others, which is ten beats.
    assert!(shards <= 2 * 16, "{shards}");
    assert_eq!(sample(&page, "awx_gateway_workers", &[]), Some(1.0));
}

/// Different requests, each of which is one of a kind.
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
                // The second page has series that the first one brought, and is made while that is still kept.
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
        println!(
            "{by}: {} series, {overflowed} overflowed, {memory} bytes of memory, {largest} of a shard",
            counted.len()
        );
        assert!(largest <= 16 * 1024, "{largest}");
    }
}

/// Where hostile paths begin: as known resources, or as none.
const RESOURCES: [&str; 6] =
    ["jobs/", "hosts/", "job_templates/", "inventories/", "unknown-", "\u{202e}"];

/// Methods; an empty one is to be another each time.
const METHODS: [&str; 5] = ["GET", "POST", "PROPFIND", "get", ""];
