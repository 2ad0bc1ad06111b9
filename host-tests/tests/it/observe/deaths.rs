//! Workers whose VMs die while they count: all counts that were on a page stay on every later page, and later requests
//! are counted.

use host_tests::fault_injection;
use host_tests::gateway::{Gateway, GatewaySpec, Host};
use host_tests::on_both_hosts;
use host_tests::process::eventually;
use tempfile::TempDir;

use super::traffic::{KINDS, Load, Upstream, send};
use super::{Requests, counting, page, requests, since};
use crate::stage::{METRICS, PATIENCE, TOKEN, sample};

/// From the host call that reads the path, over all host calls of a counted request, into the next request.
const CALLS: usize = 8;

/// Requests between two deaths.
const SOME: Load = Load { connections: 1, each: KINDS.len() };

/// A gateway with one worker, whose VM dies on request.
struct MortalGateway {
    gateway: Gateway,
    deaths: usize,
    /// All requests except scrapes and fatal requests.
    counted: Requests,
    _upstream: Upstream,
    _module: TempDir,
}

/// The fate of a request during which the VM died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Lost,
    Counted,
}

impl MortalGateway {
    async fn start(host: Host, by: &str) -> Self {
        let (upstream, module) = (Upstream::start().await, tempfile::tempdir().unwrap());
        let mut spec =
            GatewaySpec::new(&counting(by)).cluster("controller", upstream.address()).workers(1);
        let file = module.path().join("trapping.wasm");
        fault_injection::write(&spec.module, &file);
        spec.module = file;
        let gateway = Gateway::start(host, &spec).await.unwrap();
        let (deaths, counted) = (0, Requests::new());
        Self { gateway, deaths, counted, _upstream: upstream, _module: module }
    }

    /// Sends a request that kills the VM after this number of host calls, and waits for the next VM.
    async fn die(&mut self, calls: usize) -> Fate {
        let before = self.page().await;
        let mut path = format!("{}?", FATAL.1);
        path.extend(std::iter::repeat_n('x', fault_injection::TRIGGER_BYTES + calls - path.len()));
        // The reply depends on the point at which the VM died.
        self.gateway.client().get(&path).await.unwrap();
        self.deaths += 1;
        let after = self.page().await;
        assert_eq!(self.gateway.traps().len(), self.deaths, "{calls} calls");
        let fates = since(&fatal(&before), &fatal(&after));
        assert!(fates.values().sum::<u64>() <= 1, "{fates:?}");
        if fates.is_empty() { Fate::Lost } else { Fate::Counted }
    }

    /// Sends some requests of every kind, all of which must be counted.
    async fn live(&mut self) {
        let sent = send(self.gateway.address(), SOME).await;
        self.counted = super::added(std::mem::take(&mut self.counted), &ordinary(sent.requests()));
        self.page().await;
    }

    /// Waits for a VM that serves and counts: on Envoy, the access logger returns later than the filter. The page
    /// contains all counts so far.
    async fn page(&mut self) -> Requests {
        let client = self.gateway.client().bearer(TOKEN);
        let mut last = None;
        let page = eventually(PATIENCE, async || {
            let reply = client.get(&format!("{METRICS}?gateway=only")).await.unwrap();
            let page = requests(std::str::from_utf8(reply.body()).unwrap());
            let scrapes = only(&page, |resource| resource == "metrics").into_values().sum::<u64>();
            let served = reply.status() == 200;
            (served && last.replace(scrapes).is_some_and(|last| last < scrapes)).then_some(page)
        });
        let page = page.await.expect("a VM that serves");
        assert_eq!(ordinary(&page), self.counted, "after {} deaths", self.deaths);
        page
    }

    /// Waits until all dead VMs have been taken over: their counts are complete and no shard of theirs is left.
    async fn assert_all_taken_over(&mut self) {
        let taken_over = eventually(PATIENCE, async || {
            let page = page(&self.gateway).await;
            let takeovers = sample(&page, "awx_gateway_vm_takeovers_total", &[])?;
            (takeovers == self.deaths as f64).then_some(page)
        });
        let page = taken_over.await.expect("a takeover of each that died");
        assert_eq!(ordinary(&requests(&page)), self.counted);
        assert_eq!(sample(&page, "awx_gateway_workers", &[]), Some(1.0));
    }
}

/// The resource of fatal requests, which no other request here uses.
const FATAL: (&str, &str) = ("projects", "/api/v2/projects/");

fn fatal(all: &Requests) -> Requests {
    only(all, |resource| resource == FATAL.0)
}

fn ordinary(all: &Requests) -> Requests {
    only(all, |resource| resource != FATAL.0 && resource != "metrics")
}

fn only(all: &Requests, wanted: impl Fn(&str) -> bool) -> Requests {
    let series = all.iter().filter(|((_, resource, _), _)| wanted(resource));
    series.map(|(key, count)| (key.clone(), *count)).collect()
}

/// The number of deaths at each host call. On our own host, more deaths are tested elsewhere, at less cost.
const fn turns(host: Host) -> usize {
    match host {
        Host::Wasmtime => 1,
        Host::Envoy(_) => 2,
    }
}

async fn a_worker_dies_again_and_again(host: Host, by: &str) {
    let mut mortal = MortalGateway::start(host, by).await;
    mortal.live().await;
    let mut fates = Vec::new();
    for turn in 0..turns(host) {
        for calls in 0..CALLS {
            let fate = mortal.die(calls).await;
            mortal.live().await;
            println!("{by}, turn {turn}: {fate:?} after {calls} calls");
            fates.push((calls, fate));
        }
    }
    fates.sort();
    assert!(fates.is_sorted_by_key(|(_, fate)| fate), "counted before it was published: {fates:?}");
    assert_eq!((fates[0].1, fates[fates.len() - 1].1), (Fate::Lost, Fate::Counted));
    mortal.assert_all_taken_over().await;
}

on_both_hosts! {
    async fn a_filter_that_dies_at_any_call_loses_nothing_that_was_visible(host) {
        a_worker_dies_again_and_again(host, "filter").await;
    }

    async fn an_access_logger_that_dies_at_any_call_loses_nothing_that_was_visible(host) {
        a_worker_dies_again_and_again(host, "access_log").await;
    }
}
