//! The controller decides about clients, and users come with its login and its session cookie.

use host_tests::browser::{Browser, Prompt};
use host_tests::controller::{Controller, ControllerConfig};
use host_tests::on_both_hosts;
use serde_json::{Value, json};

use super::{filter, is_true, shown};
use crate::stage::{METRICS, Watched, having, plugin, spec};

/// Permits the clients that the controller permits, and soon notices a change.
fn decided_by_the_controller() -> Value {
    let controller = json!({"cluster": "controller-0", "allow_for": "1s", "deny_for": "1s"});
    having(plugin(0), "/auth", json!({"controller": controller}))
}

/// Fills in and sends the controller's form.
async fn log_in(browser: &Browser, user: &str, password: &str) {
    for (field, text) in [("id_username", user), ("id_password", password)] {
        browser
            .until(&format!("document.getElementById('{field}').focus() ?? true"), is_true)
            .await;
        browser.write(text).await.unwrap();
    }
    browser.press("Enter").await.unwrap();
}

on_both_hosts! {
    async fn the_controllers_login_opens_the_page_and_its_logout_closes_it(host) {
        let controllers = [Controller::start(ControllerConfig::default())];
        let mut spec = spec(&[decided_by_the_controller()], &controllers);
        // Its cookies are for https only.
        spec.listeners[0].tls = true;
        let gateway = Watched::start(host, &spec).await;
        let browser = Browser::start(Prompt::Cancel).await.unwrap();

        browser.go(&format!("https://{}{METRICS}", gateway.address())).await.unwrap();
        browser.until("document.querySelector('a').click() ?? true", is_true).await;
        log_in(&browser, "admin", "password").await;
        browser.until("document.querySelectorAll('article').length > 10", is_true).await;
        let path = browser.evaluate("location.pathname").await.unwrap();
        assert_eq!(path, METRICS);
        filter(&browser, "awx_sessions").await;
        let sessions = shown("awx_sessions_total", &["user"]);
        browser.until(&sessions, |shown| shown == "1").await;

        browser.evaluate("fetch('/api/logout/').then(() => true)").await.unwrap();
        let link = "document.querySelector('#problem a').getAttribute('href')";
        let login = "/api/login/?next=%2Fapi%2Fv2%2Fmetrics";
        browser.until(link, |link| link == login).await;
        assert_eq!(browser.prompts(), [""; 0]);
    }
}
