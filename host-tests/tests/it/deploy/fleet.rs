//! A typical deployment: a gateway from `https.yaml` on real Envoy in front of two controllers, a third controller that does
//! not answer, and clients with traffic; and a Prometheus from `prometheus.yaml` that scrapes the gateway.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use host_tests::certificate::Certificate;
use host_tests::client::Client;
use host_tests::controller::{Controller, ControllerConfig, Mode};
use host_tests::envoy::{Bootstrap, Cluster, Envoy, EnvoyOptions};
use host_tests::prometheus::Prometheus;
use host_tests::tools::{self, Major, Release};
use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpSocket;

use super::rules;
use crate::stage::{CONTROLLER_TOKEN, TOKEN, auth};

/// The sources of the fleet, each with a cluster of its name. The last one is down.
pub(super) const SOURCES: [&str; 3] = ["east", "west", "broken"];

/// A path whose requests the controller `east` answers.
const JOBS: &str = "/api/v2/jobs/";

/// A running fleet. It stops with its value.
pub(super) struct Fleet {
    east: Controller,
    _west: Controller,
    envoy: Envoy,
    authority: String,
    files: TempDir,
    _reserved: TcpSocket,
}

impl Fleet {
    pub(super) async fn start() -> Self {
        let [east, west] = [(); 2].map(|()| Controller::start(ControllerConfig::default()));
        let files = tempfile::tempdir().unwrap();
        let certificate = Certificate::for_this_machine().unwrap();
        let (reserved, broken) = refusing();
        let upstreams = [east.address(), west.address(), broken];
        let bootstrap = bootstrap(&certificate, &files, upstreams);
        let options =
            EnvoyOptions { release: Release::Newest, workers: 2, environment: BTreeMap::new() };
        let envoy = Envoy::start(&bootstrap, &options).await.unwrap();
        fs::write(files.path().join("token"), TOKEN).unwrap();
        let authority = certificate.authority;
        Self { east, _west: west, envoy, authority, files, _reserved: reserved }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.envoy.listeners()[0]
    }

    fn client(&self) -> Client {
        Client::https(self.address(), &self.authority)
    }

    /// A Prometheus with `prometheus.yaml`: only the addresses, the paths of files and the intervals are changed.
    pub(super) async fn prometheus(&self, major: Major) -> Prometheus {
        let mut config = self.configuration("prometheus.yaml");
        self.set_targets(&mut config["scrape_configs"][0]);
        Prometheus::start_configured(major, &config).await.unwrap()
    }

    /// A Prometheus with `prometheus-by-source.yaml`, changed likewise, and these names in place of those of `sources.yaml`.
    pub(super) async fn prometheus_by_source(&self, major: Major, names: &[&str]) -> Prometheus {
        let mut config = self.configuration("prometheus-by-source.yaml");
        let by_source = &mut config["scrape_configs"][0];
        let file = by_source["file_sd_configs"][0]["files"][0].as_str().unwrap();
        let (shipped, changed) = (rules::folder().join(file), self.files.path().join(file));
        let yaml = fs::read_to_string(shipped).unwrap();
        let mut groups: Value = yaml_serde::from_str(&yaml).unwrap();
        replace(&mut groups, "/0/targets", json!(names));
        fs::write(&changed, groups.to_string()).unwrap();
        replace(by_source, "/file_sd_configs/0/files/0", json!(changed));
        replace(by_source, "/relabel_configs/2/replacement", json!(self.address()));
        Prometheus::start_configured(major, &config).await.unwrap()
    }

    /// A shipped configuration. The first job still has its own targets.
    fn configuration(&self, file: &str) -> Value {
        let yaml = fs::read_to_string(rules::folder().join(file)).unwrap();
        let mut config: Value = yaml_serde::from_str(&yaml).unwrap();
        config["global"] = json!({"scrape_interval": "1s", "evaluation_interval": "1s"});
        let files = config["rule_files"].as_array_mut().unwrap();
        assert!(!files.is_empty());
        for file in files {
            *file = json!(rules::folder().join(file.as_str().unwrap()));
        }
        let jobs = config["scrape_configs"].as_array_mut().unwrap();
        assert_eq!(jobs.len(), 2);
        for job in &mut *jobs {
            replace(job, "/authorization/credentials_file", json!(self.files.path().join("token")));
            replace(job, "/tls_config/ca_file", json!(self.files.path().join("authority.pem")));
        }
        self.set_targets(&mut jobs[1]);
        config
    }

    fn set_targets(&self, job: &mut Value) {
        replace(job, "/static_configs/0/targets", json!([self.address()]));
    }

    /// Requests of each kind that a dashboard shows, once.
    pub(super) async fn traffic(&self) {
        let client = self.client().basic("admin", "password");
        let client = client.header("content-type", "application/json");
        let requests = [
            (Method::GET, JOBS, ""),
            (Method::GET, "/api/v2/inventories/", ""),
            (Method::POST, "/api/v2/job_templates/11/launch/", "{}"),
            (Method::POST, "/api/v2/job_templates/9999/launch/", "{}"),
            (Method::POST, "/api/v2/tokens/", r#"{"scope": "read"}"#),
        ];
        for (method, path, body) in requests {
            client.request(method, path, body).await.unwrap();
        }
        self.logins().await;
        self.scrapes().await;
        self.server_error().await;
    }

    async fn logins(&self) {
        let client = self.client().header("content-type", "application/x-www-form-urlencoded");
        for body in ["username=admin&password=password", "username=admin&password=a+guess"] {
            client.request(Method::POST, "/api/login/", body).await.unwrap();
        }
    }

    /// With each kind of credentials, in two formats.
    async fn scrapes(&self) {
        let clients = [
            self.client(),
            self.client().bearer("a guess"),
            self.client().bearer(TOKEN),
            self.client().basic("admin", "password"),
        ];
        for client in clients {
            client.get("/api/v2/metrics?format=json").await.unwrap();
        }
    }

    /// A request that the controller answers with 500.
    async fn server_error(&self) {
        self.east.set_mode(Mode::Failing(500));
        self.client().get(JOBS).await.unwrap();
        self.east.set_mode(Mode::Normal);
    }

    /// Keeps up the traffic until `done` ends.
    pub(super) async fn busy<T>(&self, done: impl Future<Output = T>) -> T {
        let traffic = async {
            loop {
                self.traffic().await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::select! {
            done = done => done,
            () = traffic => unreachable!("the traffic does not end"),
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.envoy.traps(), [""; 0]);
        }
    }
}

/// A port that refuses connections, and that no other test is given while the socket lives.
fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// `https.yaml` with these upstreams.
fn bootstrap(certificate: &Certificate, files: &TempDir, upstreams: [SocketAddr; 3]) -> Bootstrap {
    let certificate = certificate.write_to(files.path()).unwrap();
    let upstreams = SOURCES.into_iter().zip(upstreams);
    let shipped = Bootstrap::shipped("https.yaml");
    let listener = shipped.listener().module(&tools::module()).certificate(&certificate);
    let listener = listener.plugin(&plugin().to_string()).upstream(SOURCES[0]);
    let clusters = upstreams.map(|(name, address)| Cluster::plain(name, address)).collect();
    shipped.with_listeners(vec![listener]).with_clusters(clusters).on_free_ports()
}

fn plugin() -> Value {
    let source = |name| {
        json!({
            "name": name, "cluster": name, "interval": "1s",
            "credential": {"bearer": CONTROLLER_TOKEN},
        })
    };
    json!({"sources": SOURCES.map(source), "auth": auth()})
}

/// Replaces a value that must be there.
fn replace(config: &mut Value, pointer: &str, value: Value) {
    *config.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
}
