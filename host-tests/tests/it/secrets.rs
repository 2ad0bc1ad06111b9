//! Nothing that the filter writes contains a secret: its log at every level, replies, pages, refusals, traps.
//!
//! Each secret here contains [`MARK`], so that it is found in any text that contains it; in base64, the middle of its
//! encoding is searched for. Envoy's own output about requests does not come from the filter: only the lines of the
//! filter in Envoy's log are searched, at the level `trace`.

use std::collections::BTreeSet;
use std::time::Duration;

use awx_metrics_filter::auth::password::PasswordHash;
use awx_metrics_filter::auth::{Credentials, Secret};
use awx_metrics_filter::config::Config;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use host_tests::client::Client;
use host_tests::controller::{Controller, ControllerConfig, Mode};
use host_tests::gateway::{Gateway, GatewaySpec, Host, StartError};
use host_tests::on_both_hosts;
use host_tests::process::eventually;
use host_tests::world::Step;
use hyper::{Method, Response};
use serde_json::{Value, json};

use crate::stage::{METRICS, OUTCOMES, PATIENCE, Watched, having, sample, scrape, spec, until};

/// A part of every secret, and of nothing else.
const MARK: &str = "QuaggaZebra";

/// The client's token.
const TOKEN: &str = "QuaggaZebra-token-of-a-client";
/// Its SHA-256, from which a weak token could be guessed.
const SHA256: &str = "6001f561dc4b09b8481ca887151b91f25ad992e779ba84457eb2bf5424576683";
/// The password of `user`.
const PASSWORD: &str = "QuaggaZebra-password-of-a-user";
/// The salt of its hash.
const SALT: &str = "QuaggaZebraSalt";
/// The credential of the sources, in the configuration.
const LITERAL: &str = "QuaggaZebra-literal-bearer";
/// The same, in the environment.
const VARIABLE: &str = "QuaggaZebra-variable-bearer";
/// A variable that cannot be the value of a header.
const UNUSABLE: &str = "QuaggaZebra\nunusable";
/// The cookies of a browser.
const COOKIE: &str = "awx_sessionid=QuaggaZebra-session; csrftoken=QuaggaZebra-csrf";

/// The texts by which a secret is recognised in any context.
fn marks() -> BTreeSet<String> {
    let mut marks: BTreeSet<_> =
        [MARK, SHA256, &hash().rsplit('$').next().unwrap()[..20]].map(str::to_owned).into();
    // Depending on the text before it, its base64 has one of three forms.
    for before in ["", ":", "::"] {
        let encoded = STANDARD.encode(format!("{before}{MARK}"));
        let end = encoded.trim_end_matches('=').len() - 2;
        marks.insert(encoded[4..end].to_owned());
    }
    marks
}

fn hash() -> String {
    PasswordHash::new(PASSWORD, SALT, 1_000).unwrap().to_string()
}

fn tell_nothing(what: &str, text: &str) {
    for mark in marks() {
        let at = text.find(&mark);
        assert_eq!(at, None, "{what}: {}", &text[at.unwrap_or_default().saturating_sub(99)..]);
    }
}

fn tells_nothing(what: &str, reply: &Response<Bytes>) {
    tell_nothing(what, &format!("{:?}", reply.headers()));
    tell_nothing(what, &String::from_utf8_lossy(reply.body()));
}

/// Every kind of credential, each with its own secret.
fn secretive() -> Value {
    let source = |name: &str, place: usize, credential: Value| {
        json!({"name": name, "cluster": format!("controller-{place}"), "interval": "1s", "timeout": "500ms",
               "credential": credential})
    };
    json!({
        "sources": [
            source("literal", 0, json!({"bearer": LITERAL})),
            source("variable", 1, json!({"bearer_env": "VARIABLE"})),
            source("password", 2, json!({"username": "reader", "password": PASSWORD})),
            source("unusable", 0, json!({"username": "reader", "password_env": "UNUSABLE"})),
            source("unset", 0, json!({"bearer_env": "UNSET"})),
            source("nowhere", 9, json!({"bearer": LITERAL})),
        ],
        "auth": {
            "tokens": [{"name": "client", "sha256": SHA256}],
            "users": [{"name": "user", "password_hash": hash()}],
        },
    })
}

fn secretive_spec(controllers: &[Controller]) -> GatewaySpec {
    let spec = spec(&[secretive()], controllers).traced();
    let spec = spec.environment("VARIABLE", VARIABLE).environment("UNUSABLE", UNUSABLE);
    spec.cluster("controller-9", ([127, 0, 0, 1], 1).into())
}

/// Clients with credentials, valid and invalid.
fn clients(gateway: &Gateway) -> Vec<Client> {
    let client = || gateway.client().header("cookie", COOKIE);
    vec![
        client(),
        client().bearer(TOKEN),
        client().basic("user", PASSWORD),
        client().bearer("QuaggaZebra-wrong"),
        client().basic("user", "QuaggaZebra-wrong"),
        client().basic("QuaggaZebra-as-a-name", "QuaggaZebra-wrong"),
        client().header("authorization", format!("Basic {MARK}!")),
        client().header("authorization", format!("Basic {MARK} {MARK}")),
        client().header("authorization", format!("{MARK} {MARK}")),
        client().header("authorization", format!("Bearer {MARK}, Bearer {MARK}")),
        client().header("authorization", format!("Bearer {}", MARK.repeat(1_000))),
        client().bearer(TOKEN).bearer(TOKEN),
    ]
}

/// Sends every kind of request.
async fn asks_in_every_way(gateway: &Gateway) {
    for client in clients(gateway) {
        for query in [
            "",
            "?format=json",
            "?gateway=only",
            "?format=none",
            "?format=html",
            "?name[]=awx_gateway_config_info",
        ] {
            let reply = client.get(&format!("{METRICS}{query}")).await.unwrap();
            tells_nothing(query, &reply);
        }
        for method in [Method::OPTIONS, Method::POST, Method::HEAD, Method::DELETE] {
            let reply = client
                .request(method.clone(), METRICS, format!("{{\"a\": \"{MARK}\"}}"))
                .await
                .unwrap();
            tells_nothing(method.as_str(), &reply);
        }
        let accept = client.clone().header("accept", "application/none");
        tells_nothing("accept", &accept.get(METRICS).await.unwrap());
    }
}

/// The filter's log lines: on Envoy those that name it, on our own host all.
fn written(gateway: &Gateway) -> String {
    let is_the_filters = |line: &&str| gateway.world().is_some() || line.contains("wasm log");
    gateway.log().lines().filter(is_the_filters).collect::<Vec<_>>().join("\n")
}

/// Makes the controller of the first source behave this way until it has shown twice.
async fn misbehaves(controller: &Controller, client: &Client, mode: Mode) {
    let pulls = |page: &str| -> f64 {
        let of = |outcome| [("source", "literal"), ("outcome", outcome)];
        let count = |outcome| sample(page, "awx_gateway_source_fetches_total", &of(outcome));
        OUTCOMES.iter().filter_map(|outcome| count(outcome)).sum()
    };
    controller.set_mode(mode);
    let before = pulls(&scrape(client, "?gateway=only").await);
    until(client, "?gateway=only", |page| pulls(page) > before + 1.0).await;
}

/// The configuration with a mistake in each of its texts, with all secrets.
fn mistakes() -> Vec<String> {
    let whole = secretive().to_string();
    let mut mistakes = vec![
        whole[..whole.len() - 1].to_owned(),
        whole.replace("\"sources\"", &format!("\"{MARK}-a-key-longer-than-any-field-is\"")),
        whole.replace("\"1s\"", &format!("\"{MARK}\"")),
        whole.replace("\"bearer\"", "\"beerer\""),
        whole.replace("\"password\"", "\"passwort\""),
        whole.replace("\"client\"", &format!("\"{}\"", MARK.repeat(99))),
        whole.replace(SHA256, &SHA256[1..]),
        whole.replace("$1000$", "$7$"),
        whole.replace("pbkdf2_sha256", MARK),
        whole.replace(LITERAL, &format!("{LITERAL} ")),
        whole.replace(PASSWORD, &format!("{PASSWORD}\\n")),
        whole.replace("\"UNSET\"", &format!("\"{MARK}!\"")),
        having(secretive(), "/auth/controller", json!({"cluster": MARK, "path": MARK})).to_string(),
        having(secretive(), "/paths", json!([format!("/{MARK}/../x")])).to_string(),
        having(secretive(), "/hosts", json!([format!("{MARK}:{MARK}")])).to_string(),
        having(secretive(), "/observe", json!({"by": MARK})).to_string(),
        having(secretive(), "/gateway", json!({"labels": {"le": MARK}})).to_string(),
        json!(MARK).to_string(),
        format!("{{{MARK}"),
        format!("\x12{whole}"),
    ];
    mistakes.dedup();
    assert!(mistakes.iter().all(|mistake| mistake.contains(MARK) && *mistake != whole));
    mistakes
}

on_both_hosts! {
    async fn nothing_that_the_filter_writes_contains_a_secret(host) {
        let controllers: Vec<_> =
            (0..3).map(|_| Controller::start(ControllerConfig::default())).collect();
        let gateway = Watched::start(host, &secretive_spec(&controllers)).await;
        asks_in_every_way(&gateway).await;
        for client in clients(&gateway) {
            client.get("/api/v2/ping/").await.unwrap();
        }
        let client = gateway.client().bearer(TOKEN);
        let modes = [
            Mode::Hanging, Mode::Failing(401), Mode::Garbled, Mode::Html, Mode::ClosesEarly,
            Mode::Page(format!("{MARK} {{\n").into(), "text/plain".into()), Mode::Gone,
        ];
        for mode in modes {
            misbehaves(&controllers[0], &client, mode).await;
            asks_in_every_way(&gateway).await;
        }
        // Every source gives its error, without its credential.
        let page = until(&client, "?gateway=only", |page| {
            let problems = ["unusable", "unset", "nowhere", "literal"];
            let is_down = |name| sample(page, "awx_gateway_source_problem_info", &[("source", name)]).is_some();
            problems.into_iter().all(is_down)
        });
        tell_nothing("the page", &page.await);
        tell_nothing("the log", &written(&gateway));
        assert!(!written(&gateway).is_empty(), "the filter wrote something");
        if let Some(world) = gateway.world() {
            for key in world.shared.sizes().keys() {
                let value = world.shared.value(key).map(|(value, _)| value).unwrap_or_default();
                let kept = [key.as_slice(), &value].concat();
                tell_nothing("shared data", &String::from_utf8_lossy(&kept));
            }
        }
    }

    async fn no_configuration_error_quotes_another_part_of_the_configuration(host) {
        for mistake in mistakes() {
            let spec = GatewaySpec::new(&json!({})).plugin(&mistake).workers(1).traced();
            let spec = spec.cluster("controller", ([127, 0, 0, 1], 1).into());
            match Gateway::start(host, &spec).await {
                Err(error @ StartError::Refused { .. }) => {
                    let refusal = error.refusal().unwrap_or_else(|| panic!("{mistake}: {error}")).to_owned();
                    tell_nothing("the refusal", &refusal);
                    let StartError::Refused { log } = error else { unreachable!() };
                    let lines = log.lines().filter(|line| line.contains("awx_metrics: "));
                    tell_nothing("the log", &lines.collect::<String>());
                }
                other => panic!("{mistake}: {other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_that_traps_does_not_reveal_the_secrets_in_its_memory() {
    let controllers: Vec<_> =
        (0..3).map(|_| Controller::start(ControllerConfig::default())).collect();
    for callback in
        ["proxy_on_request_headers", "proxy_on_tick", "proxy_on_http_call_response", "proxy_on_log"]
    {
        let gateway = Gateway::start(Host::Wasmtime, &secretive_spec(&controllers)).await.unwrap();
        let world = gateway.world().unwrap();
        world.before_each_host_call(move |call| match call.callback == callback {
            true => Step::Trap,
            false => Step::Proceed,
        });
        let died = eventually(PATIENCE, async || {
            let client = gateway.client().bearer(TOKEN).header("cookie", COOKIE);
            let asked = client.get(METRICS);
            if let Ok(Ok(reply)) = tokio::time::timeout(Duration::from_secs(2), asked).await {
                tells_nothing(callback, &reply);
            }
            (!gateway.traps().is_empty()).then_some(())
        });
        died.await.expect("a trap");
        tell_nothing(callback, &gateway.traps().concat());
        tell_nothing(callback, &gateway.log());
    }
}

#[test]
fn no_debug_output_contains_a_secret() {
    let config = Config::parse(secretive().to_string().as_bytes()).unwrap();
    tell_nothing("configuration", &format!("{config:?} {config:#?}"));
    tell_nothing("configuration", &format!("{:?} {}", config.warnings(), config.hash()));
    for source in &config.sources {
        let header = source.credential.authorization(|_| Some(UNUSABLE.to_owned()));
        tell_nothing("credential", &format!("{:?} {header:?}", source.credential));
    }
    let header = format!("Basic {}", STANDARD.encode(format!("user:{PASSWORD}")));
    for header in
        [header, format!("Bearer {TOKEN}"), format!("Basic {MARK}!"), format!("Bearer {MARK},")]
    {
        tell_nothing("credentials", &format!("{:?}", Credentials::parse([header.as_bytes()])));
    }
    tell_nothing("a hash", &format!("{:?}", hash().parse::<PasswordHash>().unwrap()));
    tell_nothing("a secret", &format!("{:?}", Secret::new(MARK)));
}
