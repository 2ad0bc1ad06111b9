//! `envoy/plugin.schema.json` against the parser: both accept or both refuse a configuration.
//!
//! [`assert_agreement`] compares the two for every configuration that the tests parse. The schema may accept what the
//! parser refuses only because of the rules of [`Inexpressible`].

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::*;
use crate::config::document;
use crate::config::json::Json;
use crate::limits;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../envoy/plugin.schema.json")).unwrap()
});

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    jsonschema::meta::validate(&SCHEMA).unwrap();
    jsonschema::draft202012::new(&SCHEMA).unwrap()
});

/// A rule of the parser that a schema cannot express.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Inexpressible {
    RepeatedKey,
    WholeSize,
    Bytes,
    LongestDuration,
    DuplicateName,
    DuplicateAfterNormalising,
    SameToken,
    UnknownSource,
    Forward,
    Ipv6Address,
}

/// Each rule, the reason why a schema cannot express it, and a configuration that only this rule refuses.
fn inexpressible() -> Vec<(Inexpressible, &'static str, String)> {
    use Inexpressible::*;
    let json = |json: Value| json.to_string();
    let tokens = |tokens: Value| json!({"auth": {"tokens": tokens}}).to_string();
    let mut forwarding = with_controller(&json!({"authority": "other.example"}));
    forwarding["sources"][1]["credential"] = json!("forward");
    vec![
        (
            RepeatedKey,
            "a schema sees an object without repeated keys",
            r#"{"scope": "a", "scope": "a"}"#.to_owned(),
        ),
        (WholeSize, "a schema sees no text", format!("{{}}{}", " ".repeat(limits::CONFIG_BYTES))),
        (
            Bytes,
            "`maxLength` counts characters, and the parser bytes",
            json(json!({"scope": "ä".repeat(limits::NAME_BYTES)})),
        ),
        (
            LongestDuration,
            "a pattern cannot compare durations in several units",
            json(with_source(&json!({"interval": "745h"}))),
        ),
        (
            DuplicateName,
            "`uniqueItems` compares whole entries",
            json(with_source(&json!({"name": "a"}))),
        ),
        (
            DuplicateAfterNormalising,
            "`uniqueItems` compares the texts as they are",
            json(json!({"paths": ["/a", "/a/"]})),
        ),
        (
            SameToken,
            "`uniqueItems` compares whole entries",
            tokens(json!([{"name": "a", "sha256": SHA256}, {"name": "b", "sha256": SHA256}])),
        ),
        (
            UnknownSource,
            "a schema cannot refer to another value",
            tokens(json!([{"name": "a", "sha256": SHA256, "sources": ["x"]}])),
        ),
        (Forward, "a schema cannot compare two values", json(forwarding)),
        (
            Ipv6Address,
            "`format` applies to a whole text, and here there are brackets and a port",
            json(json!({"hosts": ["[:::1]:443"]})),
        ),
    ]
}

impl Inexpressible {
    /// The rule that this mistake breaks, if a schema cannot express it.
    fn of(error: &ConfigError, json: &Value) -> Option<Self> {
        let pointer = error.field.replace(['.', '['], "/").replace(']', "");
        let text = json.pointer(&format!("/{pointer}")).and_then(Value::as_str).unwrap_or_default();
        match error.problem {
            Problem::Twice => Some(Self::RepeatedKey),
            Problem::TooLarge { .. } => Some(Self::WholeSize),
            Problem::TooLong { most } => (text.chars().count() <= most).then_some(Self::Bytes),
            Problem::TooLongTime { .. } => Some(Self::LongestDuration),
            Problem::Duplicate if error.field.ends_with(".name") => Some(Self::DuplicateName),
            Problem::Duplicate => {
                let (list, _) = pointer.rsplit_once('/').unwrap();
                let list = json.pointer(&format!("/{list}")).unwrap().as_array().unwrap();
                let is_same = |item: &&Value| item.as_str() == Some(text);
                let is_repeated = list.iter().filter(is_same).count() > 1;
                (!is_repeated).then_some(Self::DuplicateAfterNormalising)
            }
            Problem::SameToken { .. } => Some(Self::SameToken),
            Problem::UnknownSource => Some(Self::UnknownSource),
            Problem::Forward => Some(Self::Forward),
            Problem::Authority => {
                let address = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
                let (address, port) = address?;
                let is_address = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.');
                let port = port.strip_prefix(':').map(|port| port.trim_start_matches('0'));
                let port_fits =
                    port.is_none_or(|port| port.is_empty() || port.parse::<u16>().is_ok());
                (port_fits && address.chars().all(is_address)).then_some(Self::Ipv6Address)
            }
            _ => None,
        }
    }
}

/// Asserts that the schema accepts what the parser accepts, and refuses what the parser refuses, unless the parser does so
/// only because of rules that a schema cannot express.
pub(super) fn assert_agreement(json: &Value, errors: Option<&ConfigErrors>) {
    let refusal = VALIDATOR.validate(json).err();
    let Some(errors) = errors else {
        let place = refusal.map(|error| format!("{}: {error}", error.instance_path()));
        assert_eq!(place, None, "the schema refuses what the parser accepts: {json}");
        return;
    };
    let is_expressible = |error: &ConfigError| Inexpressible::of(error, json).is_none();
    if errors.iter().any(is_expressible) {
        assert!(refusal.is_some(), "the schema accepts {json}, and the parser says {errors}");
    }
}

#[test]
fn each_rule_that_the_schema_leaves_out_is_needed() {
    let rules = inexpressible();
    for (rule, reason, text) in &rules {
        let errors = parse_bytes(text.as_bytes()).unwrap_err();
        let json: Value = serde_json::from_str(text).unwrap();
        let broken: Vec<_> = errors.iter().map(|error| Inexpressible::of(error, &json)).collect();
        assert_eq!(broken, [Some(*rule)], "{errors}");
        assert!(VALIDATOR.is_valid(&json), "the schema expresses {rule:?}, although {reason}");
    }
    let named: BTreeSet<Inexpressible> = rules.iter().map(|(rule, ..)| *rule).collect();
    assert_eq!(named.len(), rules.len());
    assert_eq!(named.last(), Some(&Inexpressible::Ipv6Address));
    assert_eq!(named.len(), Inexpressible::Ipv6Address as usize + 1, "every rule has an example");
}

/// Returns true if the schema accepts the text in this field of the second source.
fn accepts(field: &str, text: &str) -> bool {
    let json = with_source(&json!({field: text}));
    let _ = parse(&json);
    VALIDATOR.is_valid(&json)
}

#[test]
fn the_schema_has_the_numbers_of_the_limits() {
    for (pointer, most) in [
        ("/properties/paths/maxItems", limits::CONFIG_PATHS),
        ("/properties/hosts/maxItems", limits::CONFIG_HOSTS),
        ("/properties/sources/maxItems", limits::CONFIG_SOURCES),
        ("/properties/auth/properties/tokens/maxItems", limits::CONFIG_TOKENS),
        ("/properties/auth/properties/users/maxItems", limits::CONFIG_USERS),
        ("/properties/$schema/maxLength", limits::TEXT_BYTES),
        ("/$defs/sourceNames/maxItems", limits::CONFIG_SOURCES),
        ("/$defs/families/maxItems", limits::CONFIG_FAMILIES),
        ("/$defs/labels/maxProperties", limits::CONFIG_LABELS),
        ("/$defs/labels/propertyNames/maxLength", limits::NAME_BYTES),
        ("/$defs/labels/additionalProperties/maxLength", limits::TEXT_BYTES),
        ("/$defs/family/maxLength", limits::NAME_BYTES),
        ("/$defs/name/maxLength", limits::NAME_BYTES),
        ("/$defs/controller/properties/cookie/maxLength", limits::NAME_BYTES),
        ("/$defs/userName/maxLength", limits::NAME_BYTES),
        ("/$defs/variable/maxLength", limits::NAME_BYTES),
        ("/$defs/visible/maxLength", limits::TEXT_BYTES),
        ("/$defs/target/maxLength", limits::TEXT_BYTES),
        ("/$defs/path/maxLength", limits::TEXT_BYTES),
        ("/$defs/host/maxLength", limits::TEXT_BYTES),
        ("/$defs/user/properties/password_hash/maxLength", limits::TEXT_BYTES),
        ("/$defs/credential/oneOf/3/properties/password/maxLength", limits::TEXT_BYTES),
    ] {
        assert_eq!(SCHEMA.pointer(pointer), Some(&json!(most)), "{pointer}");
    }
}

#[test]
fn the_patterns_of_the_schema_have_the_bounds_of_the_limits() {
    for (field, least) in [
        ("interval", limits::INTERVAL_LEAST),
        ("stale_after", limits::INTERVAL_LEAST),
        ("idle_after", limits::INTERVAL_LEAST),
        ("timeout", limits::TIMEOUT_LEAST),
    ] {
        let least = least.as_millis();
        assert!(accepts(field, &format!("{least}ms")), "{field}");
        assert!(accepts(field, &format!("00{least}ms")), "{field}");
        assert!(!accepts(field, &format!("{}ms", least - 1)), "{field}");
    }
    let (least, most) = limits::PASSWORD_ITERATIONS.into_inner();
    for (iterations, fits) in
        [(least - 1, false), (least, true), (most, true), (most + 1, false), (most * 2, false)]
    {
        let hash = HASH.replace("$1000$", &format!("${iterations}$"));
        let json = json!({"auth": {"users": [{"name": "a", "password_hash": hash}]}});
        assert_eq!(parse(&json).is_ok(), fits, "{iterations}");
        assert_eq!(VALIDATOR.is_valid(&json), fits, "{iterations}");
    }
    for (port, fits) in [
        ("0", true),
        ("9", true),
        ("00080", true),
        ("9999", true),
        ("59999", true),
        ("65535", true),
        ("65536", false),
        ("70000", false),
        ("100000", false),
    ] {
        let json = json!({"hosts": [format!("a:{port}")]});
        assert_eq!(parse(&json).is_ok(), fits, "{port}");
        assert_eq!(VALIDATOR.is_valid(&json), fits, "{port}");
    }
}

#[test]
fn the_defaults_of_the_schema_are_the_parsers() {
    let least = json!({
        "sources": [{"name": "a", "cluster": "c"}],
        "auth": {"controller": {"cluster": "c"}},
    });
    let mut all = least.clone();
    let mut found = 0;
    for (object, properties) in [
        ("", "/properties"),
        ("/gateway", "/properties/gateway/properties"),
        ("/auth", "/properties/auth/properties"),
        ("/observe", "/properties/observe/properties"),
        ("/sources/0", "/$defs/source/properties"),
        ("/auth/controller", "/$defs/controller/properties"),
    ] {
        for key in ["gateway", "observe"] {
            let object = all.as_object_mut().unwrap();
            object.entry(key).or_insert_with(|| json!({}));
        }
        for (name, property) in SCHEMA.pointer(properties).unwrap().as_object().unwrap() {
            let Some(default) = property.get("default") else { continue };
            let object = all.pointer_mut(object).unwrap().as_object_mut().unwrap();
            object.entry(name.clone()).or_insert_with(|| default.clone());
            found += 1;
        }
    }
    assert!(found > 15, "{found} defaults");
    assert_eq!(format!("{:?}", accept(&all)), format!("{:?}", accept(&least)));
}

/// Calls `visit` for each property of each object in the schema.
fn each_property(schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    for (key, value) in schema.as_object().into_iter().flatten() {
        if key == "properties" {
            value.as_object().unwrap().iter().for_each(|(name, property)| visit(name, property));
        }
        each_property(value, visit);
    }
    schema.as_array().into_iter().flatten().for_each(|item| each_property(item, visit));
}

#[test]
fn every_property_of_the_schema_is_described_and_is_a_field_of_the_parser() {
    let known: BTreeSet<String> =
        super::places(&full(), "", "").into_iter().map(|(_, pointer)| pointer).collect();
    let is_known = |name: &str| known.iter().any(|place| place.ends_with(&format!("/{name}")));
    each_property(&SCHEMA, &mut |name, property| {
        let reference = property["$ref"].as_str().map(|it| it.trim_start_matches('#'));
        let described = reference.and_then(|it| SCHEMA.pointer(it)).unwrap_or(property);
        let description = property.get("description").or(described.get("description"));
        assert!(description.is_some(), "{name} has no description");
        assert!(is_known(name), "{name} is not in the full configuration");
    });
}

/// The JSON that a Struct's message contains; numbers are not kept, and of a repeated key only one value.
fn value_of(json: Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(bit) => json!(bit),
        Json::Number => json!(1.5),
        Json::Text(text) => json!(text),
        Json::List(items) => items.into_iter().map(value_of).collect(),
        Json::Object(entries) => {
            Value::Object(entries.into_iter().map(|(key, json)| (key, value_of(json))).collect())
        }
    }
}

#[test]
fn the_fuzz_corpus_is_accepted_or_refused_by_both() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("host-tests/fuzz/corpus/configuration");
    let mut counts = [0, 0];
    for file in fs::read_dir(folder).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        let Ok(json) = document::parse(&bytes) else { continue };
        let result = Config::parse(&bytes);
        assert_agreement(&value_of(json), result.as_ref().err());
        counts[usize::from(result.is_ok())] += 1;
    }
    assert!(counts.iter().all(|count| *count >= 5), "{counts:?}");
}
