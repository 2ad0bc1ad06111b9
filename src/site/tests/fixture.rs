//! A gateway in front of a controller, for clients whose credentials only the controller knows.

use super::*;
use crate::host::fake::SentCall;
use serde_json::{Value, json};

pub(super) const GOOD: &str = "Bearer good";
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A gateway with one or more VMs. The test gives the controller's answers.
pub(super) struct Fixture {
    pub(super) host: FakeHost,
    pub(super) vms: Vec<Site>,
    streams: Cell<StreamId>,
    /// The number of calls that the test has inspected.
    pub(super) inspected: Cell<usize>,
}

/// The replies to scrapes that waited.
type Replies = Vec<(StreamId, Reply)>;

impl Fixture {
    pub(super) fn new(changes: &[(&str, Value)]) -> Self {
        Self::of(1, changes)
    }

    pub(super) fn of(vms: usize, changes: &[(&str, Value)]) -> Self {
        let host = FakeHost::at(1_000_000);
        let vms = (0..vms).map(|_| configured(&host, changes)).collect();
        Self { host, vms, streams: Cell::new(1), inspected: Cell::new(0) }
    }

    /// The same host, with one VM of another configuration.
    pub(super) fn reconfigured(self, changes: &[(&str, Value)]) -> Self {
        Self { vms: vec![configured(&self.host, changes)], ..self }
    }

    /// A gateway that knows that the controller refuses a random token.
    pub(super) fn with_refused_probe(changes: &[(&str, Value)]) -> Self {
        let gateway = Self::new(changes);
        assert_eq!(gateway.scrape("Bearer unknown"), None);
        gateway.answer(refusal("401", "No."));
        gateway.answer(refusal("401", "No."));
        gateway.calls();
        gateway.host.pass(limits::PROBE_EVERY);
        gateway
    }

    pub(super) fn request(&self, vm: usize, headers: &[(&str, &str)]) -> (StreamId, Option<Reply>) {
        let stream = self.streams.replace(self.streams.get() + 1);
        set_headers(&self.host, &[&[(":method", "GET")], headers].concat());
        match self.vms[vm].request(&self.host, stream, SCRAPE) {
            Step::Reply(reply) => (stream, Some(reply)),
            Step::Wait => (stream, None),
            Step::Pass => panic!("passed"),
        }
    }

    /// Scrapes with this `authorization`. Returns the status, or `None` if the scrape waits.
    pub(super) fn scrape(&self, authorization: &str) -> Option<u16> {
        self.request(0, &[("authorization", authorization)]).1.map(|reply| reply.status)
    }

    /// Sets the client from which the next requests come.
    pub(super) fn set_client(&self, client: usize) {
        let address = format!("192.0.{}.{}:80", client / 250, client % 250).into_bytes();
        self.host.properties.borrow_mut().insert("source.address".to_owned(), address);
    }

    /// Answers the probe, for which no scrape waits.
    pub(super) fn answer_probe(&self, verdict: Answer) {
        assert!(self.answer(verdict).is_empty());
        let calls = self.host.calls.borrow();
        let token = sent(&calls[self.inspected.get() - 1], "authorization").unwrap();
        assert_eq!(token.len(), "Bearer ".len() + 40, "{token}");
    }

    pub(super) fn tick(&self) -> Replies {
        self.vms.iter().flat_map(|vm| vm.tick(&self.host)).collect()
    }

    /// Ticks, and returns the calls that the test has not inspected yet.
    pub(super) fn calls(&self) -> Vec<SentCall> {
        assert_eq!(self.tick(), []);
        let calls = self.host.calls.borrow();
        calls[self.inspected.replace(calls.len())..].to_vec()
    }

    /// Ticks, and answers the oldest call that the test has not inspected. Returns the statuses of the replies.
    pub(super) fn answer(&self, answer: Answer) -> Vec<u16> {
        let mut replies = self.tick();
        let call = self.inspected.replace(self.inspected.get() + 1) + 1;
        assert!(call <= self.host.calls.borrow().len(), "the controller was not asked");
        for vm in &self.vms {
            let call = CallId::try_from(call).unwrap();
            replies.extend(vm.answered(&self.host, call, answer.clone()));
        }
        replies.into_iter().map(|(_, reply)| reply.status).collect()
    }

    /// Scrapes, and has the controller permit the credential.
    pub(super) fn permit(&self, authorization: &str) {
        assert_eq!(self.scrape(authorization), None);
        assert_eq!(self.answer(permit()), [200]);
    }

    /// Tries wrong credentials until the client is throttled. Returns the number of tries.
    pub(super) fn guess(&self) -> u32 {
        for guess in 0.. {
            self.host.pass(Duration::from_millis(250));
            match self.scrape(&format!("Bearer {}", self.streams.get())) {
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

    pub(super) fn attempts(&self, scheme: &str, outcome: &str) -> Option<String> {
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

pub(super) fn down() -> Answer {
    let mut answer = answer("503", "text/plain", "no healthy upstream");
    answer.headers.pop();
    answer
}

pub(super) fn sent<'a>(call: &'a SentCall, name: &str) -> Option<&'a str> {
    call.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
}
