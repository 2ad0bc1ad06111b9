//! The filter in one VM of our own host, driven callback by callback on a stopped clock: its fuel depends only on its
//! input.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use host_tests::tools;
use host_tests::vm::{
    Action, CallAnswer, Connection, ContextId, Effect, Exchange, Headers, LocalReply, Plugin,
    SharedExchange, Vm,
};
use host_tests::world::{World, WorldConfig};
use serde_json::Value;

/// The time.
const NOW: Duration = Duration::from_secs(1_700_000_000);

/// A VM and its root.
pub(crate) struct Driven {
    pub(crate) world: Arc<World>,
    pub(crate) vm: Vm,
    root: ContextId,
}

/// The result of a scrape and its cost.
#[derive(Debug, Default)]
pub(crate) struct Scraped {
    pub(crate) status: u32,
    /// The length of its body.
    pub(crate) bytes: usize,
    /// The fuel of each callback, in the order they ran.
    pub(crate) fuel: Vec<u64>,
}

impl Driven {
    pub(crate) fn new(plugin: &Value) -> Self {
        let nobody = vec![SocketAddr::from(([127, 0, 0, 1], 9))];
        let clusters = [("controller-0".to_owned(), nobody)].into();
        let config = WorldConfig { clusters, ..WorldConfig::default() };
        let world = World::load(&tools::module(), config).unwrap();
        world.clock.stop_at(NOW);
        // Envoy configures a canary VM before it creates the others.
        Self::member(&world, "canary", plugin);
        Self::member(&world, "worker", plugin)
    }

    fn member(world: &Arc<World>, name: &str, plugin: &Value) -> Self {
        let mut vm = Vm::new(world, name).unwrap();
        let configuration = plugin.to_string().into();
        let (name, root_id) = ("awx_metrics".into(), "awx_metrics".into());
        let root = vm.add_plugin(&Arc::new(Plugin { name, root_id, configuration })).unwrap();
        Self { world: Arc::clone(world), vm, root }
    }

    /// Makes the VM pull, and delivers the page.
    pub(crate) fn pull(&mut self, page: &str) {
        self.vm.tick(self.root).unwrap();
        let call = self.vm.effects().into_iter().find_map(|effect| match effect {
            Effect::Call(call) => Some((call.root, call.token)),
            _ => None,
        });
        let headers = Headers::from_iter([
            (":status", "200"),
            ("content-type", "text/plain; charset=utf-8"),
            ("x-envoy-upstream-service-time", "167"),
        ]);
        let answer = CallAnswer { headers, body: page.into(), ..CallAnswer::default() };
        self.vm.http_call_response(call.expect("a pull"), Some(answer)).unwrap();
    }

    /// A whole scrape of the gateway's own families, with ticks while a password is checked.
    pub(crate) fn scrape(&mut self, authorization: &str, from: SocketAddr) -> Scraped {
        self.ask("?gateway=only", authorization, from)
    }

    /// A scrape with this query.
    pub(crate) fn ask(&mut self, query: &str, authorization: &str, from: SocketAddr) -> Scraped {
        let mut scraped = Scraped::default();
        let exchange = exchange(query, authorization, from);
        let root = self.root;
        let stream = self.run(&mut scraped, |vm| vm.open(root, &exchange).unwrap());
        let action = self.run(&mut scraped, |vm| vm.request_headers(stream, true).unwrap());
        assert_eq!(action, Action::Pause, "a scrape is answered here");
        let reply = loop {
            match self.reply_to(stream) {
                Some(reply) => break reply,
                None => self.tick(&mut scraped),
            }
        };
        scraped.status = reply.status;
        scraped.bytes = reply.body.len();
        let code = u16::try_from(reply.status).unwrap();
        exchange.lock().unwrap_or_else(PoisonError::into_inner).facts.code = Some(code);
        self.run(&mut scraped, |vm| vm.log(stream).unwrap());
        self.run(&mut scraped, |vm| vm.close(stream).unwrap());
        scraped
    }

    /// Begins a scrape. Returns its fuel, and its status if it is answered at once.
    pub(crate) fn begin(&mut self, authorization: &str, from: SocketAddr) -> (ContextId, Scraped) {
        let mut scraped = Scraped::default();
        let (root, exchange) = (self.root, exchange("?gateway=only", authorization, from));
        let stream = self.run(&mut scraped, |vm| vm.open(root, &exchange).unwrap());
        self.run(&mut scraped, |vm| vm.request_headers(stream, true).unwrap());
        scraped.status = self.reply_to(stream).map_or(0, |reply| reply.status);
        (stream, scraped)
    }

    /// Begins a request for another path, which the filter lets through.
    pub(crate) fn pass(&mut self, path: &str) -> ContextId {
        let home = SocketAddr::from(([127, 0, 0, 1], 9_090));
        let exchange = exchange_of(path, "Bearer x", home);
        let stream = self.vm.open(self.root, &exchange).unwrap();
        assert_eq!(self.vm.request_headers(stream, false).unwrap(), Action::Continue);
        stream
    }

    /// Ends a stream.
    pub(crate) fn end(&mut self, stream: ContextId, scraped: &mut Scraped) {
        self.run(scraped, |vm| vm.log(stream).unwrap());
        self.run(scraped, |vm| vm.close(stream).unwrap());
    }

    pub(crate) fn tick(&mut self, scraped: &mut Scraped) {
        let root = self.root;
        self.run(scraped, |vm| vm.tick(root).unwrap());
    }

    pub(crate) fn reply_to(&mut self, stream: ContextId) -> Option<LocalReply> {
        self.vm.effects().into_iter().find_map(|effect| match effect {
            Effect::Reply { context, reply } if context == stream => Some(reply),
            _ => None,
        })
    }

    fn run<T>(&mut self, scraped: &mut Scraped, callback: impl FnOnce(&mut Vm) -> T) -> T {
        let before = self.vm.counts().total().fuel;
        let returned = callback(&mut self.vm);
        scraped.fuel.push(self.vm.counts().total().fuel - before);
        returned
    }
}

fn exchange(query: &str, authorization: &str, source: SocketAddr) -> SharedExchange {
    exchange_of(&format!("/api/v2/metrics{query}"), authorization, source)
}

fn exchange_of(path: &str, authorization: &str, source: SocketAddr) -> SharedExchange {
    let exchange = Exchange::of(Headers::from_iter([
        (":method", "GET"),
        (":path", path),
        (":authority", "gateway.example"),
        (":scheme", "http"),
        ("authorization", authorization),
    ]));
    let destination = SocketAddr::from(([127, 0, 0, 1], 8080));
    let connection = Connection { id: 1, source, destination };
    exchange.lock().unwrap_or_else(PoisonError::into_inner).facts.connection = Some(connection);
    exchange
}
