//! The page for people, in a real browser.

mod login;
mod served;

use host_tests::browser::{Browser, Prompt};
use host_tests::controller::{Controller, ControllerConfig, Mode};
use host_tests::gateway::{Gateway, Host};
use host_tests::on_both_hosts;
use host_tests::tools::Release;
use serde_json::{Value, json};

use crate::stage::{METRICS, Stage, Watched, having, plugin, source, spec};

const ENVOY: Host = Host::Envoy(Release::Newest);

/// Does what `auth()`'s user would.
async fn admin() -> Browser {
    let (user, password) = ("admin".into(), "password".into());
    Browser::start(Prompt::Answer { user, password }).await.unwrap()
}

async fn open(browser: &Browser, gateway: &Gateway) {
    browser.go(&format!("http://{}{METRICS}", gateway.address())).await.unwrap();
    browser.until("document.querySelectorAll('article').length > 10", is_true).await;
}

/// The page of a stage, as its user sees it.
async fn opened(stage: &Stage) -> Browser {
    let browser = admin().await;
    open(&browser, &stage.gateway).await;
    browser
}

fn is_true(value: &Value) -> bool {
    value == &json!(true)
}

/// What the page shows for a series, by its family and the values of its labels.
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

/// What a filter leaves.
async fn filter(browser: &Browser, words: &str) {
    browser.press("/").await.unwrap();
    browser.write(words).await.unwrap();
    browser.until("document.getElementById('found').textContent", |found| found != "").await;
}

/// Nothing came up in the console, nothing was forbidden, and nobody else was asked for anything.
fn assert_quiet(browser: &Browser, gateway: &Gateway) {
    assert_eq!(browser.complaints(), [""; 0]);
    let ours = format!("http://{}{METRICS}", gateway.address());
    for request in browser.requests() {
        assert!(request == ours || request.starts_with("data:"), "{request}");
    }
}

on_both_hosts! {
    async fn the_browsers_prompt_opens_the_page_and_its_numbers_follow_the_controller(host) {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_keyboard_is_enough_to_filter_fold_and_pause() {
    let stage = Stage::start(ENVOY).await.up().await;
    let browser = opened(&stage).await;
    let cards = "document.querySelectorAll('article:not([hidden])').length";
    let all = browser.evaluate(cards).await.unwrap();

    filter(&browser, "awx_status running").await;
    assert_eq!(browser.evaluate(cards).await.unwrap(), 1);
    let found = browser.evaluate("document.getElementById('found').textContent").await.unwrap();
    assert_eq!(found, "1 found");
    browser.until(&shown("awx_status_total", &["running"]), |shown| shown != &Value::Null).await;
    browser.press("Escape").await.unwrap();
    browser.until(cards, |now| now == &all).await;

    let focused = "document.activeElement.textContent";
    browser.press("Tab").await.unwrap();
    assert_eq!(browser.evaluate(focused).await.unwrap(), "Pause");
    let outline = "getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(browser.evaluate(outline).await.unwrap(), "solid");
    browser.press("Enter").await.unwrap();
    let age = "document.getElementById('age').textContent.startsWith('paused')";
    browser.until(age, is_true).await;

    browser.press("Tab").await.unwrap();
    let summary = browser.evaluate(focused).await.unwrap();
    assert!(summary.as_str().unwrap().starts_with("Gateway"), "{summary}");
    browser.press("Enter").await.unwrap();
    let open = "[...document.querySelectorAll('details')].map((group) => group.open)";
    assert_eq!(browser.evaluate(open).await.unwrap(), json!([false, true, true]));
    assert_quiet(&browser, &stage.gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_shows_all_of_it_without_scrolling_sideways() {
    let stage = Stage::start(ENVOY).await.up().await;
    let browser = opened(&stage).await;
    for width in [320, 390, 768, 1280] {
        browser.resize(width, 800).await.unwrap();
        let wide = "document.documentElement.scrollWidth";
        browser.until(wide, |wide| wide.as_u64() <= Some(width.into())).await;
    }
    assert_quiet(&browser, &stage.gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_dark_for_who_prefers_that_and_nothing_moves_for_who_does_not_want_it() {
    let stage = Stage::start(ENVOY).await.up().await;
    let browser = opened(&stage).await;
    let style = |name: &str| format!("getComputedStyle(document.getElementById('tiles')).{name}");
    let ground = "getComputedStyle(document.body).backgroundColor";
    for (scheme, color) in [("light", "rgb(245, 246, 244)"), ("dark", "rgb(17, 20, 22)")] {
        browser.prefer(&[("prefers-color-scheme", scheme)]).await.unwrap();
        assert_eq!(browser.evaluate(ground).await.unwrap(), color);
    }
    assert_eq!(browser.evaluate(&style("transitionDuration")).await.unwrap(), "0.3s");
    browser.prefer(&[("prefers-reduced-motion", "reduce")]).await.unwrap();
    assert_eq!(browser.evaluate(&style("transitionDuration")).await.unwrap(), "0s");
}

/// One family of each kind, whatever their names and values try.
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
async fn what_a_source_says_is_text_and_nothing_else() {
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
async fn sources_stand_with_their_age_and_state() {
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

#[tokio::test(flavor = "multi_thread")]
async fn what_went_wrong_stands_on_the_page_and_goes_when_it_is_right_again() {
    let stage = Stage::start(ENVOY).await.up().await;
    let browser = opened(&stage).await;
    let problem = "document.getElementById('problem').innerText";
    // Offline, as the browser sees it.
    browser.disconnect(true).await.unwrap();
    browser.until(problem, |shown| shown == "The gateway gave no answer (Failed to fetch).").await;
    browser.disconnect(false).await.unwrap();
    browser.until(problem, |shown| shown == "").await;
}

/// Ten thousand series of one family, two thousand families of one.
#[tokio::test(flavor = "multi_thread")]
async fn of_thousands_of_series_only_what_is_in_view_becomes_rows() {
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
