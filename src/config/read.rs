//! JSON to [`Config`], field by field, every default applied.

use std::time::Duration;

use super::credential::{Credential, SecretSource};
use super::error::{ConfigError, Problem};
use super::field::{Field, Fields};
use super::{Config, GatewayFamilies, GatewayLabels, Observe, Source, rules};
use crate::auth::password::PasswordHash;
use crate::auth::{Policy, Secret, Token, User};
use crate::limits;

type Result<T> = std::result::Result<T, ConfigError>;

/// Labels that a source's `labels` cannot set: the exposition formats', the gateway's, and the one that is a default.
const SOURCE_RESERVED: &[&str] = &["gateway", "le", "quantile", "source"];

/// Labels that `gateway.labels` cannot set: the exposition formats', and those that the gateway's own families have.
const GATEWAY_RESERVED: &[&str] = &[
    "code", "format", "hash", "le", "method", "outcome", "quantile", "reason", "resource",
    "scheme", "source", "version",
];

pub(super) fn config(root: Field) -> Result<Config> {
    let mut fields =
        root.fields(&["scope", "paths", "hosts", "gateway", "sources", "auth", "observe"])?;
    Ok(Config {
        scope: fields.text("scope", rules::name)?.unwrap_or_else(|| "default".to_owned()),
        paths: fields.read("paths", paths)?.unwrap_or_else(default_paths),
        hosts: fields.read("hosts", hosts)?.unwrap_or_default(),
        gateway_labels: fields.read("gateway", gateway)?.unwrap_or(GatewayLabels::NodeId),
        sources: fields.read("sources", sources)?.unwrap_or_default(),
        auth: fields.read("auth", policy)?.unwrap_or_default(),
        observe: fields.read("observe", observe)?.unwrap_or(Observe::Filter),
    })
}

fn default_paths() -> Vec<String> {
    vec!["/api/v2/metrics".to_owned(), "/api/controller/v2/metrics".to_owned()]
}

fn paths(field: Field) -> Result<Vec<String>> {
    distinct_texts(field, limits::CONFIG_PATHS, rules::path)
}

fn hosts(field: Field) -> Result<Vec<String>> {
    distinct_texts(field, limits::CONFIG_HOSTS, rules::host)
}

fn distinct_texts(
    field: Field,
    most: usize,
    rule: fn(String) -> std::result::Result<String, Problem>,
) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for item in field.list(most)? {
        let text = item.text(|text| {
            let text = rule(text)?;
            if texts.contains(&text) { Err(Problem::Duplicate) } else { Ok(text) }
        })?;
        texts.push(text);
    }
    Ok(texts)
}

fn gateway(field: Field) -> Result<GatewayLabels> {
    let labels = field.fields(&["labels"])?.read("labels", |f| labels(f, GATEWAY_RESERVED))?;
    Ok(labels.map_or(GatewayLabels::NodeId, GatewayLabels::Set))
}

/// Labels, sorted by name: a Struct's fields come in any order.
fn labels(field: Field, reserved: &[&str]) -> Result<Vec<(String, String)>> {
    let mut labels: Vec<(String, String)> = Vec::new();
    for (name, value) in field.entries(limits::CONFIG_LABELS)? {
        rules::label_name(&name, reserved).map_err(|problem| value.problem(problem))?;
        let place = labels.partition_point(|(have, _)| *have < name);
        labels.insert(place, (name, value.text(rules::label_value)?));
    }
    Ok(labels)
}

fn sources(field: Field) -> Result<Vec<Source>> {
    let items = field.list(limits::CONFIG_SOURCES)?;
    let several = items.len() > 1;
    let mut sources: Vec<Source> = Vec::with_capacity(items.len());
    for item in items {
        let taken = |name: &str| sources.iter().any(|source| source.name == name);
        let source = source(item, several, taken)?;
        sources.push(source);
    }
    Ok(sources)
}

fn source(field: Field, several: bool, taken: impl Fn(&str) -> bool) -> Result<Source> {
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
    ])?;
    let name = fields.required("name", unless(taken, rules::name))?;
    let cluster = fields.required("cluster", rules::cluster)?;
    let labels = fields.read("labels", |field| labels(field, SOURCE_RESERVED))?;
    Ok(Source {
        authority: fields.text("authority", rules::authority)?.unwrap_or_else(|| cluster.clone()),
        path: fields.text("path", rules::target)?.unwrap_or_else(|| "/api/v2/metrics/".to_owned()),
        interval: duration(&mut fields, "interval", 15, limits::INTERVAL_LEAST)?,
        timeout: fields
            .text("timeout", rules::between(limits::TIMEOUT_LEAST, limits::TIMEOUT))?
            .unwrap_or(Duration::from_secs(4)),
        stale_after: duration(&mut fields, "stale_after", 300, limits::INTERVAL_LEAST)?,
        idle_after: duration(&mut fields, "idle_after", 120, limits::INTERVAL_LEAST)?,
        credential: fields.read("credential", credential)?.unwrap_or(Credential::None),
        labels: labels.unwrap_or_else(|| default_labels(&name, several)),
        gateway_families: fields
            .text("gateway_families", gateway_families)?
            .unwrap_or(GatewayFamilies::Drop),
        name,
        cluster,
    })
}

/// With several sources each carries its name, so that their series do not meet.
fn default_labels(name: &str, several: bool) -> Vec<(String, String)> {
    if several { vec![("source".to_owned(), name.to_owned())] } else { Vec::new() }
}

fn duration(
    fields: &mut Fields,
    name: &str,
    default_seconds: u64,
    least: Duration,
) -> Result<Duration> {
    let duration = fields.text(name, rules::between(least, limits::DURATION))?;
    Ok(duration.unwrap_or(Duration::from_secs(default_seconds)))
}

fn gateway_families(text: String) -> std::result::Result<GatewayFamilies, Problem> {
    match text.as_str() {
        "drop" => Ok(GatewayFamilies::Drop),
        "keep" => Ok(GatewayFamilies::Keep),
        _ => Err(Problem::Choice { choices: "drop, keep" }),
    }
}

fn credential(field: Field) -> Result<Credential> {
    if field.is_text("forward") {
        return Err(field.problem(Problem::ForwardUnsupported));
    }
    let mut fields =
        field.fields(&["bearer", "bearer_env", "username", "password", "password_env"])?;
    let bearer = secret(&mut fields, "bearer", "bearer_env", rules::bearer)?;
    let username = fields.text("username", rules::user)?;
    let password = secret(&mut fields, "password", "password_env", rules::password)?;
    match (bearer, username, password) {
        (Some(token), None, None) => Ok(Credential::Bearer(token)),
        (None, Some(username), Some(password)) => Ok(Credential::Basic { username, password }),
        _ => Err(fields.problem(Problem::Credential)),
    }
}

fn secret(
    fields: &mut Fields,
    literal: &str,
    variable: &str,
    rule: fn(String) -> std::result::Result<String, Problem>,
) -> Result<Option<SecretSource>> {
    let value = fields.text(literal, rule)?.map(|value| SecretSource::Literal(Secret::new(value)));
    match (value, fields.text(variable, rules::variable)?) {
        (Some(_), Some(_)) => Err(fields.problem(Problem::Credential)),
        (value, name) => Ok(value.or(name.map(SecretSource::Variable))),
    }
}

fn policy(field: Field) -> Result<Policy> {
    let mut fields = field.fields(&["anonymous", "tokens", "users", "controller"])?;
    if let Some(controller) = fields.take("controller") {
        return Err(controller.problem(Problem::Unsupported));
    }
    Ok(Policy {
        anonymous: fields.read("anonymous", Field::bool)?.unwrap_or(false),
        tokens: fields.read("tokens", tokens)?.unwrap_or_default(),
        users: fields.read("users", users)?.unwrap_or_default(),
    })
}

fn tokens(field: Field) -> Result<Vec<Token>> {
    let mut tokens: Vec<Token> = Vec::new();
    for item in field.list(limits::CONFIG_TOKENS)? {
        let mut fields = item.fields(&["name", "sha256"])?;
        let taken = |name: &str| tokens.iter().any(|token| token.name == name);
        let name = fields.required("name", unless(taken, rules::name))?;
        tokens.push(Token { name, sha256: fields.required("sha256", rules::sha256)? });
    }
    Ok(tokens)
}

fn users(field: Field) -> Result<Vec<User>> {
    let mut users: Vec<User> = Vec::new();
    for item in field.list(limits::CONFIG_USERS)? {
        let mut fields = item.fields(&["name", "password_hash"])?;
        let taken = |name: &str| users.iter().any(|user| user.name == name);
        let name = fields.required("name", unless(taken, rules::user))?;
        users.push(User::new(name, fields.required("password_hash", password_hash)?));
    }
    Ok(users)
}

fn password_hash(text: String) -> std::result::Result<PasswordHash, Problem> {
    if text.len() > limits::TEXT_BYTES {
        return Err(Problem::TooLong { most: limits::TEXT_BYTES });
    }
    Ok(text.parse()?)
}

/// `rule`, and no name that is taken.
fn unless(
    taken: impl Fn(&str) -> bool,
    rule: fn(String) -> std::result::Result<String, Problem>,
) -> impl FnOnce(String) -> std::result::Result<String, Problem> {
    move |text| {
        let name = rule(text)?;
        if taken(&name) { Err(Problem::Duplicate) } else { Ok(name) }
    }
}

fn observe(field: Field) -> Result<Observe> {
    let by = field.fields(&["by"])?.text("by", |text| match text.as_str() {
        "filter" => Ok(Observe::Filter),
        "access_log" => Ok(Observe::AccessLog),
        "off" => Ok(Observe::Off),
        _ => Err(Problem::Choice { choices: "filter, access_log, off" }),
    })?;
    Ok(by.unwrap_or(Observe::Filter))
}
