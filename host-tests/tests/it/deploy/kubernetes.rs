//! `envoy/kubernetes`: its configuration on real Envoy, with the arguments and the environment of its Deployment.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use host_tests::client::Client;
use host_tests::controller::Controller;
use host_tests::envoy::{Bootstrap, Envoy, EnvoyOptions};
use host_tests::process::eventually;
use host_tests::tools::{self, Release};
use hyper::Method;
use serde_json::{Value, json};

use super::manifest::{self, at, at_mut, documents, only};
use crate::stage::{METRICS, PATIENCE, sample, until};

const POD: &str = "awx-gateway-0";

/// The Envoy of one pod.
pub(super) struct Pod {
    envoy: Envoy,
    pub(super) controller: Controller,
}

impl Pod {
    pub(super) async fn start(release: Release) -> Self {
        let controller = manifest::controller();
        let container = container("kubernetes/deployment.yaml", "Deployment");
        let bootstrap = bootstrap("kubernetes/envoy.yaml", &container, &controller);
        let arguments = Arguments::of(&container);
        let environment = manifest::environment(&container);
        let options = EnvoyOptions { release, workers: arguments.workers, environment };
        let arguments: Vec<_> = arguments.others.iter().map(String::as_str).collect();
        let envoy = Envoy::start_with(&bootstrap, &options, &arguments).await.unwrap();
        Self { envoy, controller }
    }

    fn client(&self, place: usize) -> Client {
        Client::http(self.envoy.listeners()[place])
    }

    fn users(&self) -> Client {
        self.client(0)
    }

    pub(super) fn metrics(&self) -> Client {
        self.client(1)
    }

    fn probes(&self) -> Client {
        self.client(2)
    }
}

fn container(file: &str, kind: &str) -> Value {
    at(&only(file, kind), "/spec/template/spec/containers/0").clone()
}

/// The arguments of the Deployment, apart from those that the test's own runner sets.
struct Arguments {
    workers: usize,
    others: Vec<String>,
}

impl Arguments {
    fn of(container: &Value) -> Self {
        let arguments = container["args"].as_array().expect("arguments").iter();
        let mut arguments =
            arguments.map(|it| it.as_str().expect("text").replace("$(POD_NAME)", POD));
        let (mut workers, mut others) = (None, Vec::new());
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--concurrency" => workers = arguments.next().and_then(|it| it.parse().ok()),
                "--config-path" => {
                    let file = arguments.next().expect("a file");
                    assert_eq!(file, format!("{}/envoy.yaml", mount(container, "config")));
                }
                "--disable-hot-restart" => {}
                _ => others.push(argument),
            }
        }
        Self { workers: workers.expect("a number of workers"), others }
    }
}

/// Where a container mounts a volume.
fn mount(container: &Value, volume: &str) -> String {
    let mounts = container["volumeMounts"].as_array().expect("mounts").iter();
    let mount = mounts.into_iter().find(|mount| mount["name"].as_str().unwrap().contains(volume));
    mount.expect("a mount")["mountPath"].as_str().expect("a path").to_owned()
}

/// The configuration of the ConfigMap, on free ports of this machine and with the stand-in as controller.
fn bootstrap(file: &str, container: &Value, controller: &Controller) -> Bootstrap {
    let mut bootstrap = documents(file).remove(0);
    *at_mut(&mut bootstrap, "/admin/address") = manifest::loopback();
    for listener in at_mut(&mut bootstrap, "/static_resources/listeners").as_array_mut().unwrap() {
        listener["address"] = manifest::loopback();
    }
    let (ip, port) = (controller.address().ip().to_string(), controller.address().port());
    *upstream(&mut bootstrap) = json!({"address": ip, "port_value": port});
    let before = manifest::replace_module(&mut bootstrap, &tools::module());
    let mounted = format!("{}/plugin.wasm", mount(container, "module"));
    assert_eq!(before, [mounted.as_str(); 2], "the access logger's and the filter's");
    Bootstrap::from(bootstrap)
}

fn upstream(bootstrap: &mut Value) -> &mut Value {
    let endpoint =
        "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint";
    at_mut(bootstrap, &format!("{endpoint}/address/socket_address"))
}

async fn the_page_is_served_and_users_are_counted(release: Release) {
    let pod = Pod::start(release).await;
    assert_eq!(pod.users().get("/api/v2/ping/").await.unwrap().status(), 200);
    let prometheus = pod.metrics().bearer("demonstration-only");
    let labels = [("gateway", POD), ("method", "GET"), ("resource", "ping"), ("code", "200")];
    let page = until(&prometheus, "", |page| {
        page.contains("awx_sessions_total{")
            && sample(page, "awx_gateway_requests_total", &labels) == Some(1.0)
    });
    page.await;
    assert_eq!(pod.envoy.warnings(), [""; 0]);
    assert_eq!(pod.envoy.traps(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deployment_serves_the_page_and_counts_users() {
    the_page_is_served_and_users_are_counted(Release::Newest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deployment_serves_the_page_and_counts_users_on_the_oldest_envoy() {
    the_page_is_served_and_users_are_counted(Release::Oldest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_reach_no_metrics_page_under_any_spelling() {
    let pod = Pod::start(Release::Newest).await;
    let user = pod.users().bearer("demonstration-only");
    let paths = [METRICS, "/api/v2/metrics/?format=json", "/api/controller/v2/metrics/"];
    let spellings =
        ["//api//v2/metrics", "/api/v2/%6detrics", "/api/v2%2fmetrics", "/x/../api/v2/metrics"];
    for path in paths.into_iter().chain(spellings) {
        assert_eq!(user.get(path).await.unwrap().status(), 404, "{path}");
    }
    // The pulls of the filter itself ask for a page.
    let by_users = |request: &host_tests::controller::Received| {
        format!("{request:?}").contains("demonstration-only")
    };
    assert!(!pod.controller.requests().iter().any(by_users));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_port_leads_to_nothing_but_the_page() {
    let pod = Pod::start(Release::Newest).await;
    for path in ["/", "/api/v2/ping/", "/api/v2/metrics/x"] {
        assert_eq!(pod.metrics().get(path).await.unwrap().status(), 404, "{path}");
    }
    assert_eq!(pod.metrics().get(METRICS).await.unwrap().status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_drains_is_alive_but_not_ready() {
    let pod = Pod::start(Release::Newest).await;
    let container = container("kubernetes/deployment.yaml", "Deployment");
    let path = |probe: &str| {
        at(&container, &format!("/{probe}/httpGet/path")).as_str().unwrap().to_owned()
    };
    let [startup, ready, live] = ["startupProbe", "readinessProbe", "livenessProbe"].map(path);
    let status = async |path: &str| pod.probes().get(path).await.unwrap().status().as_u16();
    assert_eq!([status(&startup).await, status(&ready).await, status(&live).await], [200; 3]);
    let drained = pod.envoy.admin().request(Method::POST, "/healthcheck/fail", "").await.unwrap();
    assert_eq!(drained.status(), 200);
    let is_unready = eventually(PATIENCE, async || (status(&ready).await == 503).then_some(()));
    is_unready.await.expect("the pod becomes unready");
    assert_eq!(status(&live).await, 200);
}

#[test]
fn the_sidecar_is_the_gateway_with_another_address_of_the_controller() {
    let [mut gateway, mut sidecar] = ["kubernetes/envoy.yaml", "kubernetes/sidecar/envoy.yaml"]
        .map(|file| documents(file).remove(0));
    assert_eq!(*upstream(&mut sidecar), json!({"address": "127.0.0.1", "port_value": 8052}));
    *upstream(&mut gateway) = Value::Null;
    *upstream(&mut sidecar) = Value::Null;
    assert_eq!(gateway, sidecar);
    let [own, patch] = ["kubernetes/deployment.yaml", "kubernetes/sidecar/deployment.yaml"]
        .map(|file| container(file, "Deployment"));
    for field in [
        "image",
        "args",
        "env",
        "ports",
        "startupProbe",
        "readinessProbe",
        "livenessProbe",
        "lifecycle",
        "resources",
    ] {
        assert_eq!(own[field], patch[field], "{field}");
    }
}

/// The ports of a container, as (name, number).
fn container_ports(container: &Value) -> BTreeSet<(String, u64)> {
    let ports = container["ports"].as_array().unwrap().iter();
    ports
        .map(|port| {
            (port["name"].as_str().unwrap().into(), port["containerPort"].as_u64().unwrap())
        })
        .collect()
}

#[test]
fn the_ports_of_the_pod_are_the_listeners_of_envoy() {
    let listeners = documents("kubernetes/envoy.yaml").remove(0);
    let listeners = at(&listeners, "/static_resources/listeners").as_array().unwrap().clone();
    let listeners = listeners.iter().map(|listener| {
        let socket = at(listener, "/address/socket_address");
        assert_eq!(socket["address"], "0.0.0.0");
        (listener["name"].as_str().unwrap().to_owned(), socket["port_value"].as_u64().unwrap())
    });
    let container = container("kubernetes/deployment.yaml", "Deployment");
    assert_eq!(listeners.collect::<BTreeSet<_>>(), container_ports(&container));
}

#[test]
fn services_and_policies_select_the_pods_and_name_their_ports() {
    let deployment = only("kubernetes/deployment.yaml", "Deployment");
    let labels = at(&deployment, "/spec/template/metadata/labels").as_object().unwrap();
    let selects = |selector: &Value| {
        let wanted = selector.as_object().unwrap();
        assert!(
            !wanted.is_empty()
                && wanted.iter().all(|(name, value)| labels.get(name) == Some(value)),
            "{selector}"
        );
    };
    let container = container("kubernetes/deployment.yaml", "Deployment");
    let ports: BTreeSet<_> =
        container_ports(&container).into_iter().map(|(name, _)| name).collect();
    let services = documents("kubernetes/service.yaml");
    assert_eq!(services.len(), 2);
    for service in &services {
        selects(at(service, "/spec/selector"));
        assert!(ports.contains(at(service, "/spec/ports/0/targetPort").as_str().unwrap()));
    }
    selects(at(&deployment, "/spec/selector/matchLabels"));
    selects(at(
        &documents("kubernetes/pod-disruption-budget.yaml")[0],
        "/spec/selector/matchLabels",
    ));
    selects(at(
        &documents("kubernetes/monitoring/pod-monitor.yaml")[0],
        "/spec/selector/matchLabels",
    ));
    let policy = documents("kubernetes/network-policy.yaml").remove(0);
    selects(at(&policy, "/spec/podSelector/matchLabels"));
    for rule in at(&policy, "/spec/ingress").as_array().unwrap() {
        assert!(ports.contains(at(rule, "/ports/0/port").as_str().unwrap()));
    }
}

#[test]
fn only_prometheus_reaches_the_metrics_port() {
    for file in ["kubernetes/network-policy.yaml", "kubernetes/sidecar/network-policy.yaml"] {
        let policy = documents(file).remove(0);
        let rules = at(&policy, "/spec/ingress").as_array().unwrap();
        let opens_metrics = |rule: &&Value| {
            let is_for_envoy = rule.get("ports").is_some();
            is_for_envoy
                && at(rule, "/ports").as_array().unwrap().iter().any(|it| it["port"] == "metrics")
        };
        let opening: Vec<_> = rules.iter().filter(opens_metrics).collect();
        let [rule] = opening[..] else { panic!("{file}: {opening:?}") };
        let [from] = &rule["from"].as_array().unwrap()[..] else { panic!("{file}: {rule}") };
        assert_eq!(
            at(from, "/podSelector/matchLabels"),
            &json!({"app.kubernetes.io/name": "prometheus"})
        );
        assert!(from.get("namespaceSelector").is_some());
    }
}

/// The names in a kustomization: files, and folders with a kustomization.
fn named(kustomization: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut named: Vec<Value> =
        ["resources", "components"].iter().flat_map(|it| list(&kustomization[it])).collect();
    named.extend(list(&kustomization["patches"]).iter().map(|patch| patch["path"].clone()));
    named.extend(
        list(&kustomization["configMapGenerator"]).iter().flat_map(|map| list(&map["files"])),
    );
    named.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_kustomizations_name_every_file_and_nothing_that_is_missing() {
    let files = manifest::files("kubernetes");
    let mut expected: BTreeSet<_> =
        files.iter().filter(|it| !it.ends_with("kustomization.yaml")).cloned().collect();
    // Two files are applied by hand, as each says at its top.
    for file in ["kubernetes/monitoring/service-monitor.yaml", "kubernetes/sidecar/deployment.yaml"]
    {
        assert!(expected.remove(Path::new(file)), "{file}");
    }
    let kustomizations = files.iter().filter(|it| it.ends_with("kustomization.yaml"));
    let mut found = BTreeSet::new();
    for file in kustomizations {
        for name in named(&documents(file)[0]) {
            let path = file.parent().unwrap().join(&name);
            let is_folder = tools::repository().join("envoy").join(&path).is_dir();
            // The module, which an operator copies there.
            if !is_folder && name != "plugin.wasm" {
                found.insert(path);
            }
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn a_pod_serves_until_the_service_has_forgotten_it() {
    let pod = at(&only("kubernetes/deployment.yaml", "Deployment"), "/spec/template/spec").clone();
    let grace = pod["terminationGracePeriodSeconds"].as_u64().map(Duration::from_secs).unwrap();
    let sleep =
        at(&pod, "/containers/0/lifecycle/preStop/sleep/seconds").as_u64().map(Duration::from_secs);
    assert!(grace > sleep.unwrap());
}
