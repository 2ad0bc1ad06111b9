//! The occasions on which the page sends requests, and on which it does not, and its notices meanwhile.

use std::net::SocketAddr;

use host_tests::browser::{Browser, Canned, Prompt};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{ENVOY, admin, filter, is_true, opened, shown};
use crate::stage::{METRICS, Stage, Watched, having, plugin, sample, spec, until_up};

const PROBLEM: &str = "document.getElementById('problem').innerText";
const LINK: &str = "document.querySelector('#problem a').getAttribute('href')";

/// The age of the numbers on the page, in seconds by the page's own clock, which runs in a hidden tab too.
const AGE: &str = "Number(/\\d+/.exec(document.getElementById('age').textContent)[0])";

/// An age that the page never reaches while it refreshes, which is every five seconds.
const LONG: f64 = 16.0;

fn is_over(age: f64) -> impl FnMut(&Value) -> bool {
    move |shown| shown.as_f64().is_some_and(|shown| shown >= age)
}

fn is_new(age: &Value) -> bool {
    age.as_f64().is_some_and(|age| age < 5.0)
}

/// Opens another tab in front of the page.
async fn leave(browser: &Browser) {
    browser.leave().await.unwrap();
    browser.until("document.visibilityState", |state| state == "hidden").await;
}

async fn come_back(browser: &Browser) {
    browser.come_back().await.unwrap();
    browser.until("document.visibilityState", |state| state == "visible").await;
}

/// The number of JSON pages that the gateway has served.
async fn answers(stage: &Stage) -> f64 {
    let json = [("format", "json"), ("code", "200")];
    sample(&stage.scrape("?gateway=only").await, "awx_gateway_scrapes_total", &json).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_tab_sends_no_requests_until_it_is_visible_again() {
    let stage = Stage::start(ENVOY).await.up().await;
    let browser = opened(&stage).await;
    leave(&browser).await;
    // By this time, a pending request has its answer.
    browser.until(AGE, is_over(7.0)).await;
    let before = answers(&stage).await;
    browser.until(AGE, is_over(LONG)).await;
    assert_eq!(answers(&stage).await, before);
    come_back(&browser).await;
    browser.until(AGE, is_new).await;
    assert!(answers(&stage).await > before);
}

/// A page that the controller permits by the session of an administrator.
async fn with_a_session() -> (Stage, Browser, String) {
    let controller = json!({"cluster": "controller-0", "allow_for": "1s", "deny_for": "1s"});
    let plugin = having(plugin(0), "/auth/controller", controller);
    let stage = Stage::with(ENVOY, &plugin).await.up().await;
    let browser = Browser::start(Prompt::Cancel).await.unwrap();
    let session = log_in(&browser, &stage, "admin").await;
    browser.go(&format!("http://{}{METRICS}", stage.gateway.address())).await.unwrap();
    browser.until("document.querySelectorAll('article').length > 10", is_true).await;
    (stage, browser, session)
}

/// Logs in as another tab would.
async fn log_in(browser: &Browser, stage: &Stage, user: &str) -> String {
    let session = stage.controller().log_in(user).unwrap();
    let address = format!("http://{}", stage.gateway.address());
    browser.set_cookie(&address, ("awx_sessionid", &session)).await.unwrap();
    session
}

/// The number of refused sessions.
async fn refusals(stage: &Stage) -> f64 {
    let denied = [("scheme", "session"), ("outcome", "denied")];
    let page = stage.scrape("?gateway=only").await;
    sample(&page, "awx_gateway_auth_attempts_total", &denied).unwrap()
}

/// Checks that the page does not send refused credentials again, and continues when the user returns with a valid
/// session.
async fn is_refused_once(stage: &Stage, browser: &Browser) {
    browser.until(AGE, is_over(LONG)).await;
    assert_eq!(refusals(stage).await, 1.0);
    leave(browser).await;
    log_in(browser, stage, "admin").await;
    come_back(browser).await;
    browser.until(PROBLEM, |shown| shown == "").await;
    browser.until(AGE, is_new).await;
    assert_eq!(refusals(stage).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_session_ends_the_page_is_refused_once_and_continues_with_the_next_session() {
    let (stage, browser, session) = with_a_session().await;
    assert!(stage.controller().log_out(&session));
    browser.until(LINK, |link| link == "/api/login/?next=%2Fapi%2Fv2%2Fmetrics").await;
    is_refused_once(&stage, &browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_lost_its_access_is_refused_once_and_sees_a_notice() {
    let (stage, browser, _) = with_a_session().await;
    log_in(&browser, &stage, "bob").await;
    let forbidden = "You do not have permission to perform this action.";
    browser.until(PROBLEM, |shown| shown == forbidden).await;
    is_refused_once(&stage, &browser).await;
}

fn canned(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Canned {
    Canned { status, headers: headers.to_vec(), body }
}

/// The start times of the page's requests with this status, in milliseconds.
fn starts(status: u16) -> String {
    format!(
        "performance.getEntriesByType('resource')
            .filter(({{ responseStatus }}) => responseStatus === {status})
            .map(({{ startTime }}) => startTime)"
    )
}

/// The time between the first two requests with this status, in milliseconds.
async fn waited_after(browser: &Browser, status: u16) -> f64 {
    let several = |starts: &Value| starts.as_array().is_some_and(|starts| starts.len() > 1);
    let starts = browser.until(&starts(status), several).await;
    starts[1].as_f64().unwrap() - starts[0].as_f64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_gets_retry_after_waits_however_often_its_tab_is_shown() {
    let stage = Stage::start(ENVOY).await.up().await;
    let browser = opened(&stage).await;
    let throttled = r#"{"detail": "Request was throttled. Expected available in 8 seconds."}"#;
    let json = ("content-type", "application/json");
    browser.answer(Some(canned(429, &[json, ("retry-after", "8")], throttled)));
    let sentence = "Request was throttled. Expected available in 8 seconds.";
    browser.until(PROBLEM, |shown| shown == sentence).await;
    leave(&browser).await;
    come_back(&browser).await;
    for pressed in [true, false] {
        let click = format!("document.getElementById('pause').click() ?? {pressed}");
        browser.until(&click, |done| done == &json!(pressed)).await;
    }
    let waited = waited_after(&browser, 429).await;
    assert!(waited > 7_990.0, "{waited}");
    browser.answer(None);
    browser.until(PROBLEM, |shown| shown == "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_no_longer_valid_causes_no_prompt_until_the_user_retries() {
    let stage = Stage::start(ENVOY).await.up().await;
    let browser = opened(&stage).await;
    let challenge = ("www-authenticate", "Basic realm=\"api\"");
    let json = ("content-type", "application/json");
    let wrong = r#"{"detail": "Invalid username/password."}"#;
    browser.answer(Some(canned(401, &[json, challenge], wrong)));
    browser.until(PROBLEM, |shown| shown == "Invalid username/password. Try again").await;
    browser.until(AGE, is_over(LONG)).await;
    let starts = browser.evaluate(&starts(401)).await.unwrap();
    assert_eq!(starts.as_array().map(Vec::len), Some(1));
    browser.answer(None);
    browser.evaluate("document.querySelector('#problem a').click()").await.unwrap();
    browser.until(PROBLEM, |shown| shown == "").await;
    browser.until(AGE, is_new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_another_server_is_shown_by_its_status() {
    let stage = Stage::start(ENVOY).await.up().await;
    let browser = opened(&stage).await;
    let html = ("content-type", "text/html");
    // Some proxies send a date.
    let later = ("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT");
    browser.answer(Some(canned(502, &[html, later], "<h1>Bad Gateway</h1>")));
    browser.until(PROBLEM, |shown| shown == "The gateway answered 502.").await;
    let waited = waited_after(&browser, 502).await;
    assert!(waited > 4_990.0, "{waited}");
    browser.answer(None);
    browser.until(PROBLEM, |shown| shown == "").await;
}

/// An address that forwards to a gateway, or at times to none.
async fn front(gateway: watch::Receiver<Option<SocketAddr>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut gateway = gateway.clone();
            let Some(address) = *gateway.borrow_and_update() else { continue };
            tokio::spawn(async move {
                let mut gateway_side = TcpStream::connect(address).await?;
                tokio::select! {
                    copied = copy_bidirectional(&mut client, &mut gateway_side) => copied.map(drop),
                    _ = gateway.changed() => Ok(()),
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_the_page_recovers_without_another_prompt() {
    let first = Stage::start(ENVOY).await.up().await;
    let (place, gateway) = watch::channel(Some(first.gateway.address()));
    let front = front(gateway).await;
    let browser = admin().await;
    browser.go(&format!("http://{front}{METRICS}")).await.unwrap();
    browser.until("document.querySelectorAll('article').length > 10", is_true).await;
    let (spec, controllers) = (spec(&[plugin(0)], &first.controllers), &first.controllers);
    place.send_replace(None);
    browser.until(PROBLEM, |shown| shown == "The gateway gave no answer (Failed to fetch).").await;
    browser.until("document.body.className", |class| class == "old").await;

    let session = controllers[0].log_in("admin").unwrap();
    let second = Watched::start(ENVOY, &spec).await;
    until_up(&second.client().bearer(crate::stage::TOKEN)).await;
    place.send_replace(Some(second.address()));
    browser.until(PROBLEM, |shown| shown == "").await;
    filter(&browser, "awx_sessions").await;
    let sessions = json!(controllers[0].sessions().to_string());
    browser.until(&shown("awx_sessions_total", &["user"]), |shown| shown == &sessions).await;
    assert_eq!(browser.prompts(), ["api"]);
    assert!(controllers[0].log_out(&session));
}
