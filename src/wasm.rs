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
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// The root id of the access logger.
const LOG_ROOT: &[u8] = b"awx_metrics_log";

thread_local! {
    static VM: Rc<Vm> = Rc::new(Vm::new(&Envoy));
    /// Whether this VM has warned that something rewrites its pages.
    static WARNED_OF_REWRITING: Cell<bool> = const { Cell::new(false) };
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
            log_request(site, was_routed);
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        VM.with(|vm| vm.serve());
        let site = self.site.clone();
        Some(Box::new(Stream { id, site, seen: Seen::Nothing, waits: false, page_bytes: None }))
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
    /// The length of the page that was sent at once, if one was.
    page_bytes: Option<usize>,
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
            Step::Reply(reply) => {
                self.page_bytes = (reply.status == 200).then_some(reply.body.len());
                send(&reply);
            }
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
        if let Some(bytes) = self.page_bytes {
            warn_if_rewritten(bytes);
        }
        let Some(site) = self.site.as_ref().filter(|site| site.observes_by(Observe::Filter)) else {
            return;
        };
        match &self.seen {
            Seen::Headers { came, method, path } => {
                ended(site, method.as_deref(), path.as_deref(), Some(came.elapsed()));
            }
            Seen::NotOurs => {}
            // Refused by Envoy itself before any filter, for want of a host or the like. So no route rewrote anything.
            Seen::Nothing => log_request(site, || false),
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

/// Whether Envoy sent the request to a cluster, or tried to. A route rewrites only such requests.
///
/// A client can send `x-envoy-original-path` and `-host` itself. Envoy removes them if `use_remote_address` is on, but not
/// from a request that it refuses early (no host, a path that it does not normalise); a route that rewrites replaces them
/// (seen on 1.36.2 and 1.40.0). No property tells whether the route did, so without `use_remote_address` a client may
/// still choose what its own routed request counts as.
fn was_routed() -> bool {
    Envoy.property(&["xds", "cluster_name"]).is_some_and(|cluster| !cluster.is_empty())
}

/// Counts a request by what its log callback sees alone. `was_routed` is asked only where it matters.
fn log_request(site: &Site, was_routed: impl Fn() -> bool) {
    // What the client sent, where a route has rewritten it since.
    let sent = |original, header| {
        let rewritten = Envoy.request_header(original).filter(|_| was_routed());
        rewritten.or_else(|| Envoy.request_header(header))
    };
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

/// Warns once if the page that was sent is not the one that the client got: a `local_reply_config` with a `body_format`
/// rewrites every reply of a filter, and keeps `content-encoding: gzip` over the new text. This costs scrapes alone: one
/// header. A compressor before the filter removes that header, and then nothing can be said.
fn warn_if_rewritten(bytes: usize) {
    let length = envoy::response_header("content-length");
    let length = length.and_then(|length| std::str::from_utf8(&length).ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length != bytes) && !WARNED_OF_REWRITING.replace(true) {
        let line = "awx_metrics: the metrics page is rewritten on its way to the client: local_reply_config \
                    has a body_format. Put it in a mapper for status codes from 400, as in \
                    envoy/local-reply.yaml";
        Envoy.log(Level::Warn, line);
    }
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
