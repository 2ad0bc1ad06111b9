//! With a mistake in its configuration the gateway does not start. The log names the field, and quotes no secret.

use host_tests::controller::{Controller, ControllerConfig};
use host_tests::gateway::{Gateway, GatewaySpec, Host, StartError};
use host_tests::on_both_hosts;
use host_tests::tools::Release;
use serde_json::{Value, json};

use crate::stage::{METRICS, TOKEN, Watched, having, plugin, scrape, source, spec, until_up};

/// A secret at a wrong place, which no log may contain.
const SECRET: &str = "s3cret-of-thirty-characters-xx";

/// Configurations with mistakes, and the beginning of the error.
fn mistakes() -> Vec<(String, &'static str)> {
    let with = |pointer, field: Value| having(plugin(0), pointer, field).to_string();
    let entry = |name| json!({"name": name, "sha256": "ab".repeat(32)});
    let text = plugin(0).to_string();
    vec![
        (text[..text.len() - 1].to_owned(), "configuration: not JSON, at line 1, column "),
        ("[]".to_owned(), "configuration: must be an object"),
        (with("/sorces", json!([])), "sorces: unknown field, did you mean sources?"),
        (with(&format!("/{SECRET}"), json!(1)), "configuration: has an unknown field"),
        (
            with("/sources/0/intervall", json!("5s")),
            "sources[0].intervall: unknown field, did you mean interval?",
        ),
        (
            with("/sources/0/name", json!(SECRET.repeat(9))),
            "sources[0].name: longer than 128 bytes",
        ),
        (with("/sources/0/cluster", json!(7)), "sources[0].cluster: must be a string"),
        (with("/sources/0/interval", json!(15)), "sources[0].interval: must be a string"),
        (
            with("/sources/0/interval", json!(SECRET)),
            "sources[0].interval: must be a whole number with its unit: ms, s, m or h",
        ),
        (with("/sources/0/interval", json!("500ms")), "sources[0].interval: must be at least 1s"),
        (with("/sources/0/path", json!(SECRET)), "sources[0].path: must begin with a slash"),
        (
            with("/sources/0/labels", json!({"gateway": SECRET})),
            "sources[0].labels.gateway: a label that cannot be set here",
        ),
        (with("/sources/0/labels", json!({"__x": SECRET})), "sources[0].labels.__x: "),
        (
            with("/sources/0/credential", json!({"bearer": SECRET, "bearer_env": "X"})),
            "sources[0].credential: must contain bearer, or bearer_env, or username with password or password_env",
        ),
        (
            with("/sources/0/credential", json!("forward")),
            "sources[0].credential: \"forward\" needs auth.controller with the same cluster and authority",
        ),
        (with("/sources", json!([{"name": "a"}])), "sources[0].cluster: missing"),
        (
            with("/sources", json!([source(0), source(0)])),
            "sources[1].name: an earlier entry has the same",
        ),
        (
            with("/auth/tokens", json!([{"name": "x", "sha256": SECRET}])),
            "auth.tokens[0].sha256: must be 64 hex digits",
        ),
        (
            with("/auth/tokens", json!([entry("a"), entry("b")])),
            "auth.tokens[1].sha256: the same as auth.tokens[0].sha256: ",
        ),
        (
            with("/auth/users", json!([{"name": "x", "password_hash": SECRET}])),
            "auth.users[0].password_hash: must be pbkdf2_sha256$<iterations>$<salt>$<base64>",
        ),
        (with("/auth/anonymous", json!("yes")), "auth.anonymous: must be true or false"),
        (
            with("/auth/controller", json!({"cluster": "c", "token": SECRET})),
            "auth.controller.token: unknown field",
        ),
        (with("/paths", json!(["/a/../b"])), "paths[0]: must be a normal path"),
        (with("/hosts", json!(["a:+80"])), "hosts[0]: must be a host name or address"),
        (
            json!({"scope": "", "hosts": [SECRET, SECRET, 1], "auth": {"anonymous": SECRET}})
                .to_string(),
            "scope: must not be empty; hosts[1]: an earlier entry has the same; hosts[2]: must be a string; \
             auth.anonymous: must be true or false",
        ),
        (
            with("/observe", json!({"by": SECRET})),
            "observe.by: must be one of filter, access_log, off",
        ),
    ]
}

/// The error of a gateway that does not start with this configuration.
async fn refusal(host: Host, configuration: &str) -> StartError {
    let spec = GatewaySpec::new(&json!({})).plugin(configuration).workers(1);
    let spec = spec.cluster("controller", ([127, 0, 0, 1], 1).into());
    match Gateway::start(host, &spec).await {
        Err(error) => error,
        Ok(gateway) => panic!("it serves with {configuration}:\n{}", gateway.log()),
    }
}

async fn is_refused(host: Host, (configuration, said): &(String, &str)) {
    let error = refusal(host, configuration).await;
    let StartError::Refused { log } = &error else { panic!("{error}") };
    let why = error.refusal().unwrap_or_else(|| panic!("{said} is not said in\n{log}"));
    assert!(why.starts_with(said), "{why}");
    assert!(!log.contains(SECRET), "{log}");
}

on_both_hosts! {
    async fn a_mistake_is_named_by_its_field_and_nothing_is_served(host) {
        // The words are the module's: what a host adds to them, a few show as well. An Envoy takes its time.
        let every = if host == Host::Wasmtime { 1 } else { 5 };
        for mistake in mistakes().iter().step_by(every) {
            is_refused(host, mistake).await;
        }
    }

    async fn a_setting_that_is_probably_a_mistake_is_served_with_a_warning(host) {
        let plugin = having(plugin(0), "/sources/0/stale_after", json!("1s"));
        let plugin = having(plugin, "/sources/0/interval", json!("1m"));
        let controller = Controller::start(ControllerConfig::default());
        let gateway = Watched::start(host, &spec(&[plugin], &[controller])).await;
        let warning = "sources[0].stale_after: shorter than interval: the page comes and goes";
        assert!(gateway.log().contains(warning), "{}", gateway.log());
    }

    async fn a_page_that_a_client_opens_for_everybody_is_warned_of(host) {
        let plugin = having(plugin(0), "/sources/0/credential", json!("forward"));
        let plugin = having(plugin, "/auth/controller", json!({"cluster": "controller-0"}));
        let plugin = having(plugin, "/auth/anonymous", json!(true));
        let controller = Controller::start(ControllerConfig::default());
        let gateway = Watched::start(host, &spec(&[plugin], &[controller])).await;
        let warning = "auth.anonymous: true, and sources[0].credential is \"forward\": ";
        assert!(gateway.log().contains(warning), "{}", gateway.log());
    }

    async fn an_empty_configuration_refuses_every_client(host) {
        for configuration in ["", "{}"] {
            let controller = Controller::start(ControllerConfig::default());
            let mut spec = spec(&[plugin(0)], std::slice::from_ref(&controller));
            spec.listeners[0].plugin = configuration.to_owned();
            let gateway = Watched::start(host, &spec).await;
            assert_eq!(gateway.client().bearer(TOKEN).get(METRICS).await.unwrap().status(), 401);
            assert_eq!(gateway.client().get("/api/v2/ping/").await.unwrap().status(), 200);
        }
    }

    async fn over_tls_and_over_plain_http_one_configuration_serves_one_page(host) {
        let controller = Controller::start(ControllerConfig::default());
        let mut spec = spec(&[plugin(0), plugin(0)], std::slice::from_ref(&controller));
        spec.listeners[1] = spec.listeners[1].clone().tls();
        for listener in &mut spec.listeners {
            listener.plugin = plugin(0).to_string();
        }
        let gateway = Watched::start(host, &spec).await;
        let [plain, tls] = [0, 1].map(|listener| gateway.client_of(listener).bearer(TOKEN));
        until_up(&plain).await;
        let both = [scrape(&plain, "?gateway=none").await, scrape(&tls, "?gateway=none").await];
        assert!(both[0].contains("awx_sessions_total"));
        assert_eq!(both[0], both[1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_envoy_refuses_in_the_same_words() {
    let oldest = Host::Envoy(Release::Oldest);
    for mistake in mistakes().iter().step_by(10) {
        is_refused(oldest, mistake).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_envoy_serves_the_page() {
    let stage = crate::stage::Stage::start(Host::Envoy(Release::Oldest)).await.up().await;
    for client in [stage.prometheus(), stage.gateway.client().basic("admin", "password")] {
        assert!(scrape(&client, "").await.contains("awx_sessions_total"));
        assert!(scrape(&client, "?format=json").await.starts_with('{'));
    }
    assert_eq!(stage.gateway.client().get(METRICS).await.unwrap().status(), 401);
    assert_eq!(stage.gateway.client().get("/api/v2/ping/").await.unwrap().status(), 200);
}

/// Runs `check-config` on a file with this text.
fn check_config(name: &str, text: &str) -> std::process::Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_check-config"));
    command.current_dir(folder.path()).arg(name).output().unwrap()
}

#[test]
fn check_config_prints_every_mistake_and_fails() {
    let mistakes = having(plugin(0), "/scope", json!(""));
    let mistakes = having(mistakes, "/sources/0/credential", json!({"bearer": SECRET, "x": 1}));
    let output = check_config("plugin.json", &mistakes.to_string());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "plugin.json: scope: must not be empty\n\
         plugin.json: sources[0].credential.x: unknown field\n"
    );
}

#[test]
fn check_config_succeeds_without_a_mistake() {
    let output = check_config("plugin.json", &plugin(0).to_string());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "plugin.json: ok\n");
    assert_eq!(output.stderr, b"");
}

#[test]
fn check_config_prints_the_places_of_mistakes_in_envoys_configuration() {
    let wrong = json!({"hosts": ["a:+80"], "paths": [SECRET]});
    let configuration =
        json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": wrong});
    let plugin = json!({"root_id": "awx_metrics", "configuration": configuration});
    let yaml =
        yaml_serde::to_string(&json!({"http_filters": [{"typed_config": {"config": plugin}}]}));
    let output = check_config("envoy.yaml", &yaml.unwrap());
    assert_eq!(output.status.code(), Some(1));
    let place = "envoy.yaml: http_filters[0].typed_config.config.configuration";
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!(
            "{place}: paths[0]: must begin with a slash\n\
             {place}: hosts[0]: must be a host name or address, with a port or without\n"
        )
    );
}
