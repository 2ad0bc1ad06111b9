//! The flow against a fake host.

use super::*;
use crate::auth::password::PasswordHash;
use crate::auth::{Secret, Token, User};
use crate::host::fake::FakeHost;
use crate::metrics::Kind;
use crate::shared::snapshot::{Head, Keys};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::time::Duration;

const PAGE: &[u8] = b"# HELP up It is.\n# TYPE up gauge\nup{node=\"a\"} 1\n";
const GET: &[(&str, &str)] = &[(":method", "GET"), ("authorization", "Bearer t0ken")];

/// A gateway with one source, a token `t0ken` and a user `admin`/`password` of so many rounds.
struct Bed {
    host: FakeHost,
    recorder: Notes,
    scraper: Scraper,
    keys: Keys,
}

/// What a recorder was told.
#[derive(Default)]
struct Notes {
    attempts: RefCell<Vec<(Scheme, AuthOutcome)>>,
    scrapes: RefCell<Vec<(Option<Format>, u16)>>,
}

impl ScrapeRecorder for Notes {
    fn attempted(&self, _: &dyn Host, scheme: Scheme, attempt: AuthOutcome) {
        self.attempts.borrow_mut().push((scheme, attempt));
    }

    fn scraped(&self, _: &dyn Host, format: Option<Format>, status: u16) {
        self.scrapes.borrow_mut().push((format, status));
    }

    fn created(&self, _: &dyn Host) -> Option<Time> {
        Some(Time::from_millis(1_700_000_000_250))
    }

    fn write(&self, _: &dyn Host, page: &mut dyn Sink) {
        page.family("awx_gateway_counted", Kind::Counter, "Counted.");
        page.sample("", &[], 42_u64.into());
    }
}

/// No source is pulled with a client's credentials.
impl Pulls for Notes {
    fn is_due(&self, _: &dyn Host, _: usize) -> bool {
        false
    }

    fn claim(&self, _: &dyn Host, _: usize) -> bool {
        false
    }

    fn release(&self, _: &dyn Host, _: usize) {}

    fn pulled(&self, _: &dyn Host, _: usize, _: Time, _: Option<Answer>) {}
}

impl Bed {
    /// Gives the next requests another client's address.
    fn comes_from(&self, address: &str) {
        let mut properties = self.host.properties.borrow_mut();
        properties.insert("source.address".to_owned(), address.as_bytes().to_vec());
    }

    fn new() -> Self {
        Self::configured("{}", 1_000)
    }

    fn configured(more: &str, rounds: u32) -> Self {
        let mut json: serde_json::Value = serde_json::from_str(more).unwrap();
        json["sources"] = serde_json::json!([{"name": "c", "cluster": "controller"}]);
        let mut config = Config::parse(json.to_string().as_bytes()).unwrap();
        config.auth.tokens.push(Token::new("t".to_owned(), &Secret::new("t0ken")));
        let hash = PasswordHash::new("password", "salt", rounds).unwrap();
        config.auth.users.push(User::new("admin".to_owned(), hash));
        let host = FakeHost::at(1_000);
        let key = config.sources[0].key(&crate::shared::salt::salt(&host), |_| None);
        let keys = Keys::new(&key);
        keys.create_head(&host);
        let scraper = Scraper::new(Rc::new(config), &host);
        Self { scraper, host, recorder: Notes::default(), keys }
    }

    /// Puts a page into shared data, as a pull does.
    fn store(&self, generation: u64, page: &[u8]) {
        self.keys.store_page(&self.host, generation, page).unwrap();
        let read = self.keys.head(&self.host).unwrap();
        let head =
            Head { generation, succeeded: self.host.now(), ended: Some(Ok(())), ..Head::default() };
        self.keys.swap_head(&self.host, &read, &head).unwrap();
    }

    fn start(&self, path: &str, headers: &[(&str, &str)]) -> Step {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.as_bytes().to_vec());
        *self.host.request_headers.borrow_mut() =
            [(":path", path)].iter().chain(headers).map(owned).collect();
        self.scraper.start(self.context(), 7, path.as_bytes())
    }

    fn context(&self) -> Context<'_> {
        Context { host: &self.host, recorder: &self.recorder, pulls: &self.recorder }
    }

    /// Ticks until a scrape that waits has its answer.
    fn advance(&self) -> (StreamId, Reply) {
        let mut answers = (0..9).flat_map(|_| self.scraper.advance(self.context()));
        answers.next().unwrap()
    }

    fn reply(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        match self.start(path, headers) {
            Step::Reply(reply) => reply,
            step => panic!("no reply but {step:?}"),
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.reply("/api/v2/metrics", GET).body.to_vec()).unwrap()
    }
}

fn basic(password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("admin:{password}")))
}

fn header<'a>(reply: &'a Reply, name: &str) -> Vec<&'a str> {
    reply.headers.iter().filter(|(have, _)| *have == name).map(|(_, value)| &**value).collect()
}

#[test]
fn other_paths_and_other_hosts_pass() {
    let bed = Bed::configured(r#"{"hosts": ["metrics.example"]}"#, 1_000);
    assert_eq!(bed.start("/api/v2/jobs/", GET), Step::Pass);
    assert_eq!(bed.start("/api/v2/metrics", &[(":authority", "other.example")]), Step::Pass);
    let authority = (":authority", "metrics.example:8443");
    assert_eq!(bed.reply("/api/v2/metrics", &[GET, &[authority]].concat()).status, 200);
}

#[test]
fn a_page_is_served_with_the_gateways_families_behind_it() {
    let bed = Bed::new();
    bed.store(1, PAGE);
    let text = bed.text();
    assert!(text.as_bytes().starts_with(PAGE), "{text}");
    assert!(text.contains("\nawx_gateway_source_up{source=\"c\"} 1"), "{text}");
}

#[test]
fn json_is_one_object_of_both() {
    let bed = Bed::new();
    bed.store(1, PAGE);
    for path in ["/api/v2/metrics/?format=json", "/api/v2/metrics?format=json&gateway=only"] {
        let reply = bed.reply(path, GET);
        assert_eq!(header(&reply, "content-type"), ["application/json"]);
        let json: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(json["awx_gateway_source_up"]["samples"][0]["value"], 1.0);
        assert_eq!(json.get("up").is_some(), !path.contains("only"));
    }
    let indented = &[GET, &[("accept", "application/json; indent=2")]].concat();
    let reply = bed.reply("/api/v2/metrics/", indented);
    serde_json::from_slice::<serde_json::Value>(&reply.body).unwrap();
}

#[test]
fn an_empty_page_still_has_its_type() {
    let bed = Bed::new();
    bed.store(1, PAGE);
    let reply = bed.reply("/api/v2/metrics?dbonly=1&subsystemonly=1", GET);
    assert_eq!((reply.status, reply.body.as_slice()), (200, &b"\n"[..]));
    for (format, body) in [("json", &b"{}"[..]), ("openmetrics", b"# EOF\n"), ("protobuf", b"\0")] {
        let path = format!("/api/v2/metrics?dbonly=1&subsystemonly=1&format={format}");
        assert_eq!(bed.reply(&path, GET).body.as_slice(), body, "{format}");
    }
}

#[test]
fn a_page_is_parsed_and_rendered_again_only_when_its_generation_changed() {
    let bed = Bed::new();
    bed.store(1, PAGE);
    bed.text();
    // Nobody writes a page without another generation: whoever sees this one has read it again.
    bed.keys.store_page(&bed.host, 1, b"up 2\n").unwrap();
    assert!(bed.text().contains("up{node=\"a\"} 1"));
    bed.store(2, b"up 3\n");
    assert!(bed.text().contains("up 3"));
}

#[test]
fn a_page_is_served_until_it_is_stale() {
    let bed = Bed::new();
    bed.store(1, PAGE);
    bed.host.pass(Duration::from_secs(300));
    assert!(bed.text().contains("up{node=\"a\"} 1"));
    bed.host.pass(Duration::from_secs(1));
    let text = bed.text();
    assert!(!text.contains("up{node"), "{text}");
    assert!(text.contains("awx_gateway_source_up{source=\"c\"} 0"), "{text}");
}

#[test]
fn a_source_that_was_never_pulled_is_down_with_its_reason() {
    let text = Bed::new().text();
    assert!(text.contains("awx_gateway_source_up{source=\"c\"} 0"), "{text}");
    assert!(
        text.contains("awx_gateway_source_problem_info{reason=\"not pulled yet\",source=\"c\"} 1"),
        "{text}"
    );
}

#[test]
fn a_scrape_says_that_the_source_is_wanted() {
    let bed = Bed::new();
    bed.text();
    assert_eq!(bed.keys.wanted(&bed.host), Some(Duration::from_secs(1_000)));
}

#[test]
fn every_series_of_the_gateway_carries_its_label() {
    let bed = Bed::configured(r#"{"gateway": {"labels": {"gateway": "g1"}}}"#, 1_000);
    let text = bed.text();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.contains("gateway=\"g1\""), "{line}");
    }
}

#[test]
fn who_is_not_let_in_is_told_how_to_come_in() {
    let bed = Bed::new();
    bed.store(1, PAGE);
    for headers in [
        vec![(":method", "GET")],
        vec![(":method", "POST"), ("authorization", "Bearer nope")],
        vec![(":method", "GET"), ("authorization", "Bearer t0ken"), ("authorization", "Bearer x")],
        vec![(":method", "GET"), ("authorization", "Bearer t0ken, Bearer x")],
        vec![(":method", "GET"), ("authorization", "Basic !!!"), ("accept", "application/xml")],
    ] {
        let reply = bed.reply("/api/v2/metrics", &headers);
        assert_eq!(reply.status, 401, "{headers:?}");
        assert_eq!(
            header(&reply, "www-authenticate"),
            ["Bearer realm=api authorization_url=/api/o/authorize/", "Basic realm=\"api\""]
        );
        assert!(!reply.body.windows(2).any(|bytes| bytes == b"up"), "{headers:?}");
    }
}

#[test]
fn errors_are_json_or_the_sentence_alone() {
    let bed = Bed::new();
    let sentence = "Method \"POST\" not allowed.";
    let with = |accept| [&GET[1..], &[(":method", "POST"), ("accept", accept)]].concat();
    let reply = bed.reply("/api/v2/metrics", &with("application/json"));
    assert_eq!(*reply.body, br#"{"detail":"Method \"POST\" not allowed."}"#);
    let reply = bed.reply("/api/v2/metrics", &with("text/plain"));
    assert_eq!(*reply.body, format!("{sentence}\n").as_bytes());
    assert_eq!((reply.status, header(&reply, "allow")), (405, vec!["GET, HEAD, OPTIONS"]));
}

#[test]
fn what_cannot_be_rendered_is_406() {
    let bed = Bed::new();
    let headers = [GET, &[("accept", "application/xml")]].concat();
    assert_eq!(bed.reply("/api/v2/metrics", &headers).status, 406);
    assert_eq!(bed.reply("/api/v2/metrics?format=xml", GET).status, 406);
}

#[test]
fn options_describes_to_who_is_let_in() {
    let bed = Bed::new();
    let reply = bed.reply("/api/v2/metrics", &[&GET[1..], &[(":method", "OPTIONS")]].concat());
    let json: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status, &json["name"]), (200, &"Metrics".into()));
}

#[test]
fn a_password_is_checked_in_slices_and_then_remembered() {
    let rounds = 3 * limits::PASSWORD_ROUNDS_A_TICK;
    let bed = Bed::configured("{}", rounds);
    bed.store(1, PAGE);
    let right = basic("password");
    let headers = [(":method", "GET"), ("authorization", right.as_str())];
    assert_eq!(bed.start("/api/v2/metrics", &headers), Step::Wait);
    assert!(bed.scraper.is_busy());
    let answers: Vec<_> = (0..4).flat_map(|_| bed.scraper.advance(bed.context())).collect();
    let [(7, reply)] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(reply.status, 200);
    assert!(!bed.scraper.is_busy());
    assert_eq!(bed.reply("/api/v2/metrics", &headers).status, 200);
}

#[test]
fn a_wrong_password_is_refused_after_the_same_work() {
    let bed = Bed::configured("{}", 2 * limits::PASSWORD_ROUNDS_A_TICK);
    let wrong = basic("wrong");
    assert_eq!(bed.start("/api/v2/metrics", &[("authorization", &wrong)]), Step::Wait);
    assert_eq!(bed.scraper.advance(bed.context()), []);
    let (stream, reply) = bed.advance();
    assert_eq!((stream, reply.status), (7, 401));
}

#[test]
fn a_password_is_remembered_by_every_vm_until_it_is_too_long_ago() {
    let bed = Bed::configured("{}", 5_000);
    let right = basic("password");
    let headers = [(":method", "GET"), ("authorization", right.as_str())];
    assert_eq!(bed.start("/api/v2/metrics", &headers), Step::Wait);
    assert_eq!(bed.advance().1.status, 200);
    let other = Bed { host: bed.host, ..Bed::configured("{}", 5_000) };
    assert_eq!(other.reply("/api/v2/metrics", &headers).status, 200);
    other.host.pass(limits::REMEMBER_PASSWORD - Duration::from_nanos(1));
    assert_eq!(other.reply("/api/v2/metrics", &headers).status, 200);
    other.host.pass(Duration::from_nanos(1));
    assert_eq!(other.start("/api/v2/metrics", &headers), Step::Wait);
    other.host.now.set(Duration::from_secs(999));
    assert_eq!(other.start("/api/v2/metrics", &headers), Step::Wait);
}

#[test]
fn who_guesses_has_to_wait_and_who_is_known_has_not() {
    let bed = Bed::new();
    let request = |password: &str| {
        let credentials = basic(password);
        bed.start("/api/v2/metrics", &[(":method", "GET"), ("authorization", &credentials)])
    };
    assert_eq!(request("password"), Step::Wait);
    assert_eq!(bed.advance().1.status, 200);
    for guess in 0..limits::CLIENT_FAILURES.burst {
        assert_eq!(request(&guess.to_string()), Step::Wait);
        assert_eq!(bed.advance().1.status, 401);
    }
    let Step::Reply(reply) = request("one more") else { panic!("not throttled") };
    assert_eq!((reply.status, header(&reply, "retry-after")), (429, vec!["5"]));
    assert!(matches!(request("password"), Step::Reply(reply) if reply.status == 200));
    assert_eq!(bed.reply("/api/v2/metrics", GET).status, 200);
    bed.comes_from("192.0.2.7:80");
    assert_eq!(request("one more"), Step::Wait);
}

#[test]
fn only_so_many_passwords_are_checked_at_once_and_a_client_that_leaves_makes_room() {
    let bed = Bed::configured("{}", 5_000);
    let right = basic("password");
    let headers = [(":method", "GET"), ("authorization", right.as_str())];
    let clients = limits::PASSWORDS_WAITING / limits::CLIENT_PASSWORDS;
    for client in 0..clients {
        bed.comes_from(&format!("192.0.2.{client}:80"));
        for _ in 0..limits::CLIENT_PASSWORDS {
            assert_eq!(bed.start("/api/v2/metrics", &headers), Step::Wait);
        }
    }
    bed.comes_from("192.0.2.99:80");
    let reply = bed.reply("/api/v2/metrics", &headers);
    assert_eq!((reply.status, header(&reply, "retry-after")), (429, vec!["2"]));
    bed.scraper.forget(7);
    assert_eq!(bed.start("/api/v2/metrics", &headers), Step::Wait);
    assert_eq!(bed.reply("/api/v2/metrics", GET).status, 200);
}

#[test]
fn one_client_has_only_a_share_of_the_passwords_that_are_checked_at_once() {
    let bed = Bed::configured("{}", 5_000);
    let guess = |guess: usize| {
        let credentials = basic(&guess.to_string());
        bed.start("/api/v2/metrics", &[(":method", "GET"), ("authorization", &credentials)])
    };
    for number in 0..10 * limits::PASSWORDS_WAITING {
        match guess(number) {
            Step::Wait => assert!(number < limits::CLIENT_PASSWORDS, "{number}"),
            Step::Reply(reply) => assert_eq!(reply.status, 429),
            Step::Pass => panic!("passed"),
        }
    }
    bed.comes_from("192.0.2.99:80");
    assert_eq!(guess(0), Step::Wait);
}

#[test]
fn guesses_at_one_time_are_charged_before_they_are_checked() {
    let bed = Bed::configured("{}", 5_000);
    let burst = usize::try_from(limits::CLIENT_FAILURES.burst).unwrap();
    let mut waiting = 0;
    for guess in 0..2 * burst {
        let credentials = basic(&guess.to_string());
        let headers = [(":method", "GET"), ("authorization", credentials.as_str())];
        waiting += usize::from(bed.start("/api/v2/metrics", &headers) == Step::Wait);
        // The client leaves before its password is checked: that is an attempt all the same.
        bed.scraper.forget(7);
    }
    assert_eq!(waiting, burst);
}

#[test]
fn what_is_counted_stands_on_the_page_and_what_happens_is_counted() {
    let bed = Bed::new();
    assert!(bed.text().contains("\nawx_gateway_counted 42\n"));
    bed.reply("/api/v2/metrics?format=json", &[(":method", "GET")]);
    bed.reply("/api/v2/metrics", &[&GET[1..], &[(":method", "PUT")]].concat());
    let (allowed, denied) = (AuthOutcome::Allowed, AuthOutcome::Denied);
    assert_eq!(
        *bed.recorder.attempts.borrow(),
        [(Scheme::Bearer, allowed), (Scheme::None, denied), (Scheme::Bearer, allowed)]
    );
    let scrapes = [(Some(Format::Text), 200), (None, 401), (None, 405)];
    assert_eq!(*bed.recorder.scrapes.borrow(), scrapes);
}
