//! Bounds on questions and on failed attempts, and the shares of one client.

use super::fixture::{Fixture, GOOD, SECOND, answer, permit, refusal, sent};
use super::*;

#[test]
fn questions_under_way_are_bounded_and_a_part_is_reserved_for_known_clients() {
    let gateway = Fixture::with_refused_probe(&[]);
    gateway.permit(GOOD);
    gateway.host.pass(60 * SECOND);
    for stranger in 0..limits::for_strangers(limits::QUESTIONS) {
        gateway.set_client(stranger);
        assert_eq!(gateway.scrape(&format!("Bearer {stranger}")), None);
    }
    gateway.set_client(99);
    assert_eq!(gateway.scrape("Bearer late"), Some(429));
    assert_eq!(gateway.calls().len(), limits::for_strangers(limits::QUESTIONS_SENT));
    assert_eq!(gateway.scrape(GOOD), None);
    let calls = gateway.calls();
    let [renewal] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(sent(renewal, "authorization"), Some(GOOD));
    assert_eq!(gateway.attempts("bearer", "throttled").as_deref(), Some("1"));
}

#[test]
fn one_client_gets_only_a_share_of_the_questions_and_clients_take_turns() {
    let gateway = Fixture::with_refused_probe(&[]);
    gateway.set_client(1);
    let share = limits::for_one_client(limits::QUESTIONS, false);
    for number in 0..share {
        assert_eq!(gateway.scrape(&format!("Bearer attack-{number}")), None);
    }
    assert_eq!(gateway.scrape("Bearer attack-last"), Some(429));
    // Its question comes after one of the attacker's, not after all.
    gateway.set_client(2);
    assert_eq!(gateway.scrape("Bearer new"), None);
    let calls = gateway.calls();
    let tokens: Vec<_> = calls.iter().filter_map(|call| sent(call, "authorization")).collect();
    assert_eq!(tokens[..2], ["Bearer attack-0", "Bearer new"]);
    let attackers = tokens.iter().filter(|token| token.contains("attack")).count();
    assert_eq!(attackers, limits::CLIENT_QUESTIONS_SENT);
}

#[test]
fn one_client_gets_only_a_share_of_the_scrapes_that_wait() {
    let gateway = Fixture::with_refused_probe(&[]);
    gateway.set_client(1);
    let share = limits::for_one_client(limits::WAITERS, false);
    let statuses: Vec<_> = (0..limits::WAITERS).map(|_| gateway.scrape("Bearer same")).collect();
    assert_eq!(statuses.iter().filter(|status| status.is_none()).count(), share);
    gateway.set_client(2);
    assert_eq!(gateway.scrape("Bearer same"), None);
}

#[test]
fn credentials_without_a_verdict_count_as_failures() {
    let gateway = Fixture::with_refused_probe(&[]);
    gateway.set_client(1);
    let burst = limits::CLIENT_FAILURES.burst;
    for number in 0..burst {
        gateway.host.pass(Duration::from_millis(150));
        assert_eq!(gateway.scrape(&format!("Bearer poison-{number}")), None, "{number}");
        let calls = gateway.calls();
        gateway.inspected.set(gateway.inspected.get() - calls.len());
        for call in calls {
            let token = sent(&call, "authorization").unwrap();
            let is_probe = !token.contains("poison");
            let verdict =
                if is_probe { refusal("401", "No.") } else { answer("500", "text/html", "") };
            assert_eq!(gateway.answer(verdict), if is_probe { vec![] } else { vec![503] });
        }
    }
    assert_eq!(gateway.scrape("Bearer poison-last"), Some(429));
    gateway.set_client(2);
    assert_eq!(gateway.scrape(GOOD), None);
}

#[test]
fn permitted_credentials_do_not_count_as_failures() {
    let gateway = Fixture::with_refused_probe(&[]);
    gateway.set_client(1);
    for number in 0..3 * limits::CLIENT_FAILURES.burst {
        gateway.host.pass(Duration::from_millis(150));
        gateway.permit(&format!("Bearer good-{number}"));
    }
}

#[test]
fn the_log_warns_once_about_an_address_that_a_client_can_forge() {
    let gateway = Fixture::with_refused_probe(&[]);
    let warnings = || {
        let log = gateway.host.log.borrow();
        log.iter().filter(|(_, line)| line.contains("use_remote_address")).count()
    };
    let from = |address: &str, header: &str| {
        let mut properties = gateway.host.properties.borrow_mut();
        properties.insert("source.address".to_owned(), address.as_bytes().to_vec());
        drop(properties);
        gateway.request(0, &[("authorization", "Bearer x"), ("x-forwarded-for", header)]);
    };
    from("192.0.2.1:40000", "192.0.2.1");
    from("192.0.2.1:0", "192.0.2.1, 198.51.100.9");
    assert_eq!(warnings(), 0);
    from("192.0.2.1:0", "192.0.2.1");
    from("192.0.2.2:0", "192.0.2.2");
    assert_eq!(warnings(), 1);
}

#[test]
fn questions_in_a_second_are_bounded_over_all_vms() {
    let gateway = Fixture::of(4, &[]);
    assert_eq!(gateway.scrape(GOOD), None);
    gateway.answer(refusal("401", "No."));
    gateway.answer(permit());
    gateway.host.pass(SECOND);
    for number in 0..4 * limits::QUESTIONS_SENT {
        gateway.set_client(number);
        gateway.request(number % 4, &[("authorization", &format!("Bearer {number}"))]);
    }
    let most = limits::for_strangers(limits::QUESTIONS_A_SECOND);
    assert_eq!(gateway.calls().len(), most);
    gateway.host.pass(SECOND);
    assert_eq!(gateway.calls().len(), 4 * limits::for_strangers(limits::QUESTIONS_SENT) - most);
}

#[test]
fn a_client_that_guesses_is_throttled_and_a_permitted_credential_is_not() {
    let gateway = Fixture::with_refused_probe(&[]);
    gateway.permit(GOOD);
    // The fixture's refused client has the same address: one failure. During the guesses, one failure expires.
    assert_eq!(gateway.guess(), limits::CLIENT_FAILURES.burst - 1 + 1);
    assert_eq!(gateway.scrape(GOOD), Some(200));
    assert_eq!(gateway.scrape("Bearer local"), Some(200));
    gateway.host.pass(60 * SECOND);
    assert!(gateway.guess() > 0);
    gateway.permit(GOOD);
}
