//! What is gathered for whom, against a fake host.

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
struct Bed {
    host: FakeHost,
    gatherer: Gatherer,
}

/// Counts its own tellings.
#[derive(Default)]
struct Teller(Cell<u64>);

impl ScrapeRecorder for Teller {
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

impl Bed {
    fn new(keep: bool) -> Self {
        Self::that_says(keep, false)
    }

    /// Whether it says since when it counts.
    fn that_says(keep: bool, created: bool) -> Self {
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
        let bed = Self { gatherer: Gatherer::new(config, &host), host };
        for (keys, page) in bed.gatherer.keys.iter().zip(PAGES) {
            keys.create_head(&bed.host);
            bed.store(keys, 1, page);
        }
        bed
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
        recorder: &Teller,
        view: Visibility,
        query: &str,
        format: Format,
    ) -> Rc<Vec<u8>> {
        let selection = Query::parse(query.as_bytes()).selection;
        let wanted = (format, Encoding::Identity);
        self.gatherer.page(&self.host, recorder, &Permit::of(view), &selection, wanted).unwrap().1
    }

    fn page(&self, view: Visibility, query: &str) -> String {
        let page = self.bytes(&Teller::default(), view, query, Format::Text);
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
fn a_source_that_is_not_opened_gives_neither_series_nor_rows() {
    let bed = Bed::new(false);
    for (places, opened, closed) in [([0], "a", "b"), ([1], "b", "a")] {
        let page = bed.page(sources(&places), "");
        assert!(!page.contains(&format!("source=\"{closed}\"")), "{page}");
        assert!(page.contains(&format!("_up{{gateway=\"g\",source=\"{opened}\"}} 1\n")), "{page}");
    }
    assert!(bed.page(sources(&[0]), "").starts_with("# TYPE up gauge\nup{source=\"a\"} 1\n"));
    assert!(!bed.page(sources(&[]), "").contains("source="));
    let all = bed.page(Visibility::default(), "");
    assert!(
        all.contains("up{source=\"a\"} 1\n") && all.contains("load{source=\"b\"} 2\n"),
        "{all}"
    );
}

#[test]
fn nothing_is_read_of_a_source_that_is_not_opened() {
    let bed = Bed::new(false);
    bed.page(sources(&[0]), "");
    let loaded = bed.gatherer.loaded.borrow();
    assert_eq!(loaded.iter().map(|it| it.generation).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn families_that_are_not_opened_are_left_out_of_the_gateways_too() {
    let bed = Bed::new(false);
    let view = || families(&["load", "awx_gateway_source_u*", "awx_gateway_told_total"]);
    let expected = [
        "load",
        "awx_gateway_source_up",
        "awx_gateway_source_unreadable_lines_total",
        "awx_gateway_told_total",
    ];
    assert_eq!(names(&bed.page(view(), "")), expected);
    assert_eq!(names(&bed.page(view(), "gateway=none")), ["load"]);
    assert_eq!(names(&bed.page(view(), "name[]=up&name[]=awx_gateway_source_up")), expected[1..2]);
    let json = bed.bytes(&Teller::default(), view(), "", Format::Json { indent: None });
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json.as_object().unwrap().len(), expected.len());
}

#[test]
fn since_when_the_gateway_counts_is_said_where_it_is_configured_and_the_format_has_it() {
    for (keep, says) in [(false, false), (false, true), (true, true)] {
        let (bed, teller) = (Bed::that_says(keep, says), Teller::default());
        let text = bed.page(Visibility::default(), "");
        assert!(!text.contains("_created"), "{text}");
        // Twice, since what the first one writes the second one fills in.
        for _ in 0..2 {
            let page = bed.bytes(&teller, Visibility::default(), "", Format::OpenMetrics);
            let page = String::from_utf8(page.to_vec()).unwrap();
            let line = "awx_gateway_told_created{gateway=\"g\"} 1700000000.250\n";
            assert_eq!(page.contains(line), says, "{page}");
            assert!(page.contains("awx_gateway_told_total{gateway=\"g\"} "), "{page}");
            assert!(!page.contains("up_created") && !page.contains("load_created"), "{page}");
        }
        let page = bed.bytes(&teller, Visibility::default(), "", Format::Protobuf);
        let moment = [26, 11, 8, 128, 226, 207, 170, 6, 16, 128, 229, 154, 119];
        assert_eq!(page.windows(moment.len()).any(|bytes| bytes == moment), says);
    }
}

#[test]
fn what_one_may_see_is_never_served_to_another() {
    let bed = Bed::new(false);
    // How often it was told is not the same.
    let page = |bed: &Bed, view| {
        let page = bed.page(view, "");
        let told = page.find("awx_gateway_told_total{").unwrap_or(page.len());
        page[..told].to_owned()
    };
    for _ in 0..2 {
        for view in [Visibility::default(), sources(&[0]), families(&["load"]), sources(&[1])] {
            assert_eq!(page(&bed, view.clone()), page(&Bed::new(false), view));
        }
    }
}

#[test]
fn a_page_that_nobody_holds_is_written_in_place_and_one_that_somebody_holds_stays() {
    let (bed, teller) = (Bed::new(false), Teller::default());
    let scrape = || bed.bytes(&teller, Visibility::default(), "", Format::Text);
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
fn nobody_is_asked_for_what_nobody_asked_for() {
    let (bed, teller) = (Bed::new(false), Teller::default());
    for query in [
        "gateway=none",
        "dbonly=1",
        "dbonly=1&subsystemonly=1",
        "node=x",
        "metric=load",
        "name[]=up",
    ] {
        for format in [Format::Text, Format::Json { indent: None }] {
            let page = bed.bytes(&teller, Visibility::default(), query, format);
            assert!(!String::from_utf8_lossy(&page).contains("awx_gateway"), "{query}");
        }
    }
    assert_eq!(teller.0.get(), 0);
}

#[test]
fn renderings_stay_few_whatever_is_asked_for_by_whom() {
    let bed = Bed::new(false);
    for place in 0..2 * limits::RENDERINGS {
        bed.page(sources(&[place]), "");
        bed.page(Visibility::default(), &format!("name[]=up&name[]={place}"));
    }
    assert_eq!(bed.gatherer.rendered.borrow().len(), limits::RENDERINGS);
    bed.store(&bed.gatherer.keys[0], 2, "up 7\n");
    assert!(bed.page(Visibility::default(), "").contains("up{source=\"a\"} 7\n"));
}

#[test]
fn kept_families_merge_with_the_gateways_own() {
    let bed = Bed::new(true);
    let kept = "# TYPE awx_gateway_told_total counter\nawx_gateway_told_total 9\n";
    bed.store(&bed.gatherer.keys[0], 2, kept);
    let page = bed.page(Visibility::default(), "");
    assert_eq!(names(&page).iter().filter(|&&name| name == "awx_gateway_told_total").count(), 1);
    let both = "awx_gateway_told_total{gateway=\"g\"} 1\nawx_gateway_told_total{source=\"a\"} 9\n";
    assert!(page.ends_with(both), "{page}");
    assert!(!bed.page(sources(&[1]), "").contains("awx_gateway_told_total{source"), "{page}");
}

#[test]
fn openmetrics_has_the_series_of_text_and_ends_once() {
    let bed = Bed::new(false);
    for query in ["", "gateway=only", "gateway=none", "dbonly=1&subsystemonly=1", "name[]=up"] {
        let page = |format| {
            let page = bed.bytes(&Teller::default(), Visibility::default(), query, format);
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
fn the_gateways_own_types_stand_whatever_their_numbers_are() {
    let bed = Bed::new(false);
    let page = bed.bytes(&Teller::default(), Visibility::default(), "", Format::OpenMetrics);
    let page = String::from_utf8(page.to_vec()).unwrap();
    let told = "# TYPE awx_gateway_told counter\nawx_gateway_told_total{gateway=\"g\"} ";
    assert!(page.contains(told), "{page}");
    assert!(!page.contains(" unknown\n"), "{page}");
}

/// What a gzip member holds.
fn unzipped(member: &[u8]) -> String {
    let mut page = String::new();
    flate2::read::GzDecoder::new(member).read_to_string(&mut page).unwrap();
    page
}

#[test]
fn a_compressed_page_is_the_page_and_begins_as_it_did_before() {
    let (bed, teller) = (Bed::new(false), Teller::default());
    let zipped = |query: &str, format| {
        let selection = Query::parse(query.as_bytes()).selection;
        let permit = Permit::of(Visibility::default());
        let wanted = (format, Encoding::Gzip);
        bed.gatherer.page(&bed.host, &teller, &permit, &selection, wanted).unwrap()
    };
    for format in [Format::Text, Format::OpenMetrics, Format::Json { indent: None }] {
        for query in ["", "gateway=only"] {
            // How often it was told is not the same.
            let without_numbers = |page: &str| page.replace(|it: char| it.is_ascii_digit(), "");
            let page = bed.bytes(&Teller::default(), Visibility::default(), query, format);
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
fn a_stored_page_that_cannot_be_read_is_a_source_that_is_down_and_the_last_one_grows_old() {
    let bed = Bed::new(false);
    let keys = &bed.gatherer.keys[0];
    assert!(bed.page(Visibility::default(), "").contains("up{source=\"a\"} 1\n"));
    let stale_after = bed.gatherer.config.sources[0].stale_after;
    let beyond = vec![b'\n'; limits::PAGE_BYTES + 1];
    for garbage in [&b"up 7\n"[..], &beyond] {
        bed.store(keys, 1, PAGES[0]);
        bed.page(Visibility::default(), "");
        bed.host.pass(stale_after / 2);
        bed.store(keys, 2, "up 7\n");
        // Of another generation, or beyond the limits.
        let other = if garbage.len() > 9 { 2 } else { 3 };
        keys.store_page(&bed.host, other, garbage.to_vec()).unwrap();
        let page = bed.page(Visibility::default(), "");
        assert!(page.contains("up{source=\"a\"} 1\n"), "{page}");
        assert!(page.contains("awx_gateway_source_up{gateway=\"g\",source=\"a\"} 0\n"), "{page}");
        assert!(page.contains("reason=\"the stored page cannot be read\",source=\"a\""), "{page}");
        bed.host.pass(stale_after / 2 + Duration::from_secs(1));
        let page = bed.page(Visibility::default(), "");
        assert!(!page.contains("up{source=\"a\"} 1\n"), "{page}");
    }
}
