use std::fs;
use std::path::{Path, PathBuf};

use host_tests::tools;
use serde_json::{Value, json};

use super::document::{DocumentError, Unreadable, read};
use super::*;

const STRUCT: &str = "type.googleapis.com/google.protobuf.Struct";
const STRING: &str = "type.googleapis.com/google.protobuf.StringValue";
const BYTES: &str = "type.googleapis.com/google.protobuf.BytesValue";

/// A secret at a wrong place.
const SECRET: &str = "s3cret-of-thirty-characters-xx";

fn shipped(file: &str) -> String {
    fs::read_to_string(tools::repository().join("envoy").join(file)).unwrap()
}

fn report(text: &str) -> Report {
    check(text.as_bytes())
}

fn yaml(json: &Value) -> String {
    yaml_serde::to_string(json).unwrap()
}

/// A configuration with a mistake in two fields.
fn wrong() -> Value {
    json!({"scope": "", "auth": {"anonymous": SECRET}})
}

/// The mistakes of [`wrong`] at this place.
fn mistakes(place: &str) -> Vec<String> {
    let fields = ["scope: must not be empty", "auth.anonymous: must be true or false"];
    fields.iter().map(|mistake| line(place, mistake)).collect()
}

fn envoy_plugin(configuration: Value) -> Value {
    json!({
        "name": "metrics",
        "root_id": "awx_metrics",
        "vm_config": {"vm_id": "x", "code": {"local": {"filename": "filter.wasm"}}},
        "configuration": configuration,
    })
}

/// Every YAML file below a folder.
fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = paths.flat_map(|path| match path.is_dir() {
        true => yaml_files(&path),
        false => vec![path],
    });
    files.filter(|path| path.extension().is_some_and(|it| it == "yaml")).collect()
}

#[test]
fn a_plugin_configuration_without_a_mistake_is_ok() {
    assert_eq!(report(r#"{"auth": {"anonymous": true}}"#).notes, ["ok"]);
    let nothing = report("");
    let warning = "warning: auth: no tokens, no users, no controller, and anonymous is false: ";
    assert!(nothing.mistakes.is_empty() && nothing.notes[0] == "ok");
    assert!(nothing.notes[1].starts_with(warning), "{nothing:?}");
}

#[test]
fn every_mistake_of_a_plugin_configuration_is_a_line() {
    let found = report(&wrong().to_string());
    assert_eq!(found, Report { notes: vec![], mistakes: mistakes("") });
    let found = report(r#"{"scope": }"#);
    assert_eq!(found.mistakes, ["configuration: not JSON, at line 1, column 11"]);
    let many = report(&json!({"sources": vec![json!({}); 99]}).to_string());
    assert_eq!(many.mistakes.last().unwrap(), "there are more mistakes");
}

#[test]
fn the_shipped_configurations_are_ok() {
    for (file, plugins) in [("http.yaml", 1), ("https.yaml", 1), ("access-log.yaml", 2)] {
        let found = report(&shipped(file));
        assert_eq!(found.mistakes, [""; 0], "{file}");
        assert_eq!(found.notes.len(), plugins, "{file}: {found:?}");
        assert!(found.notes.iter().all(|note| note.ends_with("configuration: ok")), "{found:?}");
    }
    let [listener, logger] = [".http_filters[0].typed_config", ".access_log[0].typed_config"];
    let notes = report(&shipped("access-log.yaml")).notes;
    assert!(notes.iter().any(|note| note.contains(listener)), "{notes:?}");
    assert!(notes.iter().any(|note| note.contains(logger)), "{notes:?}");
}

#[test]
fn every_yaml_file_below_envoy_is_ok_or_has_no_plugin() {
    let files = yaml_files(&tools::repository().join("envoy"));
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let bytes = fs::read(&file).unwrap();
        match read(&bytes) {
            Err(DocumentError::NoPlugin) => {
                let text = String::from_utf8(bytes).unwrap();
                let is_code = |line: &&str| !line.trim_start().starts_with('#');
                let has_plugin = |line: &str| line.contains("awx_metrics_filter");
                let mut code = text.lines().filter(is_code);
                assert!(!code.any(has_plugin), "{} has a plugin", file.display());
            }
            found => {
                assert!(found.unwrap().is_some(), "{}", file.display());
                assert_eq!(check(&bytes).mistakes, [""; 0], "{}", file.display());
            }
        }
    }
}

#[test]
fn the_shipped_configurations_are_valid_by_the_schema() {
    let schema: Value = serde_json::from_str(&shipped("plugin.schema.json")).unwrap();
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    let mut count = 0;
    for file in yaml_files(&tools::repository().join("envoy")) {
        let Ok(Some(plugins)) = read(&fs::read(&file).unwrap()) else { continue };
        for plugin in plugins {
            let json = serde_json::from_slice(&plugin.configuration.unwrap()).unwrap();
            assert!(schema.is_valid(&json), "{}: {}", file.display(), plugin.place);
            count += 1;
        }
    }
    assert!(count >= 4, "{count} configurations");
}

#[test]
fn a_document_without_a_plugin_is_a_mistake_with_a_message_of_its_own() {
    let other = json!({"name": "stats", "root_id": "stats", "vm_config": {"vm_id": "awx_metrics"}});
    let other_policy = json!({"name": "x", "code": {"http": {"url": "https://host/other.wasm"}}});
    let documents = [
        shipped("local-reply.yaml"),
        yaml(&json!({"http_filters": [other]})),
        yaml(&json!({"kind": "WasmPlugin", "spec": {"url": "oci://host/other"}})),
        yaml(&json!({"wasm": [other_policy]})),
        json!({"static_resources": {}}).to_string(),
        "# nothing".to_owned(),
    ];
    for document in documents {
        assert_eq!(report(&document).mistakes, [DocumentError::NoPlugin.to_string()], "{document}");
    }
}

#[test]
fn every_mistake_in_envoys_configuration_is_a_line_with_its_place() {
    let text = json!({"@type": STRING, "value": wrong().to_string()});
    let inline = json!({"@type": STRUCT, "value": wrong()});
    let filters = json!([{"typed_config": {"config": envoy_plugin(inline)}}]);
    let mut logger = envoy_plugin(text);
    logger["root_id"] = json!("awx_metrics_log");
    let typed = json!({"@type": "type.googleapis.com/udpa.type.v1.TypedStruct", "value": {"config": logger}});
    let document = json!({"access_log": [{"typed_config": typed}], "http_filters": filters});
    let access_log = mistakes("access_log[0].typed_config.value.config.configuration");
    let filter = mistakes("http_filters[0].typed_config.config.configuration");
    for text in [yaml(&document), document.to_string()] {
        assert_eq!(report(&text).mistakes, [&access_log[..], &filter].concat());
    }
}

#[test]
fn a_plugin_is_recognised_by_its_name_its_root_id_or_its_module() {
    for (pointer, name) in [
        ("/name", "awx_metrics"),
        ("/root_id", "awx_metrics_log"),
        ("/vm_config/code/local/filename", "/etc/awx_metrics_filter.wasm"),
        ("/vm_config/code/local/filename", "/etc/awx-metrics-filter.wasm"),
    ] {
        let mut plugin = envoy_plugin(json!({"@type": STRUCT, "value": wrong()}));
        plugin["root_id"] = json!("other");
        assert_eq!(report(&yaml(&json!({"config": plugin}))).mistakes.len(), 1);
        *plugin.pointer_mut(pointer).unwrap() = json!(name);
        let found = report(&yaml(&json!({"config": plugin}))).mistakes;
        assert_eq!(found, mistakes("config.configuration"), "{name}");
    }
}

#[test]
fn a_plugin_without_a_configuration_is_checked_as_an_empty_one() {
    let mut plugin = envoy_plugin(Value::Null);
    plugin.as_object_mut().unwrap().remove("configuration");
    let found = report(&yaml(&json!({"config": plugin})));
    assert_eq!(found.mistakes, [""; 0]);
    assert_eq!(found.notes[0], "config.configuration: ok");
}

#[test]
fn a_message_that_the_filter_cannot_read_is_a_mistake() {
    let value = |expected| Unreadable::Value { expected };
    for (message, expected) in [
        (json!({}), Unreadable::Type),
        (Value::Null, Unreadable::Type),
        (wrong(), Unreadable::Type),
        (
            json!({"@type": "type.googleapis.com/google.protobuf.Value", "value": {}}),
            Unreadable::Type,
        ),
        (json!({"@type": STRUCT, "scope": "a"}), value("an object")),
        (json!({"@type": STRUCT, "value": SECRET}), value("an object")),
        (json!({"@type": STRING, "value": {}}), value("a string")),
        (json!({"@type": BYTES, "value": SECRET}), value("a string in base64")),
    ] {
        let found = report(&yaml(&json!({"config": envoy_plugin(message)})));
        assert_eq!(found.mistakes, [format!("config.configuration: {expected}")]);
        assert!(!found.mistakes[0].contains(SECRET));
    }
    let bytes = json!({"@type": BYTES, "value": "eyJzY29wZSI6ICIifQ=="});
    let found = report(&yaml(&json!({"config": envoy_plugin(bytes)})));
    assert_eq!(found.mistakes, ["config.configuration: scope: must not be empty"]);
}

#[test]
fn manifests_are_searched_too() {
    let plugin = envoy_plugin(json!({"@type": STRUCT, "value": wrong()}));
    let bootstrap = yaml(&json!({"filters": [{"config": plugin}]}));
    let config_map =
        json!({"kind": "ConfigMap", "data": {"envoy.yaml": bootstrap, "other": "a: ["}});
    let envoy_filter = json!({
        "kind": "EnvoyFilter",
        "spec": {"configPatches": [{"patch": {"value": {"typed_config": {"config": plugin}}}}]},
    });
    let wasm_plugin = json!({
        "kind": "WasmPlugin",
        "spec": {"url": "oci://host/awx-metrics-filter:1", "pluginConfig": wrong()},
    });
    let policy = json!({
        "kind": "EnvoyExtensionPolicy",
        "spec": {"wasm": [{
            "name": "metrics",
            "code": {"type": "HTTP", "http": {"url": "https://host/awx_metrics_filter.wasm"}},
            "config": wrong(),
        }]},
    });
    let manifests = [
        (config_map, "data[\"envoy.yaml\"].filters[0].config.configuration"),
        (envoy_filter, "spec.configPatches[0].patch.value.typed_config.config.configuration"),
        (wasm_plugin, "spec.pluginConfig"),
        (policy, "spec.wasm[0].config"),
    ];
    for (manifest, place) in &manifests {
        assert_eq!(report(&yaml(manifest)).mistakes, mistakes(place));
    }
    let all: Vec<String> = manifests.iter().map(|(manifest, _)| yaml(manifest)).collect();
    let places = (1..).zip(&manifests);
    let expected = places.flat_map(|(n, (_, place))| mistakes(&format!("document {n}.{place}")));
    assert_eq!(report(&all.join("---\n")).mistakes, expected.collect::<Vec<_>>());
}

#[test]
fn a_manifest_with_a_configuration_of_another_type_is_a_mistake() {
    let spec = json!({"pluginName": "awx_metrics", "pluginConfig": wrong().to_string()});
    let found = report(&yaml(&json!({"kind": "WasmPlugin", "spec": spec})));
    assert_eq!(found.mistakes, ["spec.pluginConfig: must be an object"]);
}

#[test]
fn an_error_in_yaml_has_its_position_and_no_value() {
    let found = report(&format!("a: 1\nb: [{SECRET}\nc: 2\n"));
    let [mistake] = found.mistakes.as_slice() else { panic!("{found:?}") };
    assert!(mistake.starts_with("not YAML, or a key occurs twice, at line "), "{mistake}");
    assert!(!mistake.contains(SECRET), "{mistake}");
    let found = report(&format!("a: 1\n{SECRET}: 1\n{SECRET}: 2\n"));
    let [mistake] = found.mistakes.as_slice() else { panic!("{found:?}") };
    assert!(mistake.starts_with("not YAML, or a key occurs twice"), "{mistake}");
    assert!(!mistake.contains(SECRET), "{mistake}");
    let broken = json!({"kind": "ConfigMap", "data": {"envoy": format!("vm_config: [{SECRET}")}});
    let found = report(&yaml(&broken));
    let [mistake] = found.mistakes.as_slice() else { panic!("{found:?}") };
    assert!(mistake.starts_with("data.envoy: not YAML"), "{mistake}");
    assert!(!mistake.contains(SECRET), "{mistake}");
}
