//! The cost of a scrape while no page changes: the gateway's own families, and one copy of the bytes to the host.

use std::net::SocketAddr;
use std::time::Duration;

use host_tests::tools;
use host_tests::vm::{
    CallAnswer, CallbackCounts, ContextId, Effect, Exchange, Headers, HttpCall, Plugin, Vm,
};
use host_tests::world::{World, WorldConfig};
use serde_json::json;
use std::sync::Arc;

use crate::stage::{METRICS, TOKEN, auth};

/// A VM that serves a page with this number of samples.
struct Served {
    vm: Vm,
    root: ContextId,
}

/// The cost of a scrape, and the number of bytes that it sent.
struct Cost {
    did: CallbackCounts,
    body: usize,
    /// The fuel of the longest callback.
    longest: u64,
    /// The ticks that it waited for.
    ticks: usize,
}

impl Served {
    fn page(samples: usize) -> Self {
        let plugin = json!({"sources": [{"name": "c", "cluster": "c"}], "auth": auth()});
        let configuration = plugin.to_string().into();
        let (name, root_id) = ("awx_metrics".into(), "awx_metrics".into());
        let plugin = Arc::new(Plugin { name, root_id, configuration });
        let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
        let clusters = [("c".to_owned(), vec![nobody])].into();
        let config = WorldConfig { clusters, ..WorldConfig::default() };
        let world = World::load(&tools::module(), config).unwrap();
        let mut members = ["canary", "main", "worker"].map(|name| {
            let mut vm = Vm::new(&world, name).unwrap();
            let root = vm.add_plugin(&plugin).unwrap();
            Self { vm, root }
        });
        world.clock.advance(Duration::from_secs(16));
        members[1].pull(samples);
        let [_, _, server] = members;
        server
    }

    fn pull(&mut self, samples: usize) {
        self.vm.tick(self.root).unwrap();
        let call = |effect| match effect {
            Effect::Call(call) => Some(call),
            _ => None,
        };
        let call: HttpCall = self.vm.effects().into_iter().find_map(call).unwrap();
        let lines = (0..samples).map(|at| format!("s{{at=\"{at:06}\"}} 1.5\n"));
        let headers = Headers::from_iter([
            (":status", "200"),
            ("content-type", "text/plain; charset=utf-8"),
            ("x-envoy-upstream-service-time", "1"),
        ]);
        let body = lines.collect::<String>().into_bytes();
        let answer = CallAnswer { headers, body, ..CallAnswer::default() };
        self.vm.http_call_response((call.root, call.token), Some(answer)).unwrap();
    }

    fn scrape(&mut self, query: &str, coding: &str) -> Cost {
        let (path, authorization) = (format!("{METRICS}?{query}"), format!("Bearer {TOKEN}"));
        let request = Exchange::of(Headers::from_iter([
            (":method", "GET"),
            (":path", &path),
            (":authority", "gateway.example"),
            ("authorization", &authorization),
            ("accept-encoding", coding),
        ]));
        self.vm.effects();
        let before = self.vm.counts();
        let stream = self.vm.open(self.root, &request).unwrap();
        self.vm.request_headers(stream, true).unwrap();
        let mut longest = self.vm.counts().since(&before).total().fuel;
        let mut ticks = 0;
        let body = loop {
            let reply = self.vm.effects().into_iter().find_map(|effect| match effect {
                Effect::Reply { reply, .. } if reply.status == 200 => Some(reply.body.len()),
                _ => None,
            });
            if let Some(body) = reply {
                break body;
            }
            ticks += 1;
            assert!(ticks < 10_000, "no reply");
            let before = self.vm.counts();
            self.vm.tick(self.root).unwrap();
            longest = longest.max(self.vm.counts().since(&before).total().fuel);
        };
        self.vm.close(stream).unwrap();
        Cost { did: self.vm.counts().since(&before).total(), body, longest, ticks }
    }
}

#[test]
fn a_scrape_of_an_unchanged_page_costs_the_same_at_any_size() {
    let (mut small, mut large) = (Served::page(500), Served::page(50_000));
    for query in ["format=txt", "format=openmetrics", "format=json", "format=protobuf"] {
        for coding in ["identity", "gzip"] {
            // The first scrape renders; by the third all memory is allocated.
            let third = |served: &mut Served| {
                served.scrape(query, coding);
                served.scrape(query, coding);
                served.scrape(query, coding)
            };
            let (small, large) = (third(&mut small), third(&mut large));
            assert!(large.body > 20 * small.body || coding == "gzip", "{query}");
            let (few, many) = (small.did.fuel, large.did.fuel);
            assert!(many * 100 < few * 105, "{query} {coding}: {few} and {many}");
            let copied = |cost: &Cost| cost.did.bytes_out - cost.body as u64;
            assert!(copied(&large) < copied(&small) + 100, "{query} {coding}");
        }
    }
}

#[test]
fn no_callback_does_more_than_a_slice_of_a_large_page() {
    for (format, budget) in [("txt", 6.0), ("openmetrics", 6.0), ("json", 3.0), ("protobuf", 3.0)] {
        for coding in ["identity", "gzip"] {
            // The first scrape after a pull: of as many samples as one callback renders, and of a hundred times as many.
            let query = format!("format={format}");
            let small = Served::page(1_000).scrape(&query, coding);
            let large = Served::page(100_000).scrape(&query, coding);
            assert_eq!(small.ticks, 0, "{query} {coding}");
            assert!(large.ticks > 1, "{query} {coding}: {}", large.ticks);
            let ratio = large.longest as f64 / small.longest as f64;
            println!(
                "{query} {coding}: {} of {} in {} ticks: {ratio:.2}",
                large.longest, small.longest, large.ticks
            );
            assert!(ratio < budget, "{query} {coding}: {ratio}");
        }
    }
}
