//! COLLECT: pulls of the controllers' pages, and their failures.

use std::time::{Duration, Instant};

use host_tests::controller::{Controller, ControllerConfig, ILLEGAL_LINES, Mode};
use host_tests::gateway::{GatewaySpec, Host, ListenerSpec};
use host_tests::on_both_hosts;
use host_tests::process::eventually;
use host_tests::world::World;
use serde_json::{Value, json};

use crate::stage::{
    CONTROLLER_TOKEN, METRICS, OUTCOMES, PATIENCE, Stage, TOKEN, Watched, auth, fetches, having,
    is_up, plugin, sample, scrape, source, spec, until, until_up,
};

const SESSIONS: &str = "awx_sessions_total";

/// The failures of a controller that was up, the outcome of the pull, and the reason without a page.
fn failures() -> Vec<(Mode, &'static str, &'static str)> {
    let of_type = |body: Vec<u8>, media_type: &str| Mode::Page(body, media_type.to_owned());
    let text = |body| of_type(body, "text/plain; charset=utf-8");
    let many = (0..=100_000).map(|n| format!("m{n} 1\n")).collect::<String>();
    let control = "\u{1}".repeat(60_000);
    let long = (0..300).map(|at| format!("a{{b=\"{control}{at}\"}} 1\n")).collect::<String>();
    let name = "x".repeat(200);
    let swelling = (0..100_000).map(|at| format!("{name}{at:06} 1\n")).collect::<String>();
    vec![
        (Mode::Gone, "refused", "connection refused"),
        (Mode::Hanging, "timeout", "timeout after 700ms"),
        (Mode::Slow(Duration::from_secs(9)), "timeout", "timeout after 700ms"),
        (Mode::Garbled, "unreadable", "not HTTP"),
        (Mode::ClosesEarly, "unreadable", "cut off, or above 32 MB"),
        (Mode::Failing(500), "status", "status 500"),
        // As Envoy itself answers if the controller does not; these come from the controller.
        (Mode::Failing(502), "status", "status 502"),
        (Mode::Failing(503), "status", "status 503"),
        (Mode::Failing(504), "status", "status 504"),
        (Mode::DatabaseDown, "status", "status 500"),
        (Mode::Html, "unreadable", "content-type text/html"),
        (Mode::Empty, "unreadable", "empty body"),
        (
            of_type(b"{}".to_vec(), "application/json"),
            "unreadable",
            "content-type application/json",
        ),
        (of_type(b"x".to_vec(), "text/x-odd"), "unreadable", "content-type other"),
        (text(b"<p>log in</p>".to_vec()), "unreadable", "no samples"),
        // Envoy buffers 32 MiB, and does not say if a call failed because of that.
        (text(vec![b'#'; (32 << 20) + 1]), "unreadable", "cut off, or above 32 MB"),
        (text(many.into()), "too_large", "above 100000 samples"),
        (text(long.into()), "too_large", "above 64 MB in some format"),
        (text(swelling.into()), "too_large", "above 32 MB"),
    ]
}

/// Sources that are never up.
fn unfit_sources() -> Vec<(Value, &'static str, &'static str)> {
    let with = |pointer, field| having(source(0), pointer, field);
    vec![
        // The filter does not follow the redirect, which could send the token elsewhere.
        (with("/path", json!("/api/v2/metrics")), "status", "redirect to another path"),
        (with("/path", json!("/api/v2/nothing/")), "status", "status 404"),
        (with("/credential", json!({"bearer": "nope"})), "status", "status 401"),
        (
            with("/credential", json!({"username": "bob", "password": "bobpass"})),
            "status",
            "status 403",
        ),
        (
            with("/cluster", json!("nowhere")),
            "refused",
            "not sent: no such cluster, or no host in it",
        ),
    ]
}

fn assert_only(page: &str, outcome: &str, cause: &str) {
    for other in OUTCOMES.into_iter().filter(|other| ![outcome, "ok"].contains(other)) {
        assert_eq!(fetches(page, other), 0.0, "{other} beside {outcome}");
    }
    assert!(fetches(page, outcome) >= 1.0, "{outcome}:\n{page}");
    let reason = [("source", "controller"), ("reason", cause)];
    assert_eq!(sample(page, "awx_gateway_source_problem_info", &reason), Some(1.0), "{page}");
}

fn is_down(page: &str) -> bool {
    is_up(page) == Some(false)
}

/// The controller's part of a page.
fn controllers_part(page: &str) -> Vec<&str> {
    let is_gateways = |line: &str| line.contains("awx_gateway_");
    page.lines().filter(|line| !is_gateways(line)).collect()
}

async fn failures_leave_the_last_good_page(host: Host) {
    let patient = |(place, (_, outcome, _)): (usize, (Mode, &str, &str))| {
        // If the timeout is not the outcome, it is long enough for a busy machine.
        let timeout = if outcome == "timeout" { "700ms" } else { "30s" };
        having(plugin(place), "/sources/0/timeout", json!(timeout))
    };
    let plugins: Vec<_> = failures().into_iter().enumerate().map(patient).collect();
    let stage = Stage::of(host, &plugins).await;
    let client = |place| stage.gateway.client_of(place).bearer(TOKEN);
    let mut good = Vec::new();
    for (place, (mode, ..)) in failures().into_iter().enumerate() {
        until_up(&client(place)).await;
        good.push(scrape(&client(place), "").await);
        assert!(good[place].contains(SESSIONS), "{mode:?}");
        stage.controllers[place].set_mode(mode);
    }
    for (place, (_, outcome, cause)) in failures().into_iter().enumerate() {
        let page = until(&client(place), "", is_down).await;
        assert_only(&page, outcome, cause);
        assert_eq!(controllers_part(&page), controllers_part(&good[place]));
        stage.controllers[place].come_back();
    }
    for place in 0..failures().len() {
        until_up(&client(place)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_oldest_envoy_the_same_failures_have_the_same_names() {
    failures_leave_the_last_good_page(Host::Envoy(host_tests::tools::Release::Oldest)).await;
}

on_both_hosts! {
    /// Each failure has its own listener and controller; all run at once.
    async fn after_any_failure_the_last_good_page_stays_and_the_failure_is_named(host) {
        failures_leave_the_last_good_page(host).await;
    }

    async fn a_source_that_was_never_up_affects_only_its_own_series(host) {
        let plugin = |(source, ..): &(Value, _, _)| json!({"sources": [source], "auth": auth()});
        let plugins: Vec<_> = unfit_sources().iter().map(plugin).collect();
        let stage = Stage::of(host, &plugins).await;
        for (place, (source, outcome, cause)) in unfit_sources().into_iter().enumerate() {
            let client = stage.gateway.client_of(place).bearer(TOKEN);
            let page = until(&client, "", |page| fetches(page, outcome) >= 1.0).await;
            assert!(is_down(&page), "{source}");
            assert_only(&page, outcome, cause);
            assert_eq!(controllers_part(&page), [""; 0], "{source}");
        }
    }

    async fn the_valid_part_of_a_page_is_served_and_the_rest_is_counted(host) {
        let controller = Controller::start(ControllerConfig::default());
        controller.set_mode(Mode::IllegalLines);
        let spec = spec(&[plugin(0)], std::slice::from_ref(&controller));
        let gateway = Watched::start(host, &spec).await;
        let client = gateway.client().bearer(TOKEN);
        until_up(&client).await;
        let broken = scrape(&client, "").await;
        let labels = [("source", "controller")];
        let unreadable = sample(&broken, "awx_gateway_source_unreadable_lines_total", &labels);
        assert_eq!(unreadable, Some(ILLEGAL_LINES.len() as f64 * fetches(&broken, "ok")));

        controller.set_mode(Mode::Normal);
        let pulls = fetches(&broken, "ok");
        let two_more = |page: &str| fetches(page, "ok") >= pulls + 2.0;
        let whole = until(&client, "", two_more).await;
        assert_eq!(controllers_part(&broken), controllers_part(&whole));
    }

    async fn a_page_becomes_stale_and_recovers_with_its_controller(host) {
        let plugin = having(plugin(0), "/sources/0/stale_after", json!("2s"));
        let stage = Stage::with(host, &plugin).await.up().await;
        stage.controller().set_mode(Mode::Gone);
        let page = stage.until("", |page| !page.contains(SESSIONS)).await;
        assert!(is_down(&page));
        assert_eq!(controllers_part(&page), [""; 0]);
        assert!(stage.scrape("?gateway=none").await.trim().is_empty());
        stage.controller().come_back();
        stage.until("", |page| page.contains(SESSIONS) && is_up(page) == Some(true)).await;
    }

    /// Neither VMs nor scrapes add pulls, and each pull is counted once.
    async fn there_is_one_pull_per_interval_however_many_clients_scrape(host) {
        let controller = Controller::start(ControllerConfig::default());
        let started = Instant::now();
        let spec = spec(&[plugin(0)], std::slice::from_ref(&controller)).workers(4);
        let gateway = Watched::start(host, &spec).await;
        let client = gateway.client().bearer(TOKEN);
        let scraping = || async {
            let mut scrapes = 0;
            while controller.page_requests() < 4 && started.elapsed() < PATIENCE {
                scrape(&client, "").await;
                scrapes += 1;
            }
            scrapes
        };
        let (a, b, c) = tokio::join!(scraping(), scraping(), scraping());
        let (pulls, intervals) = (controller.page_requests(), started.elapsed().as_secs());
        assert!(pulls >= 4, "only {pulls} pulls in {PATIENCE:?}");
        assert!(pulls <= intervals + 1, "{pulls} pulls in {intervals} s, {} scrapes", a + b + c);
        assert!(a + b + c > 3 * pulls, "only {} scrapes", a + b + c);
        let asked = controller.requests();
        assert!(asked.iter().all(|request| request.path() == "/api/v2/metrics/"), "{asked:?}");
        let asked = controller.page_requests() as f64;
        until(&client, "", |page| fetches(page, "ok") >= asked).await;
    }

    async fn a_pull_is_a_get_with_the_sources_own_credential(host) {
        let basic = json!({"username": "admin", "password": "password"});
        let plugin = having(plugin(0), "/sources/0/credential", basic);
        let plugin = having(plugin, "/sources/0/authority", json!("controller.example"));
        let stage = Stage::with(host, &plugin).await.up().await;
        let pull = stage.controller().requests().remove(0);
        assert_eq!((pull.method.as_str(), pull.target.as_str()), ("GET", "/api/v2/metrics/"));
        assert_eq!(pull.header("authorization"), Some(&b"Basic YWRtaW46cGFzc3dvcmQ="[..]));
        let formats = b"text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5";
        assert_eq!(pull.header("accept"), Some(&formats[..]));
        assert_eq!(pull.header("host"), Some(&b"controller.example"[..]));
        let agent = String::from_utf8(pull.header("user-agent").unwrap().to_vec()).unwrap();
        assert!(agent.starts_with("awx-metrics-filter/"), "{agent}");
    }

    async fn an_unset_variable_takes_down_only_its_own_source_and_is_named(host) {
        let variable = json!({"bearer_env": "CONTROLLER_TOKEN"});
        let deaf = having(source(1), "/credential", variable);
        let deaf = having(deaf, "/name", json!("deaf"));
        let plugin = json!({"sources": [source(0), deaf], "auth": auth()});
        let controllers = [0, 1].map(|_| Controller::start(ControllerConfig::default()));
        let gateway = Watched::start(host, &spec(&[plugin], &controllers)).await;
        let client = gateway.client().bearer(TOKEN);
        until_up(&client).await;
        let page = scrape(&client, "").await;
        assert_eq!(sample(&page, SESSIONS, &[("source", "controller")]), Some(0.0));
        assert_eq!(sample(&page, SESSIONS, &[("source", "deaf")]), None);
        assert_eq!(sample(&page, "awx_gateway_source_up", &[("source", "deaf")]), Some(0.0));
        let reason = "the environment variable CONTROLLER_TOKEN is not set";
        let reason = [("source", "deaf"), ("reason", reason)];
        assert_eq!(sample(&page, "awx_gateway_source_problem_info", &reason), Some(1.0));
        assert_eq!(controllers[1].request_count(), 0);
    }

    async fn a_set_variable_is_the_sources_credential(host) {
        let controller = Controller::start(ControllerConfig::default());
        let variable = json!({"bearer_env": "CONTROLLER_TOKEN"});
        let plugin = having(plugin(0), "/sources/0/credential", variable);
        let spec = spec(&[plugin], std::slice::from_ref(&controller))
            .environment("CONTROLLER_TOKEN", CONTROLLER_TOKEN);
        let gateway = Watched::start(host, &spec).await;
        until_up(&gateway.client().bearer(TOKEN)).await;
    }

    async fn with_several_sources_each_series_names_its_own(host) {
        let named = |place, name: &str| having(source(place), "/name", json!(name));
        let sources = json!([named(0, "east"), named(1, "west")]);
        let plugin = json!({"sources": sources, "auth": auth()});
        let controllers = [0, 1].map(|_| Controller::start(ControllerConfig::default()));
        controllers[1].log_in("bob").unwrap();
        let gateway = Watched::start(host, &spec(&[plugin], &controllers)).await;
        let of = |page: &str, source, kind| {
            sample(page, SESSIONS, &[("source", source), ("type", kind)])
        };
        let both =
            |page: &str| of(page, "east", "user").is_some() && of(page, "west", "user").is_some();
        let page = until(&gateway.client().bearer(TOKEN), "", both).await;
        assert_eq!(of(&page, "west", "user"), of(&page, "east", "user").map(|east| east + 1.0));
        for line in controllers_part(&page).into_iter().filter(|line| !line.starts_with('#')) {
            assert!(line.contains("source=\"east\"") || line.contains("source=\"west\""), "{line}");
        }
        assert_eq!(page.matches("# TYPE awx_sessions_total ").count(), 1);
    }

    async fn a_configured_label_replaces_a_label_of_the_page(host) {
        let labels = json!({"site": "east \"1\"", "node": "edge"});
        let stage = Stage::with(host, &having(plugin(0), "/sources/0/labels", labels)).await;
        let page = stage.up().await.scrape("").await;
        let line = |name: &str| page.lines().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(
            line("dispatcher_availability{"),
            r#"dispatcher_availability{node="edge",site="east \"1\"",exported_node="awx-1"} 0.015146737332727533"#,
        );
        assert!(line("awx_sessions_total{").contains(r#"{node="edge",site="east \"1\"",type="#));
        // A source's labels do not appear on the gateway's own series.
        assert!(!line("awx_gateway_source_up{").contains("site"), "{page}");
    }

    async fn the_families_of_a_gateway_behind_a_gateway_are_labelled_or_dropped(host) {
        let inner = Stage::start(host).await.up().await;
        let outer = |what: &str| {
            let source = json!({
                "name": "sidecar", "cluster": "sidecar", "path": METRICS, "interval": "1s",
                "credential": {"bearer": TOKEN}, "gateway_families": what,
            });
            ListenerSpec {
                upstream: "sidecar".to_owned(),
                ..ListenerSpec::new(&json!({"sources": [source], "auth": auth()}))
            }
        };
        let mut spec = GatewaySpec::new(&json!({})).cluster("sidecar", inner.gateway.address());
        spec.listeners = vec![outer("drop"), outer("keep")];
        spec.node = "outer".to_owned();
        let gateway = Watched::start(host, &spec).await;
        let up = |page: &str| {
            sample(page, "awx_gateway_source_up", &[("source", "sidecar")]) == Some(1.0)
        };
        let page = async |listener| until(&gateway.client_of(listener).bearer(TOKEN), "", up).await;
        let (dropped, kept) = (page(0).await, page(1).await);
        for page in [&dropped, &kept] {
            assert!(page.contains(SESSIONS));
            assert!(sample(page, "awx_gateway_source_up", &[("gateway", "outer")]).is_some());
            assert_eq!(page.matches("# TYPE awx_gateway_source_up ").count(), 1);
        }
        let inner_up = [("gateway", "gateway-1"), ("source", "controller")];
        assert_eq!(sample(&dropped, "awx_gateway_source_up", &inner_up), None);
        assert_eq!(sample(&kept, "awx_gateway_source_up", &inner_up), Some(1.0));
    }

    async fn the_gateways_series_carry_its_labels(host) {
        let plugins = [
            plugin(0),
            having(plugin(0), "/gateway", json!({"labels": {}})),
            having(plugin(0), "/gateway", json!({"labels": {"site": "east", "rack": "4"}})),
        ];
        let controller = Controller::start(ControllerConfig::default());
        let gateway = Watched::start(host, &spec(&plugins, &[controller])).await;
        let line = async |listener| {
            let page = scrape(&gateway.client_of(listener).bearer(TOKEN), "?gateway=only").await;
            let line = page.lines().find(|line| line.starts_with("awx_gateway_build_info"));
            line.unwrap().split(",version").next().unwrap().to_owned()
        };
        assert_eq!(line(0).await, r#"awx_gateway_build_info{gateway="gateway-1""#);
        assert!(line(1).await.starts_with(r#"awx_gateway_build_info{version=""#));
        assert_eq!(line(2).await, r#"awx_gateway_build_info{rack="4",site="east""#);
    }
}

/// The number of ticks of every VM so far.
fn ticks(world: &World) -> Vec<u64> {
    let counts = world.counts();
    let live = counts.iter().filter(|(vm, _)| vm != "canary");
    live.map(|(_, counts)| counts.of("proxy_on_tick").runs).collect()
}

/// Moves the stopped clock, and waits until every VM has seen the new time.
async fn pass(world: &World, time: Duration) {
    world.clock.advance(time);
    let before = ticks(world);
    let looked = eventually(PATIENCE, async || {
        // The first of two ticks may have begun before the clock was moved.
        ticks(world).iter().zip(&before).all(|(now, before)| *now >= before + 2).then_some(())
    });
    looked.await.expect("every VM ticks");
}

/// A gateway with many workers, for a test that controls the clock.
async fn many_vms(plugin: &Value) -> (Controller, Watched) {
    let controller = Controller::start(ControllerConfig::default());
    let spec = spec(std::slice::from_ref(plugin), std::slice::from_ref(&controller)).workers(6);
    let gateway = Watched::start(Host::Wasmtime, &spec).await;
    let world = gateway.world().unwrap();
    world.clock.stop_at(world.clock.now());
    (controller, gateway)
}

async fn pulled(controller: &Controller, pulls: u64) {
    let seen = || async { (controller.page_requests() >= pulls).then_some(()) };
    assert!(
        eventually(PATIENCE, seen).await.is_some(),
        "{} of {pulls}",
        controller.page_requests()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_stopped_clock_there_is_exactly_one_pull_per_interval() {
    let (controller, gateway) = many_vms(&plugin(0)).await;
    let (world, client) = (gateway.world().unwrap(), gateway.client().bearer(TOKEN));
    pulled(&controller, 1).await;
    // The time since the last pull is unknown when the clock stops; the next pull comes within one step.
    let before = controller.page_requests();
    while controller.page_requests() == before {
        pass(world, Duration::from_millis(100)).await;
    }
    let first = controller.page_requests();
    assert_eq!(first, before + 1);
    for step in 1..=18 {
        pass(world, Duration::from_millis(250)).await;
        for _ in 0..5 {
            scrape(&client, "").await;
        }
        // A VM that serves requests leaves the pull to an idle one, for up to 400 ms.
        let (least, most) = (first + (step.max(2) - 2) / 4, first + step / 4);
        pulled(&controller, least).await;
        assert!(controller.page_requests() <= most, "step {step}");
    }
    assert_eq!(controller.page_requests(), first + 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_become_rare_without_scrapes_and_resume_with_the_next_one() {
    let plugin = having(plugin(0), "/sources/0/idle_after", json!("2s"));
    let (controller, gateway) = many_vms(&plugin).await;
    let world = gateway.world().unwrap();
    pulled(&controller, 1).await;
    for _ in 0..8 {
        pass(world, Duration::from_millis(500)).await;
    }
    let at_rest = controller.page_requests();
    assert!(at_rest <= 4, "{at_rest} pulls");
    for _ in 0..8 {
        pass(world, Duration::from_secs(5)).await;
    }
    assert_eq!(controller.page_requests(), at_rest);
    pass(world, Duration::from_secs(30)).await;
    pulled(&controller, at_rest + 1).await;

    scrape(&gateway.client().bearer(TOKEN), "").await;
    pass(world, Duration::from_secs(1)).await;
    pulled(&controller, at_rest + 2).await;
}
