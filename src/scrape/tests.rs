//! The flow with a fake host.

use super::*;
use crate::auth::password::PasswordHash;
use crate::auth::{Secret, Token, User};
use crate::exposition::parse;
use crate::host::fake::FakeHost;
use crate::metrics::Kind;
use crate::shared::snapshot::{Head, Keys};
use crate::upstream::{Cause, Plain};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::time::Duration;

const PAGE: &[u8] = b"# HELP up It is.\n# TYPE up gauge\nup{node=\"a\"} 1\n";
const GET: &[(&str, &str)] = &[(":method", "GET"), ("authorization", "Bearer t0ken")];

/// A gateway with a source `c`, a token `t0ken` and a user `admin` with the password `password`.
struct Fixture {
    host: FakeHost,
    recorder: Recorder,
    scraper: Scraper,
    /// Of each source.
    keys: Vec<Keys>,
}

/// Records the attempts and the scrapes.
#[derive(Default)]
struct Recorder {
    attempts: RefCell<Vec<(Scheme, AuthOutcome)>>,
    scrapes: RefCell<Vec<(Option<Format>, u16)>>,
}

impl ScrapeRecorder for Recorder {
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
impl Pulls for Recorder {
    fn is_due(&self, _: &dyn Host, _: usize) -> bool {
        false
    }

    fn claim(&self, _: &dyn Host, _: usize) -> bool {
        false
    }

    fn release(&self, _: &dyn Host, _: usize) {}

    fn pulled(&self, _: &dyn Host, _: usize, _: Time, _: Option<Answer>) {}
}

/// Notes that the first pull of a source failed.
fn fail(keys: &Keys, host: &FakeHost) {
    keys.create_head(host);
    let read = keys.head(host).unwrap();
    let ended = Some(Err(Plain::Unreachable.into()));
    keys.swap_head(host, &read, &Head { ended, ..Head::default() }).unwrap();
}

fn stored(page: &[u8]) -> Vec<u8> {
    parse::text(page.to_vec()).unwrap().into_stored()
}

impl Fixture {
    /// Sets the address from which the next requests come.
    fn set_client(&self, address: &str) {
        let mut properties = self.host.properties.borrow_mut();
        properties.insert("source.address".to_owned(), address.as_bytes().to_vec());
    }

    fn new() -> Self {
        Self::configured("{}", 1_000)
    }

    fn configured(more: &str, rounds: u32) -> Self {
        Self::with_sources(more, rounds, &["c"])
    }

    fn with_sources(more: &str, rounds: u32, sources: &[&str]) -> Self {
        let mut json: serde_json::Value = serde_json::from_str(more).unwrap();
        let source = |name: &&str| serde_json::json!({"name": name, "cluster": name});
        json["sources"] = sources.iter().map(source).collect();
        let mut config = Config::parse(json.to_string().as_bytes()).unwrap();
        config.auth.tokens.push(Token::new("t".to_owned(), &Secret::new("t0ken")));
        let hash = PasswordHash::new("password", "salt", rounds).unwrap();
        config.auth.users.push(User::new("admin".to_owned(), hash));
        let host = FakeHost::at(1_000);
        let salt = crate::shared::salt::salt(&host);
        let keys = config.sources.iter().map(|source| Keys::new(&source.key(&salt, |_| None)));
        let keys: Vec<_> = keys.inspect(|keys| fail(keys, &host)).collect();
        let scraper = Scraper::new(Rc::new(config), &host);
        Self { scraper, host, recorder: Recorder::default(), keys }
    }

    /// Stores a page in shared data, as a pull does.
    fn store(&self, generation: u64, page: &[u8]) {
        self.store_as(&self.keys[0], generation, page);
    }

    fn store_as(&self, keys: &Keys, generation: u64, page: &[u8]) {
        let bytes = stored(page).len() as u64;
        keys.store_page(&self.host, generation, stored(page)).unwrap();
        let read = keys.head(&self.host).unwrap();
        let head = Head {
            generation,
            bytes,
            succeeded: self.host.now(),
            ended: Some(Ok(())),
            ..Head::default()
        };
        keys.swap_head(&self.host, &read, &head).unwrap();
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

    /// Ticks until a scrape that waits has its reply.
    fn advance(&self) -> (StreamId, Reply) {
        let mut answers = (0..9_999).flat_map(|_| self.scraper.advance(self.context()));
        answers.next().unwrap()
    }

    fn reply(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        match self.start(path, headers) {
            Step::Reply(reply) => reply,
            step => panic!("no reply: {step:?}"),
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
    let gateway = Fixture::configured(r#"{"hosts": ["metrics.example"]}"#, 1_000);
    assert_eq!(gateway.start("/api/v2/jobs/", GET), Step::Pass);
    assert_eq!(gateway.start("/api/v2/metrics", &[(":authority", "other.example")]), Step::Pass);
    let authority = (":authority", "metrics.example:8443");
    assert_eq!(gateway.reply("/api/v2/metrics", &[GET, &[authority]].concat()).status, 200);
}

#[test]
fn a_page_is_followed_by_the_gateways_families() {
    let gateway = Fixture::new();
    gateway.store(1, PAGE);
    let text = gateway.text();
    assert!(text.as_bytes().starts_with(PAGE), "{text}");
    assert!(text.contains("\nawx_gateway_source_up{source=\"c\"} 1"), "{text}");
}

#[test]
fn json_is_one_object_with_the_families_of_both() {
    let gateway = Fixture::new();
    gateway.store(1, PAGE);
    for path in ["/api/v2/metrics/?format=json", "/api/v2/metrics?format=json&gateway=only"] {
        let reply = gateway.reply(path, GET);
        assert_eq!(header(&reply, "content-type"), ["application/json"]);
        let json: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(json["awx_gateway_source_up"]["samples"][0]["value"], 1.0);
        assert_eq!(json.get("up").is_some(), !path.contains("only"));
    }
    let indented = &[GET, &[("accept", "application/json; indent=2")]].concat();
    let reply = gateway.reply("/api/v2/metrics/", indented);
    serde_json::from_slice::<serde_json::Value>(&reply.body).unwrap();
}

#[test]
fn an_empty_page_still_has_its_type() {
    let gateway = Fixture::new();
    gateway.store(1, PAGE);
    let reply = gateway.reply("/api/v2/metrics?dbonly=1&subsystemonly=1", GET);
    assert_eq!((reply.status, reply.body.as_slice()), (200, &b"\n"[..]));
    for (format, body) in [("json", &b"{}"[..]), ("openmetrics", b"# EOF\n"), ("protobuf", b"\0")] {
        let path = format!("/api/v2/metrics?dbonly=1&subsystemonly=1&format={format}");
        assert_eq!(gateway.reply(&path, GET).body.as_slice(), body, "{format}");
    }
}

#[test]
fn a_page_is_parsed_and_rendered_again_only_if_its_generation_changed() {
    let gateway = Fixture::new();
    gateway.store(1, PAGE);
    gateway.text();
    // A real pull changes the generation. If this page is served, it was read again without that.
    gateway.keys[0].store_page(&gateway.host, 1, stored(b"up 2\n")).unwrap();
    assert!(gateway.text().contains("up{node=\"a\"} 1"));
    gateway.store(2, b"up 3\n");
    assert!(gateway.text().contains("up 3"));
}

#[test]
fn a_page_is_served_until_it_is_stale() {
    let gateway = Fixture::new();
    gateway.store(1, PAGE);
    gateway.host.pass(Duration::from_secs(300));
    assert!(gateway.text().contains("up{node=\"a\"} 1"));
    gateway.host.pass(Duration::from_secs(1));
    let text = gateway.text();
    assert!(!text.contains("up{node"), "{text}");
    assert!(text.contains("awx_gateway_source_up{source=\"c\"} 0"), "{text}");
}

/// A gateway whose sources were not pulled yet.
fn unpulled(sources: &[&str]) -> Fixture {
    let gateway = Fixture::with_sources("{}", 1_000, sources);
    for keys in &gateway.keys {
        let read = keys.head(&gateway.host).unwrap();
        keys.swap_head(&gateway.host, &read, &Head::default()).unwrap();
    }
    gateway
}

fn text_of(reply: &Reply) -> String {
    String::from_utf8(reply.body.to_vec()).unwrap()
}

#[test]
fn a_scrape_before_the_first_pull_waits_for_it_within_the_clients_timeout() {
    let timeout = |seconds| [GET, &[(TIMEOUT, seconds)]].concat();
    for (headers, wait) in [
        (GET.to_vec(), limits::FIRST_PULL),
        (timeout("60"), limits::FIRST_PULL),
        (timeout("3"), Duration::from_millis(2_500)),
    ] {
        let gateway = unpulled(&["c"]);
        assert_eq!(gateway.start("/api/v2/metrics", &headers), Step::Wait);
        assert_eq!(gateway.scraper.tick_period(), Some(*limits::TICK.start()));
        gateway.host.pass(wait - Duration::from_millis(1));
        assert_eq!(gateway.scraper.advance(gateway.context()), []);
        gateway.host.pass(Duration::from_millis(200));
        let text = text_of(&gateway.advance().1);
        assert!(text.contains("awx_gateway_source_up{source=\"c\"} 0"), "{text}");
        let problem = "awx_gateway_source_problem_info{reason=\"not pulled yet\",source=\"c\"} 1";
        assert!(text.contains(problem), "{text}");
    }
    let gateway = unpulled(&["c"]);
    assert_eq!(gateway.reply("/api/v2/metrics?gateway=only", GET).status, 200);
    for hostile in ["", "-1", "nan", "inf", "1e300", "0", "\u{e9}"] {
        let gateway = unpulled(&["c"]);
        let step = gateway.start("/api/v2/metrics", &timeout(hostile));
        assert!(matches!(step, Step::Wait | Step::Reply(_)), "{hostile}");
    }
}

#[test]
fn a_scrape_that_waits_for_the_first_pull_gets_its_page_when_it_ends() {
    let gateway = unpulled(&["c"]);
    assert_eq!(gateway.start("/api/v2/metrics", GET), Step::Wait);
    gateway.store(1, PAGE);
    gateway.host.pass(*limits::TICK.start());
    assert!(text_of(&gateway.advance().1).contains("up{node=\"a\"} 1"));
    // A client that left is not answered.
    let gateway = unpulled(&["c"]);
    assert_eq!(gateway.start("/api/v2/metrics", GET), Step::Wait);
    gateway.scraper.forget(7);
    assert_eq!(gateway.scraper.tick_period(), None);
}

#[test]
fn a_query_selects_sources_and_names_those_that_exist() {
    let gateway = Fixture::with_sources("{}", 1_000, &["a", "b", "c"]);
    for (source, keys) in ["a", "b", "c"].iter().zip(&gateway.keys) {
        gateway.store_as(keys, 1, format!("only_{source} 1\n").as_bytes());
    }
    let page = |query: &str| {
        let reply = gateway.reply(&format!("/api/v2/metrics?{query}"), GET);
        (reply.status, text_of(&reply))
    };
    let (status, text) = page("source=a&source=c&format=txt");
    assert_eq!(status, 200);
    for (name, is_selected) in [("a", true), ("b", false), ("c", true)] {
        assert_eq!(text.contains(&format!("only_{name} 1\n")), is_selected, "{text}");
        assert_eq!(text.contains(&format!("source=\"{name}\"")), is_selected, "{text}");
    }
    let sentence = "No such source. These credentials show: a, b, c.";
    assert_eq!(page("source=a&source=x&format=txt"), (404, format!("{sentence}\n")));
    assert_eq!(page("source=x&format=json"), (404, format!("{{\"detail\":\"{sentence}\"}}")));
}

#[test]
fn a_query_for_one_source_without_a_page_is_503_with_the_reason() {
    let gateway = Fixture::with_sources("{}", 1_000, &["a", "b"]);
    gateway.store_as(&gateway.keys[0], 1, b"up 1\n");
    let reply = |query: &str| gateway.reply(&format!("/api/v2/metrics?{query}"), GET);
    assert_eq!(reply("source=a").status, 200);
    assert_eq!(reply("source=a&source=b").status, 200);
    let down = reply("source=b&format=txt");
    let reason = Cause::from(Plain::Unreachable);
    assert_eq!((down.status, text_of(&down)), (503, format!("source \"b\": {reason}\n")));
    // A page that is too old is none either.
    gateway.host.pass(Duration::from_secs(3_600));
    assert_eq!(text_of(&reply("source=a&format=txt")), "source \"a\": stale\n");
}

#[test]
fn a_scrape_notes_that_its_source_is_wanted() {
    let gateway = Fixture::new();
    gateway.text();
    assert_eq!(gateway.keys[0].wanted(&gateway.host), Some(Duration::from_secs(1_000)));
}

#[test]
fn every_series_of_the_gateway_has_its_label() {
    let gateway = Fixture::configured(r#"{"gateway": {"labels": {"gateway": "g1"}}}"#, 1_000);
    let text = gateway.text();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.contains("gateway=\"g1\""), "{line}");
    }
}

#[test]
fn a_401_says_which_credentials_are_accepted() {
    let gateway = Fixture::new();
    gateway.store(1, PAGE);
    for headers in [
        vec![(":method", "GET")],
        vec![(":method", "POST"), ("authorization", "Bearer nope")],
        vec![(":method", "GET"), ("authorization", "Bearer t0ken"), ("authorization", "Bearer x")],
        vec![(":method", "GET"), ("authorization", "Bearer t0ken, Bearer x")],
        vec![(":method", "GET"), ("authorization", "Basic !!!"), ("accept", "application/xml")],
    ] {
        let reply = gateway.reply("/api/v2/metrics", &headers);
        assert_eq!(reply.status, 401, "{headers:?}");
        assert_eq!(
            header(&reply, "www-authenticate"),
            ["Bearer realm=api authorization_url=/api/o/authorize/", "Basic realm=\"api\""]
        );
        assert!(!reply.body.windows(2).any(|bytes| bytes == b"up"), "{headers:?}");
    }
}

#[test]
fn an_error_is_json_or_the_sentence_alone() {
    let gateway = Fixture::new();
    let sentence = "Method \"POST\" not allowed.";
    let with = |accept| [&GET[1..], &[(":method", "POST"), ("accept", accept)]].concat();
    let reply = gateway.reply("/api/v2/metrics", &with("application/json"));
    assert_eq!(*reply.body, br#"{"detail":"Method \"POST\" not allowed."}"#);
    let reply = gateway.reply("/api/v2/metrics", &with("text/plain"));
    assert_eq!(*reply.body, format!("{sentence}\n").as_bytes());
    assert_eq!((reply.status, header(&reply, "allow")), (405, vec!["GET, HEAD, OPTIONS"]));
}

#[test]
fn a_format_that_cannot_be_rendered_is_406() {
    let gateway = Fixture::new();
    let headers = [GET, &[("accept", "application/xml")]].concat();
    assert_eq!(gateway.reply("/api/v2/metrics", &headers).status, 406);
    assert_eq!(gateway.reply("/api/v2/metrics?format=xml", GET).status, 406);
}

#[test]
fn options_describes_the_endpoint_to_a_permitted_client() {
    let gateway = Fixture::new();
    let reply = gateway.reply("/api/v2/metrics", &[&GET[1..], &[(":method", "OPTIONS")]].concat());
    let json: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status, &json["name"]), (200, &"Metrics".into()));
}

#[test]
fn a_password_is_checked_in_slices_and_then_remembered() {
    let rounds = 3 * limits::PASSWORD_ROUNDS_A_TICK;
    let gateway = Fixture::configured("{}", rounds);
    gateway.store(1, PAGE);
    let right = basic("password");
    let headers = [(":method", "GET"), ("authorization", right.as_str())];
    assert_eq!(gateway.start("/api/v2/metrics", &headers), Step::Wait);
    assert_eq!(gateway.scraper.tick_period(), Some(limits::BUSY_TICK));
    let answers: Vec<_> = (0..4).flat_map(|_| gateway.scraper.advance(gateway.context())).collect();
    let [(7, reply)] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(reply.status, 200);
    assert_eq!(gateway.scraper.tick_period(), None);
    assert_eq!(gateway.reply("/api/v2/metrics", &headers).status, 200);
}

#[test]
fn a_wrong_password_is_refused_after_the_same_work() {
    let gateway = Fixture::configured("{}", 2 * limits::PASSWORD_ROUNDS_A_TICK);
    let wrong = basic("wrong");
    assert_eq!(gateway.start("/api/v2/metrics", &[("authorization", &wrong)]), Step::Wait);
    assert_eq!(gateway.scraper.advance(gateway.context()), []);
    let (stream, reply) = gateway.advance();
    assert_eq!((stream, reply.status), (7, 401));
}

#[test]
fn a_password_is_remembered_in_every_vm_until_it_expires() {
    let gateway = Fixture::configured("{}", 5_000);
    let right = basic("password");
    let headers = [(":method", "GET"), ("authorization", right.as_str())];
    assert_eq!(gateway.start("/api/v2/metrics", &headers), Step::Wait);
    assert_eq!(gateway.advance().1.status, 200);
    let other = Fixture { host: gateway.host, ..Fixture::configured("{}", 5_000) };
    assert_eq!(other.reply("/api/v2/metrics", &headers).status, 200);
    other.host.pass(limits::REMEMBER_PASSWORD - Duration::from_nanos(1));
    assert_eq!(other.reply("/api/v2/metrics", &headers).status, 200);
    other.host.pass(Duration::from_nanos(1));
    assert_eq!(other.start("/api/v2/metrics", &headers), Step::Wait);
    other.host.now.set(Duration::from_secs(999));
    assert_eq!(other.start("/api/v2/metrics", &headers), Step::Wait);
}

#[test]
fn a_client_that_guesses_passwords_is_throttled_and_a_remembered_password_is_not() {
    let gateway = Fixture::new();
    let request = |password: &str| {
        let credentials = basic(password);
        gateway.start("/api/v2/metrics", &[(":method", "GET"), ("authorization", &credentials)])
    };
    assert_eq!(request("password"), Step::Wait);
    assert_eq!(gateway.advance().1.status, 200);
    for guess in 0..limits::CLIENT_FAILURES.burst {
        assert_eq!(request(&guess.to_string()), Step::Wait);
        assert_eq!(gateway.advance().1.status, 401);
    }
    let Step::Reply(reply) = request("one more") else { panic!("not throttled") };
    assert_eq!((reply.status, header(&reply, "retry-after")), (429, vec!["5"]));
    assert!(matches!(request("password"), Step::Reply(reply) if reply.status == 200));
    assert_eq!(gateway.reply("/api/v2/metrics", GET).status, 200);
    gateway.set_client("192.0.2.7:80");
    assert_eq!(request("one more"), Step::Wait);
}

#[test]
fn waiting_passwords_are_bounded_and_a_client_that_leaves_makes_room() {
    let gateway = Fixture::configured("{}", 5_000);
    let right = basic("password");
    let headers = [(":method", "GET"), ("authorization", right.as_str())];
    let clients = limits::PASSWORDS_WAITING / limits::CLIENT_PASSWORDS;
    for client in 0..clients {
        gateway.set_client(&format!("192.0.2.{client}:80"));
        for _ in 0..limits::CLIENT_PASSWORDS {
            assert_eq!(gateway.start("/api/v2/metrics", &headers), Step::Wait);
        }
    }
    gateway.set_client("192.0.2.99:80");
    let reply = gateway.reply("/api/v2/metrics", &headers);
    assert_eq!((reply.status, header(&reply, "retry-after")), (429, vec!["2"]));
    gateway.scraper.forget(7);
    assert_eq!(gateway.start("/api/v2/metrics", &headers), Step::Wait);
    assert_eq!(gateway.reply("/api/v2/metrics", GET).status, 200);
}

#[test]
fn one_client_gets_only_a_share_of_the_waiting_passwords() {
    let gateway = Fixture::configured("{}", 5_000);
    let guess = |guess: usize| {
        let credentials = basic(&guess.to_string());
        gateway.start("/api/v2/metrics", &[(":method", "GET"), ("authorization", &credentials)])
    };
    for number in 0..10 * limits::PASSWORDS_WAITING {
        match guess(number) {
            Step::Wait => assert!(number < limits::CLIENT_PASSWORDS, "{number}"),
            Step::Reply(reply) => assert_eq!(reply.status, 429),
            Step::Pass => panic!("passed"),
        }
    }
    gateway.set_client("192.0.2.99:80");
    assert_eq!(guess(0), Step::Wait);
}

#[test]
fn simultaneous_guesses_are_charged_before_they_are_checked() {
    let gateway = Fixture::configured("{}", 5_000);
    let burst = usize::try_from(limits::CLIENT_FAILURES.burst).unwrap();
    let mut waiting = 0;
    for guess in 0..2 * burst {
        let credentials = basic(&guess.to_string());
        let headers = [(":method", "GET"), ("authorization", credentials.as_str())];
        waiting += usize::from(gateway.start("/api/v2/metrics", &headers) == Step::Wait);
        // The client leaves before its password is checked. This counts as an attempt.
        gateway.scraper.forget(7);
    }
    assert_eq!(waiting, burst);
}

#[test]
fn the_page_contains_the_recorders_families_and_each_scrape_is_recorded() {
    let gateway = Fixture::new();
    assert!(gateway.text().contains("\nawx_gateway_counted 42\n"));
    gateway.reply("/api/v2/metrics?format=json", &[(":method", "GET")]);
    gateway.reply("/api/v2/metrics", &[&GET[1..], &[(":method", "PUT")]].concat());
    let (allowed, denied) = (AuthOutcome::Allowed, AuthOutcome::Denied);
    assert_eq!(
        *gateway.recorder.attempts.borrow(),
        [(Scheme::Bearer, allowed), (Scheme::None, denied), (Scheme::Bearer, allowed)]
    );
    let scrapes = [(Some(Format::Text), 200), (None, 401), (None, 405)];
    assert_eq!(*gateway.recorder.scrapes.borrow(), scrapes);
}

/// Lines of a family whose JSON is six times as large: their labels consist of control characters.
fn control_characters(family: &str, lines: usize) -> String {
    let value = "\u{1}".repeat(60_000);
    let line = |number| format!("{family}{{number=\"{number}\",text=\"{value}\"}} 1\n");
    (0..lines).fold(format!("# TYPE {family} gauge\n"), |page, number| page + &line(number))
}

#[test]
fn a_scrape_omits_the_page_with_which_it_might_exceed_its_bytes() {
    const LINES: usize = 180;
    let large = |family| control_characters(family, LINES);
    let pages = [large("a"), large("b"), large("c"), "# TYPE d gauge\nd 1\n".to_owned()];
    let most = |page: &String| {
        crate::exposition::parse::canonical(page.clone().into_bytes()).unwrap().rendered_at_most()
    };
    let [a, b, c, d] = [0, 1, 2, 3].map(|index| most(&pages[index]));
    assert!(a.max(b).max(c) <= limits::RENDERED_BYTES, "each page is within its own bound");
    assert!(a + b + d <= limits::SCRAPE_BYTES && a + b + c > limits::SCRAPE_BYTES);

    let gateway = Fixture::with_sources("{}", 1_000, &["a", "b", "c", "d"]);
    for (keys, page) in gateway.keys.iter().zip(&pages) {
        gateway.store_as(keys, 1, page.as_bytes());
    }
    // More than one callback renders.
    assert_eq!(gateway.start("/api/v2/metrics", GET), Step::Wait);
    assert_eq!(gateway.scraper.tick_period(), Some(limits::BUSY_TICK));
    let (stream, reply) = gateway.advance();
    assert_eq!((stream, reply.status, gateway.scraper.tick_period()), (7, 200, None));
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    let has = |start: &str| text.lines().any(|line| line.starts_with(start));
    assert_eq!(["a{", "b{", "c{", "d "].map(has), [true, true, false, true]);
    for (source, samples) in [("b", 0), ("c", LINES), ("d", 0)] {
        let withheld = format!(
            "awx_gateway_source_withheld_samples{{reason=\"scrape_limit\",source=\"{source}\"}} {samples}"
        );
        assert!(has(&withheld), "{source}");
    }
}
