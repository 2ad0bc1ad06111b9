//! The module's entry: turns Envoy's callbacks into calls of a [`Site`], and carries out its decisions.
//!
//! Envoy runs all plugins with the same `vm_id` and module in one VM, with a root context for each configuration. The
//! state of the VM is created once ([`VM`]); the state of a configuration belongs to its root. The root id determines the
//! purpose of a root: [`LOG_ROOT`] counts the requests of the access log, any other root answers scrapes.
//!
//! Every callback that is implemented here must be listed in `.cargo/link-module` too: the linker drops all others.

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
    /// True if this VM has already warned that its pages are rewritten.
    static WARNED_OF_REWRITING: Cell<bool> = const { Cell::new(false) };
}

/// The root context of one configuration.
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
            let line = "awx_metrics: this access logger counts nothing, because observe.by is not \
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

    /// Called for each request if the plugin is an access logger: Envoy then creates no stream context.
    fn on_log(&mut self) {
        if let Some(site) = self.site.as_ref().filter(|site| site.observes_by(Observe::AccessLog))
            && self.logs
        {
            log_request(site, was_routed);
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        VM.with(|vm| vm.note_stream());
        let site = self.site.clone();
        Some(Box::new(Stream {
            id,
            site,
            observed: Observed::Nothing,
            waits: false,
            page_bytes: None,
        }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// The context of one request.
struct Stream {
    id: u32,
    site: Option<Rc<Site>>,
    observed: Observed,
    /// True if the request waits for its reply.
    waits: bool,
    /// The length of the page, if the request was answered with one at once.
    page_bytes: Option<usize>,
}

/// The part of a request that its headers callback recorded, for counting it when it ends.
enum Observed {
    /// The callback has not run. It never runs for a request that Envoy refuses before any filter.
    Nothing,
    /// The filter does not count the request.
    NotCounted,
    /// The headers as the client sent them: a route may rewrite them later.
    Headers { at: Instant, method: Option<Vec<u8>>, path: Option<Cow<'static, [u8]>> },
}

impl Stream {
    /// Pauses the request while it waits for its reply.
    fn hold(&self) -> Action {
        if self.waits { Action::Pause } else { Action::Continue }
    }

    fn carry_out(&mut self, site: &Site, step: Step) -> Action {
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
        let at = envoy::instant();
        let path = Envoy.request_header(":path");
        let step = path.as_ref().map_or(Step::Pass, |path| site.request(&Envoy, self.id, path));
        let counts = site.observes_by(Observe::Filter)
            && site.counts_authority(|| Envoy.request_header(":authority"));
        self.observed = if counts {
            let path =
                if step == Step::Pass { path.map(Cow::Owned) } else { Some(site::METRICS.into()) };
            Observed::Headers { at, method: Envoy.request_header(":method"), path }
        } else {
            Observed::NotCounted
        };
        self.carry_out(&site, step)
    }

    /// By default, Envoy calls this only after the headers were let through. With the plugin's
    /// `allow_on_headers_stop_iteration`, it also does while the headers are paused, and a `Continue` then lets the whole
    /// request through (Envoy 1.36.2 and 1.40.0).
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
        match &self.observed {
            Observed::Headers { at, method, path } => {
                ended(site, method.as_deref(), path.as_deref(), Some(at.elapsed()));
            }
            Observed::NotCounted => {}
            // Envoy refused the request before any filter, for example without a host. So no route rewrote it.
            Observed::Nothing => log_request(site, || false),
        }
    }
}

/// The SDK drops a stream's context when the stream has ended for any reason.
impl Drop for Stream {
    fn drop(&mut self) {
        if self.waits
            && let Some(site) = &self.site
        {
            site.forget(self.id);
        }
    }
}

/// Returns true if Envoy routed the request to a cluster. A route rewrites only such requests.
///
/// A client can send `x-envoy-original-path` and `-host` itself. Envoy removes them if `use_remote_address` is on, but not
/// from a request that it refuses early (no host, a path that it does not normalise); a route that rewrites replaces them
/// (Envoy 1.36.2 and 1.40.0). No property tells if the route rewrote the request, so without `use_remote_address` a client
/// can choose the path under which its own routed request is counted.
fn was_routed() -> bool {
    Envoy.property(&["xds", "cluster_name"]).is_some_and(|cluster| !cluster.is_empty())
}

/// Counts a request with the data of its log callback alone. `was_routed` is called only if the headers may have been
/// rewritten.
fn log_request(site: &Site, was_routed: impl Fn() -> bool) {
    // The header as the client sent it, before a route rewrote it.
    let sent = |original, header| {
        let rewritten = Envoy.request_header(original).filter(|_| was_routed());
        rewritten.or_else(|| Envoy.request_header(header))
    };
    if site.counts_authority(|| sent("x-envoy-original-host", ":authority")) {
        let path = sent("x-envoy-original-path", ":path");
        let path = path.as_deref().map(|path| site.counted_as(path));
        let nanoseconds = envoy::integer(&["request", "duration"]);
        let duration = nanoseconds.and_then(|nanoseconds| u64::try_from(nanoseconds).ok());
        let duration = duration.map(Duration::from_nanos);
        ended(site, Envoy.request_header(":method").as_deref(), path, duration);
    }
}

/// Counts a request that ended. Must be called in its log callback.
fn ended(site: &Site, method: Option<&[u8]>, path: Option<&[u8]>, duration: Option<Duration>) {
    let code = envoy::integer(&["response", "code"]).unwrap_or_default();
    let code = u16::try_from(code).unwrap_or_default();
    let websocket = code == SWITCHING_PROTOCOLS;
    site.ended(&Envoy, &Facts { method, path, code, duration, websocket });
}

/// Warns once if the client received another body than the page: a `local_reply_config` with a `body_format` rewrites every
/// reply of a filter, and keeps `content-encoding: gzip` with the new text. The check reads one header, for scrapes alone. A
/// compressor in front of the filter removes that header; then the check finds nothing.
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

/// The status of a websocket's response: Envoy lets a client switch to no other protocol.
const SWITCHING_PROTOCOLS: u16 = 101;

fn tick(site: &Site) {
    send_all(&site.tick(&Envoy));
    set_tick(site);
}

/// Sends replies to scrapes that waited, from a callback of the root.
fn send_all(replies: &[(StreamId, Reply)]) {
    for (stream, reply) in replies {
        if hostcalls::set_effective_context(*stream).is_ok() {
            send(reply);
        }
    }
}

fn set_tick(site: &Site) {
    if let Some(period) = site.new_tick_period() {
        // Envoy accepts every period.
        let _ = hostcalls::set_tick_period(period);
    }
}

fn send(reply: &Reply) {
    let headers = reply.headers.iter().map(|(name, value)| (*name, value.as_ref())).collect();
    // Fails only if the stream has ended, and then no client waits.
    let _ = hostcalls::send_http_response(u32::from(reply.status), headers, Some(&reply.body));
}
