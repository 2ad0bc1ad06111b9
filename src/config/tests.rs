//! The configuration's tests, by subject. Every configuration that they parse is also checked against the schema.

mod auth_key;
mod credentials;
mod every_mistake;
mod fields;
mod fingerprint;
mod hosts;
mod limits;
mod mistakes;
mod schema;
mod secrets;
mod texts;
mod warnings;

use serde_json::{Value, json};

use super::*;

const HASH: &str =
    "pbkdf2_sha256$1000$awxsaltawxsalt12345678$06oTDaNcvcrewwXocs08tG/HcOzFfk7AgRCrEq1vQTA=";
const SHA256: &str = "75c5c10f256c75b650c6ffc2e83c6588af02766efd2de28f4de34547006e8d1a";

/// Parses a configuration, and compares the result with the schema's.
fn parse(json: &Value) -> Result<Config, ConfigErrors> {
    parse_bytes(json.to_string().as_bytes())
}

fn parse_bytes(bytes: &[u8]) -> Result<Config, ConfigErrors> {
    let result = Config::parse(bytes);
    if let Ok(json) = serde_json::from_slice(bytes) {
        schema::assert_agreement(&json, result.as_ref().err());
    }
    result
}

fn accept(json: &Value) -> Config {
    parse(json).unwrap()
}

/// The mistakes of a configuration, with their fields.
fn refuse_all(json: &Value) -> Vec<(String, Problem)> {
    mistakes_of(&parse(json).unwrap_err())
}

fn mistakes_of(errors: &ConfigErrors) -> Vec<(String, Problem)> {
    errors.iter().map(|error| (error.field.clone(), error.problem)).collect()
}

/// The only mistake.
fn only(errors: &ConfigErrors) -> Problem {
    let problems: Vec<Problem> = errors.iter().map(|error| error.problem).collect();
    assert_eq!(problems.len(), 1, "{errors}");
    problems[0]
}

/// The only mistake of a configuration, with its field.
fn refuse(json: &Value) -> (String, Problem) {
    let mut mistakes = refuse_all(json);
    assert_eq!(mistakes.len(), 1, "{mistakes:?} in {json}");
    mistakes.remove(0)
}

/// Two sources, the second with `changes`.
fn with_source(changes: &Value) -> Value {
    let mut second = json!({"name": "b", "cluster": "cluster-b"});
    merge(&mut second, changes);
    json!({"sources": [{"name": "a", "cluster": "cluster-a"}, second]})
}

/// Two sources on two clusters, and a controller on the second's, with `changes`.
fn with_controller(changes: &Value) -> Value {
    let mut controller = json!({"cluster": "cluster-b"});
    merge(&mut controller, changes);
    let mut json = with_source(&json!({}));
    json["auth"] = json!({"controller": controller});
    json
}

/// Adds fields to an object. A null removes a field.
fn merge(object: &mut Value, changes: &Value) {
    let object = object.as_object_mut().unwrap();
    for (key, value) in changes.as_object().unwrap() {
        if value.is_null() {
            object.remove(key);
        } else {
            object.insert(key.clone(), value.clone());
        }
    }
}

/// Every field, none with its default.
pub(super) fn full() -> Value {
    json!({
        "$schema": "plugin.schema.json",
        "scope": "east",
        "paths": ["/metrics/", "/api/v2/metrics"],
        "hosts": ["Controller.Example", "[::1]:8443"],
        "gateway": {"labels": {"zone": "z1", "gateway": "edge"}, "created": true},
        "sources": [
            {"name": "one", "cluster": "c1", "authority": "one.example:443", "path": "/m?dbonly=1",
             "interval": "30s", "timeout": "500ms", "stale_after": "10m", "idle_after": "1h",
             "credential": {"bearer_env": "TOKEN"}, "labels": {"site": "east", "env": "prod"},
             "gateway_families": "keep", "keep": ["awx_*"], "drop": ["awx_pod_*", "awx_info"]},
            {"name": "two", "cluster": "c2",
             "credential": {"username": "scraper", "password": "hidden word"}},
            {"name": "three", "cluster": "c3",
             "credential": {"username": "scraper", "password_env": "PASSWORD"}},
            {"name": "four", "cluster": "c4", "credential": {"bearer": "hidden-token"}},
        ],
        "auth": {
            "anonymous": true,
            "tokens": [{"name": "prometheus", "sha256": SHA256, "sources": ["one"], "families": []}],
            "users": [{"name": "admin", "password_hash": HASH, "sources": [], "families": ["awx_*"]}],
            "controller": {
                "cluster": "c2", "authority": "two.example", "path": "/check", "timeout": "1500ms",
                "sources": ["two"], "allow_for": "30s", "deny_for": "0s",
                "allow_while_down_for": "1h", "cookie": "sessionid",
            },
        },
        "observe": {"by": "access_log"},
    })
}

/// Every place in `json`, as an error names it, with the JSON pointer to it.
fn places(json: &Value, name: &str, pointer: &str) -> Vec<(String, String)> {
    let mut found = vec![(name.to_owned(), pointer.to_owned())];
    match json {
        Value::Object(object) => {
            for (key, value) in object {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                found.extend(places(value, &name, &format!("{pointer}/{key}")));
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                found.extend(places(
                    value,
                    &format!("{name}[{index}]"),
                    &format!("{pointer}/{index}"),
                ));
            }
        }
        _ => {}
    }
    found
}
