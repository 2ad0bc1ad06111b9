//! Formats, as programs that are not ours read them: the same series in each, and no page that a standard forbids.

mod corpus;
mod models;
mod read_back;
mod steady;

use std::collections::BTreeMap;

use awx_metrics_filter::exposition::openmetrics::{self, Values};
use awx_metrics_filter::exposition::parse;
use awx_metrics_filter::exposition::{protobuf, text};
use awx_metrics_filter::metrics::{Merged, Page, Part, Selection, merge};
use bytes::Bytes;
use host_tests::capture::{self, Capture};
use host_tests::client::Client;
use host_tests::controller::Mode;
use host_tests::on_both_hosts;
use host_tests::oracle::{self, Format, Series};
use hyper::{Method, Response};

use crate::stage::{METRICS, Stage, TOKEN, plugin, sample, until_up};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROTOBUF: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                        encoding=delimited";

type ByName = BTreeMap<Series, String>;

/// A page in each format that Prometheus reads.
struct Rendered {
    text: String,
    open: String,
    protobuf: Vec<u8>,
}

impl Rendered {
    fn of(merged: &Merged<'_>) -> Self {
        let everything = Selection::default();
        let (mut text, mut open, mut protobuf) = (Vec::new(), Vec::new(), Vec::new());
        text::render(merged, &everything, &mut text);
        openmetrics::render(merged, &everything, Values::Real, &mut open);
        open.extend_from_slice(openmetrics::END);
        protobuf::render(merged, &everything, &mut protobuf);
        let utf8 = |bytes| String::from_utf8(bytes).unwrap();
        Self { text: utf8(text), open: utf8(open), protobuf }
    }

    fn of_page(page: &Page) -> Self {
        Self::of(&merge(&[Part { page, labels: &[], gateway_families: true }]))
    }
}

fn text_page(page: &str) -> Page {
    parse::text(page.as_bytes().to_vec()).unwrap()
}

/// The series of pages in text and OpenMetrics, all of which prometheus_client must accept.
fn accepted(pages: &[Rendered]) -> Vec<[ByName; 2]> {
    let samples: Vec<_> = pages.iter().map(|page| samples_alone(&page.text)).collect();
    let questions = pages.iter().zip(&samples).flat_map(|(page, samples)| {
        let texts = [page.text.as_str(), samples].map(|text| (text, Format::Text));
        [texts[0], texts[1], (page.open.as_str(), Format::OpenMetrics)]
    });
    let questions: Vec<_> = questions.collect();
    let answers = oracle::families_of_pages(&questions).unwrap();
    let accepted = answers.into_iter().zip(&questions).map(|(answer, (page, format))| {
        answer.unwrap_or_else(|error| panic!("{format:?}: {error}\n{page}"))
    });
    let accepted: Vec<_> = accepted.collect();
    accepted.chunks(3).map(|page| [&page[1], &page[2]].map(|page| oracle::series(page))).collect()
}

/// A page in text without its TYPE lines, for prometheus_client calls the samples of a counter `x` of text `x_total`.
fn samples_alone(text: &str) -> String {
    let is_sample = |line: &&str| !line.trim_start().starts_with('#');
    text.split_inclusive('\n').filter(is_sample).collect()
}

fn assert_same_series_in_every_format(pages: &[Rendered]) {
    for (page, [text, open]) in pages.iter().zip(accepted(pages)) {
        assert_eq!(open, text, "{}", page.open);
        // Prometheus spells bounds in its own way there, so that only the numbers are to be the same.
        let text = oracle::with_points_as_numbers(text);
        assert_eq!(of_protobuf(&page.protobuf), text, "{}", page.text);
    }
}

fn of_protobuf(page: &[u8]) -> ByName {
    oracle::with_points_as_numbers(oracle::series(&oracle::protobuf::families(page).unwrap()))
}

#[test]
fn every_format_has_the_series_of_every_captured_page() {
    let captures = capture::all().into_iter().chain(capture::services());
    let is_page = |capture: &Capture| capture.reply.body.starts_with(b"# HELP");
    let pages: Vec<_> =
        captures.filter(is_page).map(|page| text_page(&page.reply.text())).collect();
    assert!(pages.len() >= 20, "{}", pages.len());
    let rendered: Vec<_> = pages.iter().map(Rendered::of_page).collect();
    assert_same_series_in_every_format(&rendered);
}

#[test]
fn every_format_has_the_series_of_pages_full_of_clashes() {
    let pages: Vec<_> = models::pages(800).iter().map(|page| text_page(page)).collect();
    let mut rendered: Vec<_> = pages.iter().map(Rendered::of_page).collect();
    rendered.extend(pages.windows(2).map(|pair| {
        let part = |page| Part { page, labels: &[], gateway_families: true };
        Rendered::of(&merge(&[part(&pair[0]), part(&pair[1])]))
    }));
    let protobuf = rendered.iter().flat_map(|it| oracle::protobuf::families(&it.protobuf).unwrap());
    let protobuf: Vec<_> = protobuf.map(|family| family.kind).collect();
    for kind in ["counter", "gauge", "histogram", "summary", "unknown"] {
        let line_end = format!(" {kind}\n");
        let open = rendered.iter().filter(|page| page.open.contains(&line_end)).count();
        let protobuf = protobuf.iter().filter(|it| *it == kind).count();
        assert!(open >= 30 && protobuf >= 30, "{kind}: {open} and {protobuf}");
    }
    assert_same_series_in_every_format(&rendered);
}

async fn page(client: &Client, query: &str) -> (String, Bytes) {
    let reply: Response<Bytes> = client.get(&format!("{METRICS}{query}")).await.unwrap();
    assert_eq!(reply.status(), 200, "{query}");
    let media_type = reply.headers()["content-type"].to_str().unwrap().to_owned();
    (media_type, reply.into_body())
}

/// A gateway with a listener for each page, whose source sends it with this type.
async fn sending(
    host: host_tests::gateway::Host,
    pages: &[&str],
    media_type: &str,
) -> (Stage, Vec<Client>) {
    let plugins: Vec<_> = (0..pages.len()).map(plugin).collect();
    let modes = pages.iter().map(|page| Mode::Page(page.as_bytes().into(), media_type.to_owned()));
    let stage = Stage::of_modes(host, &plugins, modes).await;
    let clients = (0..pages.len()).map(|at| stage.gateway.client_of(at).bearer(TOKEN)).collect();
    (stage, clients)
}

on_both_hosts! {
    async fn a_page_has_the_same_series_in_every_format_that_prometheus_reads(host) {
        let captures = ["m-bearer-read", "m-dbonly", "svc-8015"].map(|name| {
            let captures = capture::all().into_iter().chain(capture::services());
            captures.into_iter().find(|capture| capture.name == name).unwrap().reply.text()
        });
        let pages = captures.each_ref().map(String::as_str);
        let (_stage, clients) = sending(host, &pages, "text/plain; charset=utf-8").await;
        for client in &clients {
            until_up(client).await;
            let (_, text) = page(client, "?gateway=none").await;
            let (media_type, open) = page(client, "?gateway=none&format=openmetrics").await;
            assert_eq!(media_type, OPENMETRICS);
            let (media_type, protobuf) = page(client, "?gateway=none&format=protobuf").await;
            assert_eq!(media_type, PROTOBUF);
            let utf8 = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
            let page = Rendered { text: utf8(text), open: utf8(open), protobuf: protobuf.into() };
            assert_same_series_in_every_format(&[page]);
        }
    }

    async fn the_gateways_own_families_keep_their_types(host) {
        let stage = Stage::start(host).await.up().await;
        let client = stage.prometheus();
        // Twice, since what the first one writes the second one fills in.
        for _ in 0..2 {
            let (_, open) = page(&client, "?gateway=only&format=openmetrics").await;
            let open = String::from_utf8(open.to_vec()).unwrap();
            let families = oracle::families(&open, Format::OpenMetrics).unwrap();
            let kind = |name: &str| {
                let family = families.iter().find(|family| family.name == name).unwrap();
                (family.kind.as_str(), family.unit.as_str())
            };
            assert_eq!(kind("awx_gateway_requests"), ("counter", ""));
            assert_eq!(kind("awx_gateway_source_up"), ("gauge", ""));
            assert_eq!(kind("awx_gateway_request_duration_seconds"), ("histogram", "seconds"));
            assert!(families.iter().all(|family| family.kind != "unknown"), "{open}");
        }
    }

    async fn each_prometheus_gets_what_it_asks_for(host) {
        let stage = Stage::start(host).await.up().await;
        for (name, expected) in [
            ("m-admin-prom2", OPENMETRICS.to_owned()),
            ("m-admin-prom2-hdrs", OPENMETRICS.to_owned()),
            ("m-admin-prom2-protobuf", PROTOBUF.to_owned()),
            ("m-admin-prom225", OPENMETRICS.replace("1.0.0", "0.0.1")),
            ("m-admin-prom3", format!("{OPENMETRICS}; escaping=allow-utf-8")),
            ("m-admin-prom3b", format!("{OPENMETRICS}; escaping=allow-utf-8")),
            ("m-admin-openmetrics-only", OPENMETRICS.to_owned()),
        ] {
            let mut client = stage.prometheus();
            for (header, value) in capture::named(name).request.headers {
                if header.eq_ignore_ascii_case("accept") {
                    client = client.header("accept", value);
                }
            }
            assert_eq!(page(&client, "").await.0, expected, "{name}");
        }
    }

    async fn what_openmetrics_has_and_text_has_not_is_counted(host) {
        let page = "# TYPE x counter\nx_total 1 # {trace=\"a\"} 0.5\nx_created 5\n# EOF\n";
        let (_stage, clients) = sending(host, &[page], OPENMETRICS).await;
        until_up(&clients[0]).await;
        let (_, page) = self::page(&clients[0], "?gateway=only").await;
        let page = String::from_utf8(page.to_vec()).unwrap();
        for reason in ["exemplar", "created"] {
            let labels = [("source", "controller"), ("reason", reason)];
            let dropped = sample(&page, "awx_gateway_source_dropped_samples_total", &labels);
            assert!(dropped >= Some(1.0), "{page}");
        }
    }

    async fn gzip_saves_most_of_a_page_and_takes_nothing_from_it(host) {
        let captured = capture::named("m-bearer-read").reply.text();
        let (_stage, clients) = sending(host, &[&captured], "text/plain; charset=utf-8").await;
        let client = &clients[0];
        until_up(client).await;
        let zipping = client.clone().header("accept-encoding", "gzip");
        for query in ["", "&format=openmetrics", "&format=json", "&format=protobuf"] {
            let target = format!("{METRICS}?gateway=none{query}");
            let plain = client.get(&target).await.unwrap();
            let zipped = zipping.get(&target).await.unwrap();
            assert_eq!(zipped.headers()["content-encoding"], "gzip", "{query}");
            assert_eq!(zipped.headers()["content-type"], plain.headers()["content-type"]);
            assert!(zipped.headers()["vary"].to_str().unwrap().contains("Accept-Encoding"));
            assert!(zipped.body().len() * 3 < plain.body().len(), "{query}");
            assert_eq!(oracle::gunzip(zipped.body()).unwrap(), plain.body().to_vec(), "{query}");
            let head = zipping.request(Method::HEAD, &target, "").await.unwrap();
            assert_eq!(head.headers()["content-length"], zipped.body().len().to_string());
        }
        for accept in ["identity", "gzip;q=0", "br"] {
            let client = client.clone().header("accept-encoding", accept);
            let reply = client.get(METRICS).await.unwrap();
            assert!(!reply.headers().contains_key("content-encoding"), "{accept}");
        }
    }

    async fn compressed_pages_follow_the_gateways_numbers(host) {
        let stage = Stage::start(host).await.up().await;
        let zipping = stage.prometheus().header("accept-encoding", "gzip");
        let mut counted = Vec::new();
        for query in ["", "?gateway=only", "", "?format=openmetrics", "?format=openmetrics"] {
            let reply = zipping.get(&format!("{METRICS}{query}")).await.unwrap();
            assert_eq!(reply.headers()["content-encoding"], "gzip");
            let page = String::from_utf8(oracle::gunzip(reply.body()).unwrap()).unwrap();
            let labels = [("outcome", "allowed"), ("scheme", "bearer")];
            counted.push(sample(&page, "awx_gateway_auth_attempts_total", &labels).unwrap());
        }
        assert!(counted.is_sorted_by(|a, b| a < b), "{counted:?}");
    }
}
