//! The tiles for the last minutes do not depend on older counts.

use std::time::Duration;

use host_tests::browser::{Browser, Canned};
use host_tests::controller::Mode;
use hyper::Method;
use serde_json::{Value, json};

use super::{ENVOY, assert_quiet, opened};
use crate::stage::{Stage, having, sample};

const LATENCY: &str = "Latency, 95 %";
const ALL: &str = "since the gateway started";

/// A tile's number, and the description below it.
fn tile(name: &str) -> String {
    format!(
        "[...document.querySelectorAll('#tiles > :not([hidden])')]
            .find((tile) => tile.querySelector('dt').textContent === '{name}')
            .querySelector('dd').innerText.split(/\\s*\\n\\s*/)"
    )
}

/// Waits for a number about the last minutes.
async fn until_lately(browser: &Browser, name: &str, fits: impl Fn(&str) -> bool) {
    let is_lately = |shown: &Value| {
        let about = shown[1].as_str().unwrap_or_default();
        about.starts_with("of the last ") && shown[0].as_str().is_some_and(&fits)
    };
    browser.until(&tile(name), is_lately).await;
}

/// The milliseconds of `24 ms` or `1.5 s`.
fn milliseconds(shown: &str) -> Option<f64> {
    let (number, unit) = shown.split_once(' ')?;
    let number: f64 = number.parse().ok()?;
    Some(number * [("ms", 1.0), ("s", 1000.0)].iter().find(|(name, _)| *name == unit)?.1)
}

fn is_fast(shown: &str) -> bool {
    milliseconds(shown).is_some_and(|shown| shown <= 500.0)
}

fn is_slow(shown: &Value) -> bool {
    shown[0].as_str().and_then(milliseconds).is_some_and(|shown| shown > 1000.0)
}

async fn get(stage: &Stage, path: &str, times: usize) {
    for _ in 0..times {
        assert_eq!(stage.prometheus().get(path).await.unwrap().status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_requests_before_the_page_was_opened_do_not_affect_its_recent_latency() {
    let stage = Stage::start(ENVOY).await.up().await;
    stage.controller().set_mode(Mode::Slow(Duration::from_millis(1_100)));
    get(&stage, "/api/login/", 3).await;
    stage.controller().set_mode(Mode::Normal);
    let login = [("resource", "login")];
    let count = |page: &str| {
        sample(page, "awx_gateway_request_duration_seconds_count", &login) == Some(3.0)
    };
    stage.until("?gateway=only", count).await;
    let browser = opened(&stage).await;
    let scrapes = "performance.getEntriesByType('resource').length";
    browser.until(scrapes, |scrapes| scrapes.as_u64() > Some(2)).await;
    let before = browser.evaluate(&tile(LATENCY)).await.unwrap();
    assert!(is_slow(&before) && before[1] == ALL, "{before}");

    // These are of a resource that had no requests before.
    get(&stage, "/api/v2/ping/", 5).await;
    until_lately(&browser, LATENCY, is_fast).await;
    assert_quiet(&browser, &stage.gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_logins_before_the_page_was_opened_are_not_shown_as_recent() {
    let stage = Stage::start(ENVOY).await.up().await;
    fail_to_log_in(&stage, 3.0).await;
    let browser = opened(&stage).await;
    until_lately(&browser, "Failed logins", |shown| shown == "0").await;
    fail_to_log_in(&stage, 1.0).await;
    until_lately(&browser, "Failed logins", |shown| shown == "1").await;
    assert_quiet(&browser, &stage.gateway);
}

/// Fails to log in this many times, and waits until that is counted.
async fn fail_to_log_in(stage: &Stage, times: f64) {
    let failures = |page: &str| {
        sample(page, "awx_gateway_logins_total", &[("outcome", "failure")]).unwrap_or_default()
    };
    let before = failures(&stage.scrape("?gateway=only").await);
    let client = stage.gateway.client().header("content-type", "application/x-www-form-urlencoded");
    for _ in 0..times as usize {
        let guess = "username=admin&password=a+guess";
        client.request(Method::POST, "/api/login/", guess).await.unwrap();
    }
    stage.until("?gateway=only", |page| failures(page) == before + times).await;
}

/// An answer with several gateways, each with its number of fast and of slow requests.
fn durations(gateways: &[(&str, u32, u32)]) -> Option<Canned> {
    let family = |kind: &str, samples: Vec<Value>| json!({"help_text": "", "type": kind, "samples": samples});
    let worker =
        |&(gateway, ..): &(&str, u32, u32)| json!({"labels": {"gateway": gateway}, "value": 1});
    let body = json!({
        "awx_gateway_request_duration_seconds": family("histogram", gateways.iter().flat_map(histogram).collect()),
        "awx_gateway_workers": family("gauge", gateways.iter().map(worker).collect()),
    });
    let headers = vec![("content-type", "application/json")];
    Some(Canned { status: 200, headers, body: body.to_string().leak() })
}

/// The samples of one gateway.
fn histogram(&(gateway, fast, slow): &(&str, u32, u32)) -> Vec<Value> {
    let all = fast + slow;
    let sample = |kind: &str, labels: Value, value: u32| {
        let labels = having(labels, "/gateway", gateway.into());
        json!({"labels": labels, "value": value, "sample_type": kind})
    };
    let bucket = |(le, count): (&str, u32)| sample("bucket", json!({"le": le}), count);
    let buckets = [("0.1", fast), ("2", fast), ("4", all), ("+Inf", all)].map(bucket);
    let others = ["sum", "count"].map(|kind| sample(kind, json!({}), all));
    [Vec::from(buckets), Vec::from(others)].concat()
}

/// Waits until the page shows this number of requests for the first gateway.
async fn until_counted(browser: &Browser, count: u32) {
    let note = "document.querySelector('.wide small').textContent";
    let is_there = |shown: &Value| {
        shown.as_str().is_some_and(|shown| shown.starts_with(&format!("{count}, ")))
    };
    browser.until(note, is_there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_of_a_restarted_or_new_gateway_are_not_shown_as_recent() {
    let stage = Stage::start(ENVOY).await.up().await;
    let browser = opened(&stage).await;
    // First all requests since the gateway started, before and after a restart.
    for (fast, slow, all) in [(0, 100, "3.9 s"), (1, 1, "3.8 s")] {
        browser.answer(durations(&[("a", fast, slow)]));
        browser.until(&tile(LATENCY), |shown| shown == &json!([all, ALL])).await;
    }
    browser.answer(durations(&[("a", 11, 1)]));
    until_lately(&browser, LATENCY, |shown| shown == "95 ms").await;
    let anew = durations(&[("a", 1, 1)]);
    let beside_another = durations(&[("a", 3, 1), ("b", 0, 100)]);
    for (answer, count) in [(anew, 2), (beside_another, 4)] {
        browser.answer(answer);
        until_counted(&browser, count).await;
        until_lately(&browser, LATENCY, |shown| shown == "95 ms").await;
    }
}
