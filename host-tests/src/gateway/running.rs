//! The gateway itself, on either host.

mod wasmtime;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{GatewaySpec, StartError};
use crate::certificate::Certificate;
use crate::client::Client;
use crate::envoy::Envoy;
use crate::process::eventually;
use crate::proxy::WasmtimeGateway;
use crate::tools::Release;
use crate::world::World;

/// The longest time that requests may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The host of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Our own host.
    Wasmtime,
    /// A real Envoy.
    Envoy(Release),
}

/// A running gateway. Dropping it stops the gateway.
#[derive(Debug)]
pub struct Gateway {
    running: Running,
    certificate: Certificate,
    tls: Vec<bool>,
}

#[derive(Debug)]
enum Running {
    Wasmtime(WasmtimeGateway),
    Envoy(Envoy),
}

impl Gateway {
    /// Starts a gateway, and returns once it serves.
    ///
    /// # Errors
    /// See [`StartError`].
    ///
    /// # Panics
    /// If a tool is missing.
    pub async fn start(host: Host, spec: &GatewaySpec) -> Result<Self, StartError> {
        let certificate = Certificate::for_this_machine().expect("randomness");
        let running = match host {
            Host::Wasmtime => Running::Wasmtime(wasmtime::start(spec, &certificate).await?),
            Host::Envoy(release) => {
                Running::Envoy(Envoy::of_spec(release, spec, &certificate).await?)
            }
        };
        let tls = spec.listeners.iter().map(|listener| listener.tls).collect();
        Ok(Self { running, certificate, tls })
    }

    /// A client of the first listener.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client_of(0)
    }

    /// A client of a listener, by its index in the spec.
    ///
    /// # Panics
    /// If there is no such listener.
    #[must_use]
    pub fn client_of(&self, listener: usize) -> Client {
        let address = self.address_of(listener);
        if self.tls[listener] {
            Client::https(address, &self.certificate.authority)
        } else {
            Client::http(address)
        }
    }

    /// The first listener's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address_of(0)
    }

    /// The address of a listener, by its index in the spec.
    ///
    /// # Panics
    /// If there is no such listener.
    #[must_use]
    pub fn address_of(&self, listener: usize) -> SocketAddr {
        match &self.running {
            Running::Wasmtime(gateway) => wasmtime::address_of(gateway, listener),
            Running::Envoy(envoy) => envoy.listeners()[listener],
        }
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        match &self.running {
            Running::Wasmtime(gateway) => wasmtime::log(gateway),
            Running::Envoy(envoy) => envoy.log(),
        }
    }

    /// The log's lines about VMs that trapped. A scenario ends by checking that there are none.
    #[must_use]
    pub fn traps(&self) -> Vec<String> {
        match &self.running {
            Running::Wasmtime(gateway) => gateway.traps().iter().map(ToString::to_string).collect(),
            Running::Envoy(envoy) => envoy.traps(),
        }
    }

    /// Waits until every request has been logged. A client may have the whole reply before that.
    ///
    /// # Panics
    /// If requests are still active after half a minute.
    pub async fn idle(&self) {
        match &self.running {
            Running::Envoy(envoy) => envoy.idle().await,
            Running::Wasmtime(gateway) => {
                let idle = eventually(PATIENCE, async || gateway.is_idle().then_some(()));
                idle.await.expect("the requests end");
            }
        }
    }

    /// The Envoy that runs the filter, if it is one.
    #[must_use]
    pub fn envoy(&self) -> Option<&Envoy> {
        match &self.running {
            Running::Wasmtime(_) => None,
            Running::Envoy(envoy) => Some(envoy),
        }
    }

    /// The state that the VMs share, on our own host: the clock, which a test may move, counts, shared data. Envoy
    /// shows none of it.
    #[must_use]
    pub fn world(&self) -> Option<&Arc<World>> {
        match &self.running {
            Running::Wasmtime(gateway) => Some(gateway.world()),
            Running::Envoy(_) => None,
        }
    }
}

/// Writes each scenario once and tests it on both hosts: `name::on_wasmtime`, `name::on_envoy`. The argument of the
/// scenario is the host to start gateways with.
#[macro_export]
macro_rules! on_both_hosts {
    ($( $(#[$about:meta])* async fn $name:ident($host:ident) $scenario:block )+) => { $(
        $(#[$about])*
        mod $name {
            use super::*;

            async fn scenario($host: $crate::gateway::Host) $scenario

            #[tokio::test(flavor = "multi_thread")]
            async fn on_wasmtime() {
                scenario($crate::gateway::Host::Wasmtime).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_envoy() {
                scenario($crate::gateway::Host::Envoy($crate::tools::Release::Newest)).await;
            }
        }
    )+ };
}
