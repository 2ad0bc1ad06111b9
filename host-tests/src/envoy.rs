//! A real Envoy, started with the configurations that ship in `envoy/`.

mod bootstrap;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

pub use self::bootstrap::{Bootstrap, Cluster, Listener, UpstreamTls};
use crate::client::Client;
use crate::gateway::StartError;
use crate::process::{self, Process};
use crate::tools::{self, Release};

/// The longest time until Envoy serves. It compiles the module for each of its threads first.
const START: Duration = Duration::from_secs(60);

/// The longest time that requests may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running Envoy. Dropping it ends the process.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    admin: SocketAddr,
    listeners: Vec<SocketAddr>,
    _files: TempDir,
}

/// Options of Envoy beside its configuration.
#[derive(Clone, Debug)]
pub struct EnvoyOptions {
    /// The release.
    pub release: Release,
    /// The number of worker threads.
    pub workers: usize,
    /// Its whole environment: it inherits nothing.
    pub environment: BTreeMap<String, String>,
}

impl Envoy {
    /// Starts Envoy, and returns once it serves.
    ///
    /// # Errors
    /// See [`StartError`].
    ///
    /// # Panics
    /// If Envoy is not installed, or its admin interface answers in an unknown form.
    pub async fn start(bootstrap: &Bootstrap, options: &EnvoyOptions) -> Result<Self, StartError> {
        Self::start_with(bootstrap, options, &[]).await
    }

    /// Starts Envoy with further arguments, and returns once it serves.
    ///
    /// # Errors
    /// See [`StartError`].
    ///
    /// # Panics
    /// As [`Envoy::start`].
    pub async fn start_with(
        bootstrap: &Bootstrap,
        options: &EnvoyOptions,
        arguments: &[&str],
    ) -> Result<Self, StartError> {
        Self::start_in(tempfile::tempdir()?, bootstrap, options, arguments).await
    }

    /// Starts an Envoy for a spec.
    #[cfg(feature = "suite")]
    pub(crate) async fn of_spec(
        release: Release,
        spec: &crate::gateway::GatewaySpec,
        certificate: &crate::certificate::Certificate,
    ) -> Result<Self, StartError> {
        let files = tempfile::tempdir()?;
        let bootstrap = Bootstrap::of_spec(spec, &certificate.write_to(files.path())?);
        let environment = spec.environment.clone();
        let options = EnvoyOptions { release, workers: spec.workers, environment };
        let arguments = ["--component-log-level", "wasm:trace"];
        let arguments = if spec.traced { &arguments[..] } else { &[] };
        Self::start_in(files, &bootstrap, &options, arguments).await
    }

    async fn start_in(
        files: TempDir,
        bootstrap: &Bootstrap,
        options: &EnvoyOptions,
        arguments: &[&str],
    ) -> Result<Self, StartError> {
        let config = files.path().join("envoy.json");
        fs::write(&config, bootstrap.to_string())?;
        let admin_file = files.path().join("admin");
        let mut command = command(options, &config, &admin_file);
        command.args(arguments);
        let mut process = Process::start(command, files.path().join("log"))?;
        let admin = serving(&mut process, &admin_file).await?;
        let listeners = bound(admin, &bootstrap.listener_names()).await;
        Ok(Self { process, admin, listeners, _files: files })
    }

    /// The addresses of its listeners, in the configuration's order.
    #[must_use]
    pub fn listeners(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// A client of its admin interface.
    #[must_use]
    pub fn admin(&self) -> Client {
        Client::http(self.admin)
    }

    /// The process's id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The file with its log.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        self.process.log_file()
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The lines of the log that are warnings or worse.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let worrying = ["[warning]", "[error]", "[critical]"];
        lines(&self.log(), |line| worrying.iter().any(|level| line.contains(level)))
    }

    /// The lines of the log about traps in VMs.
    #[must_use]
    pub fn traps(&self) -> Vec<String> {
        lines(&self.log(), |line| line.contains("[wasm]") && line.contains("] Function: "))
    }

    /// Waits until every request has been logged: Envoy counts a request as active until then. A client may have the whole
    /// reply before that.
    ///
    /// # Panics
    /// If requests are still active after half a minute.
    pub async fn idle(&self) {
        let idle = process::eventually(PATIENCE, async || {
            let stats = self.admin().get("/stats?filter=downstream_rq_active").await.ok()?;
            let stats = String::from_utf8_lossy(stats.body()).into_owned();
            let mut others = stats.lines().filter(|line| !line.starts_with("http.admin."));
            others.all(|line| line.ends_with(": 0")).then_some(())
        });
        idle.await.expect("the requests end");
    }

    /// Waits until it ends by itself.
    pub async fn end(&mut self) {
        self.process.end().await;
    }
}

fn lines(log: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    log.lines().filter(|line| wanted(line)).map(str::to_owned).collect()
}

fn command(options: &EnvoyOptions, config: &Path, admin_file: &Path) -> Command {
    let mut command = Command::new(tools::envoy(options.release));
    command
        .arg("--config-path")
        .arg(config)
        .arg("--admin-address-path")
        .arg(admin_file)
        .args(["--concurrency", &options.workers.to_string()])
        // Hot restart needs shared memory under an id that no other Envoy on this machine uses.
        .arg("--disable-hot-restart")
        // Shipped configurations contain paths relative to the repository's top.
        .current_dir(tools::repository())
        .env_clear()
        .envs(&options.environment);
    command
}

/// Waits until Envoy serves. Returns the address of its admin interface.
async fn serving(process: &mut Process, admin_file: &Path) -> Result<SocketAddr, StartError> {
    let started = process::eventually(START, async || {
        if process.ended().is_some() {
            return Some(None);
        }
        let admin: SocketAddr = fs::read_to_string(admin_file).ok()?.trim().parse().ok()?;
        let ready = Client::http(admin).get("/ready").await.ok()?;
        ready.status().is_success().then_some(Some(admin))
    });
    match started.await {
        Some(Some(admin)) => Ok(admin),
        Some(None) => Err(StartError::Refused { log: process.log() }),
        None => Err(StartError::TimedOut { log: process.log() }),
    }
}

/// The addresses that listeners got, in the order of their names.
async fn bound(admin: SocketAddr, names: &[String]) -> Vec<SocketAddr> {
    let reply = Client::http(admin).get("/listeners?format=json").await.expect("the listeners");
    let status: Value = serde_json::from_slice(reply.body()).expect("JSON");
    names.iter().map(|name| address(&status, name).expect("an address for each listener")).collect()
}

fn address(status: &Value, listener: &str) -> Option<SocketAddr> {
    let listeners = status["listener_statuses"].as_array()?;
    let found = listeners.iter().find(|status| status["name"] == listener)?;
    let socket = &found["local_address"]["socket_address"];
    let port = u16::try_from(socket["port_value"].as_u64()?).ok()?;
    Some(SocketAddr::new(socket["address"].as_str()?.parse().ok()?, port))
}
