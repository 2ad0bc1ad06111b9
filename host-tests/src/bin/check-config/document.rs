//! Finds the plugin's configurations in a document, however deep they are.
//!
//! | document | object | configuration |
//! |---|---|---|
//! | Envoy's YAML or JSON, an `EnvoyFilter` of Istio, a `TypedStruct` | has `vm_config` or `root_id`: the filter or the access logger | `configuration`, with a `@type` |
//! | a `WasmPlugin` of Istio | has `kind: WasmPlugin` | `spec.pluginConfig` |
//! | an `EnvoyExtensionPolicy` of Envoy Gateway | has `code` with `http` or `image` | `config` |
//!
//! A text in a document that contains `vm_config`, such as an entry of a `ConfigMap`, is read as a document too. A file may
//! contain several documents. Plugins of other modules are left out: this filter's have `awx_metrics` or `awx-metrics` in
//! their name, root id or module.
//!
//! No error quotes a value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A plugin of this filter.
#[derive(Debug)]
pub(crate) struct Plugin {
    /// The place of its configuration, for example `static_resources.listeners[0].filter_chains[0]`.
    pub(crate) place: String,
    /// The bytes that Envoy gives to the filter; empty without a configuration.
    pub(crate) configuration: Result<Vec<u8>, Unreadable>,
}

/// Why a file cannot be checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DocumentError {
    /// The file is neither YAML nor JSON.
    #[error("{place}not YAML, or a key occurs twice{position}")]
    NotYaml {
        /// The place of the text that is not YAML, with a colon; empty for the file itself.
        place: String,
        /// The line and column in the text, if they are known.
        position: String,
    },
    /// No plugin in the file is this filter's.
    #[error(
        "no plugin of this filter: none has awx_metrics or awx-metrics in its name, root id or module"
    )]
    NoPlugin,
}

/// Why a plugin's configuration cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// The type is not one that the filter reads, or there is none.
    #[error(
        "must have the @type type.googleapis.com/google.protobuf.Struct or \
         type.googleapis.com/google.protobuf.StringValue"
    )]
    Type,
    /// The message has no value, or one of another type.
    #[error("must have {expected} in value")]
    Value {
        /// The type of the value.
        expected: &'static str,
    },
    /// The configuration is not an object.
    #[error("must be an object")]
    NotObject,
}

/// Reads a file. `None` if it is the plugin's configuration itself.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Vec<Plugin>>, DocumentError> {
    if is_json(bytes) {
        return json_documents(bytes).transpose();
    }
    let plugins = yaml_plugins(&String::from_utf8_lossy(bytes), "")?;
    if plugins.is_empty() { Err(DocumentError::NoPlugin) } else { Ok(Some(plugins)) }
}

/// Returns true if the bytes begin as JSON of an object or a list does, or if there are none.
fn is_json(bytes: &[u8]) -> bool {
    matches!(bytes.trim_ascii_start().first(), None | Some(b'{' | b'['))
}

/// The plugins of a JSON document. `None` if it is the plugin's configuration, or not JSON.
fn json_documents(bytes: &[u8]) -> Option<Result<Vec<Plugin>, DocumentError>> {
    const KEYS: [&str; 5] = ["static_resources", "dynamic_resources", "resources", "kind", "@type"];
    let json: Value = serde_json::from_slice(bytes).ok()?;
    let mut plugins = Vec::new();
    if let Err(error) = search(&json, "", &mut plugins) {
        return Some(Err(error));
    }
    let is_document = KEYS.iter().any(|key| json.get(key).is_some());
    match plugins.is_empty() {
        false => Some(Ok(plugins)),
        true if is_document => Some(Err(DocumentError::NoPlugin)),
        true => None,
    }
}

/// The plugins of all YAML documents in a text.
fn yaml_plugins(text: &str, place: &str) -> Result<Vec<Plugin>, DocumentError> {
    let mut documents = Vec::new();
    // The iterator has no end after an error.
    for document in yaml_serde::Deserializer::from_str(text) {
        let document = yaml_serde::Value::deserialize(document);
        documents.push(document.map_err(|error| not_yaml(place, &error))?);
    }
    let are_several = documents.len() > 1;
    let mut plugins = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        let place = match (are_several, place) {
            (true, "") => format!("document {}", index + 1),
            (true, place) => format!("{place}, document {}", index + 1),
            (false, place) => place.to_owned(),
        };
        search(&json_of(document), &place, &mut plugins)?;
    }
    Ok(plugins)
}

/// The error without its message, which may quote a value.
fn not_yaml(place: &str, error: &yaml_serde::Error) -> DocumentError {
    let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
    let position =
        error.location().map(|at| format!(", at line {}, column {}", at.line(), at.column()));
    DocumentError::NotYaml { place, position: position.unwrap_or_default() }
}

fn json_of(yaml: yaml_serde::Value) -> Value {
    use yaml_serde::Value as Yaml;
    match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => Value::Bool(value),
        Yaml::Number(number) => serde_json::to_value(number).unwrap_or_default(),
        Yaml::String(text) => Value::String(text),
        Yaml::Sequence(items) => items.into_iter().map(json_of).collect(),
        Yaml::Mapping(entries) => {
            let entries = entries.into_iter().map(|(key, value)| (key_of(key), json_of(value)));
            Value::Object(entries.collect())
        }
        Yaml::Tagged(tagged) => json_of(tagged.value),
    }
}

fn key_of(key: yaml_serde::Value) -> String {
    match json_of(key) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn search(json: &Value, place: &str, plugins: &mut Vec<Plugin>) -> Result<(), DocumentError> {
    match json {
        Value::Object(object) => match plugin(object, place) {
            Some(plugin) => plugins.push(plugin),
            None => {
                for (key, value) in object {
                    search(value, &below(place, key), plugins)?;
                }
            }
        },
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                search(item, &format!("{place}[{index}]"), plugins)?;
            }
        }
        Value::String(text) if text.contains("vm_config") => {
            plugins.extend(yaml_plugins(text, place)?);
        }
        _ => {}
    }
    Ok(())
}

fn below(place: &str, key: &str) -> String {
    let is_plain =
        !key.is_empty() && key.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
    match (place, is_plain) {
        ("", true) => key.to_owned(),
        (_, true) => format!("{place}.{key}"),
        (_, false) => format!("{place}[{key:?}]"),
    }
}

/// The plugin that this object configures, if it is this filter's.
fn plugin(object: &Map<String, Value>, place: &str) -> Option<Plugin> {
    if object.contains_key("vm_config") || object.contains_key("root_id") {
        return envoy_plugin(object, place);
    }
    let is_wasm_plugin = object.get("kind").and_then(Value::as_str) == Some("WasmPlugin");
    if let Some(spec) = object.get("spec").filter(|_| is_wasm_plugin) {
        let names_filter = ["url", "pluginName"].iter().any(|key| names_filter(&spec[*key]));
        let place = below(&below(place, "spec"), "pluginConfig");
        return names_filter
            .then(|| Plugin { place, configuration: object_in(spec.get("pluginConfig")) });
    }
    let is_fetched = |code: &&Value| code.get("http").or(code.get("image")).is_some();
    let code = object.get("code").filter(is_fetched)?;
    let mut names = [Some(code), object.get("rootID"), object.get("name")].into_iter().flatten();
    names.any(names_filter).then(|| Plugin {
        place: below(place, "config"),
        configuration: object_in(object.get("config")),
    })
}

fn envoy_plugin(object: &Map<String, Value>, place: &str) -> Option<Plugin> {
    let code = object.get("vm_config").and_then(|vm| vm.get("code"));
    let mut names = [object.get("name"), object.get("root_id"), code].into_iter().flatten();
    let place = below(place, "configuration");
    names.any(names_filter).then(|| match object.get("configuration") {
        Some(message) => Plugin { place, configuration: message_in(message) },
        None => Plugin { place, configuration: Ok(Vec::new()) },
    })
}

/// Returns true if a text in `json` names this filter.
fn names_filter(json: &Value) -> bool {
    match json {
        Value::String(text) => text.contains("awx_metrics") || text.contains("awx-metrics"),
        Value::Array(items) => items.iter().any(names_filter),
        Value::Object(entries) => entries.values().any(names_filter),
        _ => false,
    }
}

fn object_in(json: Option<&Value>) -> Result<Vec<u8>, Unreadable> {
    match json {
        None => Ok(Vec::new()),
        Some(Value::Object(_)) => Ok(json.map(Value::to_string).unwrap_or_default().into_bytes()),
        Some(_) => Err(Unreadable::NotObject),
    }
}

/// The bytes that Envoy gives to the filter for a message of type `google.protobuf.Any`.
fn message_in(message: &Value) -> Result<Vec<u8>, Unreadable> {
    let name = message["@type"].as_str().and_then(|url| url.rsplit('/').next());
    let value = &message["value"];
    let wrong = |expected| Unreadable::Value { expected };
    match name {
        Some("google.protobuf.StringValue") => {
            value.as_str().map(|text| text.as_bytes().to_vec()).ok_or(wrong("a string"))
        }
        Some("google.protobuf.BytesValue") => {
            let bytes = value.as_str().and_then(|text| STANDARD.decode(text).ok());
            bytes.ok_or(wrong("a string in base64"))
        }
        Some("google.protobuf.Struct") => {
            value.as_object().map(|_| value.to_string().into_bytes()).ok_or(wrong("an object"))
        }
        _ => Err(Unreadable::Type),
    }
}
