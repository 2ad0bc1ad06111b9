//! JSON to [`Config`], field by field, every default applied.

use std::rc::Rc;
use std::time::Duration;

use super::credential::{Credential, SecretSource};
use super::error::{ConfigError, Problem};
use super::field::{Field, Fields, Rule};
use super::{Config, GatewayFamilyPolicy, GatewayLabels, Observe, Source, rules};
use crate::auth::password::PasswordHash;
use crate::auth::{Controller, Policy, Secret, Token, User, Visibility};
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
    let sources = fields.read("sources", sources)?.unwrap_or_default();
    let auth = fields.read("auth", |field| policy(field, &sources))?.unwrap_or_default();
    if let Some(place) = sources.iter().position(|source| !may_forward(source, &auth)) {
        let field = format!("sources[{place}].credential");
        return Err(ConfigError { field, problem: Problem::Forward });
    }
    let gateway = fields.read("gateway", gateway)?;
    let (gateway_labels, gateway_created) = gateway.unwrap_or((GatewayLabels::NodeId, false));
    Ok(Config {
        scope: fields.text("scope", &rules::name)?.unwrap_or_else(|| "default".to_owned()),
        paths: fields.read("paths", paths)?.unwrap_or_else(default_paths),
        hosts: fields.read("hosts", hosts)?.unwrap_or_default(),
        gateway_labels,
        gateway_created,
        sources,
        auth,
        observe: fields.read("observe", observe)?.unwrap_or(Observe::Filter),
    })
}

fn default_paths() -> Vec<String> {
    vec!["/api/v2/metrics".to_owned(), "/api/controller/v2/metrics".to_owned()]
}

fn paths(field: Field) -> Result<Vec<String>> {
    distinct_texts(field, limits::CONFIG_PATHS, &rules::path)
}

fn hosts(field: Field) -> Result<Vec<String>> {
    distinct_texts(field, limits::CONFIG_HOSTS, &rules::host)
}

fn distinct_texts(field: Field, most: usize, rule: Rule<'_, String>) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for item in field.list(most)? {
        let text = item.text(&|text| {
            let text = rule(text)?;
            if texts.contains(&text) { Err(Problem::Duplicate) } else { Ok(text) }
        })?;
        texts.push(text);
    }
    Ok(texts)
}

fn gateway(field: Field) -> Result<(GatewayLabels, bool)> {
    let mut fields = field.fields(&["labels", "created"])?;
    let labels = fields.read("labels", |f| labels(f, GATEWAY_RESERVED))?;
    let created = fields.read("created", Field::bool)?.unwrap_or(false);
    Ok((labels.map_or(GatewayLabels::NodeId, GatewayLabels::Set), created))
}

/// Labels, sorted by name: a Struct's fields come in any order.
fn labels(field: Field, reserved: &[&str]) -> Result<Vec<(String, String)>> {
    let mut labels: Vec<(String, String)> = Vec::new();
    for (name, value) in field.entries(limits::CONFIG_LABELS)? {
        rules::label_name(&name, reserved).map_err(|problem| value.problem(problem))?;
        let place = labels.partition_point(|(have, _)| *have < name);
        labels.insert(place, (name, value.text(&rules::label_value)?));
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
    let name = fields.required("name", &unless(taken, rules::name))?;
    let cluster = fields.required("cluster", &rules::cluster)?;
    let labels = fields.read("labels", |field| labels(field, SOURCE_RESERVED))?;
    Ok(Source {
        authority: fields.text("authority", &rules::authority)?.unwrap_or_else(|| cluster.clone()),
        path: fields.text("path", &rules::target)?.unwrap_or_else(|| "/api/v2/metrics/".to_owned()),
        interval: duration(&mut fields, "interval", 15, limits::INTERVAL_LEAST)?,
        timeout: timeout(&mut fields, 4)?,
        stale_after: duration(&mut fields, "stale_after", 300, limits::INTERVAL_LEAST)?,
        idle_after: duration(&mut fields, "idle_after", 120, limits::INTERVAL_LEAST)?,
        credential: fields.read("credential", credential)?.unwrap_or(Credential::None),
        labels: labels.unwrap_or_else(|| default_labels(&name, several)),
        gateway_families: fields
            .text("gateway_families", &gateway_families)?
            .unwrap_or(GatewayFamilyPolicy::Drop),
        name,
        cluster,
    })
}

/// With several sources each carries its name, so that their series do not meet.
fn default_labels(name: &str, several: bool) -> Vec<(String, String)> {
    if several { vec![("source".to_owned(), name.to_owned())] } else { Vec::new() }
}

fn timeout(fields: &mut Fields, default_seconds: u64) -> Result<Duration> {
    let timeout =
        fields.text("timeout", &rules::between(limits::TIMEOUT_LEAST, limits::TIMEOUT))?;
    Ok(timeout.unwrap_or(Duration::from_secs(default_seconds)))
}

fn duration(
    fields: &mut Fields,
    name: &str,
    default_seconds: u64,
    least: Duration,
) -> Result<Duration> {
    let duration = fields.text(name, &rules::between(least, limits::DURATION))?;
    Ok(duration.unwrap_or(Duration::from_secs(default_seconds)))
}

fn gateway_families(text: String) -> std::result::Result<GatewayFamilyPolicy, Problem> {
    match text.as_str() {
        "drop" => Ok(GatewayFamilyPolicy::Drop),
        "keep" => Ok(GatewayFamilyPolicy::Keep),
        _ => Err(Problem::Choice { choices: "drop, keep" }),
    }
}

fn credential(field: Field) -> Result<Credential> {
    if field.is_text("forward") {
        return Ok(Credential::Forward);
    }
    let mut fields =
        field.fields(&["bearer", "bearer_env", "username", "password", "password_env"])?;
    let bearer = secret(&mut fields, "bearer", "bearer_env", &rules::bearer)?;
    let username = fields.text("username", &rules::user)?;
    let password = secret(&mut fields, "password", "password_env", &rules::password)?;
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
    rule: Rule<'_, String>,
) -> Result<Option<SecretSource>> {
    let value = fields.text(literal, rule)?.map(|value| SecretSource::Literal(Secret::new(value)));
    match (value, fields.text(variable, &rules::variable)?) {
        (Some(_), Some(_)) => Err(fields.problem(Problem::Credential)),
        (value, name) => Ok(value.or(name.map(SecretSource::Variable))),
    }
}

/// A client's credentials go nowhere but to the controller that judges them.
fn may_forward(source: &Source, auth: &Policy) -> bool {
    let judges = |controller: &Controller| {
        controller.cluster == source.cluster && controller.authority == source.authority
    };
    !matches!(source.credential, Credential::Forward)
        || auth.controller.as_ref().is_some_and(judges)
}

fn policy(field: Field, sources: &[Source]) -> Result<Policy> {
    let mut fields = field.fields(&["anonymous", "tokens", "users", "controller"])?;
    Ok(Policy {
        anonymous: fields.read("anonymous", Field::bool)?.unwrap_or(false),
        tokens: fields.read("tokens", |field| tokens(field, sources))?.unwrap_or_default(),
        users: fields.read("users", |field| users(field, sources))?.unwrap_or_default(),
        controller: fields.read("controller", |field| controller(field, sources))?,
    })
}

fn controller(field: Field, sources: &[Source]) -> Result<Controller> {
    let mut fields = field.fields(&[
        "cluster",
        "authority",
        "path",
        "timeout",
        "sources",
        "allow_for",
        "deny_for",
        "allow_while_down_for",
    ])?;
    let cluster = fields.required("cluster", &rules::cluster)?;
    let opened = fields.read("sources", |field| places(field, sources))?;
    let opened = opened.unwrap_or_else(|| on_cluster(sources, &cluster));
    Ok(Controller {
        authority: fields.text("authority", &rules::authority)?.unwrap_or_else(|| cluster.clone()),
        path: fields.text("path", &rules::target)?.unwrap_or_else(default_check),
        timeout: timeout(&mut fields, 2)?,
        view: Rc::new(Visibility { sources: Some(opened), families: None }),
        allow_for: duration(&mut fields, "allow_for", 60, limits::ALLOW_LEAST)?,
        deny_for: duration(&mut fields, "deny_for", 10, Duration::ZERO)?,
        allow_while_down_for: duration(&mut fields, "allow_while_down_for", 300, Duration::ZERO)?,
        cluster,
    })
}

/// An empty page: the controller checks who asks, and counts nothing.
fn default_check() -> String {
    "/api/v2/metrics/?dbonly=1&subsystemonly=1".to_owned()
}

/// The places of the sources on a cluster.
fn on_cluster(sources: &[Source], cluster: &str) -> Vec<usize> {
    let places = sources.iter().enumerate().filter(|(_, source)| source.cluster == cluster);
    places.map(|(place, _)| place).collect()
}

/// The places of the sources of these names.
fn places(field: Field, sources: &[Source]) -> Result<Vec<usize>> {
    let mut places = Vec::new();
    for item in field.list(limits::CONFIG_SOURCES)? {
        let place = item.text(&|name: String| {
            let place = sources.iter().position(|source| source.name == name);
            match place.ok_or(Problem::UnknownSource)? {
                place if places.contains(&place) => Err(Problem::Duplicate),
                place => Ok(place),
            }
        })?;
        places.push(place);
    }
    Ok(places)
}

/// What an entry of `tokens` or `users` opens.
fn view(fields: &mut Fields, sources: &[Source]) -> Result<Rc<Visibility>> {
    let families = |field| distinct_texts(field, limits::CONFIG_FAMILIES, &rules::families);
    Ok(Rc::new(Visibility {
        sources: fields.read("sources", |field| places(field, sources))?,
        families: fields.read("families", families)?,
    }))
}

fn tokens(field: Field, sources: &[Source]) -> Result<Vec<Token>> {
    let mut tokens: Vec<Token> = Vec::new();
    for item in field.list(limits::CONFIG_TOKENS)? {
        let mut fields = item.fields(&["name", "sha256", "sources", "families"])?;
        let taken = |name: &str| tokens.iter().any(|token| token.name == name);
        let name = fields.required("name", &unless(taken, rules::name))?;
        let sha256 = fields.required("sha256", &|text| {
            let sha256 = rules::sha256(text)?;
            match tokens.iter().position(|token| token.sha256 == sha256) {
                Some(earlier) => Err(Problem::SameToken { earlier }),
                None => Ok(sha256),
            }
        })?;
        tokens.push(Token { name, sha256, view: view(&mut fields, sources)? });
    }
    Ok(tokens)
}

fn users(field: Field, sources: &[Source]) -> Result<Vec<User>> {
    let mut users: Vec<User> = Vec::new();
    for item in field.list(limits::CONFIG_USERS)? {
        let mut fields = item.fields(&["name", "password_hash", "sources", "families"])?;
        let taken = |name: &str| users.iter().any(|user| user.name == name);
        let name = fields.required("name", &unless(taken, rules::user))?;
        let mut user = User::new(name, fields.required("password_hash", &password_hash)?);
        user.view = view(&mut fields, sources)?;
        users.push(user);
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
) -> impl Fn(String) -> std::result::Result<String, Problem> {
    move |text| {
        let name = rule(text)?;
        if taken(&name) { Err(Problem::Duplicate) } else { Ok(name) }
    }
}

fn observe(field: Field) -> Result<Observe> {
    let by = field.fields(&["by"])?.text("by", &|text| match text.as_str() {
        "filter" => Ok(Observe::Filter),
        "access_log" => Ok(Observe::AccessLog),
        "off" => Ok(Observe::Off),
        _ => Err(Problem::Choice { choices: "filter, access_log, off" }),
    })?;
    Ok(by.unwrap_or(Observe::Filter))
}
