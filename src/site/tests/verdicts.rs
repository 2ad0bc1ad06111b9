//! Verdicts of the controller: how they are obtained, shared and remembered.

use super::fixture::{Fixture, GOOD, SECOND, permit, refusal, sent};
use serde_json::json;

#[test]
fn a_permit_is_valid_in_every_vm_until_it_expires() {
    let gateway = Fixture::of(2, &[]);
    assert_eq!(gateway.scrape(GOOD), None);
    gateway.answer(refusal("401", "No."));
    assert_eq!(gateway.answer(permit()), [200]);
    gateway.host.pass(59 * SECOND);
    let other = gateway.request(1, &[("authorization", GOOD)]).1;
    assert_eq!(other.map(|reply| reply.status), Some(200));
    gateway.host.pass(SECOND);
    assert_eq!(gateway.scrape(GOOD), None);
    assert_eq!(gateway.answer(refusal("401", "No.")), [401]);
    assert_eq!(gateway.scrape(GOOD), Some(401));
}

#[test]
fn a_refusal_repeats_the_controllers_sentence_until_it_expires() {
    let gateway = Fixture::with_refused_probe(&[]);
    let (_, reply) = gateway.request(0, &[("authorization", "Bearer bob")]);
    assert_eq!(reply, None);
    assert_eq!(gateway.answer(refusal("403", "Not you, Bob.")), [403]);
    let (_, reply) = gateway.request(0, &[("authorization", "Bearer bob")]);
    let reply = reply.unwrap();
    assert_eq!((reply.status, &reply.body[..]), (403, &b"Not you, Bob.\n"[..]));
    assert!(reply.headers.iter().all(|(name, _)| *name != "www-authenticate"));
    gateway.host.pass(10 * SECOND);
    assert_eq!(gateway.scrape("Bearer bob"), None);
    assert_eq!(gateway.answer(permit()), [200]);
}

#[test]
fn scrapes_with_the_same_credentials_share_a_question_that_is_answered_after_they_left() {
    let gateway = Fixture::with_refused_probe(&[]);
    let (first, _) = gateway.request(0, &[("authorization", GOOD)]);
    assert_eq!(gateway.scrape(" bearer  good "), None);
    assert_eq!(gateway.calls().len(), 1);
    gateway.vms[0].forget(first);
    assert_eq!(gateway.scrape(GOOD), None);
    gateway.inspected.set(gateway.inspected.get() - 1);
    assert_eq!(gateway.answer(permit()), [200, 200]);
    let (gone, _) = gateway.request(0, &[("authorization", "Bearer gone")]);
    assert_eq!(gateway.calls().len(), 1);
    gateway.vms[0].forget(gone);
    gateway.inspected.set(gateway.inspected.get() - 1);
    assert!(gateway.answer(permit()).is_empty());
    assert_eq!(gateway.scrape("Bearer gone"), Some(200));
}

#[test]
fn a_question_whose_clients_left_before_it_was_sent_is_not_sent() {
    let gateway = Fixture::with_refused_probe(&[]);
    let (gone, _) = gateway.request(0, &[("authorization", GOOD)]);
    gateway.vms[0].forget(gone);
    assert_eq!(gateway.calls(), []);
}

#[test]
fn a_question_about_a_session_contains_its_cookie_alone() {
    let gateway = Fixture::with_refused_probe(&[]);
    let headers =
        [("cookie", "csrftoken=x; awx_sessionid=abc; y=z"), ("authorization", "Digest x")];
    assert_eq!(gateway.request(0, &headers).1, None);
    let calls = gateway.calls();
    let [question] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(sent(question, "cookie"), Some("awx_sessionid=abc"));
    assert_eq!(sent(question, "authorization"), None);
    gateway.inspected.set(gateway.inspected.get() - 1);
    assert_eq!(gateway.answer(permit()), [200]);
    assert_eq!(gateway.attempts("session", "allowed").as_deref(), Some("1"));
}

#[test]
fn a_cookie_beside_a_token_does_not_change_the_credential() {
    let gateway = Fixture::with_refused_probe(&[]);
    gateway.permit(GOOD);
    for number in 0..100 {
        let cookie = format!("awx_sessionid={number}");
        let headers = [("authorization", GOOD), ("cookie", cookie.as_str())];
        assert_eq!(gateway.request(0, &headers).1.map(|reply| reply.status), Some(200));
    }
    assert_eq!(gateway.calls(), []);
}

#[test]
fn a_changed_configuration_does_not_use_the_verdicts_of_the_old_one() {
    let gateway = Fixture::with_refused_probe(&[]);
    gateway.permit(GOOD);
    let gateway = gateway.reconfigured(&[("/auth/controller/allow_for", json!("61s"))]);
    assert_eq!(gateway.scrape(GOOD), None);
    gateway.answer(refusal("401", "No."));
    assert_eq!(gateway.answer(refusal("401", "No.")), [401]);
}

#[test]
fn with_anonymous_access_only_passwords_are_asked_about_and_without_a_probe() {
    let gateway = Fixture::new(&[("/auth/anonymous", json!(true))]);
    assert_eq!(gateway.scrape("Bearer unknown"), Some(200));
    assert_eq!(gateway.scrape("Basic Ym9iOng="), None);
    assert_eq!(gateway.answer(refusal("401", "Invalid username/password.")), [401]);
    assert_eq!(gateway.scrape("Basic Ym9iOnk="), None);
    assert_eq!(gateway.answer(permit()), [200]);
}

#[test]
fn a_scrape_that_a_remembered_verdict_permits_does_not_read_the_clients_address() {
    let gateway = Fixture::with_refused_probe(&[]);
    let reads = || gateway.host.property_reads.replace(0);
    reads();
    gateway.permit(GOOD);
    assert!(reads() > 0, "a scrape that waits is counted by its client's address");
    assert_eq!(gateway.scrape(GOOD), Some(200));
    assert_eq!(reads(), 0);
}
