//! Formats, as read by independent programs: each has the same series, and no page violates a standard.

mod corpus;
mod models;
mod read_back;
mod readers;
mod steady;

use std::collections::BTreeMap;
use std::rc::Rc;

use awx_metrics_filter::exposition::{self, openmetrics, parse, render};
use awx_metrics_filter::metrics::{Merged, Page, Part, Selection, merge};
use bytes::Bytes;
use host_tests::capture::{self, Capture};
use host_tests::client::Client;
use host_tests::controller::Mode;
use host_tests::on_both_hosts;
use host_tests::oracle::{self, Format, OracleFamily, Series};
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
    fn of(merged: Merged) -> Self {
        Self::of_shared(&Rc::new(merged))
    }

    fn of_shared(merged: &Rc<Merged>) -> Self {
        let everything = Selection::default();
        let rendered = |format| render(Rc::clone(merged), &everything, format);
        let (text, protobuf) =
            (rendered(exposition::Format::Text), rendered(exposition::Format::Protobuf));
        let mut open = rendered(exposition::Format::OpenMetrics);
        open.extend_from_slice(openmetrics::END);
        let utf8 = |bytes| String::from_utf8(bytes).unwrap();
        Self { text: utf8(text), open: utf8(open), protobuf }
    }

    fn of_page(page: &Page) -> Self {
        Self::of(merge(&[part(page)]))
    }
}

fn part(page: &Page) -> Part<'static> {
    Part { page: Rc::new(page.clone()), labels: &[], gateway_families: true }
}

fn text_page(page: &str) -> Page {
    parse::text(page.as_bytes().to_vec()).unwrap()
}

/// The pages in text and OpenMetrics, as prometheus_client reads them; it must accept all of them.
fn accepted(pages: &[Rendered]) -> Vec<[Vec<OracleFamily>; 2]> {
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
    accepted.chunks(3).map(|page| [&page[1], &page[2]].map(Vec::clone)).collect()
}

/// A page in text without its TYPE lines, because prometheus_client calls the samples of a counter `x` in text
/// `x_total`.
fn samples_alone(text: &str) -> String {
    let is_sample = |line: &&str| !line.trim_start().starts_with('#');
    text.split_inclusive('\n').filter(is_sample).collect()
}

fn assert_same_series_in_every_format(pages: &[Rendered]) {
    for (page, [text, open]) in pages.iter().zip(accepted(pages)) {
        let (text, exemplars) = (oracle::series(&text), oracle::exemplars(&open));
        assert_eq!(oracle::series(&open), text, "{}", page.open);
        let of_protobuf = oracle::protobuf::families(&page.protobuf).unwrap();
        let mut exemplars = oracle::with_points_as_numbers(exemplars);
        // A histogram without sum and count has no type in that format.
        let untyped = of_protobuf.iter().filter(|family| family.kind == "unknown");
        let untyped: Vec<_> = untyped.map(|family| &family.name).collect();
        exemplars.retain(|(name, _), _| !untyped.contains(&name));
        let kept = oracle::with_points_as_numbers(oracle::exemplars(&of_protobuf));
        assert_eq!(kept, exemplars, "{}", page.open);
        // Prometheus has its own notation for bounds there, so only the numbers must be equal.
        let text = oracle::with_points_as_numbers(text);
        let of_protobuf = oracle::with_points_as_numbers(oracle::series(&of_protobuf));
        assert_eq!(of_protobuf, text, "{}", page.text);
    }
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
fn every_format_has_the_series_of_pages_with_name_clashes() {
    let pages: Vec<_> = models::pages(800).iter().map(|page| text_page(page)).collect();
    let mut rendered: Vec<_> = pages.iter().map(Rendered::of_page).collect();
    rendered.extend(
        pages.windows(2).map(|pair| Rendered::of(merge(&[part(&pair[0]), part(&pair[1])]))),
    );
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

/// In seconds.
fn unix_time() -> f64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64()
}

/// A gateway with a listener for each page, whose source sends it with this content type.
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
        // Twice, since the second scrape reuses the first one's rendering.
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

    async fn each_prometheus_gets_the_format_that_it_requests(host) {
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

    async fn content_that_no_format_can_express_is_counted(host) {
        let page = "# TYPE x counter\nx_total 1 # {trace=\"a\"} 0.5\nx_created 5\n# TYPE y gauge\n\
                    y 1 # {} 1\n# EOF\n";
        let (_stage, clients) = sending(host, &[page], OPENMETRICS).await;
        until_up(&clients[0]).await;
        let (_, page) = self::page(&clients[0], "?gateway=only").await;
        let page = String::from_utf8(page.to_vec()).unwrap();
        let dropped = |reason| {
            let labels = [("source", "controller"), ("reason", reason)];
            sample(&page, "awx_gateway_source_dropped_samples_total", &labels)
        };
        assert!(dropped("created") >= Some(1.0), "{page}");
        assert_eq!(dropped("exemplar"), dropped("created"), "{page}");
    }

    async fn lines_that_some_reader_refuses_are_dropped_and_counted_by_reason(host) {
        let value = "x".repeat(70_000);
        let page = format!(
            "a 3 -1\n{{\"b.c\"}} 1\nd{{e=\"{value}\"}} 1\nf{{__g=\"h\"}} 1\ni{{u=\"CORP\\svc\"}} 1\n"
        );
        let (_stage, clients) = sending(host, &[&page], "text/plain; version=0.0.4").await;
        until_up(&clients[0]).await;
        let text = async |query| {
            let (_, page) = self::page(&clients[0], query).await;
            String::from_utf8(page.to_vec()).unwrap()
        };
        let page = text("?gateway=none").await;
        assert_eq!(sample(&page, "i", &[("u", "CORP\\\\svc")]), Some(1.0), "{page}");
        assert_eq!(page.lines().filter(|line| !line.starts_with('#')).count(), 1, "{page}");
        let page = text("?gateway=only").await;
        for reason in ["timestamp", "quoted_name", "long_value"] {
            let labels = [("source", "controller"), ("reason", reason)];
            let dropped = sample(&page, "awx_gateway_source_dropped_samples_total", &labels);
            assert!(dropped >= Some(1.0), "{reason}: {page}");
        }
        let unreadable = "awx_gateway_source_unreadable_lines_total";
        assert!(sample(&page, unreadable, &[("source", "controller")]) >= Some(1.0), "{page}");
    }

    async fn the_gateways_latency_is_a_native_histogram_of_all_requests_in_protobuf(host) {
        let stage = Stage::start(host).await.up().await;
        let client = stage.prometheus();
        for _ in 0..3 {
            client.get("/api/v2/ping/").await.unwrap();
        }
        let ping = [("resource", "ping")];
        let is_counted = |page: &str| sample(page, "awx_gateway_requests_total", &ping) == Some(3.0);
        let text = stage.until("?gateway=only", is_counted).await;
        assert!(!text.contains("awx_gateway_latency_seconds"), "{text}");
        let (_, page) = page(&client, "?gateway=only&format=protobuf").await;
        let natives = oracle::protobuf::natives(&page).unwrap();
        let [latency] = natives.as_slice() else { panic!("{natives:?}") };
        assert_eq!((latency.name.as_str(), latency.schema), ("awx_gateway_latency_seconds", 2));
        let series = oracle::series(&oracle::protobuf::families(&page).unwrap());
        let sum_of = |end: &str| {
            let name = format!("awx_gateway_request_duration_seconds_{end}");
            let values = series.iter().filter(|((have, _), _)| *have == name);
            values.map(|(_, value)| value.parse::<f64>().unwrap()).sum::<f64>()
        };
        let counted: u64 = latency.buckets.iter().map(|(_, count)| count).sum();
        assert_eq!((latency.zero_count + counted) as f64, sum_of("count"), "{latency:?}");
        assert_eq!(latency.count as f64, sum_of("count"));
        assert!((latency.sum - sum_of("sum")).abs() < 1e-9, "{latency:?}");
    }

    async fn the_start_of_counting_is_shown_if_configured(host) {
        let mut plugin = plugin(0);
        plugin["gateway"] = serde_json::json!({"created": true});
        let before = unix_time();
        let stage = Stage::with(host, &plugin).await.up().await;
        let client = stage.prometheus();
        let (_, open) = page(&client, "?gateway=only&format=openmetrics").await;
        let open = oracle::families(str::from_utf8(&open).unwrap(), Format::OpenMetrics).unwrap();
        let created = |series: ByName| {
            let created = series.into_iter().filter(|((name, _), _)| name.ends_with("_created"));
            created.collect::<ByName>()
        };
        let created = created(oracle::series(&open));
        for ((name, _), since) in &created {
            let since: f64 = since.parse().unwrap();
            assert!((before - 1.0..=unix_time() + 1.0).contains(&since), "{name} {since}");
        }
        let counters = open.iter().filter(|it| matches!(it.kind.as_str(), "counter" | "histogram"));
        for family in counters.filter(|family| !family.samples.is_empty()) {
            let name = format!("{}_created", family.name);
            let is_said = created.keys().any(|(have, _)| *have == name);
            assert_eq!(is_said, !name.starts_with("awx_gateway_source_"), "{name}");
        }
        let (_, text) = page(&client, "?gateway=only").await;
        let text = str::from_utf8(&text).unwrap();
        assert!(!text.contains("_created{") && !text.contains("_created "), "{text}");
    }

    async fn gzip_makes_a_page_much_smaller_and_loses_nothing(host) {
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
