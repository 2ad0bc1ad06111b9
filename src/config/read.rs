//! JSON to [`Config`], field by field, with every default.
//!
//! Each function logs the mistakes that it finds and continues (see [`super::field`]). A text that could not be read is
//! empty in what it returns; no rule accepts an empty text, so nothing refers to it.

mod auth;

use std::time::Duration;

use super::credential::{Credential, SecretSource};
use super::error::Problem;
use super::field::{Field, Fields, Rule};
use super::{Config, GatewayFamilyPolicy, GatewayLabels, Observe, Source, rules};
use crate::auth::Secret;
use crate::limits;

/// Labels that a source's `labels` cannot set: those of the exposition formats and of the gateway, and the default.
const SOURCE_RESERVED: &[&str] = &["gateway", "le", "quantile", "source"];

/// Labels that `gateway.labels` cannot set: those of the exposition formats and of the gateway's own families.
const GATEWAY_RESERVED: &[&str] = &[
    "code", "format", "hash", "le", "method", "outcome", "quantile", "reason", "resource",
    "scheme", "source", "version",
];

/// Reads the configuration. It is usable only if no mistake was logged.
pub(super) fn config(root: Field<'_>) -> Config {
    let mut fields = root
        .fields(&["$schema", "scope", "paths", "hosts", "gateway", "sources", "auth", "observe"]);
    // Tells an editor which schema to use.
    fields.text("$schema", &rules::schema);
    let scope = fields.text_or("scope", &rules::name, "default".to_owned());
    let paths = fields.read("paths", paths).unwrap_or_else(default_paths);
    let hosts = fields.read("hosts", hosts).unwrap_or_default();
    let gateway = fields.read("gateway", |field| Some(gateway(field)));
    let (gateway_labels, gateway_created) = gateway.unwrap_or((GatewayLabels::NodeId, false));
    let sources = fields.read("sources", sources);
    let were_read = sources.is_some() || !fields.has("sources");
    let sources = sources.unwrap_or_default();
    let named = auth::NamedSources::new(&sources, were_read);
    let policy = fields.read("auth", |field| Some(auth::policy(field, &named)));
    if !fields.has("auth") {
        auth::check_forwarding(&fields, &sources, None);
    }
    let observe = fields.read("observe", observe).unwrap_or(Observe::Filter);
    Config {
        scope,
        paths,
        hosts,
        gateway_labels,
        gateway_created,
        auth: policy.unwrap_or_default(),
        sources,
        observe,
    }
}

fn default_paths() -> Vec<String> {
    vec!["/api/v2/metrics".to_owned(), "/api/controller/v2/metrics".to_owned()]
}

fn paths(field: Field<'_>) -> Option<Vec<String>> {
    distinct_texts(field, limits::CONFIG_PATHS, &rules::path)
}

fn hosts(field: Field<'_>) -> Option<Vec<String>> {
    distinct_texts(field, limits::CONFIG_HOSTS, &rules::host)
}

fn distinct_texts(field: Field<'_>, most: usize, rule: Rule<'_, String>) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    for item in field.list(most)? {
        let text = item.text(&|text| {
            let text = rule(text)?;
            if texts.contains(&text) { Err(Problem::Duplicate) } else { Ok(text) }
        });
        texts.extend(text);
    }
    Some(texts)
}

fn gateway(field: Field<'_>) -> (GatewayLabels, bool) {
    let mut fields = field.fields(&["labels", "created"]);
    let labels = fields.read("labels", |field| labels(field, GATEWAY_RESERVED));
    let created = fields.read("created", Field::bool).unwrap_or(false);
    (labels.map_or(GatewayLabels::NodeId, GatewayLabels::Set), created)
}

/// Reads labels, and sorts them by name: a Struct has no order.
fn labels(field: Field<'_>, reserved: &[&str]) -> Option<Vec<(String, String)>> {
    let mut labels: Vec<(String, String)> = Vec::new();
    for (name, value) in field.entries(limits::CONFIG_LABELS)? {
        if let Err(problem) = rules::label_name(&name, reserved) {
            value.refuse(problem);
        } else if let Some(value) = value.text(&rules::label_value) {
            let position = labels.partition_point(|(have, _)| *have < name);
            labels.insert(position, (name, value));
        }
    }
    Some(labels)
}

fn sources(field: Field<'_>) -> Option<Vec<Source>> {
    let items = field.list(limits::CONFIG_SOURCES)?;
    let are_several = items.len() > 1;
    let mut sources: Vec<Source> = Vec::with_capacity(items.len());
    for item in items {
        let is_taken = |name: &str| sources.iter().any(|source| source.name == name);
        let source = source(item, are_several, is_taken);
        sources.push(source);
    }
    Some(sources)
}

fn source(field: Field<'_>, are_several: bool, is_taken: impl Fn(&str) -> bool) -> Source {
    let mut fields = field.fields(&[
        "name",
        "cluster",
        "authority",
        "path",
        "interval",
        "timeout",
        "stale_after",
        "idle_after",
        "credential",
        "labels",
        "gateway_families",
        "keep",
        "drop",
    ]);
    let name = fields.required("name", &unless(is_taken, rules::name)).unwrap_or_default();
    let cluster = fields.required("cluster", &rules::cluster).unwrap_or_default();
    let policy = fields.text("gateway_families", &gateway_families);
    Source {
        authority: fields.text_or("authority", &rules::authority, cluster.clone()),
        path: fields.text_or("path", &rules::target, "/api/v2/metrics/".to_owned()),
        interval: duration(&mut fields, "interval", 15, limits::INTERVAL_LEAST),
        timeout: timeout(&mut fields, 4),
        stale_after: duration(&mut fields, "stale_after", 300, limits::INTERVAL_LEAST),
        idle_after: duration(&mut fields, "idle_after", 120, limits::INTERVAL_LEAST),
        credential: fields.read("credential", credential).unwrap_or(Credential::None),
        labels: fields
            .read("labels", |field| labels(field, SOURCE_RESERVED))
            .unwrap_or_else(|| default_labels(&name, are_several)),
        gateway_families: policy.unwrap_or(GatewayFamilyPolicy::Drop),
        keep: fields.read("keep", families),
        drop: fields.read("drop", families).unwrap_or_default(),
        name,
        cluster,
    }
}

/// Reads names of families, or prefixes that end in `*`.
fn families(field: Field<'_>) -> Option<Vec<String>> {
    distinct_texts(field, limits::CONFIG_FAMILIES, &rules::families)
}

/// With several sources, each series has the name of its source, so that no two sources have equal series.
fn default_labels(name: &str, are_several: bool) -> Vec<(String, String)> {
    if are_several { vec![("source".to_owned(), name.to_owned())] } else { Vec::new() }
}

fn timeout(fields: &mut Fields<'_>, default_seconds: u64) -> Duration {
    let rule = rules::between(limits::TIMEOUT_LEAST, limits::TIMEOUT);
    fields.text_or("timeout", &rule, Duration::from_secs(default_seconds))
}

fn duration(
    fields: &mut Fields<'_>,
    name: &str,
    default_seconds: u64,
    least: Duration,
) -> Duration {
    let rule = rules::between(least, limits::DURATION);
    fields.text_or(name, &rule, Duration::from_secs(default_seconds))
}

fn gateway_families(text: String) -> Result<GatewayFamilyPolicy, Problem> {
    match text.as_str() {
        "drop" => Ok(GatewayFamilyPolicy::Drop),
        "keep" => Ok(GatewayFamilyPolicy::Keep),
        _ => Err(Problem::Choice { choices: "drop, keep" }),
    }
}

fn credential(field: Field<'_>) -> Option<Credential> {
    if field.is_text("forward") {
        return Some(Credential::Forward);
    }
    let names = ["bearer", "bearer_env", "username", "password", "password_env"];
    let mut fields = field.fields(&names);
    let bearer = secret(&mut fields, "bearer", "bearer_env", &rules::bearer);
    let username = fields.text("username", &rules::user);
    let password = secret(&mut fields, "password", "password_env", &rules::password);
    match names.map(|name| fields.has(name)) {
        [true, false, false, false, false] | [false, true, false, false, false] => {
            Some(Credential::Bearer(bearer?))
        }
        [false, false, true, true, false] | [false, false, true, false, true] => {
            Some(Credential::Basic { username: username?, password: password? })
        }
        _ => {
            if !fields.has_unknown() {
                fields.refuse(Problem::Credential);
            }
            None
        }
    }
}

/// Reads a secret, from the field that contains it or from the field that names an environment variable.
fn secret(
    fields: &mut Fields<'_>,
    literal: &str,
    variable: &str,
    rule: Rule<'_, String>,
) -> Option<SecretSource> {
    let literal = fields.text(literal, rule).map(|value| SecretSource::Literal(Secret::new(value)));
    let variable = fields.text(variable, &rules::variable).map(SecretSource::Variable);
    literal.or(variable)
}

/// `rule`, and no name that is taken.
fn unless(
    is_taken: impl Fn(&str) -> bool,
    rule: fn(String) -> Result<String, Problem>,
) -> impl Fn(String) -> Result<String, Problem> {
    move |text| {
        let name = rule(text)?;
        if is_taken(&name) { Err(Problem::Duplicate) } else { Ok(name) }
    }
}

fn observe(field: Field<'_>) -> Option<Observe> {
    field.fields(&["by"]).text("by", &|text| match text.as_str() {
        "filter" => Ok(Observe::Filter),
        "access_log" => Ok(Observe::AccessLog),
        "off" => Ok(Observe::Off),
        _ => Err(Problem::Choice { choices: "filter, access_log, off" }),
    })
}
