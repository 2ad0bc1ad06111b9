//! The program of `make run`: Envoy with the filter as it ships, in front of the stand-in controller or of a real one.
//!
//! It prints commands to try, and stops everything that it started on SIGINT or SIGTERM.

mod settings;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use host_tests::certificate::{Certificate, CertificateFiles};
use host_tests::client::{Client, ClientError};
use host_tests::controller::{Controller, ControllerConfig};
use host_tests::envoy::{Bootstrap, Cluster, Envoy, EnvoyOptions, UpstreamTls};
use host_tests::gateway::StartError;
use host_tests::tools::{self, Release};
use hyper::Method;
use settings::{Ports, RealController, Settings, SettingsError, Trust};
use tokio::signal::unix::{SignalKind, signal};

/// The token of the shipped configurations' `tokens`.
const DEMONSTRATION_TOKEN: &str = "demonstration-only";

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("{0}")]
    Settings(#[from] SettingsError),
    #[error(
        "127.0.0.1:{port} is taken: stop what listens there, or set {variable} to another port"
    )]
    PortTaken { port: u16, variable: &'static str },
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("the stand-in controller: {0}")]
    StandIn(#[from] ClientError),
    #[error("the stand-in controller gives no token")]
    NoToken,
    #[error("Envoy was {0}")]
    Envoy(#[from] StartError),
    #[error("Envoy ended:\n{log}")]
    EnvoyEnded { log: String },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("run: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), RunError> {
    let settings = Settings::from_environment()?;
    free(settings.ports)?;
    let files = tools::repository().join(".tools/tls");
    fs::create_dir_all(&files)?;
    let certificate = Certificate::for_this_machine()?.write_to(&files)?;
    let upstream = match settings.controller {
        Some(controller) => Upstream::real(controller),
        None => Upstream::stand_in(&files).await?,
    };
    let bootstrap = bootstrap(settings.ports, &upstream, &certificate);
    println!("Starting Envoy, which compiles the filter (a few seconds) ...\n");
    let envoy = Envoy::start(&bootstrap, &options(&upstream)).await?;
    announce(&envoy, &upstream);
    until_stopped(envoy).await
}

/// Reports a port that is taken before anything starts: Envoy would report it among a thousand other lines.
fn free(ports: Ports) -> Result<(), RunError> {
    let named =
        [(ports.http, "HTTP_PORT"), (ports.https, "HTTPS_PORT"), (ports.admin, "ADMIN_PORT")];
    for (port, variable) in named {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => RunError::PortTaken { port, variable },
            _ => error.into(),
        })?;
    }
    Ok(())
}

/// The controller behind the gateway.
struct Upstream {
    host: String,
    port: u16,
    token: String,
    trust: Trust,
    stand_in: Option<Controller>,
}

impl Upstream {
    fn real(controller: RealController) -> Self {
        let RealController { host, port, token, trust } = controller;
        Self { host, port, token, trust, stand_in: None }
    }

    /// Starts the stand-in, and makes it issue a token.
    async fn stand_in(files: &Path) -> Result<Self, RunError> {
        let config = ControllerConfig { tls: true, ..ControllerConfig::lifelike() };
        let controller = Controller::try_start(config)?;
        let address = controller.address();
        let certificate = controller.certificate().unwrap_or_default().to_owned();
        let authority = files.join("stand-in.pem");
        fs::write(&authority, &certificate)?;
        let token = issued_token(&Client::https(address, &certificate)).await?;
        Ok(Self {
            host: address.ip().to_string(),
            port: address.port(),
            token,
            trust: Trust::Authority(authority),
            stand_in: Some(controller),
        })
    }

    fn authority(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 443 { host } else { format!("{host}:{}", self.port) }
    }

    fn cluster(&self) -> Cluster {
        let tls = match &self.trust {
            Trust::System => UpstreamTls::System,
            Trust::Authority(file) => UpstreamTls::Authority(file),
            Trust::Anybody => UpstreamTls::Unchecked,
        };
        let shipped = Bootstrap::shipped("https.yaml").cluster();
        shipped.upstream(&self.host, self.port).upstream_tls(&self.host, &tls)
    }
}

async fn issued_token(controller: &Client) -> Result<String, RunError> {
    let admin = controller.clone().basic("admin", "password");
    let admin = admin.header("content-type", "application/json");
    let reply = admin.request(Method::POST, "/api/v2/tokens/", r#"{"scope": "read"}"#).await?;
    let reply: serde_json::Value = serde_json::from_slice(reply.body()).unwrap_or_default();
    reply["token"].as_str().map(str::to_owned).ok_or(RunError::NoToken)
}

/// Both shipped configurations in one Envoy. The token and the password in them are public, so they are valid only with
/// the stand-in: a real controller decides about its own clients.
fn bootstrap(ports: Ports, upstream: &Upstream, certificate: &CertificateFiles) -> Bootstrap {
    let authority = upstream.authority();
    let shipped = |file, port| {
        let listener = Bootstrap::shipped(file).listener().port(port).module(&tools::module());
        let listener = listener.controller_authority(&authority);
        match upstream.stand_in {
            Some(_) => listener,
            None => listener.controller_auth(&authority),
        }
    };
    let http = shipped("http.yaml", ports.http);
    let https = shipped("https.yaml", ports.https).certificate(certificate);
    Bootstrap::shipped("https.yaml")
        .with_listeners(vec![http, https])
        .with_clusters(vec![upstream.cluster()])
        .admin_port(ports.admin)
}

fn options(upstream: &Upstream) -> EnvoyOptions {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let environment = BTreeMap::from([("CONTROLLER_TOKEN".to_owned(), upstream.token.clone())]);
    EnvoyOptions { release: Release::Newest, workers, environment }
}

fn announce(envoy: &Envoy, upstream: &Upstream) {
    let &[http, https] = envoy.listeners() else { return };
    let (authority, admin) = (upstream.authority(), envoy.admin().address());
    let kind = if upstream.stand_in.is_some() { "a stand-in controller" } else { "the controller" };
    if upstream.trust == Trust::Anybody {
        println!("WARNING: {authority} is not authenticated, and gets your token.\n");
    }
    println!("Envoy runs with the filter, in front of {kind} at https://{authority}.\n");
    let (requests, token) = match upstream.stand_in {
        Some(_) => (stand_in_requests(http, https), DEMONSTRATION_TOKEN),
        None => (controller_requests(http, https), "<a token of the controller's>"),
    };
    println!("Try\n{requests}\nFor Prometheus\n{}", scrape_config(https, token));
    println!("Envoy's admin interface: http://{admin}; its log: {}", envoy.log_file().display());
    println!("Ctrl-C stops it all.");
}

fn stand_in_requests(http: SocketAddr, https: SocketAddr) -> String {
    format!(
        "  curl -u admin:password http://{http}/api/v2/metrics
  curl -u admin:password 'http://{http}/api/v2/metrics?format=json'
  http://{http}/api/v2/metrics in a browser, as admin with the password `password`
  curl -k -H 'Authorization: Bearer {DEMONSTRATION_TOKEN}' https://{https}/api/v2/metrics
"
    )
}

/// A browser's session needs TLS: the controller's cookies are for https only.
fn controller_requests(http: SocketAddr, https: SocketAddr) -> String {
    format!(
        "  curl -H 'Authorization: Bearer <a token of the controller's>' http://{http}/api/v2/metrics
  curl -u <a user of the controller's> http://{http}/api/v2/metrics
  https://{https}/api/v2/metrics in a browser, after a login at https://{https}/
The controller decides which of its users may see the page: superusers and system auditors.
"
    )
}

fn scrape_config(https: SocketAddr, token: &str) -> String {
    format!(
        "  scrape_configs:
    - job_name: controller
      tls_config: {{insecure_skip_verify: true}}
      metrics_path: /api/v2/metrics
      scrape_interval: 5s
      scheme: https
      bearer_token: {token}
      static_configs:
        - targets: ['{https}']
"
    )
}

/// Waits for SIGINT, SIGTERM, or Envoy's own end. Dropping the values ends all that was started.
async fn until_stopped(mut envoy: Envoy) -> Result<(), RunError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        () = envoy.end() => Err(RunError::EnvoyEnded { log: envoy.log() }),
    }
}
