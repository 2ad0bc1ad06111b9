use super::*;
use crate::exposition::template::{Template, TemplateBuilder};
use crate::host::Write;
use crate::host::fake::FakeHost;
use crate::metrics::PageBuilder;
use proptest::prelude::*;

/// A VM on a host that has a directory.
fn vm(host: &FakeHost, number: u64) -> Observer {
    let observer = Observer::new("default", number);
    observer.prepare(host);
    observer
}

fn facts<'a>(method: &'a str, path: &'a str, code: u16) -> Facts<'a> {
    Facts {
        method: Some(method.as_bytes()),
        path: Some(path.as_bytes()),
        code,
        duration: Some(Duration::from_millis(20)),
        websocket: false,
    }
}

fn page(host: &FakeHost) -> String {
    let mut page = PageBuilder::new();
    Observer::new("default", 99).gather(host).expect("a directory").write(&mut page);
    page.build().as_text().to_owned()
}

fn assert_has(page: &str, lines: &[&str]) {
    for line in lines {
        assert!(page.lines().any(|have| have == *line), "no {line} in\n{page}");
    }
}

/// Heartbeats of each of these VMs, a second apart.
fn heartbeats(host: &FakeHost, vms: &mut [&mut Observer], times: usize) {
    for _ in 0..times {
        host.pass(limits::HEARTBEAT);
        vms.iter_mut().for_each(|vm| vm.tick(host));
    }
}

#[test]
fn a_request_is_visible_in_every_vm_as_soon_as_it_is_recorded() {
    let host = FakeHost::at(1);
    let (mut first, mut second) = (vm(&host, 1), vm(&host, 2));
    first.record(&host, &facts("GET", "/api/v2/jobs/5/?a=b", 200));
    second.record(&host, &facts("GET", "/api/controller/v2/jobs/", 200));
    second.record(&host, &facts("GET", "/api/v2/jobs/", 503));
    assert_has(
        &page(&host),
        &[
            r#"awx_gateway_requests_total{code="200",method="GET",resource="jobs"} 2"#,
            r#"awx_gateway_requests_total{code="503",method="GET",resource="jobs"} 1"#,
            r#"awx_gateway_request_duration_seconds_bucket{le="0.01",resource="jobs"} 0"#,
            r#"awx_gateway_request_duration_seconds_bucket{le="0.025",resource="jobs"} 3"#,
            r#"awx_gateway_request_duration_seconds_bucket{le="+Inf",resource="jobs"} 3"#,
            r#"awx_gateway_request_duration_seconds_sum{resource="jobs"} 0.06"#,
            r#"awx_gateway_request_duration_seconds_count{resource="jobs"} 3"#,
            "awx_gateway_workers 2",
        ],
    );
}

#[test]
fn once_a_vm_has_a_slot_a_record_costs_one_write() {
    let host = FakeHost::at(1);
    let mut observer = vm(&host, 1);
    observer.record(&host, &facts("GET", "/", 200));
    let before = host.writes.get();
    observer.record(&host, &facts("POST", "/api/login/", 302));
    assert_eq!(host.writes.get(), before + 1);
}

#[test]
fn closed_label_sets_have_zeros_from_the_start() {
    let host = FakeHost::at(1);
    vm(&host, 1);
    let page = page(&host);
    assert_has(
        &page,
        &[
            r#"awx_gateway_logins_total{outcome="success"} 0"#,
            r#"awx_gateway_logins_total{outcome="failure"} 0"#,
            r#"awx_gateway_job_launches_total{outcome="accepted",resource="job_templates/launch"} 0"#,
            r#"awx_gateway_job_launches_total{outcome="refused",resource="workflow_jobs/relaunch"} 0"#,
            r#"awx_gateway_auth_attempts_total{outcome="throttled",scheme="session"} 0"#,
            r#"awx_gateway_scrapes_total{code="200",format="text"} 0"#,
            "awx_gateway_tokens_created_total 0",
            "awx_gateway_overflowed_requests_total 0",
            "awx_gateway_vm_takeovers_total 0",
            "awx_gateway_workers 0",
        ],
    );
    let count = |name: &str| page.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!(count("awx_gateway_auth_attempts_total{"), 25);
    assert_eq!(count("awx_gateway_job_launches_total{"), 16);
}

#[test]
fn logins_launches_and_tokens_are_derived_from_requests() {
    let host = FakeHost::at(1);
    let mut observer = vm(&host, 1);
    for (method, path, codes) in [
        ("POST", "/api/login/", &[302, 302, 401, 403, 500, 200][..]),
        ("GET", "/api/login/", &[302, 401]),
        ("POST", "/api/v2/job_templates/JT%200/launch/", &[201, 400, 403, 503, 0]),
        ("GET", "/api/v2/job_templates/5/launch/", &[200]),
        ("POST", "/api/v2/jobs/5/relaunch", &[201]),
        ("POST", "/api/v2/jobs/5/cancel/", &[202]),
        ("POST", "/api/v2/tokens/", &[201, 401]),
        ("POST", "/api/v2/users/1/personal_tokens/", &[201]),
        ("DELETE", "/api/v2/tokens/5/", &[204]),
    ] {
        for code in codes {
            observer.record(&host, &facts(method, path, *code));
        }
    }
    assert_has(
        &page(&host),
        &[
            r#"awx_gateway_logins_total{outcome="success"} 2"#,
            r#"awx_gateway_logins_total{outcome="failure"} 2"#,
            r#"awx_gateway_job_launches_total{outcome="accepted",resource="job_templates/launch"} 1"#,
            r#"awx_gateway_job_launches_total{outcome="refused",resource="job_templates/launch"} 2"#,
            r#"awx_gateway_job_launches_total{outcome="accepted",resource="jobs/relaunch"} 1"#,
            "awx_gateway_tokens_created_total 2",
        ],
    );
}

#[test]
fn scrapes_and_attempts_are_counted_by_their_labels() {
    let host = FakeHost::at(1);
    let mut observer = vm(&host, 1);
    observer.attempted(&host, Scheme::Bearer, AuthOutcome::Allowed);
    observer.scraped(&host, Some(Format::OpenMetrics), 200);
    observer.attempted(&host, Scheme::None, AuthOutcome::Denied);
    observer.scraped(&host, None, 401);
    assert_has(
        &page(&host),
        &[
            r#"awx_gateway_auth_attempts_total{outcome="allowed",scheme="bearer"} 1"#,
            r#"awx_gateway_auth_attempts_total{outcome="denied",scheme="none"} 1"#,
            r#"awx_gateway_scrapes_total{code="200",format="openmetrics"} 1"#,
            r#"awx_gateway_scrapes_total{code="401",format="none"} 1"#,
        ],
    );
}

#[test]
fn unusual_requests_are_counted_once_each() {
    let host = FakeHost::at(1);
    let mut observer = vm(&host, 1);
    observer.record(&host, &Facts { code: 408, ..Facts::default() });
    observer.record(&host, &Facts { method: Some(b"CONNECT"), ..Facts::default() });
    observer.record(&host, &facts("GET", "/api/v2/jobs/", 0));
    let websocket = Facts { websocket: true, ..facts("GET", "/websocket/", 101) };
    observer.record(&host, &websocket);
    observer.record(&host, &Facts { path: Some(b"/elsewhere"), ..websocket });
    observer
        .record(&host, &Facts { method: Some(b"\xff"), path: Some(b"\xff"), ..Facts::default() });
    let page = page(&host);
    assert_has(
        &page,
        &[
            r#"awx_gateway_requests_total{code="408",method="other",resource="other"} 1"#,
            r#"awx_gateway_requests_total{code="0",method="CONNECT",resource="other"} 1"#,
            r#"awx_gateway_requests_total{code="0",method="GET",resource="jobs"} 1"#,
            r#"awx_gateway_requests_total{code="101",method="GET",resource="websocket"} 2"#,
            r#"awx_gateway_requests_total{code="0",method="other",resource="other"} 1"#,
        ],
    );
    assert!(!page.contains(r#"_count{resource="websocket"}"#));
}

/// The number of requests, of which no two are equal.
const HOSTILE: u32 = 10_000_000;

#[test]
fn ten_million_different_requests_are_all_counted_within_the_bounds() {
    let host = FakeHost::at(1);
    let mut observer = vm(&host, 1);
    let begins = ["/api/v2/jobs/", "/api/v2/hosts/5/", "/api/v2/", "/", "", "\u{202e}%2e./"];
    let methods = ["GET", "POST", "PROPFIND", "get", ""];
    let (mut method, mut path) = (Vec::new(), Vec::new());
    for number in 0..HOSTILE {
        // These numbers have no common factor, so every beginning is combined with every method and code.
        let at = number as usize;
        method.clear();
        path.clear();
        method.extend_from_slice(methods[at % methods.len()].as_bytes());
        path.extend_from_slice(begins[at % begins.len()].as_bytes());
        if method.is_empty() {
            method.extend_from_slice(&number.to_le_bytes());
        }
        path.extend_from_slice(&number.to_le_bytes());
        observer.record(
            &host,
            &Facts {
                method: Some(&method),
                path: Some(&path),
                code: (number / 30 % 65_521) as u16,
                duration: Some(Duration::from_micros(number.into())),
                websocket: number % 101 == 0,
            },
        );
    }
    let shared = host.shared.borrow();
    // The directory and one shard.
    assert_eq!(shared.len(), 2);
    assert!(shared.values().all(|shared| shared.value.len() <= limits::SHARD_BYTES));
    drop(shared);
    let (series, counted, overflowed) = requests(&page(&host));
    assert!(series <= limits::REQUEST_SERIES, "{series} series");
    assert!(overflowed > 0);
    assert_eq!(counted + overflowed, u64::from(HOSTILE));
}

/// The number of series of requests, the sum of their counts, and the count of overflowed requests.
fn requests(page: &str) -> (usize, u64, u64) {
    let values = |name: &'static str| {
        let lines = page.lines().filter_map(move |line| line.strip_prefix(name));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
    };
    let series = || values("awx_gateway_requests_total{");
    let overflowed = values("awx_gateway_overflowed_requests_total ").sum();
    (series().count(), series().sum(), overflowed)
}

#[test]
fn a_dead_vm_is_evicted_and_its_slot_is_reused() {
    let host = FakeHost::at(1);
    let (mut dead, mut live) = (vm(&host, 1), vm(&host, 2));
    dead.record(&host, &facts("GET", "/", 200));
    live.record(&host, &facts("GET", "/", 200));
    let ui = r#"awx_gateway_requests_total{code="200",method="GET",resource="ui"}"#;
    drop(dead);
    for _ in 0..12 {
        heartbeats(&host, &mut [&mut live], 1);
        assert_has(&page(&host), &[&format!("{ui} 2")]);
    }
    assert_has(&page(&host), &["awx_gateway_vm_takeovers_total 1", "awx_gateway_workers 1"]);
    let keys = host.shared.borrow().len();
    let mut successor = vm(&host, 3);
    successor.record(&host, &facts("GET", "/", 200));
    assert_has(&page(&host), &[&format!("{ui} 3"), "awx_gateway_workers 2"]);
    assert_eq!(host.shared.borrow().len(), keys + 1, "the slot's other key");
}

#[test]
fn many_dead_vms_leave_bounded_data_and_no_count_is_lost() {
    let host = FakeHost::at(1);
    let mut monitor = vm(&host, 1_000);
    let mut keys = 0;
    for generation in 0..60 {
        let mut workers: Vec<_> = (0..4).map(|worker| vm(&host, generation * 4 + worker)).collect();
        for worker in &mut workers {
            worker.record(&host, &facts("GET", "/api/v2/jobs/", 200));
        }
        heartbeats(&host, &mut [&mut monitor], 3);
        match generation {
            20 => keys = host.shared.borrow().len(),
            59 => {
                assert_eq!(host.shared.borrow().len(), keys, "more than after a third of the VMs")
            }
            _ => {}
        }
    }
    heartbeats(&host, &mut [&mut monitor], 13);
    let jobs = r#"awx_gateway_requests_total{code="200",method="GET",resource="jobs"} 240"#;
    assert_has(
        &page(&host),
        &[jobs, "awx_gateway_vm_takeovers_total 240", "awx_gateway_workers 0"],
    );
}

#[test]
fn a_clock_that_jumps_evicts_no_vm() {
    let host = FakeHost::at(1_000_000);
    let (mut first, mut second) = (vm(&host, 1), vm(&host, 2));
    for (at, now) in [2_000_000, 5, 4, 3, 900_000_000, 1].into_iter().cycle().take(30).enumerate() {
        host.now.set(Duration::from_secs(now));
        first.record(&host, &facts("GET", "/", 200));
        first.tick(&host);
        second.tick(&host);
        let ui = r#"awx_gateway_requests_total{code="200",method="GET",resource="ui"}"#;
        assert_has(
            &page(&host),
            &[&format!("{ui} {}", at + 1), "awx_gateway_vm_takeovers_total 0"],
        );
    }
}

#[test]
fn an_evicted_vm_counts_on_from_zero_and_logs_a_warning() {
    let host = FakeHost::at(1);
    let (mut paused, mut live) = (vm(&host, 1), vm(&host, 2));
    paused.record(&host, &facts("GET", "/", 200));
    heartbeats(&host, &mut [&mut live], 13);
    paused.tick(&host);
    paused.record(&host, &facts("GET", "/", 200));
    let ui = r#"awx_gateway_requests_total{code="200",method="GET",resource="ui"} 2"#;
    assert_has(&page(&host), &[ui, "awx_gateway_vm_takeovers_total 1"]);
    assert!(matches!(host.log.borrow().as_slice(), [(Level::Warn, _)]));
}

#[test]
fn scopes_are_separate_and_vms_of_one_scope_add_up() {
    let host = FakeHost::at(1);
    let (mut here, mut there) = (vm(&host, 1), Observer::new("elsewhere", 1));
    there.prepare(&host);
    here.record(&host, &facts("GET", "/", 200));
    (0..5).for_each(|_| there.record(&host, &facts("GET", "/", 404)));
    let text = page(&host);
    assert!(text.contains(r#"code="200""#) && !text.contains(r#"code="404""#), "{text}");
    assert!(there.gather(&host).is_some());
}

#[test]
fn without_a_directory_counts_are_kept_until_there_is_one() {
    let host = FakeHost::at(1);
    let mut observer = Observer::new("default", 1);
    (0..3).for_each(|_| observer.record(&host, &facts("GET", "/", 200)));
    assert!(observer.gather(&host).is_none());
    assert_eq!(host.writes.get(), 0);
    observer.prepare(&host);
    heartbeats(&host, &mut [&mut observer], 1);
    let ui = r#"awx_gateway_requests_total{code="200",method="GET",resource="ui"} 3"#;
    assert_has(&page(&host), &[ui]);
}

#[test]
fn after_the_directory_is_overwritten_a_new_one_has_the_counts_of_all_live_vms() {
    let host = FakeHost::at(1);
    let mut observer = vm(&host, 1);
    observer.record(&host, &facts("GET", "/", 200));
    let key = host.shared.borrow().keys().find(|key| key.contains("directory")).unwrap().clone();
    host.share(&key, b"garbage", Write::Always).unwrap();
    observer.record(&host, &facts("GET", "/", 200));
    observer.tick(&host);
    assert!(observer.gather(&host).is_none());
    observer.prepare(&host);
    heartbeats(&host, &mut [&mut observer], 1);
    let ui = r#"awx_gateway_requests_total{code="200",method="GET",resource="ui"} 2"#;
    assert_has(&page(&host), &[ui]);
}

/// Renders page after page with a template if it fits, and compares with a page rendered without one.
#[derive(Default)]
struct Templates {
    template: Template,
    page: Vec<u8>,
    fitted: usize,
}

impl Templates {
    fn assert_filled_in(&mut self, host: &FakeHost) {
        let counts = Observer::new("default", 99).gather(host).unwrap();
        let mut numbers = self.template.numbers();
        counts.write(&mut numbers);
        if self.template.fits(&numbers) {
            self.fitted += 1;
        } else {
            let mut draft = TemplateBuilder::default();
            counts.write(&mut draft);
            let page;
            (page, numbers) = draft.finish();
            self.template = Template::new(page.as_text().as_bytes(), &numbers);
        }
        self.template.fill(&numbers, &mut self.page, 0);
        assert_eq!(str::from_utf8(&self.page).unwrap(), page(host));
    }
}

#[test]
fn a_form_fits_until_a_series_is_added() {
    let host = FakeHost::at(1);
    let (mut observer, mut templates) = (vm(&host, 1), Templates::default());
    for (method, path, code) in [
        ("POST", "/api/login/", 302),
        ("POST", "/api/login/", 302),
        ("POST", "/api/login/", 401),
        ("GET", "/api/v2/jobs/", 200),
        ("POST", "/api/login/", 401),
        ("GET", "/api/v2/jobs/", 200),
    ] {
        observer.record(&host, &facts(method, path, code));
        templates.assert_filled_in(&host);
    }
    observer.attempted(&host, Scheme::Bearer, AuthOutcome::Allowed);
    observer.scraped(&host, Some(Format::Text), 200);
    templates.assert_filled_in(&host);
    observer.scraped(&host, Some(Format::Text), 200);
    templates.assert_filled_in(&host);
    assert_eq!(templates.fitted, 4);
}

proptest! {
    #[test]
    fn a_form_that_fits_renders_the_same_page(
        requests in proptest::collection::vec((0..3_usize, 0..4_usize, 0..5_usize), 0..30),
    ) {
        let host = FakeHost::at(1);
        let (mut vms, mut templates) = ([vm(&host, 1), vm(&host, 2)], Templates::default());
        for (at, (method, path, code)) in requests.into_iter().enumerate() {
            let method = ["GET", "POST", "BREW"][method];
            let path = ["/", "/api/login/", "/api/v2/tokens/", "/api/v2/jobs/1/relaunch/"][path];
            let code = [0, 200, 302, 401, 1_000][code];
            vms[at % 2].record(&host, &facts(method, path, code));
            if at % 3 == 0 {
                vms[at % 2].scraped(&host, series::FORMATS[at % 6], code);
            }
            templates.assert_filled_in(&host);
        }
    }

    #[test]
    fn every_arbitrary_request_is_counted_once(
        requests in proptest::collection::vec(
            (any::<Option<Vec<u8>>>(), any::<Option<Vec<u8>>>(), any::<u16>(), any::<bool>()), 0..40),
    ) {
        let host = FakeHost::at(1);
        let mut vms = [vm(&host, 1), vm(&host, 2)];
        for (at, (method, path, code, websocket)) in requests.iter().enumerate() {
            let facts = Facts {
                method: method.as_deref(),
                path: path.as_deref(),
                code: *code,
                duration: Some(Duration::from_nanos(u64::MAX)),
                websocket: *websocket,
            };
            vms[at % 2].record(&host, &facts);
        }
        let total: usize = page(&host)
            .lines()
            .filter(|line| line.starts_with("awx_gateway_requests_total{"))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
            .sum();
        prop_assert_eq!(total, requests.len());
    }
}
