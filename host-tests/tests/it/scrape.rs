//! SCRAPE: independent readers find on the served page what the controller sent.

use std::collections::BTreeMap;

use bytes::Bytes;
use host_tests::capture::{self, Capture};
use host_tests::client::Client;
use host_tests::controller::{Mode, Received};
use host_tests::gateway::Host;
use host_tests::on_both_hosts;
use host_tests::oracle::{self, Format, OracleFamily, OracleSample, Series};
use hyper::{Method, Response};
use serde_json::Value;

use crate::stage::{METRICS, Stage, TOKEN, again, plugin, pulls, scrape, until, until_up};

/// The page of a healthy controller.
const FULL: &str = "m-bearer-read";

/// Captured pages in text, each content once.
fn text_pages() -> Vec<Capture> {
    let mut pages: Vec<Capture> = Vec::new();
    for page in capture::all().into_iter().chain(capture::services()) {
        let is_text =
            page.reply.header("content-type").is_some_and(|is| is.starts_with("text/plain"));
        let is_page = is_text && page.reply.body.starts_with(b"# HELP");
        if is_page && pages.iter().all(|have| have.reply.body != page.reply.body) {
            pages.push(page);
        }
    }
    pages
}

/// The controller's own page as text and as JSON: two captures.
const AS_JSON: [(&str, &str, &str); 6] = [
    ("m-bearer-read", "m-admin-json", "?format=json"),
    ("m-bearer-read", "m-admin-json-indent", "?format=json"),
    ("m-dbonly", "m-dbonly-json", "?format=json"),
    ("m-subsystemonly", "m-subsystemonly-json", "?format=json"),
    ("anonok-bob", "anonok-anon-json", "?format=json"),
    ("m-session", "m-session-json", "?format=json&dbonly=1"),
];

/// Repeated series with different values: the controller's JSON has the last value, ours the first.
const TWICE: [&str; 3] = [
    "subsystem_metrics_pipe_execute_seconds",
    "subsystem_metrics_pipe_execute_calls",
    "subsystem_metrics_send_metrics_seconds",
];

fn text_page(page: &str) -> Mode {
    Mode::Page(page.as_bytes().to_vec(), "text/plain; charset=utf-8".to_owned())
}

/// A gateway with a listener for each page, whose controller serves it.
async fn serving(host: Host, pages: &[String]) -> (Stage, Vec<Client>) {
    let plugins: Vec<_> = (0..pages.len()).map(plugin).collect();
    let stage = Stage::of_modes(host, &plugins, pages.iter().map(|page| text_page(page))).await;
    let clients = (0..pages.len()).map(|at| stage.gateway.client_of(at).bearer(TOKEN));
    let clients: Vec<_> = clients.collect();
    for client in &clients {
        until_up(client).await;
    }
    (stage, clients)
}

/// The content of pages for prometheus_client, which must accept them.
fn read(pages: &[String], format: Format) -> Vec<Vec<OracleFamily>> {
    let questions: Vec<_> = pages.iter().map(|page| (page.as_str(), format)).collect();
    let answers = oracle::families_of_pages(&questions).unwrap();
    answers.into_iter().map(Result::unwrap).collect()
}

/// The help and type of every family. A repeated one is read twice.
fn headers(families: &[OracleFamily]) -> BTreeMap<&str, (&str, &str)> {
    families.iter().map(|f| (f.name.as_str(), (f.help.as_str(), f.kind.as_str()))).collect()
}

/// The series without the gateway's own.
fn controllers(families: &[OracleFamily]) -> BTreeMap<Series, String> {
    let mut series = oracle::series(families);
    series.retain(|(name, _), _| !name.starts_with("awx_gateway_"));
    series
}

/// A sample in the controller's JSON: the suffix of its name in a histogram, its labels, its value.
type JsonSample = (String, BTreeMap<String, String>, String);

/// The families as in the controller's JSON, but with the first value of a repeated series.
fn json_shape(families: &[OracleFamily]) -> BTreeMap<&str, (&str, &str, Vec<JsonSample>)> {
    let mut shape = BTreeMap::new();
    for family in families {
        let (_, _, samples) = shape.entry(family.name.as_str()).or_insert_with(|| {
            (family.help.as_str(), family.kind.as_str(), Vec::<JsonSample>::new())
        });
        for sample in &family.samples {
            let of = sample_type(family, sample);
            let is_known = |(kind, labels, _): &JsonSample| *kind == of && *labels == sample.labels;
            // In JSON, the sum of a summary is not distinguishable from its count.
            if family.kind == "summary" || !samples.iter().any(is_known) {
                samples.push((of, sample.labels.clone(), sample.value.clone()));
            }
        }
    }
    shape.values_mut().for_each(|(_, _, samples)| samples.sort());
    shape
}

fn sample_type(family: &OracleFamily, sample: &OracleSample) -> String {
    let suffix = match family.kind.as_str() {
        "histogram" => sample.name.strip_prefix(&format!("{}_", family.name)),
        _ => None,
    };
    // In JSON, the name is already the sample's type.
    let read_off_json = ["bucket", "count", "sum"].contains(&sample.name.as_str());
    suffix.unwrap_or(if read_off_json { &sample.name } else { "" }).to_owned()
}

on_both_hosts! {
    async fn every_captured_page_is_served_as_it_was_pulled(host) {
        let captured = text_pages();
        assert!(captured.len() >= 13, "{}", captured.len());
        let pages: Vec<_> = captured.iter().map(|page| page.reply.text()).collect();
        let (_stage, clients) = serving(host, &pages).await;
        let (mut texts, mut jsons) = (Vec::new(), Vec::new());
        for client in &clients {
            texts.push(scrape(client, "?gateway=none").await);
            jsons.push(scrape(client, "?gateway=none&format=json").await);
        }
        let (theirs, ours) = (read(&pages, Format::Text), read(&texts, Format::Text));
        let ours_as_json = read(&jsons, Format::Json);
        for (at, capture) in captured.iter().enumerate() {
            let name = &capture.name;
            assert_eq!(oracle::series(&ours[at]), oracle::series(&theirs[at]), "{name}");
            assert_eq!(headers(&ours[at]), headers(&theirs[at]), "{name}");
            assert_eq!(json_shape(&ours_as_json[at]), json_shape(&theirs[at]), "{name}");
            let once = ours[at].iter().map(|family| &family.name);
            assert_eq!(once.count(), headers(&ours[at]).len(), "{name}: a family stands twice");
        }
    }

    async fn the_json_equals_the_controllers_own_json_of_its_page(host) {
        let pages: Vec<_> =
            AS_JSON.iter().map(|(text, _, _)| capture::named(text).reply.text()).collect();
        let (_stage, clients) = serving(host, &pages).await;
        for ((_, json, query), client) in AS_JSON.iter().zip(&clients) {
            let theirs: Value = serde_json::from_str(&capture::named(json).reply.text()).unwrap();
            let ours = scrape(client, &format!("{query}&gateway=none")).await;
            let ours: Value = serde_json::from_str(&ours).unwrap();
            assert_eq!(comparable(ours), comparable(theirs), "{json}");
        }
    }

    async fn every_captured_query_gets_the_captured_series(host) {
        let (stage, _clients) = serving(host, &[capture::named(FULL).reply.text()]).await;
        let captures: Vec<_> =
            capture::all().into_iter().filter(Capture::is_about_a_query).collect();
        assert!(captures.len() >= 20, "{}", captures.len());
        let mut pairs = Vec::new();
        for capture in &captures {
            let ours = again(&stage.gateway.client(), &capture.request).await;
            pairs.extend(pair(capture, ours));
        }
        assert_same_series(&pairs);
        assert_same_json(&pairs);
    }

    async fn promtool_reports_only_lints_of_the_controllers_own_names(host) {
        let (_stage, clients) = serving(host, &[capture::named(FULL).reply.text()]).await;
        let page = scrape(&clients[0], "").await;
        let complaints = oracle::promtool(&page).unwrap();
        assert!(!complaints.is_empty(), "promtool has not seen the page");
        for complaint in complaints {
            assert!(is_lint_of_a_controllers_name(&complaint, &page), "{complaint}");
        }
        let own = scrape(&clients[0], "?gateway=only").await;
        assert_eq!(oracle::promtool(&own).unwrap(), [""; 0]);
    }

    async fn prometheus_client_accepts_every_text_page_in_every_state_of_the_gateway(host) {
        let modes =
            [Mode::Normal, Mode::IllegalLines, Mode::Failing(500), Mode::RedisEmpty, Mode::Gone];
        let plugins: Vec<_> = (0..modes.len()).map(plugin).collect();
        let stage = Stage::of_modes(host, &plugins, modes.into_iter()).await;
        let mut pages = Vec::new();
        for listener in 0..plugins.len() {
            let client = stage.gateway.client_of(listener).bearer(TOKEN);
            pages.push(until(&client, "", |page| pulls(page) >= 1.0).await);
        }
        for query in ["?dbonly=1&subsystemonly=1", "?gateway=only", "?node=nobody", "?name[]=none"]
        {
            pages.push(stage.scrape(query).await);
        }
        assert_eq!(read(&pages, Format::Text).len(), pages.len());
    }

    async fn the_reply_to_head_has_the_length_of_the_page_and_no_body(host) {
        let (_stage, clients) = serving(host, &[capture::named(FULL).reply.text()]).await;
        let get = clients[0].get("/api/v2/metrics?gateway=none").await.unwrap();
        let head =
            clients[0].request(Method::HEAD, "/api/v2/metrics?gateway=none", "").await.unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(head.headers()["content-length"], get.body().len().to_string());
        assert_eq!(head.headers()["content-type"], get.headers()["content-type"]);
        assert!(head.body().is_empty());
    }

    async fn a_scrape_sends_no_request_to_the_controller(host) {
        let stage = Stage::start(host).await.up().await;
        for path in [
            "/api/v2/metrics",
            "/api/v2/metrics/",
            "/api/controller/v2/metrics",
            "/api/controller/v2/metrics/?format=json",
        ] {
            let reply = stage.prometheus().get(path).await.unwrap();
            assert_eq!(reply.status(), 200, "{path}");
            let reply = stage.gateway.client().get(path).await.unwrap();
            assert_eq!(reply.status(), 401, "{path}");
        }
        let agent = |request: &Received| {
            request
                .header("user-agent")
                .is_some_and(|agent| agent.starts_with(b"awx-metrics-filter/"))
        };
        let requests = stage.controller().requests();
        assert!(requests.iter().all(agent), "{requests:?}");
    }
}

/// Intended differences from the controller's reply.
const OTHERWISE: [(&str, u16, &str); 5] = [
    ("m-format-api", 200, "it is another HTML page"),
    ("m-format-xml", 406, "500 is the controller's mistake"),
    ("m-format-prometheus", 406, "500 is the controller's mistake"),
    ("m-format-json-accepttext", 200, "500 is the controller's mistake: `format` overrides Accept"),
    ("m-format-txt-acceptjson", 200, "500 is the controller's mistake: `format` overrides Accept"),
];

/// Our page and the controller's, for a comparison.
struct Pair {
    name: String,
    format: Format,
    ours: String,
    theirs: String,
}

/// The two pages, unless the difference is intended.
fn pair(capture: &Capture, ours: Response<Bytes>) -> Option<Pair> {
    let Capture { name, reply, .. } = capture;
    if let Some((_, status, why)) = OTHERWISE.iter().find(|(other, ..)| other == name) {
        assert_eq!(ours.status(), *status, "{name}: {why}");
        return None;
    }
    assert_eq!(ours.status(), reply.status, "{name}");
    let format = match ours.headers()["content-type"].to_str().unwrap() {
        "application/json" => Format::Json,
        "text/plain; version=0.0.4; charset=utf-8" => Format::Text,
        other => panic!("{name}: {other}"),
    };
    // An empty page of the controller has no type.
    let theirs = reply.header("content-type").map(|is| is.starts_with("application/json"));
    assert_eq!(theirs.unwrap_or(false), format == Format::Json, "{name}");
    let body = String::from_utf8(ours.into_body().to_vec()).unwrap();
    Some(Pair { name: name.clone(), format, ours: body, theirs: reply.text() })
}

/// Pairs in this format, with the content of each page for an independent reader.
fn both_read(pairs: &[Pair], format: Format) -> Vec<(&str, Vec<OracleFamily>, Vec<OracleFamily>)> {
    let pairs: Vec<_> = pairs.iter().filter(|pair| pair.format == format).collect();
    let ours: Vec<_> = pairs.iter().map(|pair| pair.ours.clone()).collect();
    let theirs: Vec<_> = pairs.iter().map(|pair| pair.theirs.clone()).collect();
    let read = read(&ours, format).into_iter().zip(read(&theirs, format));
    let names = pairs.into_iter().map(|pair| pair.name.as_str());
    names.zip(read).map(|(name, (ours, theirs))| (name, ours, theirs)).collect()
}

fn assert_same_series(pairs: &[Pair]) {
    for (name, ours, theirs) in both_read(pairs, Format::Text) {
        assert_eq!(controllers(&ours), oracle::series(&theirs), "{name}");
    }
}

fn assert_same_json(pairs: &[Pair]) {
    for (name, ours, theirs) in both_read(pairs, Format::Json) {
        let (mut ours, mut theirs) = (json_shape(&ours), json_shape(&theirs));
        ours.retain(|family, _| !family.starts_with("awx_gateway_") && !TWICE.contains(family));
        theirs.retain(|family, _| !TWICE.contains(family));
        assert_eq!(ours, theirs, "{name}");
    }
}

/// Sorted samples, without intended differences.
fn comparable(page: Value) -> BTreeMap<String, Value> {
    let Value::Object(families) = page else { panic!("no object: {page}") };
    let mut families: BTreeMap<String, Value> = families.into_iter().collect();
    families.retain(|name, _| !TWICE.contains(&name.as_str()));
    for family in families.values_mut() {
        let samples = family["samples"].as_array_mut().unwrap();
        samples.sort_by_key(|sample| {
            (sample["labels"].to_string(), sample["sample_type"].to_string())
        });
    }
    families
}

/// Findings of promtool that are allowed: nearly every family of the controller is a gauge, so it reports suffixes.
const LINTS: [&str; 2] = [
    "non-counter metrics should not have \"_total\" suffix",
    "non-histogram and non-summary metrics should not have \"_count\" suffix",
];

fn is_lint_of_a_controllers_name(complaint: &str, page: &str) -> bool {
    let Some((name, lint)) = complaint.split_once(' ') else { return false };
    let is_gauge = page.contains(&format!("# TYPE {name} gauge\n"));
    is_gauge && !name.starts_with("awx_gateway_") && LINTS.contains(&lint)
}

on_both_hosts! {
    async fn the_format_is_negotiated_as_the_controller_does_it(host) {
        let stage = Stage::start(host).await.up().await;
        for (accept, wanted) in [
            ("application/json, */*", "application/json"),
            ("*/*, application/json", "application/json"),
            ("application/json, text/plain, */*", "text/plain; version=0.0.4; charset=utf-8"),
            ("text/plain;q=.5", "text/plain; version=0.0.4; charset=utf-8"),
            ("text/plain;q=.5, application/json;q=.6", "application/json"),
            ("application/json;q=0.1234", "application/json"),
            ("application/json;q=abc", "application/json"),
            ("application/json ; q = 0.5", "application/json"),
            ("application/json;q", "application/json"),
        ] {
            let reply = stage.prometheus().header("accept", accept).get(METRICS).await.unwrap();
            assert_eq!(reply.status(), 200, "{accept}");
            assert_eq!(reply.headers()["content-type"], wanted, "{accept}");
        }
        let refused = stage.prometheus().header("accept", "text/plain;q=.0").get(METRICS).await;
        assert_eq!(refused.unwrap().status(), 406);
    }

    async fn a_token_in_the_url_is_refused_and_the_refusal_names_the_header(host) {
        let stage = Stage::start(host).await;
        let client = stage.gateway.client();
        let said = async |query: &str| {
            let reply = client.get(&format!("{METRICS}{query}")).await.unwrap();
            assert_eq!(reply.status(), 401, "{query}");
            String::from_utf8(reply.body().to_vec()).unwrap()
        };
        let named = said(&format!("?access_token={TOKEN}")).await;
        assert!(named.contains("Authorization: Bearer") && !named.contains(TOKEN), "{named}");
        assert!(!said("").await.contains("Authorization: Bearer"));
        let both = stage.prometheus().get(&format!("{METRICS}?access_token=x")).await.unwrap();
        assert_eq!(both.status(), 200);
    }
}
