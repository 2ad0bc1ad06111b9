//! Clients whom only the controller knows.

use super::*;
use crate::host::fake::SentCall;
use serde_json::{Value, json};

pub(super) const GOOD: &str = "Bearer good";
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A gateway of several VMs, and the controller's answers.
pub(super) struct Bed {
    pub(super) host: FakeHost,
    vms: Vec<Site>,
    streams: Cell<StreamId>,
    /// Calls that were looked at.
    pub(super) seen: Cell<usize>,
}

/// What became of a request.
type Replies = Vec<(StreamId, Reply)>;

impl Bed {
    pub(super) fn new(changes: &[(&str, Value)]) -> Self {
        Self::of(1, changes)
    }

    fn of(vms: usize, changes: &[(&str, Value)]) -> Self {
        let host = FakeHost::at(1_000_000);
        let vms = (0..vms).map(|_| configured(&host, changes)).collect();
        Self { host, vms, streams: Cell::new(1), seen: Cell::new(0) }
    }

    /// The same with its door known to be closed.
    fn behind_a_closed_door(changes: &[(&str, Value)]) -> Self {
        let bed = Self::new(changes);
        assert_eq!(bed.ask("Bearer nobody"), None);
        bed.answer(refusal("401", "No."));
        bed.answer(refusal("401", "No."));
        bed.calls();
        bed.host.pass(limits::PROBE_EVERY);
        bed
    }

    pub(super) fn request(&self, vm: usize, headers: &[(&str, &str)]) -> (StreamId, Option<Reply>) {
        let stream = self.streams.replace(self.streams.get() + 1);
        show(&self.host, &[&[(":method", "GET")], headers].concat());
        match self.vms[vm].request(&self.host, stream, SCRAPE) {
            Step::Reply(reply) => (stream, Some(reply)),
            Step::Wait => (stream, None),
            Step::Pass => panic!("passed"),
        }
    }

    /// The status, if there is a reply at once.
    pub(super) fn ask(&self, authorization: &str) -> Option<u16> {
        self.request(0, &[("authorization", authorization)]).1.map(|reply| reply.status)
    }

    /// Gives the next requests the address of another client.
    fn comes_from(&self, client: usize) {
        let address = format!("192.0.{}.{}:80", client / 250, client % 250).into_bytes();
        self.host.properties.borrow_mut().insert("source.address".to_owned(), address);
    }

    /// Answers the probe, for which no scrape waits.
    fn answer_probe(&self, verdict: Answer) {
        assert!(self.answer(verdict).is_empty());
        let calls = self.host.calls.borrow();
        let token = sent(&calls[self.seen.get() - 1], "authorization").unwrap();
        assert_eq!(token.len(), "Bearer ".len() + 40, "{token}");
    }

    fn tick(&self) -> Replies {
        self.vms.iter().flat_map(|vm| vm.tick(&self.host)).collect()
    }

    /// What was sent since the last look, on ticks.
    pub(super) fn calls(&self) -> Vec<SentCall> {
        assert_eq!(self.tick(), []);
        let calls = self.host.calls.borrow();
        calls[self.seen.replace(calls.len())..].to_vec()
    }

    /// Ticks, and answers the oldest call that has no answer yet.
    pub(super) fn answer(&self, answer: Answer) -> Vec<u16> {
        let mut replies = self.tick();
        let call = self.seen.replace(self.seen.get() + 1) + 1;
        assert!(call <= self.host.calls.borrow().len(), "nothing was asked");
        for vm in &self.vms {
            let call = CallId::try_from(call).unwrap();
            replies.extend(vm.answered(&self.host, call, answer.clone()));
        }
        replies.into_iter().map(|(_, reply)| reply.status).collect()
    }

    /// Has a credential permitted.
    fn permit(&self, authorization: &str) {
        assert_eq!(self.ask(authorization), None);
        assert_eq!(self.answer(permit()), [200]);
    }

    /// Tries one credential after the other, until that is too many; how many that was.
    fn guess(&self) -> u32 {
        for guess in 0.. {
            self.host.pass(Duration::from_millis(250));
            match self.ask(&format!("Bearer {}", self.streams.get())) {
                None => assert_eq!(self.answer(refusal("401", "No.")), [401]),
                status => {
                    assert_eq!(status, Some(429));
                    return guess;
                }
            }
        }
        0
    }

    fn page(&self) -> String {
        let (_, reply) = self.request(0, &[("authorization", "Bearer local")]);
        String::from_utf8(reply.unwrap().body.to_vec()).unwrap()
    }

    fn attempts(&self, scheme: &str, outcome: &str) -> Option<String> {
        let series = format!(
            "awx_gateway_auth_attempts_total{{outcome=\"{outcome}\",scheme=\"{scheme}\"}} "
        );
        let page = self.page();
        page.lines().find_map(|line| line.strip_prefix(&series)).map(str::to_owned)
    }
}

fn configured(host: &FakeHost, changes: &[(&str, Value)]) -> Site {
    let mut json = json!({
        "gateway": {"labels": {}},
        "sources": [],
        "auth": {
            "controller": {"cluster": "controller", "path": "/check"},
            // SHA-256 of "local".
            "tokens": [{"name": "local", "sha256":
                "25bf8e1a2393f1108d37029b3df5593236c755742ec93465bbafa9b290bddcf6"}],
        },
    });
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        json.pointer_mut(parent).unwrap()[name] = value.clone();
    }
    site(host, &json.to_string())
}

pub(super) fn answer(status: &str, media_type: &str, body: &str) -> Answer {
    let headers =
        [(":status", status), ("content-type", media_type), ("x-envoy-upstream-service-time", "3")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    Answer { headers: headers.to_vec(), body: body.as_bytes().to_vec() }
}

pub(super) fn permit() -> Answer {
    answer("200", "text/plain", "")
}

pub(super) fn refusal(status: &str, sentence: &str) -> Answer {
    answer(status, "application/json", &json!({ "detail": sentence }).to_string())
}

fn down() -> Answer {
    let mut answer = answer("503", "text/plain", "no healthy upstream");
    answer.headers.pop();
    answer
}

fn sent<'a>(call: &'a SentCall, name: &str) -> Option<&'a str> {
    call.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
}

#[test]
fn before_the_first_question_a_random_token_has_to_be_refused() {
    let bed = Bed::new(&[]);
    assert_eq!(bed.ask(GOOD), None);
    let calls = bed.calls();
    let [knock] = calls.as_slice() else { panic!("{calls:?}") };
    let token = sent(knock, "authorization").unwrap().strip_prefix("Bearer ").unwrap();
    assert_eq!((token.len(), knock.path.as_str()), (40, "/check"));
    bed.seen.set(0);
    assert!(bed.answer(refusal("401", "No.")).is_empty());
    let calls = bed.calls();
    let [question] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(sent(question, "authorization"), Some(GOOD));
    assert_eq!((sent(question, "cookie"), question.timeout), (None, 2 * SECOND));
    bed.seen.set(1);
    assert_eq!(bed.answer(permit()), [200]);
    assert_eq!(bed.ask(GOOD), Some(200));
    assert_eq!(bed.calls(), []);
}

#[test]
fn a_controller_that_permits_a_random_token_lets_nobody_in_and_the_log_says_so_once() {
    let bed = Bed::new(&[]);
    for _ in 0..3 {
        assert_eq!(bed.ask(GOOD), None);
        assert_eq!(bed.answer(permit()), [503]);
        assert_eq!(bed.ask(GOOD), Some(503));
        assert_eq!(bed.ask("Bearer local"), Some(200));
        bed.host.pass(limits::PROBE_PERMITTED_FOR);
    }
    let log = bed.host.log.borrow();
    assert_eq!(log.iter().filter(|(_, line)| line.contains("permits a random token")).count(), 1);
    drop(log);
    assert_eq!(bed.ask(GOOD), None);
    bed.answer(refusal("401", "No."));
    assert_eq!(bed.answer(permit()), [200]);
}

#[test]
fn a_door_that_opens_later_is_found_and_then_no_remembered_permit_counts() {
    let bed = Bed::behind_a_closed_door(&[("/auth/controller/allow_for", json!("1h"))]);
    bed.permit(GOOD);
    bed.host.pass(limits::PROBE_REFUSED_FOR);
    assert_eq!(bed.ask(GOOD), Some(200));
    assert_eq!(bed.ask("Bearer another"), None);
    assert_eq!(bed.answer(permit()), [503]);
    assert_eq!(bed.ask(GOOD), Some(503));
}

#[test]
fn a_permit_counts_for_all_vms_and_is_asked_again_in_time() {
    let bed = Bed { vms: vec![], ..Bed::new(&[]) };
    let bed = Bed { vms: (0..2).map(|_| configured(&bed.host, &[])).collect(), ..bed };
    assert_eq!(bed.ask(GOOD), None);
    bed.answer(refusal("401", "No."));
    assert_eq!(bed.answer(permit()), [200]);
    bed.host.pass(59 * SECOND);
    let other = bed.request(1, &[("authorization", GOOD)]).1;
    assert_eq!(other.map(|reply| reply.status), Some(200));
    bed.host.pass(SECOND);
    assert_eq!(bed.ask(GOOD), None);
    assert_eq!(bed.answer(refusal("401", "No.")), [401]);
    assert_eq!(bed.ask(GOOD), Some(401));
}

#[test]
fn a_refusal_is_said_in_the_controllers_words_and_counts_for_its_time() {
    let bed = Bed::behind_a_closed_door(&[]);
    let (_, reply) = bed.request(0, &[("authorization", "Bearer bob")]);
    assert_eq!(reply, None);
    assert_eq!(bed.answer(refusal("403", "Not you, Bob.")), [403]);
    let (_, reply) = bed.request(0, &[("authorization", "Bearer bob")]);
    let reply = reply.unwrap();
    assert_eq!((reply.status, &reply.body[..]), (403, &b"Not you, Bob.\n"[..]));
    assert!(reply.headers.iter().all(|(name, _)| *name != "www-authenticate"));
    bed.host.pass(10 * SECOND);
    assert_eq!(bed.ask("Bearer bob"), None);
    assert_eq!(bed.answer(permit()), [200]);
}

#[test]
fn those_who_show_the_same_share_a_question_and_it_outlives_them() {
    let bed = Bed::behind_a_closed_door(&[]);
    let (first, _) = bed.request(0, &[("authorization", GOOD)]);
    assert_eq!(bed.ask(" bearer  good "), None);
    assert_eq!(bed.calls().len(), 1);
    bed.vms[0].forget(first);
    assert_eq!(bed.ask(GOOD), None);
    bed.seen.set(bed.seen.get() - 1);
    assert_eq!(bed.answer(permit()), [200, 200]);
    let (gone, _) = bed.request(0, &[("authorization", "Bearer gone")]);
    assert_eq!(bed.calls().len(), 1);
    bed.vms[0].forget(gone);
    bed.seen.set(bed.seen.get() - 1);
    assert!(bed.answer(permit()).is_empty());
    assert_eq!(bed.ask("Bearer gone"), Some(200));
}

#[test]
fn a_question_whose_clients_left_before_it_was_sent_is_not_sent() {
    let bed = Bed::behind_a_closed_door(&[]);
    let (gone, _) = bed.request(0, &[("authorization", GOOD)]);
    bed.vms[0].forget(gone);
    assert_eq!(bed.calls(), []);
}

#[test]
fn a_session_is_asked_about_with_its_cookie_alone() {
    let bed = Bed::behind_a_closed_door(&[]);
    let headers =
        [("cookie", "csrftoken=x; awx_sessionid=abc; y=z"), ("authorization", "Digest x")];
    assert_eq!(bed.request(0, &headers).1, None);
    let calls = bed.calls();
    let [question] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(sent(question, "cookie"), Some("awx_sessionid=abc"));
    assert_eq!(sent(question, "authorization"), None);
    bed.seen.set(bed.seen.get() - 1);
    assert_eq!(bed.answer(permit()), [200]);
    assert_eq!(bed.attempts("session", "allowed").as_deref(), Some("1"));
}

#[test]
fn no_answer_is_no_verdict_and_is_not_remembered_as_one() {
    for nothing in [
        down(),
        Answer::default(),
        answer("302", "text/html", ""),
        answer("500", "text/html", "<h1>"),
        answer("200", "text/html", "<form>"),
    ] {
        let bed = Bed::behind_a_closed_door(&[]);
        assert_eq!(bed.ask(GOOD), None);
        assert_eq!(bed.answer(nothing.clone()), [503], "{nothing:?}");
        assert_eq!(bed.ask(GOOD), Some(503));
        bed.answer_probe(refusal("401", "No."));
        assert_eq!(bed.ask(GOOD), Some(503));
        bed.permit("Bearer other");
        bed.host.pass(limits::DOWN_FOR);
        bed.permit(GOOD);
    }
}

#[test]
fn while_the_controller_is_down_those_who_were_permitted_are_let_in_without_waiting() {
    let bed = Bed::behind_a_closed_door(&[]);
    bed.permit(GOOD);
    bed.host.pass(60 * SECOND);
    assert_eq!(bed.ask(GOOD), None);
    assert_eq!(bed.answer(down()), [200]);
    assert_eq!(bed.ask(GOOD), Some(200));
    bed.answer_probe(down());
    assert_eq!(bed.ask("Bearer new"), Some(503));
    assert_eq!(bed.attempts("bearer", "allowed_while_down").as_deref(), Some("2"));
    assert_eq!(bed.attempts("bearer", "unavailable").as_deref(), Some("1"));
    assert_eq!(bed.calls(), []);
    // From then on the probe comes before any question.
    bed.host.pass(limits::DOWN_FOR);
    assert_eq!(bed.ask(GOOD), None);
    assert_eq!(bed.ask("Bearer new"), None);
    assert_eq!(bed.answer(down()), [200, 503]);
    bed.host.pass(300 * SECOND - limits::DOWN_FOR - 60 * SECOND);
    assert_eq!(bed.ask(GOOD), None);
    assert_eq!(bed.answer(down()), [503]);
    bed.host.pass(limits::DOWN_FOR);
    assert_eq!(bed.ask(GOOD), None);
    bed.answer_probe(refusal("401", "No."));
    assert_eq!(bed.answer(permit()), [200]);
}

#[test]
fn credentials_that_the_controller_does_not_answer_do_not_mark_it_down() {
    let bed = Bed::behind_a_closed_door(&[]);
    bed.permit(GOOD);
    bed.host.pass(60 * SECOND);
    for slow in 0..10 {
        bed.comes_from(slow);
        assert_eq!(bed.ask(&format!("Bearer slow-{slow}")), None);
        assert_eq!(bed.answer(down()), [503]);
        // The probe is repeated, though not for each.
        bed.host.pass(limits::PROBE_EVERY);
        bed.answer_probe(refusal("401", "No."));
        bed.comes_from(100 + slow);
        bed.permit(&format!("Bearer valid-{slow}"));
    }
    assert_eq!(bed.ask(GOOD), None);
    assert_eq!(bed.answer(refusal("401", "No.")), [401], "an expired permit does not count");
}

#[test]
fn a_probe_that_tells_whether_the_controller_is_down_is_not_repeated_at_once() {
    let bed = Bed::behind_a_closed_door(&[]);
    bed.host.pass(SECOND);
    for slow in 0..5 {
        assert_eq!(bed.ask(&format!("Bearer slow-{slow}")), None);
        assert_eq!(bed.answer(down()), [503]);
        if slow == 0 {
            bed.answer_probe(refusal("401", "No."));
        }
    }
    assert_eq!(bed.calls(), []);
    bed.host.pass(limits::PROBE_EVERY);
    bed.answer_probe(refusal("401", "No."));
    assert_eq!(bed.calls(), []);
}

#[test]
fn the_log_says_once_that_there_are_no_verdicts_and_once_that_there_are_again() {
    let bed = Bed::behind_a_closed_door(&[]);
    let lines = || {
        let log = bed.host.log.borrow();
        log.iter().filter(|(_, line)| line.contains("auth.controller")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(bed.ask(GOOD), None);
    assert_eq!(bed.answer(down()), [503]);
    bed.answer_probe(down());
    for _ in 0..3 {
        bed.host.pass(limits::DOWN_FOR);
        assert_eq!(bed.ask(GOOD), None);
        assert_eq!(bed.answer(down()), [503]);
    }
    let silent =
        "awx_metrics: auth.controller: controller gives no verdict: no healthy upstream; see \
                  the cluster's health in Envoy's admin"
            .to_owned();
    assert_eq!(lines(), [(Level::Warn, silent.clone())]);
    bed.host.pass(limits::DOWN_FOR);
    assert_eq!(bed.ask(GOOD), None);
    bed.answer_probe(refusal("401", "No."));
    assert_eq!(bed.answer(permit()), [200]);
    bed.permit("Bearer other");
    let back = "awx_metrics: auth.controller: controller answers".to_owned();
    assert_eq!(lines(), [(Level::Warn, silent), (Level::Info, back)]);
}

#[test]
fn after_a_refusal_an_earlier_permit_does_not_come_back_while_the_controller_is_down() {
    let bed = Bed::behind_a_closed_door(&[]);
    bed.permit(GOOD);
    bed.host.pass(60 * SECOND);
    assert_eq!(bed.ask(GOOD), None);
    assert_eq!(bed.answer(refusal("401", "No.")), [401]);
    bed.host.pass(11 * SECOND);
    assert_eq!(bed.ask(GOOD), None);
    assert_eq!(bed.answer(down()), [503]);
}

#[test]
fn who_makes_the_controller_fail_keeps_nobody_else_from_being_asked_about() {
    let bed = Bed::behind_a_closed_door(&[]);
    bed.permit(GOOD);
    assert_eq!(bed.ask("Bearer poison"), None);
    assert_eq!(bed.answer(answer("500", "text/html", "<h1>")), [503]);
    bed.answer_probe(refusal("401", "No."));
    bed.host.pass(60 * SECOND);
    assert_eq!(bed.ask(GOOD), None);
    assert_eq!(bed.answer(refusal("401", "No.")), [401]);
}

#[test]
fn a_call_that_cannot_be_sent_is_no_answer() {
    let bed = Bed::behind_a_closed_door(&[]);
    bed.host.refuses_calls.set(true);
    assert_eq!(bed.ask(GOOD), None);
    let [(_, reply)] = &bed.tick()[..] else { panic!("no reply") };
    assert_eq!(reply.status, 503);
}

#[test]
fn an_answer_that_never_comes_is_given_up() {
    let bed = Bed::behind_a_closed_door(&[]);
    assert_eq!(bed.ask(GOOD), None);
    assert_eq!(bed.calls().len(), 1);
    bed.host.pass(2 * SECOND + limits::PULL_GRACE + Duration::from_nanos(1));
    let [(_, reply)] = &bed.tick()[..] else { panic!("no reply") };
    assert_eq!(reply.status, 503);
}

#[test]
fn so_many_questions_are_under_way_and_a_part_of_them_is_kept_for_the_known() {
    let bed = Bed::behind_a_closed_door(&[]);
    bed.permit(GOOD);
    bed.host.pass(60 * SECOND);
    for stranger in 0..limits::for_strangers(limits::QUESTIONS) {
        bed.comes_from(stranger);
        assert_eq!(bed.ask(&format!("Bearer {stranger}")), None);
    }
    bed.comes_from(99);
    assert_eq!(bed.ask("Bearer late"), Some(429));
    assert_eq!(bed.calls().len(), limits::for_strangers(limits::QUESTIONS_SENT));
    assert_eq!(bed.ask(GOOD), None);
    let calls = bed.calls();
    let [renewal] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(sent(renewal, "authorization"), Some(GOOD));
    assert_eq!(bed.attempts("bearer", "throttled").as_deref(), Some("1"));
}

#[test]
fn one_client_has_only_a_share_of_the_questions_and_clients_take_turns() {
    let bed = Bed::behind_a_closed_door(&[]);
    bed.comes_from(1);
    let share = limits::for_one_client(limits::QUESTIONS, false);
    for number in 0..share {
        assert_eq!(bed.ask(&format!("Bearer attack-{number}")), None);
    }
    assert_eq!(bed.ask("Bearer attack-last"), Some(429));
    // Its question comes after one of the attacker's, not after all.
    bed.comes_from(2);
    assert_eq!(bed.ask("Bearer new"), None);
    let calls = bed.calls();
    let tokens: Vec<_> = calls.iter().filter_map(|call| sent(call, "authorization")).collect();
    assert_eq!(tokens[..2], ["Bearer attack-0", "Bearer new"]);
    let attackers = tokens.iter().filter(|token| token.contains("attack")).count();
    assert_eq!(attackers, limits::CLIENT_QUESTIONS_SENT);
}

#[test]
fn one_client_has_only_a_share_of_the_scrapes_that_wait() {
    let bed = Bed::behind_a_closed_door(&[]);
    bed.comes_from(1);
    let share = limits::for_one_client(limits::WAITERS, false);
    let statuses: Vec<_> = (0..limits::WAITERS).map(|_| bed.ask("Bearer same")).collect();
    assert_eq!(statuses.iter().filter(|status| status.is_none()).count(), share);
    bed.comes_from(2);
    assert_eq!(bed.ask("Bearer same"), None);
}

#[test]
fn credentials_without_a_verdict_count_as_failures() {
    let bed = Bed::behind_a_closed_door(&[]);
    bed.comes_from(1);
    let burst = limits::CLIENT_FAILURES.burst;
    for number in 0..burst {
        bed.host.pass(Duration::from_millis(150));
        assert_eq!(bed.ask(&format!("Bearer poison-{number}")), None, "{number}");
        let calls = bed.calls();
        bed.seen.set(bed.seen.get() - calls.len());
        for call in calls {
            let token = sent(&call, "authorization").unwrap();
            let is_probe = !token.contains("poison");
            let verdict =
                if is_probe { refusal("401", "No.") } else { answer("500", "text/html", "") };
            assert_eq!(bed.answer(verdict), if is_probe { vec![] } else { vec![503] });
        }
    }
    assert_eq!(bed.ask("Bearer poison-last"), Some(429));
    bed.comes_from(2);
    assert_eq!(bed.ask(GOOD), None);
}

#[test]
fn good_credentials_are_not_counted_as_failures() {
    let bed = Bed::behind_a_closed_door(&[]);
    bed.comes_from(1);
    for number in 0..3 * limits::CLIENT_FAILURES.burst {
        bed.host.pass(Duration::from_millis(150));
        bed.permit(&format!("Bearer good-{number}"));
    }
}

#[test]
fn a_cookie_beside_a_token_makes_no_other_credential() {
    let bed = Bed::behind_a_closed_door(&[]);
    bed.permit(GOOD);
    for number in 0..100 {
        let cookie = format!("awx_sessionid={number}");
        let headers = [("authorization", GOOD), ("cookie", cookie.as_str())];
        assert_eq!(bed.request(0, &headers).1.map(|reply| reply.status), Some(200));
    }
    assert_eq!(bed.calls(), []);
}

#[test]
fn an_address_that_a_client_could_forge_is_warned_about_once() {
    let bed = Bed::behind_a_closed_door(&[]);
    let warnings = || {
        let log = bed.host.log.borrow();
        log.iter().filter(|(_, line)| line.contains("use_remote_address")).count()
    };
    let from = |address: &str, header: &str| {
        let mut properties = bed.host.properties.borrow_mut();
        properties.insert("source.address".to_owned(), address.as_bytes().to_vec());
        drop(properties);
        bed.request(0, &[("authorization", "Bearer x"), ("x-forwarded-for", header)]);
    };
    from("192.0.2.1:40000", "192.0.2.1");
    from("192.0.2.1:0", "192.0.2.1, 198.51.100.9");
    assert_eq!(warnings(), 0);
    from("192.0.2.1:0", "192.0.2.1");
    from("192.0.2.2:0", "192.0.2.2");
    assert_eq!(warnings(), 1);
}

#[test]
fn so_many_questions_are_asked_in_a_second_over_all_vms() {
    let bed = Bed::of(4, &[]);
    assert_eq!(bed.ask(GOOD), None);
    bed.answer(refusal("401", "No."));
    bed.answer(permit());
    bed.host.pass(SECOND);
    for number in 0..4 * limits::QUESTIONS_SENT {
        bed.comes_from(number);
        bed.request(number % 4, &[("authorization", &format!("Bearer {number}"))]);
    }
    let most = limits::for_strangers(limits::QUESTIONS_A_SECOND);
    assert_eq!(bed.calls().len(), most);
    bed.host.pass(SECOND);
    assert_eq!(bed.calls().len(), 4 * limits::for_strangers(limits::QUESTIONS_SENT) - most);
}

#[test]
fn who_guesses_has_to_wait_and_who_was_permitted_has_not() {
    let bed = Bed::behind_a_closed_door(&[]);
    bed.permit(GOOD);
    // The stranger who closed the door failed too; and guessing takes so long that one is forgiven.
    assert_eq!(bed.guess(), limits::CLIENT_FAILURES.burst - 1 + 1);
    assert_eq!(bed.ask(GOOD), Some(200));
    assert_eq!(bed.ask("Bearer local"), Some(200));
    bed.host.pass(60 * SECOND);
    assert!(bed.guess() > 0);
    bed.permit(GOOD);
}

#[test]
fn another_configuration_remembers_nothing_of_this_ones_verdicts() {
    let bed = Bed::behind_a_closed_door(&[]);
    bed.permit(GOOD);
    let vms = vec![configured(&bed.host, &[("/auth/controller/allow_for", json!("61s"))])];
    let bed = Bed { vms, ..bed };
    assert_eq!(bed.ask(GOOD), None);
    bed.answer(refusal("401", "No."));
    assert_eq!(bed.answer(refusal("401", "No.")), [401]);
}

#[test]
fn where_anybody_is_let_in_no_door_is_tried_and_a_wrong_password_is_refused() {
    let bed = Bed::new(&[("/auth/anonymous", json!(true))]);
    assert_eq!(bed.ask("Bearer unknown"), Some(200));
    assert_eq!(bed.ask("Basic Ym9iOng="), None);
    assert_eq!(bed.answer(refusal("401", "Invalid username/password.")), [401]);
    assert_eq!(bed.ask("Basic Ym9iOnk="), None);
    assert_eq!(bed.answer(permit()), [200]);
}
