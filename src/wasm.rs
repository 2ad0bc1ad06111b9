//! The module's entry: contexts whose callbacks ask the core what to do, and do it.
//!
//! Envoy runs all plugins of one `vm_id` and module in one VM, a root context for each configuration. What belongs to the
//! VM is made once ([`VM`]); what belongs to a configuration hangs on its root. The root id says what a root is for:
//! [`LOG_ROOT`] counts what the access log sees, any other answers scrapes.
//!
//! A callback that the filter has, and the SDK's defaults do not suffice for, has to stand in `.cargo/link-module` too:
//! the linker leaves the others out.

mod envoy;

use crate::config::{Config, Observe};
use crate::host::{Host, Level};
use crate::observe::Facts;
use crate::scrape::reply::Reply;
use crate::scrape::{Step, StreamId};
use crate::site::{self, Role, Site, Vm};
use envoy::Envoy;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};
use std::borrow::Cow;
use std::rc::Rc;
use std::time::{Duration, Instant};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// The root id of the access logger.
const LOG_ROOT: &[u8] = b"awx_metrics_log";

thread_local! {
    static VM: Rc<Vm> = Rc::new(Vm::new(&Envoy));
}

/// One configuration.
#[derive(Default)]
struct Root {
    site: Option<Rc<Site>>,
    logs: bool,
}

impl Root {
    fn start(&mut self, config: Config) {
        let root_id = Envoy.property(&["plugin_root_id"]).unwrap_or_default();
        self.logs = root_id == LOG_ROOT;
        let role = if self.logs { Role::AccessLog } else { Role::Filter };
        let site = VM.with(|vm| Site::new(vm, config, role, &Envoy));
        if self.logs && !site.observes_by(Observe::AccessLog) {
            let line = "awx_metrics: this access logger counts nothing, since observe.by is not \
                        access_log";
            Envoy.log(Level::Warn, line);
        }
        set_tick(&site);
        self.site = Some(Rc::new(site));
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, call: u32, headers: usize, body: usize, _: usize) {
        if let Some(site) = &self.site {
            send_all(&site.answered(&Envoy, call, envoy::answer(headers, body)));
            set_tick(site);
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
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

    fn on_tick(&mut self) {
        if let Some(site) = &self.site {
            tick(site);
        }
    }

    /// A request as the access log sees it, on the root itself.
    fn on_log(&mut self) {
        if let Some(site) = self.site.as_ref().filter(|site| site.observes_by(Observe::AccessLog))
            && self.logs
        {
            log_request(site);
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        VM.with(|vm| vm.serve());
        let site = self.site.clone();
        Some(Box::new(Stream { id, site, seen: Seen::Nothing, waits: false }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// One request.
struct Stream {
    id: u32,
    site: Option<Rc<Site>>,
    seen: Seen,
    waits: bool,
}

/// What was seen of a request that is to be counted when it ends.
enum Seen {
    /// Nothing yet, and perhaps nothing ever.
    Nothing,
    /// That it is not counted here.
    NotOurs,
    /// As the client sent it: a route may rewrite the headers later.
    Headers { came: Instant, method: Option<Vec<u8>>, path: Option<Cow<'static, [u8]>> },
}

impl Stream {
    /// Keeps back a request that is not decided yet.
    fn hold(&self) -> Action {
        if self.waits { Action::Pause } else { Action::Continue }
    }

    fn obey(&mut self, site: &Site, step: Step) -> Action {
        match step {
            Step::Pass => return Action::Continue,
            Step::Reply(reply) => send(&reply),
            Step::Wait => {
                self.waits = true;
                set_tick(site);
            }
        }
        Action::Pause
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let Some(site) = self.site.clone() else { return Action::Continue };
        let came = envoy::instant();
        let path = Envoy.request_header(":path");
        let step = path.as_ref().map_or(Step::Pass, |path| site.request(&Envoy, self.id, path));
        let counts =
            site.observes_by(Observe::Filter) && site.serves(|| Envoy.request_header(":authority"));
        self.seen = if counts {
            let path =
                if step == Step::Pass { path.map(Cow::Owned) } else { Some(site::METRICS.into()) };
            Seen::Headers { came, method: Envoy.request_header(":method"), path }
        } else {
            Seen::NotOurs
        };
        self.obey(&site, step)
    }

    /// By default Envoy shows nothing more of a request that is paused at its headers. If the plugin's
    /// `allow_on_headers_stop_iteration` is set it does, and takes a `Continue` as leave to let the request through (Envoy
    /// 1.36.2 and 1.40.0).
    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        self.hold()
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.hold()
    }

    fn on_log(&mut self) {
        let Some(site) = self.site.as_ref().filter(|site| site.observes_by(Observe::Filter)) else {
            return;
        };
        match &self.seen {
            Seen::Headers { came, method, path } => {
                ended(site, method.as_deref(), path.as_deref(), Some(came.elapsed()));
            }
            Seen::NotOurs => {}
            // Refused by Envoy itself before any filter, for want of a host or the like.
            Seen::Nothing => log_request(site),
        }
    }
}

/// The SDK drops a stream's context when the stream has ended, however it did.
impl Drop for Stream {
    fn drop(&mut self) {
        if self.waits
            && let Some(site) = &self.site
        {
            site.forget(self.id);
        }
    }
}

/// Counts a request by nothing but what its log callback sees.
fn log_request(site: &Site) {
    // What the client sent, where a route has rewritten it since.
    let sent =
        |original, header| Envoy.request_header(original).or_else(|| Envoy.request_header(header));
    if site.serves(|| sent("x-envoy-original-host", ":authority")) {
        let path = sent("x-envoy-original-path", ":path");
        let path = path.as_deref().map(|path| site.counted_as(path));
        let nanoseconds = envoy::integer(&["request", "duration"]);
        let duration = nanoseconds.and_then(|nanoseconds| u64::try_from(nanoseconds).ok());
        let duration = duration.map(Duration::from_nanos);
        ended(site, Envoy.request_header(":method").as_deref(), path, duration);
    }
}

/// Counts a request that ended, from within its log callback.
fn ended(site: &Site, method: Option<&[u8]>, path: Option<&[u8]>, duration: Option<Duration>) {
    let code = envoy::integer(&["response", "code"]).unwrap_or_default();
    let code = u16::try_from(code).unwrap_or_default();
    let websocket = code == SWITCHING_PROTOCOLS;
    site.ended(&Envoy, &Facts { method, path, code, duration, websocket });
}

/// The only protocol that Envoy lets a client switch to, where it is configured, is the websocket.
const SWITCHING_PROTOCOLS: u16 = 101;

fn tick(site: &Site) {
    send_all(&site.tick(&Envoy));
    set_tick(site);
}

/// Answers scrapes that waited, from a callback of the root.
fn send_all(replies: &[(StreamId, Reply)]) {
    for (stream, reply) in replies {
        if hostcalls::set_effective_context(*stream).is_ok() {
            send(reply);
        }
    }
}

fn set_tick(site: &Site) {
    if let Some(period) = site.new_tick_period() {
        // Envoy refuses no period.
        let _ = hostcalls::set_tick_period(period);
    }
}

fn send(reply: &Reply) {
    let headers = reply.headers.iter().map(|(name, value)| (*name, value.as_ref())).collect();
    // Only fails where the stream is gone, and then nobody waits.
    let _ = hostcalls::send_http_response(u32::from(reply.status), headers, Some(&reply.body));
}
