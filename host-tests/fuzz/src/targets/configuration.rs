//! The plugin's configuration: JSON, or a Struct's message.
//!
//! A configuration that is accepted keeps the documented rules, means the same as JSON and as a Struct, and shows no secret
//! when it is printed. One that is refused has at least one mistake and at most [`limits::CONFIG_ERRORS`], each in one line
//! and no two equal, the same in both forms; no line quotes a value of the configuration.

mod structs;

use awx_metrics_filter::config::{Config, ConfigErrors, Credential, SecretSource};
use awx_metrics_filter::limits;
use awx_metrics_filter::scrape::route::normal_form;
use serde_json::Value;
use std::collections::HashSet;

use crate::{PLANTED, Target};

pub(crate) const TARGET: Target = Target {
    name: "configuration",
    run,
    longest: 512,
    thousands: 2_000,
    words: &[
        "\"$schema\":\"",
        "\"scope\":",
        "\"paths\":[",
        "\"hosts\":[",
        "\"gateway\":{",
        "\"labels\":{",
        "\"sources\":[{",
        "\"name\":\"",
        "\"cluster\":\"",
        "\"authority\":\"",
        "\"path\":\"/",
        "\"interval\":\"1s\"",
        "\"timeout\":\"",
        "\"stale_after\":\"",
        "\"idle_after\":\"",
        "\"credential\":{",
        "\"bearer\":\"",
        "\"bearer_env\":\"",
        "\"username\":\"",
        "\"password\":\"",
        "\"password_env\":\"",
        "\"forward\"",
        "\"gateway_families\":\"keep\"",
        "\"keep\":[\"",
        "\"drop\":[\"",
        "\"cookie\":\"",
        "\"auth\":{",
        "\"anonymous\":true",
        "\"tokens\":[{",
        "\"sha256\":\"",
        "\"users\":[{",
        "\"controller\":{",
        "\"password_hash\":\"pbkdf2_sha256$1000$",
        "\"observe\":{\"by\":\"",
        "access_log",
        "filter",
        "off",
        "500ms",
        "5m",
        "1h",
        "\u{12}",
        "\n",
        "\u{1a}",
    ],
    fault: "an error quotes the value of an unknown field",
};

/// It cannot be mistaken for a misspelt field: a key that contains it is too long, and has a `!`.
const SECRET: &str = "pL4nt3d!s3cr3t!of!thirty!chars";

fn run(bytes: &[u8]) {
    let found = Config::parse(bytes);
    check(&found);
    for planted in planted(bytes) {
        refuse_to_tell(&planted);
    }
    let value = serde_json::from_slice(bytes).ok().filter(Value::is_object);
    let Some(value) = value.or_else(|| structs::decode(bytes)) else { return };
    let [json, message] = [value.to_string().into_bytes(), structs::encode(&value)];
    let (as_json, as_struct) = (Config::parse(&json), Config::parse(&message));
    match (&as_json, &as_struct) {
        (Ok(json), Ok(message)) => assert_same(json, message),
        (json, message) => assert_eq!(json.as_ref().err(), message.as_ref().err(), "both forms"),
    }
    if let Ok(found) = &found {
        assert_same(found, as_json.as_ref().expect("no key twice, and legal"));
    }
    plant_in_values(&value);
}

fn check(found: &Result<Config, ConfigErrors>) {
    match found {
        Ok(config) => keeps_the_rules(config),
        Err(errors) => list_distinct_mistakes(errors),
    }
}

fn list_distinct_mistakes(errors: &ConfigErrors) {
    assert_eq!(tell(errors).lines().count(), 1, "one line");
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!((1..=limits::CONFIG_ERRORS).contains(&lines.len()), "{} mistakes", lines.len());
    let places: HashSet<_> = errors.iter().map(|error| format!("{error:?}")).collect();
    assert_eq!(places.len(), lines.len(), "{errors}");
    assert!(lines.iter().all(|line| errors.to_string().contains(line)), "{errors}");
}

fn tell(errors: &ConfigErrors) -> String {
    format!("{errors} {errors:?}")
}

/// The bytes with a secret inserted at a position that depends on the bytes.
fn planted(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let quotes: Vec<usize> =
        (0..bytes.len()).filter(|&at| bytes[at] == b'"').map(|at| at + 1).collect();
    let place = quotes.get(bytes.len() * 7 % quotes.len().max(1)).copied();
    [Some(bytes.len() / 2), place].into_iter().flatten().map(|at| {
        let (before, after) = bytes.split_at(at);
        [before, SECRET.as_bytes(), after].concat()
    })
}

fn refuse_to_tell(bytes: &[u8]) {
    if let Err(error) = Config::parse(bytes) {
        let told = tell(&error);
        assert!(!told.contains(SECRET), "{told}");
    }
}

/// Inserts the secret into each text in turn: before it, after it, and instead of it.
fn plant_in_values(value: &Value) {
    for place in 0..texts(&mut value.clone()).len().min(12) {
        for plant in [
            |text: &str| format!("{SECRET}{text}"),
            |text: &str| format!("{text}{SECRET}"),
            |_: &str| SECRET.to_owned(),
        ] {
            let mut planted = value.clone();
            let text = texts(&mut planted).swap_remove(place);
            *text = plant(text);
            let text = text.clone();
            match Config::parse(planted.to_string().as_bytes()) {
                Ok(config) => shows_no_secret(&config),
                Err(error) => {
                    let mut told = tell(&error);
                    if PLANTED && told.contains("unknown field") {
                        told += &text;
                    }
                    assert!(!told.contains(SECRET), "{told}");
                }
            }
        }
    }
}

/// All texts that are values.
fn texts(value: &mut Value) -> Vec<&mut String> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter_mut().flat_map(texts).collect(),
        Value::Object(entries) => entries.values_mut().flat_map(texts).collect(),
        _ => vec![],
    }
}

fn assert_same(one: &Config, other: &Config) {
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
    assert_eq!(one.hash(), other.hash());
    let keys = |config: &Config| {
        let variable = |name: &str| Some(format!("the value of {name}"));
        config.sources.iter().map(|source| source.key(&[1; 32], variable)).collect::<Vec<_>>()
    };
    assert_eq!(keys(one), keys(other));
    let sums =
        |config: &Config| config.auth.tokens.iter().map(|token| token.sha256).collect::<Vec<_>>();
    assert_eq!(sums(one), sums(other));
    let hashes = |config: &Config| {
        config.auth.users.iter().map(|user| user.hash.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(hashes(one), hashes(other));
}

fn shows_no_secret(config: &Config) {
    let shown = format!(
        "{:?} {:?}",
        config.sources.iter().map(|source| &source.credential).collect::<Vec<_>>(),
        config.auth
    );
    for secret in config.sources.iter().filter_map(|source| literal(&source.credential)) {
        assert!(!secret.contains(SECRET) || !shown.contains(secret), "{shown}");
    }
}

fn literal(credential: &Credential) -> Option<&str> {
    match credential {
        Credential::Bearer(SecretSource::Literal(secret))
        | Credential::Basic { password: SecretSource::Literal(secret), .. } => {
            Some(secret.expose())
        }
        _ => None,
    }
}

fn keeps_the_rules(config: &Config) {
    distinct(config.paths.iter());
    distinct(config.hosts.iter());
    distinct(config.sources.iter().map(|source| &source.name));
    distinct(config.auth.tokens.iter().map(|token| &token.name));
    distinct(config.auth.users.iter().map(|user| &user.name));
    for path in &config.paths {
        assert_eq!(*normal_form(path.as_bytes()), *path.as_bytes(), "a path in normal form");
    }
    for host in &config.hosts {
        assert_eq!(*host, host.to_lowercase());
        assert!(config.serves(host.as_bytes()), "{host}");
    }
    for source in &config.sources {
        assert!((limits::INTERVAL_LEAST..=limits::DURATION).contains(&source.interval));
        assert!((limits::TIMEOUT_LEAST..=limits::TIMEOUT).contains(&source.timeout));
        assert!(
            source.path.starts_with('/') && source.path.bytes().all(|byte| byte.is_ascii_graphic())
        );
        assert!(!source.authority.is_empty() && !source.cluster.is_empty());
        assert!(source.labels.is_sorted_by(|one, other| one.0 < other.0), "labels");
        sends_one_header(&source.credential);
    }
    for user in &config.auth.users {
        assert!(
            !user.name.contains(':')
                && limits::PASSWORD_ITERATIONS.contains(&user.hash.iterations())
        );
    }
    assert!(config.warnings().iter().all(|warning| warning.to_string().lines().count() == 1));
}

fn distinct<'a>(names: impl Iterator<Item = &'a String>) {
    let mut seen = HashSet::new();
    names.for_each(|name| assert!(seen.insert(name), "{name} twice"));
}

/// Every credential is sent as exactly one header, and adds no other line to the request.
fn sends_one_header(credential: &Credential) {
    let header =
        credential.authorization(|_| Some("value".into())).expect("a value that can be sent");
    assert!(header.is_none_or(|header| {
        header.expose().bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
    }));
}
