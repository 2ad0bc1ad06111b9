//! A source whose page is pulled with the credentials of who scrapes.

use super::asked::{Bed, GOOD, SECOND, answer, permit, refusal};
use super::*;
use serde_json::json;

/// A gateway without a secret: the page comes with the credentials of who scrapes.
fn forwarding() -> Bed {
    let source = json!([{
        "name": "controller", "cluster": "controller", "path": "/page", "credential": "forward",
    }]);
    let bed = Bed::new(&[("/sources", source)]);
    assert_eq!(bed.ask(GOOD), None);
    bed.answer(refusal("401", "No."));
    // A client that was not permitted before is asked about first; then its credentials pull the page.
    assert_eq!(bed.paths(), ["/check"]);
    assert!(bed.answer(permit()).is_empty());
    bed
}

fn text_page(value: u32) -> Answer {
    answer("200", "text/plain", &format!("pulled {value}\n"))
}

impl Bed {
    /// What a client with this credential reads, if it does not wait.
    fn reads(&self, authorization: &str) -> Option<String> {
        let (_, reply) = self.request(0, &[("authorization", authorization)]);
        let body = String::from_utf8(reply?.body.to_vec()).unwrap();
        Some(body.lines().find(|line| line.starts_with("pulled")).unwrap_or_default().to_owned())
    }

    /// The paths that were asked for since the last look.
    fn paths(&self) -> Vec<String> {
        let paths = self.calls().into_iter().map(|call| call.path).collect();
        self.seen.set(self.seen.get() - 1);
        paths
    }
}

#[test]
fn a_page_is_a_verdict_too_and_is_served_while_it_is_fresh() {
    let bed = forwarding();
    assert_eq!(bed.paths(), ["/page"]);
    assert_eq!(bed.answer(text_page(1)), [200]);
    assert_eq!(bed.reads(GOOD).as_deref(), Some("pulled 1"));
    assert_eq!(bed.reads("Bearer local").as_deref(), Some("pulled 1"));
    assert_eq!(bed.ask("Bearer other"), None);
    assert_eq!(bed.paths(), ["/check"]);
    assert_eq!(bed.answer(permit()), [200]);
    assert_eq!(bed.reads("Bearer other").as_deref(), Some("pulled 1"));
}

#[test]
fn of_those_who_are_permitted_one_pulls_and_the_others_wait_for_it() {
    let bed = forwarding();
    bed.answer(text_page(1));
    assert_eq!(bed.ask("Bearer other"), None);
    assert_eq!(bed.answer(permit()), [200]);
    bed.host.pass(15 * SECOND);
    assert_eq!(bed.reads("Bearer local").as_deref(), Some("pulled 1"));
    assert_eq!(bed.reads(GOOD), None);
    assert_eq!(bed.reads("Bearer other"), None);
    assert_eq!(bed.paths(), ["/page"]);
    assert_eq!(bed.answer(text_page(2)), [200, 200]);
    assert_eq!(bed.reads("Bearer other").as_deref(), Some("pulled 2"));
}

#[test]
fn a_stranger_pulls_no_page_and_keeps_nobody_from_it() {
    for verdict in [refusal("403", "Not you."), answer("500", "text/html", "<h1>")] {
        let bed = forwarding();
        bed.answer(text_page(1));
        bed.host.pass(15 * SECOND);
        assert_eq!(bed.ask("Bearer nobody"), None);
        assert_eq!(bed.paths(), ["/check"]);
        // A permitted client does not wait for the stranger.
        assert_eq!(bed.reads(GOOD), None);
        assert_eq!(bed.answer(verdict).len(), 1);
        let paths: Vec<_> = bed.calls().into_iter().map(|call| call.path).collect();
        assert!(paths.iter().all(|path| path == "/page" || path == "/check"), "{paths:?}");
        let pulls = bed.host.calls.borrow().iter().filter(|call| call.path == "/page").count();
        assert_eq!(pulls, 2, "one before, and one of the permitted client");
    }
}

#[test]
fn a_client_that_is_refused_when_its_permit_expires_keeps_nobody_from_the_page() {
    let bed = forwarding();
    bed.answer(text_page(1));
    assert_eq!(bed.ask("Bearer other"), None);
    bed.host.pass(30 * SECOND);
    assert!(bed.answer(permit()).is_empty());
    assert_eq!(bed.answer(text_page(1)), [200]);
    bed.host.pass(35 * SECOND);
    // The first permit has expired, the other one has not.
    assert_eq!(bed.ask(GOOD), None);
    assert_eq!(bed.paths(), ["/page"]);
    assert_eq!(bed.answer(refusal("403", "Not you.")), [403]);
    assert_eq!(bed.reads("Bearer other"), None);
    assert_eq!(bed.paths(), ["/page"]);
    assert_eq!(bed.answer(text_page(2)), [200]);
    assert_eq!(bed.reads("Bearer other").as_deref(), Some("pulled 2"));
}

#[test]
fn a_page_that_fails_is_no_verdict_and_the_controller_is_asked_for_one() {
    let bed = forwarding();
    assert_eq!(bed.answer(answer("500", "text/html", "<h1>")), [200]);
    assert_eq!(bed.reads(GOOD).as_deref(), Some(""));
    bed.host.pass(60 * SECOND);
    assert_eq!(bed.ask(GOOD), None);
    assert_eq!(bed.paths(), ["/page"]);
    assert!(bed.answer(answer("500", "text/html", "<h1>")).is_empty());
    assert_eq!(bed.paths(), ["/check"]);
    assert_eq!(bed.answer(permit()), [200]);
    bed.host.pass(15 * SECOND);
    assert_eq!(bed.reads(GOOD), None);
    assert_eq!(bed.answer(text_page(1)), [200]);
}

#[test]
fn no_source_is_pulled_without_a_client() {
    let bed = forwarding();
    bed.answer(text_page(1));
    bed.host.pass(3_600 * SECOND);
    assert_eq!(bed.calls(), []);
}
