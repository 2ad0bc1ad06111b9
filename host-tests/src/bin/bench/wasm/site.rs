//! The module on our own host: a VM that pulls and one that serves, with the same shared data, like Envoy's main thread
//! and a worker.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use host_tests::vm::{
    CallAnswer, ContextId, Counts, Effect, Exchange, Headers, HttpCall, LocalReply, Plugin,
    SharedExchange, Vm,
};
use host_tests::world::{World, WorldConfig};
use serde_json::Value;

use crate::envoys::TOKEN;
use crate::{BenchError, cpu};

/// Longer than the interval of a source.
const INTERVAL: Duration = Duration::from_secs(16);
const METRICS: &str = "/api/v2/metrics";
/// Far more than a scrape of any page here needs.
const MOST_CALLBACKS: usize = 10_000;

/// The plugin that counts requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Filter,
    AccessLog,
}

/// The VMs.
pub(super) struct Site {
    world: Arc<World>,
    puller: Member,
    server: Member,
    logger: ContextId,
}

struct Member {
    vm: Vm,
    root: ContextId,
}

/// The cost of a piece of work.
#[derive(Clone, Debug)]
pub(super) struct Cost {
    /// By callback.
    pub(super) counts: Counts,
    /// The CPU time on this machine.
    pub(super) cpu: Duration,
    /// The time on this machine's clock, other programs' turns included.
    pub(super) elapsed: Duration,
}

/// A scrape.
pub(super) struct Scrape {
    /// The cost of each callback, in their order.
    pub(super) callbacks: Vec<Cost>,
    /// The body of the reply.
    pub(super) page: Vec<u8>,
}

impl Site {
    /// The module with this configuration. Its sources' clusters all exist.
    pub(super) fn new(module: &Path, configuration: &Value) -> Result<Self, BenchError> {
        let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
        let sources = configuration["sources"].as_array();
        let names = sources.into_iter().flatten().filter_map(|source| source["cluster"].as_str());
        let clusters = names.map(|name| (name.to_owned(), vec![nobody])).collect();
        let config = WorldConfig { clusters, ..WorldConfig::default() };
        let world = World::load(module, config).map_err(BenchError::Module)?;
        // The duration of a request decides which counters it raises.
        world.clock.stop_at(world.clock.now());
        // Envoy configures a canary VM before it creates the others.
        Member::new(&world, "canary", configuration)?;
        let puller = Member::new(&world, "main", configuration)?;
        let mut server = Member::new(&world, "worker", configuration)?;
        let logger = server.vm.add_plugin(&plugin("awx_metrics_log", configuration))?;
        Ok(Self { world, puller, server, logger })
    }

    /// Bytes of linear memory of the VM that pulls, and of the one that serves.
    pub(super) fn memory(&self) -> (usize, usize) {
        (self.puller.vm.memory_size(), self.server.vm.memory_size())
    }

    /// Makes the VM pull every source once more, each with its page of `pages`.
    pub(super) fn pull(&mut self, pages: &[String]) -> Result<Cost, BenchError> {
        self.world.clock.advance(INTERVAL);
        let Member { vm, root } = &mut self.puller;
        vm.effects();
        vm.tick(*root)?;
        let calls: Vec<_> = vm.effects().into_iter().filter_map(call).collect();
        if calls.len() != pages.len() {
            return Err(BenchError::Pulls { due: pages.len(), begun: calls.len() });
        }
        let answers: Vec<_> = pages.iter().map(|page| answer(page)).collect();
        cost(vm, |vm| {
            let answered = calls.iter().zip(answers);
            answered.into_iter().try_for_each(|(call, answer)| {
                Ok(vm.http_call_response((call.root, call.token), Some(answer))?)
            })
        })
        .map(|(cost, ())| cost)
    }

    /// One scrape with the ticks until its reply; `query` begins with a question mark, or is empty.
    pub(super) fn scrape(&mut self, query: &str, coding: &str) -> Result<Scrape, BenchError> {
        let request = scrape_request(query, coding);
        let Member { vm, root } = &mut self.server;
        let root = *root;
        vm.effects();
        let (opened, stream) = cost(vm, |vm| Ok(vm.open(root, &request)?))?;
        let (requested, _) = cost(vm, |vm| Ok(vm.request_headers(stream, true)?))?;
        let mut callbacks = vec![opened, requested];
        let mut reply = vm.effects().into_iter().find_map(reply);
        while reply.is_none() && callbacks.len() < MOST_CALLBACKS {
            callbacks.push(cost(vm, |vm| Ok(vm.tick(root)?))?.0);
            reply = vm.effects().into_iter().find_map(self::reply);
        }
        let page = reply.filter(|reply| reply.status == 200).ok_or(BenchError::NoReply)?.body;
        callbacks.push(cost(vm, |vm| Ok(vm.log(stream)?))?.0);
        callbacks.push(cost(vm, |vm| Ok(vm.close(stream)?))?.0);
        Ok(Scrape { callbacks, page })
    }

    /// One proxied request, from its headers to its end.
    pub(super) fn observe(&mut self, style: Style, request: &Request) -> Result<Cost, BenchError> {
        let exchange = request.exchange();
        let (root, logger) = (self.server.root, self.logger);
        cost(&mut self.server.vm, |vm| {
            if style == Style::AccessLog {
                request.answer(&exchange);
                return Ok(vm.log_at_root(logger, &exchange)?);
            }
            let stream = vm.open(root, &exchange)?;
            vm.request_headers(stream, true)?;
            request.answer(&exchange);
            vm.response_headers(stream, false)?;
            vm.response_body(stream, true)?;
            vm.log(stream)?;
            Ok(vm.close(stream)?)
        })
        .map(|(cost, ())| cost)
    }
}

impl Scrape {
    /// The cost of all its callbacks.
    pub(super) fn cost(&self) -> Cost {
        let (mut counts, costs) = (Counts::default(), self.callbacks.iter());
        costs.clone().for_each(|cost| counts += cost.counts.clone());
        let cpu = costs.clone().map(|cost| cost.cpu).sum();
        Cost { counts, cpu, elapsed: costs.map(|cost| cost.elapsed).sum() }
    }
}

impl Member {
    fn new(world: &Arc<World>, name: &str, configuration: &Value) -> Result<Self, BenchError> {
        let mut vm = Vm::new(world, name)?;
        let root = vm.add_plugin(&plugin("awx_metrics", configuration))?;
        Ok(Self { vm, root })
    }
}

/// A proxied request and its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) status: u16,
}

impl Request {
    fn exchange(&self) -> SharedExchange {
        Exchange::of(Headers::from_iter([
            (":method", self.method),
            (":path", self.path),
            (":authority", "gateway.example"),
            (":scheme", "http"),
            ("authorization", "Bearer 2YotnFZFEjr1zCsicMWpAA2YotnFZFEj"),
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
            ("accept", "application/json"),
        ]))
    }

    fn answer(&self, exchange: &SharedExchange) {
        let mut exchange = exchange.lock().unwrap_or_else(PoisonError::into_inner);
        exchange.response_headers = Some(Headers::from_iter([
            (":status", self.status.to_string().as_str()),
            ("content-type", "application/json"),
        ]));
        exchange.response_body = vec![b' '; 1000];
        exchange.facts.code = Some(self.status);
        exchange.facts.bytes_sent = 1000;
        exchange.facts.duration = Some(Duration::from_millis(12));
    }
}

fn scrape_request(query: &str, coding: &str) -> SharedExchange {
    let path = format!("{METRICS}{query}");
    let authorization = format!("Bearer {TOKEN}");
    Exchange::of(Headers::from_iter([
        (":method", "GET"),
        (":path", &path),
        (":authority", "gateway.example"),
        (":scheme", "http"),
        ("authorization", &authorization),
        ("user-agent", "Prometheus/3.0.0"),
        ("accept", "text/plain;version=0.0.4;q=0.9,*/*;q=0.1"),
        ("accept-encoding", coding),
    ]))
}

fn plugin(root_id: &str, configuration: &Value) -> Arc<Plugin> {
    let configuration = configuration.to_string().into();
    Arc::new(Plugin { name: "awx_metrics".into(), root_id: root_id.into(), configuration })
}

fn call(effect: Effect) -> Option<HttpCall> {
    match effect {
        Effect::Call(call) => Some(call),
        _ => None,
    }
}

fn reply(effect: Effect) -> Option<LocalReply> {
    match effect {
        Effect::Reply { reply, .. } => Some(reply),
        _ => None,
    }
}

fn answer(page: &str) -> CallAnswer {
    let headers = Headers::from_iter([
        (":status", "200"),
        ("content-type", "text/plain; charset=utf-8"),
        ("x-envoy-upstream-service-time", "167"),
    ]);
    CallAnswer { headers, body: page.as_bytes().to_vec(), ..CallAnswer::default() }
}

fn cost<T>(
    vm: &mut Vm,
    work: impl FnOnce(&mut Vm) -> Result<T, BenchError>,
) -> Result<(Cost, T), BenchError> {
    let (counts, before) = (vm.counts(), cpu::of_this_thread()?);
    let started = Instant::now();
    let done = work(vm)?;
    let elapsed = started.elapsed();
    let cpu = cpu::of_this_thread()?.saturating_sub(before);
    Ok((Cost { counts: vm.counts().since(&counts), cpu, elapsed }, done))
}
