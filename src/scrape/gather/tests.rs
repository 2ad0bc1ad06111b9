//! The page of each permit and query, against a fake host.

use super::*;
use crate::auth::AuthOutcome;
use crate::auth::Scheme;
use crate::exposition::parse;
use crate::host::fake::FakeHost;
use crate::metrics::Kind;
use crate::scrape::query::Query;
use std::io::Read;
use std::time::Duration;

const PAGES: [&str; 2] = ["# TYPE up gauge\nup 1\n", "# TYPE load gauge\nload 2\n"];

/// A gateway with the sources `a` and `b`, whose pages are [`PAGES`].
struct Fixture {
    host: FakeHost,
    gatherer: Gatherer,
}

/// Counts how often its families are written.
#[derive(Default)]
struct CountingRecorder(Cell<u64>);

impl ScrapeRecorder for CountingRecorder {
    fn attempted(&self, _: &dyn Host, _: Scheme, _: AuthOutcome) {}

    fn scraped(&self, _: &dyn Host, _: Option<Format>, _: u16) {}

    fn created(&self, _: &dyn Host) -> Option<Time> {
        Some(Time::from_millis(1_700_000_000_250))
    }

    fn write(&self, _: &dyn Host, page: &mut dyn Sink) {
        self.0.set(self.0.get() + 1);
        page.family("awx_gateway_told_total", Kind::Counter, "");
        page.sample("", &[], self.0.get().into());
    }
}

impl Fixture {
    fn new(keep: bool) -> Self {
        Self::with_created(keep, false)
    }

    /// `created`: true if the configuration enables creation times.
    fn with_created(keep: bool, created: bool) -> Self {
        let source = |name: &str| {
            let gateway_families = if keep { "keep" } else { "drop" };
            serde_json::json!({"name": name, "cluster": name, "gateway_families": gateway_families})
        };
        let config = serde_json::json!({
            "sources": [source("a"), source("b")],
            "gateway": {"labels": {"gateway": "g"}, "created": created},
        });
        let config = Rc::new(Config::parse(config.to_string().as_bytes()).unwrap());
        let host = FakeHost::at(1_000);
        let fixture = Self { gatherer: Gatherer::new(config, &host), host };
        for (keys, page) in fixture.gatherer.keys.iter().zip(PAGES) {
            keys.create_head(&fixture.host);
            fixture.store(keys, 1, page);
        }
        fixture
    }

    fn store(&self, keys: &Keys, generation: u64, page: &str) {
        let index = self.gatherer.keys.iter().position(|have| std::ptr::eq(have, keys)).unwrap();
        let page = parse::text(page.into()).unwrap();
        let page = page.with_labels(&self.gatherer.config.sources[index].labels).unwrap();
        keys.store_page(&self.host, generation, page.into_stored()).unwrap();
        let read = keys.head(&self.host).unwrap();
        let succeeded = self.host.now();
        let head = Head { generation, succeeded, ended: Some(Ok(())), ..Head::default() };
        keys.swap_head(&self.host, &read, &head).unwrap();
    }

    fn bytes(
        &self,
        recorder: &CountingRecorder,
        view: Visibility,
        query: &str,
        format: Format,
    ) -> Rc<Vec<u8>> {
        let selection = Query::parse(query.as_bytes()).selection;
        let wanted = (format, Encoding::Identity);
        self.gatherer.page(&self.host, recorder, &Permit::of(view), &selection, wanted).unwrap().1
    }

    fn page(&self, view: Visibility, query: &str) -> String {
        let page = self.bytes(&CountingRecorder::default(), view, query, Format::Text);
        String::from_utf8(page.to_vec()).unwrap()
    }
}

fn sources(places: &[usize]) -> Visibility {
    Visibility { sources: Some(places.to_vec()), families: None }
}

fn families(names: &[&str]) -> Visibility {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    Visibility { sources: None, families: Some(names) }
}

/// The names of families that have a type.
fn names(page: &str) -> Vec<&str> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split(' ').next()).collect()
}

#[test]
fn a_source_outside_the_permit_gives_neither_series_nor_status() {
    let fixture = Fixture::new(false);
    for (places, opened, closed) in [([0], "a", "b"), ([1], "b", "a")] {
        let page = fixture.page(sources(&places), "");
        assert!(!page.contains(&format!("source=\"{closed}\"")), "{page}");
        assert!(page.contains(&format!("_up{{gateway=\"g\",source=\"{opened}\"}} 1\n")), "{page}");
    }
    assert!(fixture.page(sources(&[0]), "").starts_with("# TYPE up gauge\nup{source=\"a\"} 1\n"));
    assert!(!fixture.page(sources(&[]), "").contains("source="));
    let all = fixture.page(Visibility::default(), "");
    assert!(
        all.contains("up{source=\"a\"} 1\n") && all.contains("load{source=\"b\"} 2\n"),
        "{all}"
    );
}

#[test]
fn a_source_outside_the_permit_is_not_read() {
    let fixture = Fixture::new(false);
    fixture.page(sources(&[0]), "");
    let loaded = fixture.gatherer.loaded.borrow();
    assert_eq!(loaded.iter().map(|it| it.generation).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn families_outside_the_permit_are_left_out_of_the_gateways_families_too() {
    let fixture = Fixture::new(false);
    let view = || families(&["load", "awx_gateway_source_u*", "awx_gateway_told_total"]);
    let expected = [
        "load",
        "awx_gateway_source_up",
        "awx_gateway_source_unreadable_lines_total",
        "awx_gateway_told_total",
    ];
    assert_eq!(names(&fixture.page(view(), "")), expected);
    assert_eq!(names(&fixture.page(view(), "gateway=none")), ["load"]);
    assert_eq!(
        names(&fixture.page(view(), "name[]=up&name[]=awx_gateway_source_up")),
        expected[1..2]
    );
    let json =
        fixture.bytes(&CountingRecorder::default(), view(), "", Format::Json { indent: None });
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json.as_object().unwrap().len(), expected.len());
}

#[test]
fn creation_times_are_written_if_configured_and_supported_by_the_format() {
    for (keep, says) in [(false, false), (false, true), (true, true)] {
        let (fixture, recorder) = (Fixture::with_created(keep, says), CountingRecorder::default());
        let text = fixture.page(Visibility::default(), "");
        assert!(!text.contains("_created"), "{text}");
        // Twice, since the second scrape fills in the template that the first one writes.
        for _ in 0..2 {
            let page = fixture.bytes(&recorder, Visibility::default(), "", Format::OpenMetrics);
            let page = String::from_utf8(page.to_vec()).unwrap();
            let line = "awx_gateway_told_created{gateway=\"g\"} 1700000000.250\n";
            assert_eq!(page.contains(line), says, "{page}");
            assert!(page.contains("awx_gateway_told_total{gateway=\"g\"} "), "{page}");
            assert!(!page.contains("up_created") && !page.contains("load_created"), "{page}");
        }
        let page = fixture.bytes(&recorder, Visibility::default(), "", Format::Protobuf);
        let moment = [26, 11, 8, 128, 226, 207, 170, 6, 16, 128, 229, 154, 119];
        assert_eq!(page.windows(moment.len()).any(|bytes| bytes == moment), says);
    }
}

#[test]
fn a_rendering_for_one_permit_is_never_served_to_another() {
    let fixture = Fixture::new(false);
    // The number of writes differs.
    let page = |fixture: &Fixture, view| {
        let page = fixture.page(view, "");
        let told = page.find("awx_gateway_told_total{").unwrap_or(page.len());
        page[..told].to_owned()
    };
    for _ in 0..2 {
        for view in [Visibility::default(), sources(&[0]), families(&["load"]), sources(&[1])] {
            assert_eq!(page(&fixture, view.clone()), page(&Fixture::new(false), view));
        }
    }
}

#[test]
fn an_unreferenced_page_is_overwritten_in_place_and_a_referenced_one_is_kept() {
    let (fixture, recorder) = (Fixture::new(false), CountingRecorder::default());
    let scrape = || fixture.bytes(&recorder, Visibility::default(), "", Format::Text);
    scrape();
    let held = scrape();
    let (place, text) = (held.as_ptr(), held.to_vec());
    drop(held);
    let held = scrape();
    assert_eq!(held.as_ptr(), place);
    let told = String::from_utf8(text)
        .unwrap()
        .replace("told_total{gateway=\"g\"} 3", "told_total{gateway=\"g\"} 4");
    assert_eq!(str::from_utf8(&held).unwrap(), told);
    let next = scrape();
    assert_ne!(next.as_ptr(), place);
    assert_eq!(str::from_utf8(&held).unwrap(), told);
}

#[test]
fn the_recorder_is_not_called_for_unselected_families() {
    let (fixture, recorder) = (Fixture::new(false), CountingRecorder::default());
    for query in [
        "gateway=none",
        "dbonly=1",
        "dbonly=1&subsystemonly=1",
        "node=x",
        "metric=load",
        "name[]=up",
    ] {
        for format in [Format::Text, Format::Json { indent: None }] {
            let page = fixture.bytes(&recorder, Visibility::default(), query, format);
            assert!(!String::from_utf8_lossy(&page).contains("awx_gateway"), "{query}");
        }
    }
    assert_eq!(recorder.0.get(), 0);
}

#[test]
fn the_number_of_renderings_is_bounded_for_any_queries_and_permits() {
    let fixture = Fixture::new(false);
    for place in 0..2 * limits::RENDERINGS {
        fixture.page(sources(&[place]), "");
        fixture.page(Visibility::default(), &format!("name[]=up&name[]={place}"));
    }
    assert_eq!(fixture.gatherer.rendered.borrow().len(), limits::RENDERINGS);
    fixture.store(&fixture.gatherer.keys[0], 2, "up 7\n");
    assert!(fixture.page(Visibility::default(), "").contains("up{source=\"a\"} 7\n"));
}

#[test]
fn kept_families_merge_with_the_gateways_own() {
    let fixture = Fixture::new(true);
    let kept = "# TYPE awx_gateway_told_total counter\nawx_gateway_told_total 9\n";
    fixture.store(&fixture.gatherer.keys[0], 2, kept);
    let page = fixture.page(Visibility::default(), "");
    assert_eq!(names(&page).iter().filter(|&&name| name == "awx_gateway_told_total").count(), 1);
    let both = "awx_gateway_told_total{gateway=\"g\"} 1\nawx_gateway_told_total{source=\"a\"} 9\n";
    assert!(page.ends_with(both), "{page}");
    assert!(!fixture.page(sources(&[1]), "").contains("awx_gateway_told_total{source"), "{page}");
}

#[test]
fn openmetrics_has_the_series_of_text_and_ends_once() {
    let fixture = Fixture::new(false);
    for query in ["", "gateway=only", "gateway=none", "dbonly=1&subsystemonly=1", "name[]=up"] {
        let page = |format| {
            let page =
                fixture.bytes(&CountingRecorder::default(), Visibility::default(), query, format);
            String::from_utf8(page.to_vec()).unwrap()
        };
        let series = |page: String| {
            let lines = page.lines().filter(|line| !line.starts_with('#'));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let open = page(Format::OpenMetrics);
        assert_eq!(series(open.clone()), series(page(Format::Text)), "{query}");
        assert!(open.ends_with("# EOF\n") && open.matches("# EOF").count() == 1, "{open}");
    }
}

#[test]
fn the_gateways_own_families_keep_their_types_for_any_numbers() {
    let fixture = Fixture::new(false);
    let page =
        fixture.bytes(&CountingRecorder::default(), Visibility::default(), "", Format::OpenMetrics);
    let page = String::from_utf8(page.to_vec()).unwrap();
    let told = "# TYPE awx_gateway_told counter\nawx_gateway_told_total{gateway=\"g\"} ";
    assert!(page.contains(told), "{page}");
    assert!(!page.contains(" unknown\n"), "{page}");
}

/// Decompresses a gzip member.
fn unzipped(member: &[u8]) -> String {
    let mut page = String::new();
    flate2::read::GzDecoder::new(member).read_to_string(&mut page).unwrap();
    page
}

#[test]
fn a_compressed_page_equals_the_page_and_keeps_its_prefix() {
    let (fixture, recorder) = (Fixture::new(false), CountingRecorder::default());
    let zipped = |query: &str, format| {
        let selection = Query::parse(query.as_bytes()).selection;
        let permit = Permit::of(Visibility::default());
        let wanted = (format, Encoding::Gzip);
        fixture.gatherer.page(&fixture.host, &recorder, &permit, &selection, wanted).unwrap()
    };
    for format in [Format::Text, Format::OpenMetrics, Format::Json { indent: None }] {
        for query in ["", "gateway=only"] {
            // The number of writes differs.
            let without_numbers = |page: &str| page.replace(|it: char| it.is_ascii_digit(), "");
            let page =
                fixture.bytes(&CountingRecorder::default(), Visibility::default(), query, format);
            let page = without_numbers(str::from_utf8(&page).unwrap());
            let (encoding, member) = zipped(query, format);
            assert_eq!((encoding, without_numbers(&unzipped(&member))), (Encoding::Gzip, page));
        }
    }
    let (first, second) = (zipped("", Format::Text).1, zipped("", Format::Text).1);
    let same = first.iter().zip(second.iter()).take_while(|(a, b)| a == b).count();
    assert!(same > 50 && first != second, "{same} of {}", first.len());
    assert_eq!(zipped("name[]=up", Format::Text).0, Encoding::Identity);
}

#[test]
fn a_source_is_down_if_its_stored_page_is_unreadable_and_its_last_page_expires() {
    let fixture = Fixture::new(false);
    let keys = &fixture.gatherer.keys[0];
    assert!(fixture.page(Visibility::default(), "").contains("up{source=\"a\"} 1\n"));
    let stale_after = fixture.gatherer.config.sources[0].stale_after;
    let beyond = vec![b'\n'; limits::PAGE_BYTES + 1];
    for garbage in [&b"up 7\n"[..], &beyond] {
        fixture.store(keys, 1, PAGES[0]);
        fixture.page(Visibility::default(), "");
        fixture.host.pass(stale_after / 2);
        fixture.store(keys, 2, "up 7\n");
        // A page of another generation, or beyond the limits.
        let other = if garbage.len() > 9 { 2 } else { 3 };
        keys.store_page(&fixture.host, other, garbage.to_vec()).unwrap();
        let page = fixture.page(Visibility::default(), "");
        assert!(page.contains("up{source=\"a\"} 1\n"), "{page}");
        assert!(page.contains("awx_gateway_source_up{gateway=\"g\",source=\"a\"} 0\n"), "{page}");
        assert!(page.contains("reason=\"the stored page cannot be read\",source=\"a\""), "{page}");
        fixture.host.pass(stale_after / 2 + Duration::from_secs(1));
        let page = fixture.page(Visibility::default(), "");
        assert!(!page.contains("up{source=\"a\"} 1\n"), "{page}");
    }
}
