//! The flow against a fake host: several VMs over one shared data.

use super::*;
use crate::host::fake::FakeHost;

const PAGE: &[u8] = b"# TYPE up gauge\nup 1\n";

/// VMs with the same configuration, on one host.
struct Fleet {
    host: FakeHost,
    vms: Vec<Collector>,
}

impl Fleet {
    fn of(size: u64) -> Self {
        Self::configured(size, r#""interval": "10s", "timeout": "4s""#)
    }

    fn configured(size: u64, source: &str) -> Self {
        let config =
            format!(r#"{{"sources": [{{"name": "c", "cluster": "controller", {source}}}]}}"#);
        let config = Rc::new(Config::parse(config.as_bytes()).unwrap());
        let host = FakeHost::at(1_000);
        let vms: Vec<_> = (1..=size)
            .map(|vm| Collector::new(Rc::clone(&config), vm, &Pullers::default(), &host))
            .collect();
        vms[0].prepare(&host);
        Self { host, vms }
    }

    /// Lets time pass, a tick after another in every VM, and answers each pull with `answer`.
    fn run(&mut self, time: Duration, answer: &Answer) {
        let end = self.host.now.get() + time;
        while self.host.now.get() < end {
            self.tick(answer);
            self.host.pass(Duration::from_millis(500));
        }
    }

    fn tick(&mut self, answer: &Answer) {
        for vm in &mut self.vms {
            let sent = self.host.calls.borrow().len();
            vm.tick(&self.host, false);
            let now_sent = self.host.calls.borrow().len();
            for call in sent + 1..=now_sent {
                vm.answered(&self.host, u32::try_from(call).unwrap(), answer.clone());
            }
        }
    }

    fn pulls(&self) -> usize {
        self.host.calls.borrow().len()
    }

    fn head(&self) -> Head {
        self.vms[0].keys[0].1.head(&self.host).unwrap().head
    }

    fn stored(&self) -> Vec<u8> {
        self.vms[0].keys[0].1.page(&self.host).unwrap().1.as_text().as_bytes().to_vec()
    }
}

fn answer(status: &str, media_type: &str, body: &[u8]) -> Answer {
    let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    Answer {
        headers: vec![
            header(":status", status),
            header("content-type", media_type),
            header("x-envoy-upstream-service-time", "3"),
        ],
        body: body.to_vec(),
    }
}

fn good() -> Answer {
    answer("200", "text/plain; charset=utf-8", PAGE)
}

fn by_envoy(status: &str) -> Answer {
    let mut answer = answer(status, "text/plain", b"upstream request timeout");
    answer.headers.pop();
    answer
}

#[test]
fn there_is_one_pull_an_interval_whatever_the_number_of_vms() {
    for size in [1, 2, 9] {
        let mut fleet = Fleet::of(size);
        fleet.run(Duration::from_secs(100), &good());
        assert_eq!(fleet.pulls(), 10, "{size} VMs");
    }
}

#[test]
fn a_pull_asks_as_configured() {
    let source = r#""authority": "awx.example", "path": "/m/?x=1", "timeout": "2500ms",
        "credential": {"bearer_env": "TOKEN"}"#;
    let mut fleet = Fleet::configured(1, source);
    fleet.host.environment.borrow_mut().insert("TOKEN".to_owned(), "s3cret".to_owned());
    fleet.tick(&good());
    let calls = fleet.host.calls.borrow();
    let call = &calls[0];
    assert_eq!(call.cluster, "controller");
    assert_eq!((call.authority.as_str(), call.path.as_str()), ("awx.example", "/m/?x=1"));
    assert_eq!(call.timeout, Duration::from_millis(2500));
    assert!(call.headers.contains(&("authorization".to_owned(), "Bearer s3cret".to_owned())));
}

#[test]
fn a_good_page_becomes_the_snapshot() {
    let mut fleet = Fleet::of(1);
    fleet.tick(&good());
    assert_eq!(fleet.stored(), PAGE);
    let head = fleet.head();
    assert!(head.generation > 0);
    assert_eq!((head.samples, head.ended), (1, Some(Ok(()))));
    assert!(!head.pulling);
}

#[test]
fn a_page_that_did_not_change_keeps_its_generation() {
    let mut fleet = Fleet::of(1);
    fleet.tick(&good());
    let generation = fleet.head().generation;
    fleet.run(Duration::from_secs(30), &good());
    assert_eq!((fleet.head().generation, fleet.head().fetches[0]), (generation, 3));
    fleet.tick(&answer("200", "text/plain", b"up 2\n"));
    assert_ne!(fleet.head().generation, generation);
}

#[test]
fn a_bad_answer_is_counted_and_leaves_the_last_good_page() {
    let encoded = || {
        let mut answer = good();
        answer.headers.push(("content-encoding".to_owned(), b"gzip".to_vec()));
        answer
    };
    let cases: [(Answer, Outcome, Cause); 15] = [
        (answer("500", "text/html", b"<h1>"), Outcome::Status, Cause::Status(500)),
        (answer("401", "application/json", b"{}"), Outcome::Status, Cause::Status(401)),
        (answer("302", "text/plain", b""), Outcome::Status, Plain::Redirect.into()),
        (answer("504", "text/plain", b"of an upstream"), Outcome::Status, Cause::Status(504)),
        (by_envoy("504"), Outcome::Timeout, Cause::Timeout(Duration::from_secs(4))),
        (by_envoy("503"), Outcome::Refused, Plain::Unreachable.into()),
        (answer("502", "text/plain", b"of an upstream"), Outcome::Status, Cause::Status(502)),
        (by_envoy("502"), Outcome::Unreadable, Plain::NotHttp.into()),
        (encoded(), Outcome::Unreadable, Plain::Gzip.into()),
        (
            answer("200", "text/html", b"<html>log in</html>"),
            Outcome::Unreadable,
            Plain::Html.into(),
        ),
        (answer("200", "", b"a 1"), Outcome::Unreadable, Plain::NoType.into()),
        (answer("200", "text/plain", b""), Outcome::Unreadable, Plain::Empty.into()),
        (
            answer("200", "text/plain", b"\xff garbage"),
            Outcome::Unreadable,
            Plain::NoSamples.into(),
        ),
        (
            answer("200", "application/openmetrics-text", b"a 1\n"),
            Outcome::Unreadable,
            Plain::NoEnd.into(),
        ),
        (Answer::default(), Outcome::Unreadable, Plain::CutOff.into()),
    ];
    for (bad, outcome, cause) in cases {
        let mut fleet = Fleet::of(1);
        fleet.tick(&good());
        let generation = fleet.head().generation;
        fleet.host.pass(Duration::from_secs(10));
        fleet.tick(&bad);
        assert_eq!(fleet.head().outcome(), Some(outcome), "{bad:?}");
        assert_eq!(fleet.head().ended, Some(Err(cause)), "{bad:?}");
        assert_eq!((fleet.stored(), fleet.head().generation), (PAGE.to_vec(), generation));
        let last = fleet.host.log.borrow().last().unwrap().clone();
        let line = format!("awx_metrics: source c: pull failed: {cause}; {}", cause.remedy());
        assert_eq!(last, (Level::Warn, line));
    }
}

#[test]
fn an_answer_that_breaks_off_at_the_timeout_came_too_late() {
    let mut fleet = Fleet::of(1);
    fleet.vms[0].tick(&fleet.host, false);
    fleet.host.pass(Duration::from_secs(4));
    fleet.vms[0].answered(&fleet.host, 1, Answer::default());
    let timeout = Cause::Timeout(Duration::from_secs(4));
    assert_eq!(fleet.head().ended, Some(Err(timeout)));
    assert_eq!(fleet.head().fetches, [0, 1, 0, 0, 0, 0]);
}

/// As many families as a page may have, whose names are twice as long in canonical spelling.
fn swelling() -> String {
    let name = "x".repeat(200);
    (0..limits::SOURCE_NAMES).map(|at| format!("{name}{at:06} 1\n")).collect()
}

#[test]
fn a_page_that_is_too_large_in_the_spelling_that_is_stored_is_a_pull_that_failed() {
    let page = swelling();
    assert!(page.len() < limits::PAGE_BYTES);
    let mut fleet = Fleet::of(1);
    fleet.tick(&good());
    let generation = fleet.head().generation;
    fleet.host.pass(Duration::from_secs(10));
    fleet.tick(&answer("200", "text/plain", page.as_bytes()));
    assert_eq!(fleet.head().ended, Some(Err(Plain::Bytes.into())));
    assert_eq!((fleet.head().generation, fleet.stored()), (generation, PAGE.to_vec()));
}

#[test]
fn of_pages_that_two_vms_store_at_once_neither_has_the_others_generation() {
    let mut fleet = Fleet::of(2);
    fleet.vms[0].tick(&fleet.host, false);
    // The first one takes so long that the second one pulls in its place.
    fleet.host.pass(Duration::from_secs(16));
    fleet.vms[1].tick(&fleet.host, false);
    assert_eq!(fleet.pulls(), 2);
    fleet.vms[0].answered(&fleet.host, 1, answer("200", "text/plain", b"up 5\n"));
    let first = fleet.head().generation;
    fleet.vms[1].answered(&fleet.host, 2, answer("200", "text/plain", b"up 6\n"));
    assert_ne!(fleet.head().generation, first);
    assert!(fleet.stored().ends_with(b"up 6\n"));
}

#[test]
fn what_can_be_read_of_a_page_is_kept_and_the_rest_counted() {
    let mut fleet = Fleet::of(1);
    fleet.tick(&answer("200", "text/plain", b"a 1\nb{\n\xff 2\na 3\n"));
    let head = fleet.head();
    assert_eq!((head.outcome(), head.samples), (Some(Outcome::Ok), 1));
    assert_eq!((head.unreadable_lines, head.dropped), (2, [1, 0, 0, 0, 0, 0, 0, 0]));
}

#[test]
fn a_page_of_too_many_samples_is_refused_whole() {
    let mut fleet = Fleet::of(1);
    let page: String = (0..=limits::SOURCE_SAMPLES).map(|n| format!("m{n} 1\n")).collect();
    fleet.tick(&answer("200", "text/plain", page.as_bytes()));
    assert_eq!((fleet.head().outcome(), fleet.head().generation), (Some(Outcome::TooLarge), 0));
}

#[test]
fn a_call_that_the_host_refuses_is_a_pull_that_failed() {
    let mut fleet = Fleet::of(1);
    fleet.host.refuses_calls.set(true);
    fleet.run(Duration::from_secs(20), &good());
    assert_eq!(fleet.head().outcome(), Some(Outcome::Refused));
    assert_eq!(fleet.head().fetches, [0, 0, 2, 0, 0, 0]);
}

#[test]
fn an_unset_variable_takes_its_source_down_and_sends_nothing() {
    let mut fleet = Fleet::configured(1, r#""credential": {"bearer_env": "TOKEN"}"#);
    fleet.tick(&good());
    assert_eq!((fleet.pulls(), fleet.head().outcome()), (0, Some(Outcome::Refused)));
}

#[test]
fn a_vm_that_dies_in_a_pull_is_succeeded_by_another() {
    let mut fleet = Fleet::of(2);
    fleet.vms[0].tick(&fleet.host, false);
    let mut dead = fleet.vms.remove(0);
    fleet.run(Duration::from_secs(5), &good());
    assert_eq!(fleet.pulls(), 1);
    fleet.run(Duration::from_secs(10), &good());
    assert_eq!((fleet.pulls(), fleet.head().puller), (2, 2));
    dead.answered(&fleet.host, 1, by_envoy("504"));
    assert_eq!(fleet.head().fetches, [1, 1, 0, 0, 0, 0]);
}

#[test]
fn an_answer_that_nobody_asked_for_is_passed_over() {
    let mut fleet = Fleet::of(1);
    fleet.vms[0].answered(&fleet.host, 99, good());
    assert_eq!(fleet.head(), Head::default());
}

#[test]
fn the_log_tells_when_a_source_goes_down_or_comes_back_and_no_more() {
    let mut fleet = Fleet::of(1);
    fleet.run(Duration::from_secs(30), &by_envoy("504"));
    fleet.run(Duration::from_secs(30), &good());
    let lines: Vec<_> = fleet.host.log.borrow().iter().map(|(level, _)| *level).collect();
    assert_eq!(lines, [Level::Warn, Level::Info]);
}

#[test]
fn of_two_configurations_in_a_vm_the_newer_pulls_until_it_is_gone() {
    let config = |interval: &str| {
        let config = format!(
            r#"{{"sources": [{{"name": "c", "cluster": "controller", "interval": "{interval}"}}]}}"#
        );
        Rc::new(Config::parse(config.as_bytes()).unwrap())
    };
    let (host, pullers) = (FakeHost::at(1_000), Pullers::default());
    let mut old = Collector::new(config("1s"), 1, &pullers, &host);
    let mut new = Collector::new(config("1h"), 1, &pullers, &host);
    new.prepare(&host);
    let mut tick = |new: Option<&mut Collector>| {
        for collector in [Some(&mut old), new].into_iter().flatten() {
            collector.tick(&host, false);
        }
        host.pass(Duration::from_secs(10));
        host.calls.borrow().len()
    };
    assert_eq!(tick(Some(&mut new)), 1);
    assert_eq!(tick(Some(&mut new)), 1);
    drop(new);
    assert_eq!(tick(None), 2);
}
