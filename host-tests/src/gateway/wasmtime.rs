//! A gateway on our own host.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{GatewaySpec, ListenerSpec, StartError};
use crate::certificate::Certificate;
use crate::proxy::{self, GatewayConfig, Identity, Listener, Route, WasmtimeGateway};
use crate::vm::Plugin;
use crate::world::WorldConfig;

/// The root id of the HTTP filter.
const ROOT: &str = "awx_metrics";

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
        clusters: clusters.map(|(name, upstream)| (name.clone(), vec![*upstream])).collect(),
        ..WorldConfig::default()
    }
}

fn listener(place: usize, spec: &ListenerSpec, certificate: &Certificate) -> Listener {
    let filter = Plugin {
        name: ROOT.into(),
        root_id: ROOT.into(),
        configuration: spec.plugin.clone().into_bytes(),
    };
    let identity =
        Identity { certificate_pem: certificate.pem.clone(), key_pem: certificate.key.clone() };
    Listener {
        name: name(place),
        filters: vec![Arc::new(filter)],
        tls: spec.tls.then_some(identity),
        // As shipped: however long the controller takes.
        routes: vec![Route { timeout: Duration::ZERO, ..Route::all_to(&spec.upstream) }],
        ..Listener::default()
    }
}

fn name(listener: usize) -> String {
    format!("listener-{listener}")
}
