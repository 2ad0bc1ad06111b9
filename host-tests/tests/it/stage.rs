//! The stage of a scenario: stand-in controllers, a gateway in front of them, and functions that read its pages.

use std::iter;
use std::ops::Deref;
use std::time::Duration;

use bytes::Bytes;
use host_tests::capture::Request;
use host_tests::client::Client;
use host_tests::controller::{Controller, ControllerConfig, Mode};
use host_tests::gateway::{Gateway, GatewaySpec, Host, ListenerSpec};
use host_tests::process::eventually;
use hyper::{Method, Response};
use serde_json::{Value, json};

/// The longest time until a condition is met.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The gateway's token for the stand-in.
pub(crate) const CONTROLLER_TOKEN: &str = "AdminTokenRead0000000000000001";

/// Prometheus's token for the gateway.
pub(crate) const TOKEN: &str = "demonstration-only";

/// The path that Prometheus scrapes, without query.
pub(crate) const METRICS: &str = "/api/v2/metrics";

/// The outcomes of a pull.
pub(crate) const OUTCOMES: [&str; 6] =
    ["ok", "timeout", "refused", "status", "unreadable", "too_large"];

/// A gateway that must not trap, which is checked at the end of the scenario, when the value is dropped.
#[derive(Debug)]
pub(crate) struct Watched(Gateway);

impl Watched {
    pub(crate) async fn start(host: Host, spec: &GatewaySpec) -> Self {
        Self(Gateway::start(host, spec).await.unwrap())
    }
}

impl Deref for Watched {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.0
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.0.traps(), [""; 0]);
        }
    }
}

/// Controllers, and a gateway with a listener for each of them, by index.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) gateway: Watched,
    pub(crate) controllers: Vec<Controller>,
}

impl Stage {
    /// One controller, and the usual plugin.
    pub(crate) async fn start(host: Host) -> Self {
        Self::with(host, &plugin(0)).await
    }

    /// One controller, and this plugin.
    pub(crate) async fn with(host: Host, plugin: &Value) -> Self {
        Self::of(host, std::slice::from_ref(plugin)).await
    }

    /// A controller for each of these plugins: the clusters `controller-0`, `controller-1`, ...
    pub(crate) async fn of(host: Host, plugins: &[Value]) -> Self {
        Self::of_modes(host, plugins, iter::repeat(Mode::Normal)).await
    }

    /// The same, with the initial mode of each controller.
    pub(crate) async fn of_modes(
        host: Host,
        plugins: &[Value],
        modes: impl Iterator<Item = Mode>,
    ) -> Self {
        let start = |(_, mode): (&Value, Mode)| {
            let controller = Controller::start(ControllerConfig::default());
            controller.set_mode(mode);
            controller
        };
        let controllers: Vec<_> = plugins.iter().zip(modes).map(start).collect();
        let spec = spec(plugins, &controllers);
        Self { gateway: Watched::start(host, &spec).await, controllers }
    }

    pub(crate) fn controller(&self) -> &Controller {
        &self.controllers[0]
    }

    /// A client with Prometheus's token, at the first listener.
    pub(crate) fn prometheus(&self) -> Client {
        self.gateway.client().bearer(TOKEN)
    }

    pub(crate) async fn scrape(&self, query: &str) -> String {
        scrape(&self.prometheus(), query).await
    }

    /// Waits for a page of the first listener.
    pub(crate) async fn until(&self, query: &str, fits: impl Fn(&str) -> bool) -> String {
        until(&self.prometheus(), query, fits).await
    }

    /// Waits until the first listener's source is up.
    pub(crate) async fn up(self) -> Self {
        self.up_for(TOKEN).await
    }

    /// The same, as seen with this token.
    pub(crate) async fn up_for(self, token: &str) -> Self {
        until_up(&self.gateway.client().bearer(token)).await;
        self
    }
}

/// A gateway with these plugins, and these controllers as clusters.
pub(crate) fn spec(plugins: &[Value], controllers: &[Controller]) -> GatewaySpec {
    let mut spec = GatewaySpec::new(&json!({}));
    spec.listeners.clear();
    for (place, plugin) in plugins.iter().enumerate() {
        let upstream = cluster(place.min(controllers.len() - 1));
        spec = spec.listener(ListenerSpec { upstream, ..ListenerSpec::new(plugin) });
    }
    for (place, controller) in controllers.iter().enumerate() {
        spec = spec.cluster(&cluster(place), controller.address());
    }
    spec
}

/// The cluster of the controller with this index.
pub(crate) fn cluster(place: usize) -> String {
    format!("controller-{place}")
}

/// A plugin with one source, pulled every second.
pub(crate) fn plugin(place: usize) -> Value {
    json!({"sources": [source(place)], "auth": auth()})
}

pub(crate) fn source(place: usize) -> Value {
    json!({
        "name": "controller", "cluster": cluster(place), "interval": "1s",
        "credential": {"bearer": CONTROLLER_TOKEN},
    })
}

/// Prometheus with its token; `admin` with `password`.
pub(crate) fn auth() -> Value {
    json!({
        "tokens": [{
            "name": "prometheus",
            "sha256": "bb37e032ed32c08ca2f865e5a876ee282c0953bb0b86f637d56712deb2a59d92",
        }],
        "users": [{
            "name": "admin",
            "password_hash": "pbkdf2_sha256$1000$awxsaltawxsalt12345678$\
                              06oTDaNcvcrewwXocs08tG/HcOzFfk7AgRCrEq1vQTA=",
        }],
    })
}

/// `value` with one field changed, by its JSON pointer.
pub(crate) fn having(mut value: Value, pointer: &str, field: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    value.pointer_mut(parent).unwrap()[name] = field;
    value
}

/// The body of a scrape, which must be a page.
pub(crate) async fn scrape(client: &Client, query: &str) -> String {
    let reply = client.get(&format!("{METRICS}{query}")).await.unwrap();
    assert_eq!(reply.status(), 200, "{:?}", reply.body());
    String::from_utf8(reply.into_body().to_vec()).unwrap()
}

/// Sends a captured request again, and returns the reply.
pub(crate) async fn again(client: &Client, request: &Request) -> Response<Bytes> {
    let mut client = client.clone();
    for (name, value) in &request.headers {
        client = client.header(name, value);
    }
    let method = Method::from_bytes(request.method.as_bytes()).unwrap();
    client.request(method, &request.target, request.body.clone()).await.unwrap()
}

/// Scrapes until the page fits.
pub(crate) async fn until(client: &Client, query: &str, fits: impl Fn(&str) -> bool) -> String {
    let mut last = String::new();
    let page = eventually(PATIENCE, async || {
        last = scrape(client, query).await;
        fits(&last).then(|| last.clone())
    })
    .await;
    page.unwrap_or_else(|| panic!("the page stayed:\n{last}"))
}

/// Scrapes until the source `controller` is up.
pub(crate) async fn until_up(client: &Client) {
    until(client, "?gateway=only", |page| is_up(page) == Some(true)).await;
}

/// True if the source `controller` is up on the page.
pub(crate) fn is_up(page: &str) -> Option<bool> {
    Some(sample(page, "awx_gateway_source_up", &[("source", "controller")])? == 1.0)
}

/// The number of the source `controller`'s pulls with this outcome.
pub(crate) fn fetches(page: &str, outcome: &str) -> f64 {
    let labels = [("source", "controller"), ("outcome", outcome)];
    sample(page, "awx_gateway_source_fetches_total", &labels).unwrap()
}

/// The number of the source `controller`'s pulls with any outcome.
pub(crate) fn pulls(page: &str) -> f64 {
    OUTCOMES.iter().map(|outcome| fetches(page, outcome)).sum()
}

/// The value of the first sample with this name and at least these labels.
pub(crate) fn sample(page: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let line = page.lines().find(|line| is_of(line, name) && labels.iter().all(has(line)))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn is_of(line: &str, name: &str) -> bool {
    line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
}

fn has(line: &str) -> impl Fn(&(&str, &str)) -> bool {
    move |(name, value)| {
        let label = format!("{name}=\"{value}\"");
        line.contains(&format!("{{{label}")) || line.contains(&format!(",{label}"))
    }
}
