//! Reads the manifests of `envoy/`, and changes in them only what a test on one machine has to change.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use host_tests::client::Client;
use host_tests::controller::{Controller, ControllerConfig};
use host_tests::tools;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::stage::CONTROLLER_TOKEN;

/// The folders whose manifests are for Kubernetes.
pub(super) const FOLDERS: [&str; 3] = ["kubernetes", "istio", "envoy-gateway"];

/// The documents of a file of `envoy/`.
pub(super) fn documents(file: impl AsRef<Path>) -> Vec<Value> {
    let file = tools::repository().join("envoy").join(file);
    let yaml =
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let documents = yaml_serde::Deserializer::from_str(&yaml);
    documents.map(|document| Value::deserialize(document).expect("YAML")).collect()
}

/// The one document of this kind in a file.
pub(super) fn only(file: &str, kind: &str) -> Value {
    let mut found: Vec<_> = documents(file).into_iter().filter(|it| it["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "{file}: {kind}");
    found.remove(0)
}

/// All YAML files below a folder of `envoy/`, by their paths from there.
pub(super) fn files(folder: &str) -> Vec<PathBuf> {
    let top = tools::repository().join("envoy");
    let (mut found, mut folders) = (Vec::new(), vec![top.join(folder)]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "yaml") {
                found.push(path.strip_prefix(&top).expect("below").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// A field by its JSON pointer.
pub(super) fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

/// A field by its JSON pointer, to be changed.
pub(super) fn at_mut<'a>(value: &'a mut Value, pointer: &str) -> &'a mut Value {
    value.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"))
}

/// Calls this for each object, the outer ones first.
pub(super) fn each_object(
    value: &mut Value,
    change: &mut impl FnMut(&mut serde_json::Map<String, Value>),
) {
    match value {
        Value::Object(object) => {
            change(object);
            object.values_mut().for_each(|value| each_object(value, change));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| each_object(value, change)),
        _ => {}
    }
}

/// Replaces the module's file, wherever a plugin loads it, and returns the files that were named before.
pub(super) fn replace_module(configuration: &mut Value, module: &Path) -> Vec<String> {
    let mut before = Vec::new();
    each_object(configuration, &mut |object| {
        let Some(filename) =
            object.get_mut("code").and_then(|it| it.pointer_mut("/local/filename"))
        else {
            return;
        };
        before.push(filename.as_str().expect("a file's name").to_owned());
        *filename = json!(module);
    });
    before
}

/// A listener's address of the test's choosing.
pub(super) fn loopback() -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}})
}

/// The values of the Secrets that the manifests name, by the Secret's name and key.
pub(super) fn secrets() -> BTreeMap<(&'static str, &'static str), &'static str> {
    BTreeMap::from([
        (("awx-gateway-controller", "token"), CONTROLLER_TOKEN),
        (("awx-gateway-prometheus", "token"), "demonstration-only"),
        (("awx-gateway-prometheus", "gateways-token"), "demonstration-gateways-only"),
    ])
}

/// The value of the key of a Secret that a reference names.
pub(super) fn secret(reference: &Value) -> &'static str {
    let [name, key] = ["name", "key"].map(|field| reference[field].as_str().expect("a name"));
    secrets().get(&(name, key)).unwrap_or_else(|| panic!("no Secret {name} with {key}"))
}

/// The variables that a container gets from Secrets.
pub(super) fn environment(container: &Value) -> BTreeMap<String, String> {
    let variables = container["env"].as_array().expect("an environment").iter();
    let from_secrets = variables.filter_map(|variable| {
        let reference = variable.pointer("/valueFrom/secretKeyRef")?;
        Some((variable["name"].as_str()?.to_owned(), secret(reference).to_owned()))
    });
    from_secrets.collect()
}

/// The stand-in for the AWX that the manifests name.
pub(super) fn controller() -> Controller {
    Controller::start(ControllerConfig::default())
}

/// The client of a monitor: what prometheus-operator makes Prometheus send, and the path.
pub(super) struct Scrape {
    pub(super) token: &'static str,
    pub(super) target: String,
}

impl Scrape {
    /// Of an endpoint of a PodMonitor or a ServiceMonitor, or of the spec of a ScrapeConfig.
    pub(super) fn of(endpoint: &Value) -> Self {
        let path = endpoint["path"].as_str().or(endpoint["metricsPath"].as_str()).expect("a path");
        let parameters = endpoint["params"].as_object().into_iter().flatten();
        let parameters = parameters.flat_map(|(name, values)| {
            let values = values.as_array().expect("values").iter();
            values.map(move |value| format!("{name}={}", value.as_str().expect("a value")))
        });
        let query = parameters.collect::<Vec<_>>().join("&");
        assert_eq!(at(endpoint, "/authorization/type"), "Bearer");
        let token = secret(at(endpoint, "/authorization/credentials"));
        Self {
            token,
            target: if query.is_empty() { path.into() } else { format!("{path}?{query}") },
        }
    }

    /// The page that Prometheus gets from a listener.
    pub(super) async fn page(&self, client: &Client) -> String {
        let reply = client.clone().bearer(self.token).get(&self.target).await.unwrap();
        assert_eq!(reply.status(), 200, "{:?}", reply.body());
        String::from_utf8(reply.into_body().to_vec()).unwrap()
    }
}
