//! The module's entry: contexts whose callbacks ask the core what to do, and do it.
//!
//! Envoy runs all plugins of one `vm_id` and module in one VM, a root context for each configuration. What belongs to the
//! VM is made once ([`Vm`]); what belongs to a configuration hangs on its root.

mod envoy;

use crate::collect::Collector;
use crate::config::Config;
use crate::host::{Host, Level};
use crate::limits;
use crate::scrape::reply::Reply;
use crate::scrape::{Scraper, Step};
use envoy::Envoy;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

thread_local! {
    static VM: Vm = Vm::new();
}

/// What there is once in a VM.
struct Vm {
    /// Tells it from other VMs: no property does.
    id: u64,
    /// Whether it has had a stream, and so stands on a worker thread.
    serves: Cell<bool>,
}

impl Vm {
    fn new() -> Self {
        let mut id = [0; 8];
        Envoy.random(&mut id);
        Self { id: u64::from_le_bytes(id), serves: Cell::new(false) }
    }
}

/// One configuration.
#[derive(Default)]
struct Root {
    site: Option<Rc<Site>>,
}

/// What the streams of a root share with it.
struct Site {
    scraper: Scraper,
    collector: RefCell<Collector>,
}

impl Site {
    fn tick(&self) {
        let serves = VM.with(|vm| vm.serves.get());
        let mut collector = self.collector.borrow_mut();
        collector.tick(&Envoy, serves);
        if !self.scraper.is_busy() {
            return;
        }
        if let Some((stream, reply)) = self.scraper.advance(&Envoy)
            && hostcalls::set_effective_context(stream).is_ok()
        {
            send(&reply);
        }
        if !self.scraper.is_busy() {
            let _ = hostcalls::set_tick_period(collector.tick_period());
        }
    }
}

impl Root {
    fn configure(&mut self) -> bool {
        match Config::parse(&envoy::plugin_configuration()) {
            Ok(config) => {
                self.start(config);
                true
            }
            Err(error) => {
                Envoy.log(Level::Error, &format!("awx_metrics: configuration refused: {error}"));
                false
            }
        }
    }

    fn start(&mut self, config: Config) {
        for warning in config.warnings() {
            Envoy.log(Level::Warn, &format!("awx_metrics: {warning}"));
        }
        let config = Rc::new(config);
        let collector = Collector::new(Rc::clone(&config), VM.with(|vm| vm.id));
        collector.prepare(&Envoy);
        // Without a tick no page is ever pulled; the host refuses none that is longer than a millisecond.
        let _ = hostcalls::set_tick_period(collector.tick_period());
        let scraper = Scraper::new(config, &Envoy);
        self.site = Some(Rc::new(Site { scraper, collector: RefCell::new(collector) }));
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, call: u32, headers: usize, body: usize, _: usize) {
        if let Some(site) = &self.site {
            site.collector.borrow_mut().answered(&Envoy, call, envoy::answer(headers, body));
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        self.configure()
    }

    fn on_tick(&mut self) {
        if let Some(site) = &self.site {
            site.tick();
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        VM.with(|vm| vm.serves.set(true));
        Some(Box::new(Stream { id, site: self.site.clone(), waits: false }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// One request.
struct Stream {
    id: u32,
    site: Option<Rc<Site>>,
    waits: bool,
}

impl Stream {
    fn obey(&mut self, step: Step) -> Action {
        match step {
            Step::Pass => return Action::Continue,
            Step::Reply(reply) => send(&reply),
            Step::Wait => {
                self.waits = true;
                // The tick that answers; without it the proxy's own time limit does.
                let _ = hostcalls::set_tick_period(limits::PASSWORD_TICK);
            }
        }
        Action::Pause
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        match self.site.clone() {
            Some(site) => self.obey(site.scraper.start(&Envoy, self.id)),
            None => Action::Continue,
        }
    }
}

/// The SDK drops a stream's context when the stream has ended, however it did.
impl Drop for Stream {
    fn drop(&mut self) {
        if self.waits
            && let Some(site) = &self.site
        {
            site.scraper.forget(self.id);
        }
    }
}

fn send(reply: &Reply) {
    let headers = reply.headers.iter().map(|(name, value)| (*name, value.as_ref())).collect();
    // Only fails where the stream is gone, and then nobody waits.
    let _ = hostcalls::send_http_response(u32::from(reply.status), headers, Some(&reply.body));
}
