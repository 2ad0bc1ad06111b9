//! A gateway on our own host.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::certificate::Certificate;
use crate::gateway::{GatewaySpec, ListenerSpec, Paths, StartError, Style};
use crate::proxy::{self, GatewayConfig, Identity, Listener, Route, WasmtimeGateway};
use crate::vm::Plugin;
use crate::world::{Level, WorldConfig};

/// The root id of the HTTP filter.
const ROOT: &str = "awx_metrics";

/// The root id of the access logger.
const LOG_ROOT: &str = "awx_metrics_log";

pub(super) async fn start(
    spec: &GatewaySpec,
    certificate: &Certificate,
) -> Result<WasmtimeGateway, StartError> {
    let listeners = spec.listeners.iter().enumerate();
    let config = GatewayConfig {
        module: spec.module.clone(),
        workers: spec.workers,
        world: world(spec),
        listeners: listeners.map(|(place, spec)| listener(place, spec, certificate)).collect(),
        reload_backoff: proxy::DEFAULT_RELOAD_BACKOFF,
    };
    WasmtimeGateway::start(config).await.map_err(|error| match error {
        proxy::StartError::Io(error) => StartError::NotStarted(error),
        error => StartError::Refused { log: error.to_string() },
    })
}

pub(super) fn address_of(gateway: &WasmtimeGateway, listener: usize) -> SocketAddr {
    gateway.address_of(&name(listener)).expect("a listener at this place")
}

pub(super) fn log(gateway: &WasmtimeGateway) -> String {
    let line = |line: &crate::world::LogLine| {
        format!("[{:?}][{}] {}\n", line.level, line.vm, line.message)
    };
    gateway.logs().iter().map(line).collect()
}

fn world(spec: &GatewaySpec) -> WorldConfig {
    let clusters = spec.clusters.iter();
    WorldConfig {
        vm_id: spec.vm_id.clone(),
        environment: spec.environment.clone(),
        node_id: spec.node.clone(),
        log_level: if spec.traced { Level::Trace } else { Level::Info },
        clusters: clusters.map(|(name, upstream)| (name.clone(), vec![*upstream])).collect(),
        ..WorldConfig::default()
    }
}

fn listener(place: usize, spec: &ListenerSpec, certificate: &Certificate) -> Listener {
    let plugin = |root: &str| {
        let configuration = spec.plugin.clone().into_bytes();
        Arc::new(Plugin { name: root.into(), root_id: root.into(), configuration })
    };
    // As in the shipped files, there is no timeout for the controller.
    let all = Route { timeout: Duration::ZERO, ..Route::all_to(&spec.upstream) };
    let (access_loggers, routes) = match spec.style {
        Style::Filter => (vec![], vec![all]),
        Style::AccessLog => (vec![plugin(LOG_ROOT)], only_metrics_filtered(&all)),
    };
    let identity =
        Identity { certificate_pem: certificate.pem.clone(), key_pem: certificate.key.clone() };
    Listener {
        name: name(place),
        filters: vec![plugin(ROOT)],
        access_loggers,
        tls: spec.tls.then_some(identity),
        routes,
        normal_paths: spec.paths == Paths::Normalised,
        ..Listener::default()
    }
}

/// The routes of `access-log.yaml`.
fn only_metrics_filtered(all: &Route) -> Vec<Route> {
    let metrics = ["/api/v2/metrics", "/api/controller/v2/metrics"];
    let metrics = metrics.map(|prefix| Route { prefix: prefix.into(), ..all.clone() });
    let others = Route { filtered: false, ..all.clone() };
    metrics.into_iter().chain([others]).collect()
}

fn name(listener: usize) -> String {
    format!("listener-{listener}")
}
