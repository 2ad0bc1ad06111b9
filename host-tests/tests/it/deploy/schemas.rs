//! Every manifest of `envoy/` against the types of its kind.

use std::collections::BTreeSet;

use host_tests::kinds::{Manifest, Refusals, check};
use serde_json::{Value, json};

use super::manifest::{FOLDERS, at_mut, documents, files, only};

/// Strategic merge patches, which are no whole objects.
const PATCHES: [&str; 2] =
    ["kubernetes/sidecar/deployment.yaml", "kubernetes/module-from-image/deployment.yaml"];

/// Fields that contain what no Kubernetes type describes: a plugin's configuration, Envoy's, or another object.
const FREE: [&str; 4] = ["pluginConfig", "config", "value", "deployment"];

/// A manifest, and the file that contains it.
struct Shipped {
    file: String,
    document: Value,
    is_patch: bool,
}

impl Shipped {
    fn all() -> Vec<Self> {
        let files = FOLDERS.iter().flat_map(|folder| files(folder));
        let files = files.map(|file| file.to_str().expect("a path in UTF-8").to_owned());
        // Envoy itself reads these.
        let manifests = files.filter(|file| !file.ends_with("/envoy.yaml"));
        manifests.flat_map(|file| Self::of(&file)).collect()
    }

    /// The documents of a file, and the patches that they contain as text.
    fn of(file: &str) -> Vec<Self> {
        let is_patch = PATCHES.contains(&file);
        let mut found = Vec::new();
        for document in documents(file) {
            if let Some(text) = document.pointer("/data/deployment") {
                let mut patch: Value = yaml_serde::from_str(text.as_str().unwrap()).unwrap();
                patch["apiVersion"] = json!("apps/v1");
                patch["kind"] = json!("Deployment");
                found.push(Self { file: file.to_owned(), document: patch, is_patch: true });
            }
            found.push(Self { file: file.to_owned(), document, is_patch });
        }
        found
    }

    fn manifest<'a>(&self, document: &'a Value) -> Manifest<'a> {
        Manifest { document, is_patch: self.is_patch }
    }
}

fn refusals(manifests: &[Manifest<'_>]) -> Refusals {
    check(manifests).unwrap()
}

#[test]
fn every_manifest_has_the_fields_of_its_kind() {
    let shipped = Shipped::all();
    let manifests: Vec<_> = shipped.iter().map(|it| it.manifest(&it.document)).collect();
    assert!(manifests.len() > 10, "{} manifests", manifests.len());
    let refused = refusals(&manifests);
    let refused: Vec<_> = refused.iter().map(|(place, why)| (&shipped[*place].file, why)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

/// The JSON pointers of all objects in a value, apart from those that nothing describes.
fn objects(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            found.push(pointer.to_owned());
            for (name, value) in object {
                if !FREE.contains(&name.as_str()) {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    objects(value, &format!("{pointer}/{name}"), found);
                }
            }
        }
        Value::Array(list) => {
            for (place, value) in list.iter().enumerate() {
                objects(value, &format!("{pointer}/{place}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn a_misspelt_field_is_refused_in_every_object_of_every_manifest() {
    let shipped = Shipped::all();
    let mut mutants = Vec::new();
    for it in &shipped {
        let mut pointers = Vec::new();
        objects(&it.document, "", &mut pointers);
        for pointer in pointers {
            let mut document = it.document.clone();
            at_mut(&mut document, &pointer)["misspelt"] = json!(true);
            mutants.push((it, pointer, document));
        }
    }
    let kinds: BTreeSet<_> =
        mutants.iter().map(|(_, _, document)| document["kind"].as_str()).collect();
    assert!(kinds.len() > 8, "{kinds:?}");
    let manifests: Vec<_> = mutants.iter().map(|(it, _, document)| it.manifest(document)).collect();
    let refused = refusals(&manifests);
    for (place, (it, pointer, _)) in mutants.iter().enumerate() {
        let is_refused = refused.contains_key(&place);
        assert!(is_refused, "{}: an unknown field in {pointer:?} is accepted", it.file);
    }
}

#[test]
fn a_value_that_breaks_a_pattern_is_refused() {
    let mut monitor = only("kubernetes/monitoring/pod-monitor.yaml", "PodMonitor");
    *at_mut(&mut monitor, "/spec/podMetricsEndpoints/0/interval") = json!("15 seconds");
    let refused = refusals(&[Manifest { document: &monitor, is_patch: false }]);
    assert_eq!(refused.len(), 1, "{refused:?}");
}

#[test]
fn a_missing_field_and_a_wrong_type_are_refused() {
    let deployment = only("kubernetes/deployment.yaml", "Deployment");
    let (mut without, mut with_text) = (deployment.clone(), deployment);
    at_mut(&mut without, "/spec").as_object_mut().unwrap().remove("selector");
    *at_mut(&mut with_text, "/spec/replicas") = json!("two");
    let manifests = [without, with_text];
    let manifests: Vec<_> =
        manifests.iter().map(|document| Manifest { document, is_patch: false }).collect();
    assert_eq!(refusals(&manifests).into_keys().collect::<Vec<_>>(), [0, 1]);
}
