//! Formats, as programs that are not ours read them: the same series in each, and no page that a standard forbids.

mod corpus;
mod models;
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
use host_tests::oracle::{self, Format, OracleError, OracleFamily, Series};
use hyper::{Method, Response};
use proptest::prelude::*;

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

/// What prometheus_client makes of pages in text and OpenMetrics, all of which it must accept.
fn accepted(pages: &[Rendered]) -> Vec<[Vec<OracleFamily>; 2]> {
    let texts = pages.iter().map(|page| (page.text.as_str(), Format::Text));
    let opens = pages.iter().map(|page| (page.open.as_str(), Format::OpenMetrics));
    let questions: Vec<_> = texts.zip(opens).flat_map(<[_; 2]>::from).collect();
    let answers = oracle::families_of_pages(&questions).unwrap();
    let accepted = answers.into_iter().zip(&questions).map(|(answer, (page, format))| {
        answer.unwrap_or_else(|error| panic!("{format:?}: {error}\n{page}"))
    });
    let mut accepted = accepted.collect::<Vec<_>>().into_iter();
    std::iter::from_fn(|| Some([accepted.next()?, accepted.next()?])).collect()
}

fn assert_same_series_in_every_format(pages: &[Rendered]) {
    for (page, [text, open]) in pages.iter().zip(accepted(pages)) {
        let text = oracle::series(&text);
        assert_eq!(oracle::series(&open), text, "{}", page.open);
        // Prometheus spells bounds in its own way there, so that only the numbers are to be the same.
        assert_eq!(
            of_protobuf(&page.protobuf),
            oracle::with_points_as_numbers(text),
            "{}",
            page.text
        );
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
    let types = |kind: &str| rendered.iter().filter(|page| page.open.contains(kind)).count();
    for kind in [" counter\n", " gauge\n", " histogram\n", " summary\n", " unknown\n"] {
        assert!(types(kind) >= 30, "{kind:?}: {}", types(kind));
    }
    assert_same_series_in_every_format(&rendered);
}

#[test]
fn good_openmetrics_comes_out_series_by_series() {
    let questions = corpus::GOOD.map(|page| (page, Format::OpenMetrics));
    let theirs = oracle::families_of_pages(&questions).unwrap();
    let theirs: Vec<_> = theirs.into_iter().map(Result::unwrap).collect();
    let pages = corpus::GOOD.map(|page| parse::openmetrics(page.into()).unwrap());
    let rendered: Vec<_> = pages.iter().map(Rendered::of_page).collect();
    for ((page, [text, open]), theirs) in pages.iter().zip(accepted(&rendered)).zip(&theirs) {
        assert_eq!(page.report().unreadable_lines, 0, "{page:?}");
        let mut theirs = oracle::series(theirs);
        theirs.retain(|(name, _), _| !name.ends_with("_created"));
        assert_eq!(oracle::series(&text), theirs, "{page:?}");
        assert_eq!(oracle::series(&open), theirs, "{page:?}");
    }
}

#[test]
fn bad_openmetrics_never_makes_an_illegal_page() {
    let questions = corpus::BAD.map(|page| (page, Format::OpenMetrics));
    let theirs = oracle::families_of_pages(&questions).unwrap();
    for (page, theirs) in corpus::BAD.iter().zip(theirs) {
        assert!(matches!(theirs, Err(OracleError::Page(_))), "it is a good one: {page}");
    }
    let pages = corpus::BAD.iter().filter_map(|page| parse::openmetrics((*page).into()).ok());
    let rendered: Vec<_> = pages.map(|page| Rendered::of_page(&page)).collect();
    assert!(rendered.len() >= 80, "{}", rendered.len());
    assert_same_series_in_every_format(&rendered);
}

/// Sample lines in an order of their own.
fn lines(page: &Page) -> Vec<&str> {
    let mut lines: Vec<_> = page.families().flat_map(|family| family.lines().lines()).collect();
    lines.sort_unstable();
    lines
}

proptest! {
    #[test]
    fn what_is_rendered_is_read_back_as_it_was(page in models::page()) {
        let page = text_page(&page);
        let Rendered { text, open, .. } = Rendered::of_page(&page);
        prop_assert_eq!(&text_page(&text), &page_without_report(&page));
        let read = parse::openmetrics(open.clone().into_bytes()).unwrap();
        prop_assert_eq!(read.report().unreadable_lines, 0, "{}", open);
        prop_assert_eq!(read.report().dropped.total(), 0, "{}", open);
        prop_assert_eq!(lines(&read), lines(&page), "{}", open);
        let again = Rendered::of_page(&read).open;
        prop_assert_eq!(samples(&again), samples(&open));
    }
}

/// The page as it is read of its own text: nothing is dropped of that.
fn page_without_report(page: &Page) -> Page {
    text_page(page.as_text())
}

/// Sample lines in an order of their own, for what lost its type is sorted otherwise the second time.
fn samples(open: &str) -> Vec<&str> {
    let mut samples: Vec<_> = open.lines().filter(|line| !line.starts_with('#')).collect();
    samples.sort_unstable();
    samples
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

    async fn pages_in_openmetrics_are_pulled_like_others(host) {
        let pages = [corpus::GOOD[5], corpus::GOOD[11], corpus::GOOD[27], corpus::GOOD[28]];
        let (_stage, clients) = sending(host, &pages, OPENMETRICS).await;
        for (client, source) in clients.iter().zip(pages) {
            until_up(client).await;
            let mut theirs = oracle::series(&oracle::families(source, Format::OpenMetrics).unwrap());
            theirs.retain(|(name, _), _| !name.ends_with("_created"));
            for (query, format) in [("", Format::Text), ("&format=openmetrics", Format::OpenMetrics)] {
                let (_, ours) = page(client, &format!("?gateway=none{query}")).await;
                let ours = String::from_utf8(ours.to_vec()).unwrap();
                assert_eq!(oracle::series(&oracle::families(&ours, format).unwrap()), theirs);
            }
        }
        let (_, page) = page(&clients[1], "?gateway=only").await;
        let page = String::from_utf8(page.to_vec()).unwrap();
        let labels = [("source", "controller"), ("reason", "exemplar")];
        assert!(sample(&page, "awx_gateway_source_dropped_samples_total", &labels) >= Some(1.0));
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
