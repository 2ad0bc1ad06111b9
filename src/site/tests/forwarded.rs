//! A source whose page is pulled with the credentials of the clients that scrape.

use super::fixture::{Fixture, GOOD, SECOND, answer, permit, refusal};
use super::*;
use serde_json::json;

/// A gateway without a secret of its own: it pulls the page with clients' credentials.
fn forwarding() -> Fixture {
    let source = json!([{
        "name": "controller", "cluster": "controller", "path": "/page", "credential": "forward",
    }]);
    let gateway = Fixture::new(&[("/sources", source)]);
    assert_eq!(gateway.scrape(GOOD), None);
    gateway.answer(refusal("401", "No."));
    // A client that was not permitted before is asked about first; then its credentials pull the page.
    assert_eq!(gateway.paths(), ["/check"]);
    assert!(gateway.answer(permit()).is_empty());
    gateway
}

fn text_page(value: u32) -> Answer {
    answer("200", "text/plain", &format!("pulled {value}\n"))
}

impl Fixture {
    /// The pulled line that a client with this credential reads, if it does not wait.
    fn reads(&self, authorization: &str) -> Option<String> {
        let (_, reply) = self.request(0, &[("authorization", authorization)]);
        let body = String::from_utf8(reply?.body.to_vec()).unwrap();
        Some(body.lines().find(|line| line.starts_with("pulled")).unwrap_or_default().to_owned())
    }

    /// Ticks, and returns the paths of the calls that are not answered yet.
    fn paths(&self) -> Vec<String> {
        let paths = self.calls().into_iter().map(|call| call.path).collect();
        self.inspected.set(self.inspected.get() - 1);
        paths
    }
}

#[test]
fn a_pulled_page_is_a_verdict_too_and_is_served_while_it_is_fresh() {
    let gateway = forwarding();
    assert_eq!(gateway.paths(), ["/page"]);
    assert_eq!(gateway.answer(text_page(1)), [200]);
    assert_eq!(gateway.reads(GOOD).as_deref(), Some("pulled 1"));
    assert_eq!(gateway.reads("Bearer local").as_deref(), Some("pulled 1"));
    assert_eq!(gateway.scrape("Bearer other"), None);
    assert_eq!(gateway.paths(), ["/check"]);
    assert_eq!(gateway.answer(permit()), [200]);
    assert_eq!(gateway.reads("Bearer other").as_deref(), Some("pulled 1"));
}

#[test]
fn one_permitted_client_pulls_a_page_and_the_others_wait_for_it() {
    let gateway = forwarding();
    gateway.answer(text_page(1));
    assert_eq!(gateway.scrape("Bearer other"), None);
    assert_eq!(gateway.answer(permit()), [200]);
    gateway.host.pass(15 * SECOND);
    assert_eq!(gateway.reads("Bearer local").as_deref(), Some("pulled 1"));
    assert_eq!(gateway.reads(GOOD), None);
    assert_eq!(gateway.reads("Bearer other"), None);
    assert_eq!(gateway.paths(), ["/page"]);
    assert_eq!(gateway.answer(text_page(2)), [200, 200]);
    assert_eq!(gateway.reads("Bearer other").as_deref(), Some("pulled 2"));
}

#[test]
fn an_unknown_client_neither_pulls_a_page_nor_delays_a_permitted_one() {
    for verdict in [refusal("403", "Not you."), answer("500", "text/html", "<h1>")] {
        let gateway = forwarding();
        gateway.answer(text_page(1));
        gateway.host.pass(15 * SECOND);
        assert_eq!(gateway.scrape("Bearer unknown"), None);
        assert_eq!(gateway.paths(), ["/check"]);
        // A permitted client does not wait for the unknown one.
        assert_eq!(gateway.reads(GOOD), None);
        assert_eq!(gateway.answer(verdict).len(), 1);
        let paths: Vec<_> = gateway.calls().into_iter().map(|call| call.path).collect();
        assert!(paths.iter().all(|path| path == "/page" || path == "/check"), "{paths:?}");
        let pulls = gateway.host.calls.borrow().iter().filter(|call| call.path == "/page").count();
        assert_eq!(pulls, 2, "one before, and one by the permitted client");
    }
}

#[test]
fn after_a_refused_pull_the_next_permitted_client_pulls_the_page() {
    let gateway = forwarding();
    gateway.answer(text_page(1));
    assert_eq!(gateway.scrape("Bearer other"), None);
    gateway.host.pass(30 * SECOND);
    assert!(gateway.answer(permit()).is_empty());
    assert_eq!(gateway.answer(text_page(1)), [200]);
    gateway.host.pass(35 * SECOND);
    // The first permit has expired, the other one has not.
    assert_eq!(gateway.scrape(GOOD), None);
    assert_eq!(gateway.paths(), ["/page"]);
    assert_eq!(gateway.answer(refusal("403", "Not you.")), [403]);
    assert_eq!(gateway.reads("Bearer other"), None);
    assert_eq!(gateway.paths(), ["/page"]);
    assert_eq!(gateway.answer(text_page(2)), [200]);
    assert_eq!(gateway.reads("Bearer other").as_deref(), Some("pulled 2"));
}

#[test]
fn after_a_failed_pull_the_controller_is_asked_for_its_verdict() {
    let gateway = forwarding();
    assert_eq!(gateway.answer(answer("500", "text/html", "<h1>")), [200]);
    assert_eq!(gateway.reads(GOOD).as_deref(), Some(""));
    gateway.host.pass(60 * SECOND);
    assert_eq!(gateway.scrape(GOOD), None);
    assert_eq!(gateway.paths(), ["/page"]);
    assert!(gateway.answer(answer("500", "text/html", "<h1>")).is_empty());
    assert_eq!(gateway.paths(), ["/check"]);
    assert_eq!(gateway.answer(permit()), [200]);
    gateway.host.pass(15 * SECOND);
    assert_eq!(gateway.reads(GOOD), None);
    assert_eq!(gateway.answer(text_page(1)), [200]);
}

#[test]
fn no_source_is_pulled_without_a_client() {
    let gateway = forwarding();
    gateway.answer(text_page(1));
    gateway.host.pass(3_600 * SECOND);
    assert_eq!(gateway.calls(), []);
}
