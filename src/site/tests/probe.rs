//! The probe with a random token, without which no verdict of the controller counts.

use super::fixture::{Fixture, GOOD, SECOND, down, permit, refusal, sent};
use super::*;
use serde_json::json;

#[test]
fn no_question_is_sent_before_a_random_token_is_refused() {
    let gateway = Fixture::new(&[]);
    assert_eq!(gateway.scrape(GOOD), None);
    let calls = gateway.calls();
    let [probe] = calls.as_slice() else { panic!("{calls:?}") };
    let token = sent(probe, "authorization").unwrap().strip_prefix("Bearer ").unwrap();
    assert_eq!((token.len(), probe.path.as_str()), (40, "/check"));
    gateway.inspected.set(0);
    assert!(gateway.answer(refusal("401", "No.")).is_empty());
    let calls = gateway.calls();
    let [question] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(sent(question, "authorization"), Some(GOOD));
    assert_eq!((sent(question, "cookie"), question.timeout), (None, 2 * SECOND));
    gateway.inspected.set(1);
    assert_eq!(gateway.answer(permit()), [200]);
    assert_eq!(gateway.scrape(GOOD), Some(200));
    assert_eq!(gateway.calls(), []);
}

#[test]
fn a_controller_that_permits_a_random_token_permits_no_client_and_the_log_says_so_once() {
    let gateway = Fixture::new(&[]);
    for _ in 0..3 {
        assert_eq!(gateway.scrape(GOOD), None);
        assert_eq!(gateway.answer(permit()), [503]);
        assert_eq!(gateway.scrape(GOOD), Some(503));
        assert_eq!(gateway.scrape("Bearer local"), Some(200));
        gateway.host.pass(limits::PROBE_PERMITTED_FOR);
    }
    let log = gateway.host.log.borrow();
    assert_eq!(log.iter().filter(|(_, line)| line.contains("permits a random token")).count(), 1);
    drop(log);
    assert_eq!(gateway.scrape(GOOD), None);
    gateway.answer(refusal("401", "No."));
    assert_eq!(gateway.answer(permit()), [200]);
}

#[test]
fn once_the_controller_permits_a_random_token_no_remembered_permit_is_valid() {
    let gateway = Fixture::with_refused_probe(&[("/auth/controller/allow_for", json!("1h"))]);
    gateway.permit(GOOD);
    gateway.host.pass(limits::PROBE_REFUSED_FOR);
    assert_eq!(gateway.scrape(GOOD), Some(200));
    assert_eq!(gateway.scrape("Bearer another"), None);
    assert_eq!(gateway.answer(permit()), [503]);
    assert_eq!(gateway.scrape(GOOD), Some(503));
}

#[test]
fn a_probe_is_not_repeated_at_once() {
    let gateway = Fixture::with_refused_probe(&[]);
    gateway.host.pass(SECOND);
    for slow in 0..5 {
        assert_eq!(gateway.scrape(&format!("Bearer slow-{slow}")), None);
        assert_eq!(gateway.answer(down()), [503]);
        if slow == 0 {
            gateway.answer_probe(refusal("401", "No."));
        }
    }
    assert_eq!(gateway.calls(), []);
    gateway.host.pass(limits::PROBE_EVERY);
    gateway.answer_probe(refusal("401", "No."));
    assert_eq!(gateway.calls(), []);
}
