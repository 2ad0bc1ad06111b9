//! The HTML page, in a real browser.

mod access;
mod login;
mod recent;
mod refresh;
mod served;

use host_tests::browser::{Browser, Prompt};
use host_tests::controller::{Controller, ControllerConfig, Mode};
use host_tests::gateway::{Gateway, Host};
use host_tests::on_both_hosts;
use host_tests::tools::Release;
use serde_json::{Value, json};

use crate::stage::{METRICS, Stage, Watched, having, plugin, source, spec};

const ENVOY: Host = Host::Envoy(Release::Newest);

/// A browser that logs in as the user of `auth()`.
async fn admin() -> Browser {
    let (user, password) = ("admin".into(), "password".into());
    Browser::start(Prompt::Answer { user, password }).await.unwrap()
}

async fn open(browser: &Browser, gateway: &Gateway) {
    browser.go(&format!("http://{}{METRICS}", gateway.address())).await.unwrap();
    browser.until("document.querySelectorAll('article').length > 10", is_true).await;
}

/// A browser with the page of a stage.
async fn opened(stage: &Stage) -> Browser {
    let browser = admin().await;
    open(&browser, &stage.gateway).await;
    browser
}

fn is_true(value: &Value) -> bool {
    value == &json!(true)
}

/// The value on the page for a series, by its family and the values of its labels.
fn shown(family: &str, labels: &[&str]) -> String {
    let labels = json!(labels);
    format!(
        "[...document.querySelectorAll('article')]
            .find((card) => card.querySelector('h4').firstChild.data.trim() === '{family}')
            .querySelectorAll('li').values()
            .find((row) => JSON.stringify([...row.firstChild.children].map((label) => label.textContent))
                === JSON.stringify({labels}))
            .querySelector('strong span').textContent"
    )
}

/// Enters a filter, and waits for its result.
async fn filter(browser: &Browser, words: &str) {
    browser.press("/").await.unwrap();
    browser.write(words).await.unwrap();
    browser.until("document.getElementById('found').textContent", |found| found != "").await;
}

/// The console is empty, the policy was not violated, and only the gateway got requests.
fn assert_quiet(browser: &Browser, gateway: &Gateway) {
    assert_eq!(browser.complaints(), [""; 0]);
    let ours = format!("http://{}{METRICS}", gateway.address());
    for request in browser.requests() {
        assert!(request == ours || request.starts_with("data:"), "{request}");
    }
}

on_both_hosts! {
    async fn the_page_opens_after_the_browsers_prompt_and_follows_the_controllers_numbers(host) {
        let stage = Stage::start(host).await.up().await;
        let browser = opened(&stage).await;
        assert_eq!(browser.prompts(), ["api"]);
        filter(&browser, "awx_sessions").await;
        let sessions = shown("awx_sessions_total", &["user"]);
        let before = stage.controller().sessions();
        browser.until(&sessions, |shown| shown == &json!(before.to_string())).await;
        let session = stage.controller().log_in("admin").unwrap();
        browser.until(&sessions, |shown| shown == &json!((before + 1).to_string())).await;
        assert!(stage.controller().log_out(&session));
        browser.until(&sessions, |shown| shown == &json!(before.to_string())).await;
        assert_quiet(&browser, &stage.gateway);
    }
}

/// One family of each kind, with hostile names and values.
const HOSTILE: &str = r##"# HELP awx_instance_capacity <img src=x onerror="document.title='help'"></p><script>document.title='help'</script>
# TYPE awx_instance_capacity gauge
awx_instance_capacity{hostname="<script>document.title='node'</script>",node_type="\"><img src=//evil.example onerror=alert(1)>"} 10
# HELP awx_instance_consumed_capacity used
# TYPE awx_instance_consumed_capacity gauge
awx_instance_consumed_capacity{hostname="<script>document.title='node'</script>"} +Inf
# HELP awx_odd_total numbers
# TYPE awx_odd_total gauge
awx_odd_total{kind="__proto__"} NaN
awx_odd_total{kind="constructor"} +Inf
awx_odd_total{kind="</style></script><base href=//evil.example>"} -Inf
awx_odd_total{kind="${document.title='template'}",le="1",__proto__="x"} 1e-300
# HELP odd_seconds a histogram without a +Inf bucket, a sum or a count
# TYPE odd_seconds histogram
odd_seconds_bucket{le="1"} NaN
odd_seconds_bucket{le="2"} 3
odd_seconds_bucket{node="falls",le="1"} 7
odd_seconds_bucket{node="falls",le="+Inf"} -3
odd_seconds_bucket{node="odd",le="x"} +Inf
odd_seconds_bucket{node="none"} 1
odd_seconds_count{node="none"} NaN
odd_seconds_sum{node="none"} -Inf
# HELP constructor an unlucky name
# TYPE constructor gauge
constructor 1
# HELP __proto__ another
# TYPE __proto__ gauge
__proto__ 2
"##;

#[tokio::test(flavor = "multi_thread")]
async fn the_content_of_a_source_is_shown_as_text_only() {
    let controller = Controller::start(ControllerConfig::default());
    controller.set_mode(Mode::Page(HOSTILE.into(), "text/plain; version=0.0.4".into()));
    let controllers = [controller];
    let gateway = Watched::start(ENVOY, &spec(&[plugin(0)], &controllers)).await;
    let browser = admin().await;
    open(&browser, &gateway).await;
    filter(&browser, "awx_odd").await;
    let odd = |kind: &[&str]| shown("awx_odd_total", kind);
    browser.until(&odd(&["__proto__"]), |shown| shown == "NaN").await;
    browser.until(&odd(&["constructor"]), |shown| shown == "+Inf").await;
    let tags = "</style></script><base href=//evil.example>";
    browser.until(&odd(&[tags]), |shown| shown == "-Inf").await;
    browser.press("Escape").await.unwrap();

    let node = "document.querySelector('#nodes b').textContent";
    browser.until(node, |node| node == "<script>document.title='node'</script>").await;
    let strange = "document.querySelectorAll('img, base, main script, main style').length";
    assert_eq!(browser.evaluate(strange).await.unwrap(), 0);
    let title = browser.evaluate("document.title").await.unwrap();
    assert_eq!(title, "Automation controller: metrics");
    assert_quiet(&browser, &gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_shown_with_their_age_and_state() {
    let second = having(source(1), "/name", "second".into());
    let plugin = having(plugin(0), "/sources", json!([source(0), second]));
    let controllers = [0, 1].map(|_| Controller::start(ControllerConfig::default()));
    controllers[1].set_mode(Mode::Failing(500));
    let gateway = Watched::start(ENVOY, &spec(&[plugin], &controllers)).await;
    let browser = admin().await;
    open(&browser, &gateway).await;
    let state = |place: usize| {
        format!("document.querySelectorAll('#sources li')[{place}].innerText.replace(/\\s+/g, ' ')")
    };
    let is_up = |shown: &Value| shown.as_str().is_some_and(|shown| shown.contains("● up"));
    let is_down = |shown: &Value| {
        let shown = shown.as_str().unwrap_or_default();
        shown.starts_with("second ▲ down status") && shown.contains("never")
    };
    browser.until(&state(0), is_up).await;
    browser.until(&state(1), is_down).await;
    assert_quiet(&browser, &gateway);
}

/// Ten thousand series of one family, and two thousand families of one series.
#[tokio::test(flavor = "multi_thread")]
async fn of_thousands_of_series_only_the_visible_ones_become_rows() {
    use std::fmt::Write;
    let mut page = String::from("# HELP many many\n# TYPE many gauge\n");
    (0..10_000).for_each(|i| writeln!(page, "many{{node=\"node-{i}\"}} {i}").unwrap());
    (0..2000).for_each(|i| writeln!(page, "# TYPE family_{i} gauge\nfamily_{i} {i}").unwrap());
    let controller = Controller::start(ControllerConfig::default());
    controller.set_mode(Mode::Page(page.into(), "text/plain; version=0.0.4".into()));
    let controllers = [controller];
    let gateway = Watched::start(ENVOY, &spec(&[plugin(0)], &controllers)).await;
    let browser = admin().await;
    open(&browser, &gateway).await;
    filter(&browser, "node-9876").await;
    browser.until(&shown("many", &["node-9876"]), |shown| shown == "9,876").await;
    browser.press("Escape").await.unwrap();
    browser
        .until("document.querySelectorAll('article:not([hidden])').length > 2000", is_true)
        .await;
    let rows = browser.evaluate("document.querySelectorAll('.row').length").await.unwrap();
    assert!(rows.as_u64() < Some(400), "{rows}");
    assert_quiet(&browser, &gateway);
}
