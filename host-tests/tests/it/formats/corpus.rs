//! Good and bad pages of other origin: those of prometheus_client's own tests, and some that these lack.
//! prometheus_client decides which ones are good.

mod ours;

use std::collections::BTreeSet;

use awx_metrics_filter::auth::{Secret, Token};
use host_tests::client::Client;
use host_tests::controller::{Controller, ControllerConfig, Mode};
use host_tests::gateway::Host;
use host_tests::on_both_hosts;
use host_tests::oracle::corpus::corpus;
use serde_json::{Value, json};

use super::*;
use crate::stage::{CONTROLLER_TOKEN, Watched, auth, cluster, spec, until};

/// Good pages that are not served completely, by a text that only they contain, with the reason.
const OTHERWISE: [(Format, &str, &str); 2] = [
    (Format::OpenMetrics, " 12345678901234567890.", "too far away for exact milliseconds"),
    (Format::Text, "{,}", "a comma stands behind a label and nowhere else"),
];

/// A page of the corpus.
#[derive(Clone, Debug)]
struct CorpusPage {
    page: String,
    format: Format,
    /// The content of a good page for prometheus_client, without the parts that are dropped by design.
    theirs: Option<ByName>,
    /// The exemplars of its counters and buckets, as prometheus_client reads them.
    exemplars: ByName,
}

impl CorpusPage {
    fn media_type(&self) -> &'static str {
        match self.format {
            Format::OpenMetrics => OPENMETRICS,
            _ => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    fn is_good(&self) -> bool {
        self.theirs.is_some()
    }

    /// The page as the filter reads it, if it accepts it.
    fn read(&self) -> Option<Page> {
        let bytes = self.page.clone().into_bytes();
        match self.format {
            Format::OpenMetrics => parse::openmetrics(bytes).ok(),
            _ => parse::text(bytes).ok(),
        }
    }

    fn is_one_of(&self, (format, part, _): &(Format, &str, &str)) -> bool {
        self.is_good() && self.format == *format && self.page.contains(part)
    }

    fn is_otherwise(&self) -> bool {
        OTHERWISE.iter().any(|entry| self.is_one_of(entry))
    }
}

/// All pages. There must be many, so that a loss of pages is noticed.
fn sent() -> Vec<CorpusPage> {
    let theirs = corpus().unwrap();
    let ours = ours::GOOD.into_iter().chain(ours::BAD).map(str::to_owned);
    let open = theirs.openmetrics.into_iter().chain(ours).map(|page| (page, Format::OpenMetrics));
    let text = theirs.text.into_iter().map(|page| (page, Format::Text));
    let sent = judged(open.chain(text).collect());
    let count = |format, good| {
        sent.iter().filter(|sent| sent.format == format && sent.is_good() == good).count()
    };
    let counts = [(Format::OpenMetrics, true), (Format::OpenMetrics, false), (Format::Text, true)];
    let counts = counts.map(|(format, good)| count(format, good));
    assert!(counts.iter().zip([70, 170, 40]).all(|(have, least)| *have >= least), "{counts:?}");
    sent
}

/// The pages with their content for prometheus_client.
fn judged(pages: Vec<(String, Format)>) -> Vec<CorpusPage> {
    let samples = pages.iter().map(|(page, format)| match format {
        Format::Text => (samples_alone(page), Format::Text),
        format => (page.clone(), *format),
    });
    let questions: Vec<_> = pages.iter().cloned().chain(samples).collect();
    let questions: Vec<_> =
        questions.iter().map(|(page, format)| (page.as_str(), *format)).collect();
    let answers = oracle::families_of_pages(&questions).unwrap();
    let (whole, samples) = answers.split_at(pages.len());
    let sent = pages.into_iter().zip(whole.iter().zip(samples)).map(|((page, format), answers)| {
        let (Ok(_), Ok(families)) = answers else {
            return CorpusPage { page, format, theirs: None, exemplars: ByName::new() };
        };
        let mut theirs = oracle::series(families);
        theirs.retain(|(name, _), _| format == Format::Text || !name.ends_with("_created"));
        let with_exemplars = families.iter().filter(|it| it.kind != "gaugehistogram");
        let exemplars = oracle::exemplars(&with_exemplars.cloned().collect::<Vec<_>>());
        CorpusPage { page, format, theirs: Some(theirs), exemplars }
    });
    sent.collect()
}

/// The good pages whose series differ in text or OpenMetrics, or whose exemplars differ in OpenMetrics.
fn changed<'a>(sent: &'a [CorpusPage], rendered: &[Rendered]) -> BTreeSet<&'a str> {
    assert_eq!(sent.len(), rendered.len());
    let outcomes = sent.iter().zip(accepted(rendered));
    let is_changed = |(sent, [text, open]): &(&CorpusPage, [Vec<OracleFamily>; 2])| {
        sent.theirs.as_ref().is_some_and(|theirs| {
            let is_kept = [text, open].iter().all(|page| oracle::series(page) == *theirs);
            !is_kept || oracle::exemplars(open) != sent.exemplars
        })
    };
    outcomes.filter(is_changed).map(|(sent, _)| sent.page.as_str()).collect()
}

#[test]
fn good_pages_keep_every_series_and_bad_pages_never_make_an_illegal_page() {
    let sent = sent();
    let pages: Vec<_> = sent.iter().map(|sent| sent.read().unwrap_or_default()).collect();
    let rendered: Vec<_> = pages.iter().map(Rendered::of_page).collect();
    let mut changed = changed(&sent, &rendered);
    let lost = sent.iter().zip(&pages).filter(|(_, page)| page.report().unreadable_lines > 0);
    changed.extend(lost.filter(|(sent, _)| sent.is_good()).map(|(sent, _)| sent.page.as_str()));
    let otherwise = sent.iter().filter(|sent| sent.is_otherwise());
    assert_eq!(changed, otherwise.map(|sent| sent.page.as_str()).collect());
    for entry in &OTHERWISE {
        assert_eq!(sent.iter().filter(|sent| sent.is_one_of(entry)).count(), 1, "{entry:?}");
    }
    assert_same_series_in_every_format(&rendered);
}

/// The largest number of sources in a configuration.
const SOURCES: usize = awx_metrics_filter::limits::CONFIG_SOURCES;

/// The name of a page's source and of its token.
fn name(place: usize) -> String {
    format!("page-{place}")
}

/// A source for each of these pages, and a token that permits only this source. [`TOKEN`] permits all.
fn plugin_of(places: &[usize]) -> Value {
    let source = |&place: &usize| {
        json!({
            "name": name(place), "cluster": cluster(0), "labels": {},
            "path": format!("/api/v2/metrics/?page={place}"), "interval": "5m", "timeout": "30s",
            "credential": {"bearer": CONTROLLER_TOKEN},
        })
    };
    let token = |&place: &usize| {
        let name = name(place);
        let sha256 = Token::new(String::new(), &Secret::new(&name)).sha256;
        let sha256: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({"name": name, "sha256": sha256, "sources": [name]})
    };
    let mut auth = auth();
    auth["tokens"].as_array_mut().unwrap().extend(places.iter().map(token));
    json!({"sources": places.iter().map(source).collect::<Vec<_>>(), "auth": auth})
}

/// Waits until every source of a listener was pulled.
async fn until_pulled(client: &Client, places: &[usize]) {
    let is_pulled = |page: &str| {
        let ended = |line: &&str| !line.ends_with(" 0");
        let pulls =
            page.lines().filter(|line| line.starts_with("awx_gateway_source_fetches_total{"));
        pulls.filter(ended).count() == places.len()
    };
    until(client, "?gateway=only", is_pulled).await;
}

/// The pages that a gateway serves after it has pulled these.
async fn pulled(host: Host, sent: &[CorpusPage]) -> Vec<Rendered> {
    let controllers = [Controller::start(ControllerConfig::default())];
    let pages = sent.iter().map(|it| (it.page.clone().into_bytes(), it.media_type().to_owned()));
    controllers[0].set_mode(Mode::Pages(pages.collect()));
    let places: Vec<_> = (0..sent.len()).collect();
    let plugins: Vec<_> = places.chunks(SOURCES).map(plugin_of).collect();
    let gateway = Watched::start(host, &spec(&plugins, &controllers)).await;
    let mut rendered = Vec::new();
    for (listener, places) in places.chunks(SOURCES).enumerate() {
        let client = gateway.client_of(listener);
        until_pulled(&client.clone().bearer(TOKEN), places).await;
        for place in places {
            rendered.push(scraped(&client.clone().bearer(&name(*place))).await);
        }
    }
    rendered
}

async fn scraped(client: &Client) -> Rendered {
    let scraped = async |format| page(client, &format!("?gateway=none&format={format}")).await.1;
    let utf8 = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let (text, open) = (utf8(scraped("txt").await), utf8(scraped("openmetrics").await));
    Rendered { text, open, protobuf: scraped("protobuf").await.into() }
}

on_both_hosts! {
    async fn pages_of_the_corpus_are_served_as_they_were_sent(host) {
        let sent = sent();
        let rendered = pulled(host, &sent).await;
        let changed = changed(&sent, &rendered);
        for sent in &sent {
            assert!(sent.is_otherwise() || !changed.contains(sent.page.as_str()), "{}", sent.page);
        }
        assert_same_series_in_every_format(&rendered);
    }
}
