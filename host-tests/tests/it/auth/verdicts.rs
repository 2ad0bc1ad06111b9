//! Questions to the controller: their occasions, their number, and the effect of the verdicts.

use std::time::Duration;

use host_tests::client::Client;
use host_tests::controller::{Controller, ControllerConfig, Mode, Received};
use host_tests::gateway::{GatewaySpec, Host};
use host_tests::process::eventually;

use super::*;
use crate::stage::{PATIENCE, TOKEN, Watched, cluster, sample, scrape, source, spec, until};

/// The token of an administrator.
pub(super) const ADMIN: &str = "AdminTokenWrite000000000000001";

/// One source, whose controller is asked about unknown credentials; those of Prometheus are local.
pub(super) fn asking(place: usize, changes: Value) -> Value {
    let mut controller = json!({"cluster": cluster(place)});
    for (name, value) in changes.as_object().unwrap() {
        controller[name] = value.clone();
    }
    having(plugin(place), "/auth/controller", controller)
}

/// A gateway in front of one controller.
pub(super) async fn stage(host: Host, changes: Value) -> Stage {
    Stage::with(host, &asking(0, changes)).await.up().await
}

/// The number of requests with this header that ask only for a verdict.
pub(super) fn questions(controller: &Controller, authorization: &str) -> usize {
    let is_question = |request: &&Received| {
        request.query() == "dbonly=1&subsystemonly=1"
            && request.header("authorization") == Some(authorization.as_bytes())
    };
    controller.requests().iter().filter(is_question).count()
}

pub(super) async fn status(client: &Client) -> u16 {
    client.get(METRICS).await.unwrap().status().as_u16()
}

pub(super) fn attempts(page: &str, scheme: &str, outcome: &str) -> f64 {
    let labels = [("scheme", scheme), ("outcome", outcome)];
    sample(page, "awx_gateway_auth_attempts_total", &labels).unwrap()
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

async fn many_scrapes_with_one_credential(gateway: &Watched, workers: usize, each: usize) {
    let scraping = |_| {
        let client = gateway.client().bearer(ADMIN);
        tokio::spawn(async move {
            for _ in 0..each {
                assert_eq!(status(&client).await, 200);
            }
        })
    };
    for task in (0..4 * workers).map(scraping).collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

async fn a_revoked_client_is_out(host: Host) {
    let stage = stage(host, json!({"allow_for": "1s", "deny_for": "1s"})).await;
    let client = stage.gateway.client().bearer(ADMIN);
    assert_eq!(status(&client).await, 200);
    assert!(stage.controller().revoke(ADMIN));
    let out = async || (status(&client).await == 401).then_some(());
    eventually(PATIENCE, out).await.expect("it is refused");
    // The controller's state does not matter.
    stage.controller().set_mode(Mode::Gone);
    let none = async || (status(&client).await == 503).then_some(());
    eventually(PATIENCE, none).await.expect("the refusal ends, and there is no verdict");
    assert_eq!(attempts(&stage.scrape("").await, "bearer", "allowed_while_down"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_oldest_envoy_a_revoked_token_is_refused_once_its_permit_expires() {
    a_revoked_client_is_out(Host::Envoy(host_tests::tools::Release::Oldest)).await;
}

on_both_hosts! {
    async fn the_controller_is_asked_once_per_vm_however_often_a_credential_is_sent(host) {
        let workers = 4;
        let controller = Controller::start(ControllerConfig::default());
        let plugin = asking(0, json!({"allow_for": "1h"}));
        let spec: GatewaySpec = spec(&[plugin], std::slice::from_ref(&controller)).workers(workers);
        let gateway = Watched::start(host, &spec).await;
        many_scrapes_with_one_credential(&gateway, workers, 100).await;
        let asked = questions(&controller, &bearer(ADMIN));
        assert!((1..=workers).contains(&asked), "{asked} questions");
        let page = scrape(&gateway.client().bearer(ADMIN), "").await;
        assert_eq!(attempts(&page, "bearer", "allowed"), (4 * workers * 100 + 1) as f64);
    }

    async fn a_question_contains_the_clients_credentials_and_nothing_else_of_its_request(host) {
        let stage = stage(host, json!({"authority": "controller.example"})).await;
        let session = stage.controller().log_in("admin").unwrap();
        let cookie = format!("csrftoken=x; awx_sessionid={session}; userLoggedIn=true");
        let client = stage.gateway.client().header("cookie", cookie).header("x-odd", "odd");
        // The token decides, so the cookie is not used.
        assert_eq!(status(&client.clone().bearer("nope")).await, 401);
        assert_eq!(status(&client).await, 200);
        let asked = stage.controller().requests().into_iter();
        let asked: Vec<_> = asked.filter(|request| request.query() != "").collect();
        let [probe, by_token, by_cookie] = asked.as_slice() else { panic!("{asked:?}") };
        assert_eq!(probe.header("cookie"), None);
        assert_ne!(probe.header("authorization"), by_token.header("authorization"));
        assert_eq!(by_token.header("authorization"), Some(&b"Bearer nope"[..]));
        assert_eq!(by_token.header("cookie"), None);
        assert_eq!(by_cookie.header("authorization"), None);
        let cookie = format!("awx_sessionid={session}");
        assert_eq!(by_cookie.header("cookie"), Some(cookie.as_bytes()));
        for question in [by_token, by_cookie] {
            assert_eq!(question.method, "GET");
            assert_eq!(question.header("host"), Some(&b"controller.example"[..]));
            assert_eq!(question.header("x-odd"), None);
        }
    }

    async fn local_credentials_are_never_asked_about(host) {
        let stage = stage(host, json!({})).await;
        for (client, expected) in [
            (stage.prometheus(), 200),
            (stage.gateway.client().basic("admin", "password"), 200),
            // On the controller, the password of this name is "password" too.
            (stage.gateway.client().basic("admin", "wrong"), 401),
            (stage.gateway.client(), 401),
            (stage.gateway.client().header("authorization", "Basic !!!"), 401),
            (stage.gateway.client().header("authorization", "Bearer a, Bearer b"), 401),
            (stage.gateway.client().header("authorization", "Digest x"), 401),
        ] {
            assert_eq!(status(&client).await, expected);
        }
        assert_eq!(stage.controller().permission_checks(), 0);
    }

    async fn a_revoked_token_is_refused_once_its_permit_expires(host) {
        a_revoked_client_is_out(host).await;
    }

    async fn a_controller_that_permits_every_client_permits_none(host) {
        let stage = stage(host, json!({})).await;
        stage.controller().allow_metrics_for_anonymous_users(true);
        for client in [stage.gateway.client().bearer(ADMIN), stage.gateway.client().bearer("nope")]
        {
            assert_eq!(status(&client).await, 503);
        }
        assert_eq!(questions(stage.controller(), &bearer(ADMIN)), 0);
        assert_eq!(stage.gateway.log().matches("permits a random token").count(), 1);
        assert_eq!(status(&stage.prometheus()).await, 200);
    }

    async fn a_login_page_for_every_client_permits_none(host) {
        let stage = stage(host, json!({})).await;
        stage.controller().set_mode(Mode::Html);
        for client in [
            stage.gateway.client().bearer(ADMIN),
            stage.gateway.client().bearer("nope"),
            stage.gateway.client().basic("bob", "bobpass"),
            stage.gateway.client().header("cookie", "awx_sessionid=abc"),
        ] {
            assert_eq!(status(&client).await, 503);
        }
        assert_eq!(questions(stage.controller(), &bearer(ADMIN)), 0);
        let page = stage.scrape("").await;
        assert_eq!(attempts(&page, "bearer", "unavailable"), 2.0);
        assert_eq!(attempts(&page, "session", "unavailable"), 1.0);
    }

    async fn a_verdict_permits_only_the_series_of_its_own_controller(host) {
        let named = |place, name: &str| having(source(place), "/name", json!(name));
        let sources = json!([named(0, "east"), named(1, "west")]);
        let plugin = having(asking(1, json!({})), "/sources", sources);
        let controllers = [0, 1].map(|_| Controller::start(ControllerConfig::default()));
        let gateway = Watched::start(host, &spec(&[plugin], &controllers)).await;
        let has = |page: &str, name| page.contains(&format!("source=\"{name}\",type=\"user\""));
        until(&gateway.client().bearer(TOKEN), "", |page| has(page, "east") && has(page, "west")).await;
        let page = scrape(&gateway.client().bearer(ADMIN), "").await;
        assert!(has(&page, "west"), "{page}");
        assert!(!page.contains("source=\"east\",type"), "{page}");
        assert!(page.contains("awx_gateway_workers"), "{page}");
        let json = scrape(&gateway.client().bearer(ADMIN), "?format=json").await;
        assert!(!json.contains("\"source\": \"east\", \"type\"") && json.contains("west"), "{json}");
    }

    async fn a_restricted_token_permits_only_what_its_entry_allows(host) {
        let entry = json!([{
            "name": "team", "families": ["awx_sessions_total", "awx_gateway_build_info"],
            "sha256": "bb37e032ed32c08ca2f865e5a876ee282c0953bb0b86f637d56712deb2a59d92",
        }]);
        let plugin = having(plugin(0), "/auth/tokens", entry);
        let stage = Stage::with(host, &plugin).await;
        let page = stage.until("", |page| page.contains("awx_sessions_total{")).await;
        let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let names: Vec<_> = families.map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(names, ["awx_sessions_total", "awx_gateway_build_info"]);
    }

    async fn two_configurations_share_no_verdict_but_two_listeners_of_one_configuration_do(host) {
        let controllers = [Controller::start(ControllerConfig::default())];
        let plugins = [json!({}), json!({}), json!({"allow_for": "61s"})].map(|it| asking(0, it));
        let gateway = Watched::start(host, &spec(&plugins, &controllers)).await;
        for (listener, asked) in [(0, 1), (1, 1), (2, 2), (0, 2), (2, 2)] {
            assert_eq!(status(&gateway.client_of(listener).bearer(ADMIN)).await, 200);
            assert_eq!(questions(&controllers[0], &bearer(ADMIN)), asked, "{listener}");
        }
    }

    async fn a_question_survives_the_client_that_caused_it(host) {
        let controller = Controller::start(ControllerConfig::default());
        let plugin = asking(0, json!({"timeout": "20s"}));
        let spec = spec(&[plugin], std::slice::from_ref(&controller)).workers(1);
        let gateway = Watched::start(host, &spec).await;
        // The probe has been refused, so the next question is the client's.
        assert_eq!(status(&gateway.client().bearer("nope")).await, 401);
        controller.set_mode(Mode::Slow(Duration::from_millis(1_500)));
        let client = gateway.client().bearer(ADMIN);
        let first = tokio::spawn(async move { status(&client).await });
        let asked = async || (questions(&controller, &bearer(ADMIN)) == 1).then_some(());
        eventually(PATIENCE, asked).await.expect("it is asked");
        let client = gateway.client().bearer(ADMIN);
        let second = tokio::spawn(async move { status(&client).await });
        first.abort();
        assert_eq!(second.await.unwrap(), 200);
        assert_eq!(questions(&controller, &bearer(ADMIN)), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_is_renewed_when_it_expires_and_not_before() {
    let stage = stage(Host::Wasmtime, json!({})).await;
    let (client, clock) =
        (stage.gateway.client().bearer(ADMIN), &stage.gateway.world().unwrap().clock);
    for (passed, asked) in [(0, 1), (58, 1), (10, 2), (0, 2), (50, 2), (10, 3)] {
        clock.advance(Duration::from_secs(passed));
        assert_eq!(status(&client).await, 200);
        assert_eq!(questions(stage.controller(), &bearer(ADMIN)), asked, "after {passed} s");
    }
    // A verdict from the future is invalid.
    clock.set_back(Duration::from_secs(3_600));
    assert_eq!(status(&client).await, 200);
    assert_eq!(questions(stage.controller(), &bearer(ADMIN)), 4);
}
