//! A controller that gives no verdict.

use super::fixture::{Fixture, GOOD, SECOND, answer, down, permit, refusal};
use super::*;

#[test]
fn an_answer_without_a_verdict_is_not_remembered_as_one() {
    for nothing in [
        down(),
        Answer::default(),
        answer("302", "text/html", ""),
        answer("500", "text/html", "<h1>"),
        answer("200", "text/html", "<form>"),
    ] {
        let gateway = Fixture::with_refused_probe(&[]);
        assert_eq!(gateway.scrape(GOOD), None);
        assert_eq!(gateway.answer(nothing.clone()), [503], "{nothing:?}");
        assert_eq!(gateway.scrape(GOOD), Some(503));
        gateway.answer_probe(refusal("401", "No."));
        assert_eq!(gateway.scrape(GOOD), Some(503));
        gateway.permit("Bearer other");
        gateway.host.pass(limits::DOWN_FOR);
        gateway.permit(GOOD);
    }
}

#[test]
fn while_the_controller_is_down_a_client_that_was_permitted_is_served_without_waiting() {
    let gateway = Fixture::with_refused_probe(&[]);
    gateway.permit(GOOD);
    gateway.host.pass(60 * SECOND);
    assert_eq!(gateway.scrape(GOOD), None);
    assert_eq!(gateway.answer(down()), [200]);
    assert_eq!(gateway.scrape(GOOD), Some(200));
    gateway.answer_probe(down());
    assert_eq!(gateway.scrape("Bearer new"), Some(503));
    assert_eq!(gateway.attempts("bearer", "allowed_while_down").as_deref(), Some("2"));
    assert_eq!(gateway.attempts("bearer", "unavailable").as_deref(), Some("1"));
    assert_eq!(gateway.calls(), []);
    // From then on the probe comes before any question.
    gateway.host.pass(limits::DOWN_FOR);
    assert_eq!(gateway.scrape(GOOD), None);
    assert_eq!(gateway.scrape("Bearer new"), None);
    assert_eq!(gateway.answer(down()), [200, 503]);
    gateway.host.pass(300 * SECOND - limits::DOWN_FOR - 60 * SECOND);
    assert_eq!(gateway.scrape(GOOD), None);
    assert_eq!(gateway.answer(down()), [503]);
    gateway.host.pass(limits::DOWN_FOR);
    assert_eq!(gateway.scrape(GOOD), None);
    gateway.answer_probe(refusal("401", "No."));
    assert_eq!(gateway.answer(permit()), [200]);
}

#[test]
fn credentials_that_the_controller_does_not_answer_do_not_mark_it_down() {
    let gateway = Fixture::with_refused_probe(&[]);
    gateway.permit(GOOD);
    gateway.host.pass(60 * SECOND);
    for slow in 0..10 {
        gateway.set_client(slow);
        assert_eq!(gateway.scrape(&format!("Bearer slow-{slow}")), None);
        assert_eq!(gateway.answer(down()), [503]);
        // The probe is repeated, though not for each.
        gateway.host.pass(limits::PROBE_EVERY);
        gateway.answer_probe(refusal("401", "No."));
        gateway.set_client(100 + slow);
        gateway.permit(&format!("Bearer valid-{slow}"));
    }
    assert_eq!(gateway.scrape(GOOD), None);
    assert_eq!(gateway.answer(refusal("401", "No.")), [401], "an expired permit does not count");
}

#[test]
fn the_log_says_once_that_the_controller_gives_no_verdict_and_once_that_it_answers_again() {
    let gateway = Fixture::with_refused_probe(&[]);
    let lines = || {
        let log = gateway.host.log.borrow();
        log.iter().filter(|(_, line)| line.contains("auth.controller")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(gateway.scrape(GOOD), None);
    assert_eq!(gateway.answer(down()), [503]);
    gateway.answer_probe(down());
    for _ in 0..3 {
        gateway.host.pass(limits::DOWN_FOR);
        assert_eq!(gateway.scrape(GOOD), None);
        assert_eq!(gateway.answer(down()), [503]);
    }
    let silent =
        "awx_metrics: auth.controller: controller gives no verdict: no healthy upstream; see \
                  the cluster's health in Envoy's admin"
            .to_owned();
    assert_eq!(lines(), [(Level::Warn, silent.clone())]);
    gateway.host.pass(limits::DOWN_FOR);
    assert_eq!(gateway.scrape(GOOD), None);
    gateway.answer_probe(refusal("401", "No."));
    assert_eq!(gateway.answer(permit()), [200]);
    gateway.permit("Bearer other");
    let back = "awx_metrics: auth.controller: controller answers".to_owned();
    assert_eq!(lines(), [(Level::Warn, silent), (Level::Info, back)]);
}

#[test]
fn after_a_refusal_an_earlier_permit_is_not_valid_while_the_controller_is_down() {
    let gateway = Fixture::with_refused_probe(&[]);
    gateway.permit(GOOD);
    gateway.host.pass(60 * SECOND);
    assert_eq!(gateway.scrape(GOOD), None);
    assert_eq!(gateway.answer(refusal("401", "No.")), [401]);
    gateway.host.pass(11 * SECOND);
    assert_eq!(gateway.scrape(GOOD), None);
    assert_eq!(gateway.answer(down()), [503]);
}

#[test]
fn credentials_that_make_the_controller_fail_do_not_block_questions_about_others() {
    let gateway = Fixture::with_refused_probe(&[]);
    gateway.permit(GOOD);
    assert_eq!(gateway.scrape("Bearer poison"), None);
    assert_eq!(gateway.answer(answer("500", "text/html", "<h1>")), [503]);
    gateway.answer_probe(refusal("401", "No."));
    gateway.host.pass(60 * SECOND);
    assert_eq!(gateway.scrape(GOOD), None);
    assert_eq!(gateway.answer(refusal("401", "No.")), [401]);
}

#[test]
fn a_call_that_envoy_refuses_is_no_verdict() {
    let gateway = Fixture::with_refused_probe(&[]);
    gateway.host.refuses_calls.set(true);
    assert_eq!(gateway.scrape(GOOD), None);
    let [(_, reply)] = &gateway.tick()[..] else { panic!("no reply") };
    assert_eq!(reply.status, 503);
}

#[test]
fn a_question_whose_answer_is_overdue_is_given_up() {
    let gateway = Fixture::with_refused_probe(&[]);
    assert_eq!(gateway.scrape(GOOD), None);
    assert_eq!(gateway.calls().len(), 1);
    gateway.host.pass(2 * SECOND + limits::PULL_GRACE + Duration::from_nanos(1));
    let [(_, reply)] = &gateway.tick()[..] else { panic!("no reply") };
    assert_eq!(reply.status, 503);
}
