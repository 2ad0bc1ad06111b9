//! A flood of wrong credentials: the cost of a callback is bounded, memory and shared data do not grow, and permitted
//! clients are served all the time.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use awx_metrics_filter::limits;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use host_tests::capture::Reply;
use host_tests::client::Client;
use host_tests::controller::Received;
use host_tests::gateway::Gateway;
use host_tests::on_both_hosts;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use crate::driven::Driven;
use crate::stage::{CONTROLLER_TOKEN, METRICS, Stage, TOKEN, cluster, having, plugin, scrape};
use crate::wire;

/// The number of different credentials.
const FLOOD: u32 = 100_000;

/// The most fuel of a callback, at about one unit per instruction. A tick does 4,000 rounds of a password
/// ([`awx_metrics_filter::limits::PASSWORD_ROUNDS_A_TICK`]), each about 11,500 units; nothing else comes close.
const CALLBACK_FUEL: u64 = 50_000_000;

/// The most fuel for the refusal of a request without password: the longest token that is read
/// ([`awx_metrics_filter::limits::AUTHORIZATION_BYTES`]) is hashed.
const REFUSAL_FUEL: u64 = 2_000_000;

/// The allowed growth of a VM's memory, in bytes. Waiting passwords are bounded by
/// [`awx_metrics_filter::limits::PASSWORDS_WAITING`].
const MEMORY: usize = 1024 * 1024;

/// The allowed growth of shared data, in bytes: two shards of counters.
const SHARED: usize = 2 * awx_metrics_filter::limits::SHARD_BYTES;

/// The credentials of the flood; one in three is a password.
fn wrong(number: u32) -> String {
    match number % 3 {
        0 => format!("Basic {}", STANDARD.encode(format!("admin:guess-{number}"))),
        1 => format!("Bearer guess-{number}"),
        _ => format!("Bearer {number}-{}", "long".repeat(number as usize % 100 / 98 * 2_000)),
    }
}

/// The address of the client.
fn source(number: u32) -> SocketAddr {
    let [a, b, c, _] = (number / 7).to_be_bytes();
    SocketAddr::from(([10, a ^ c, b, u8::try_from(number % 251).unwrap()], 40_000))
}

fn shared_bytes(driven: &Driven) -> usize {
    driven.world.shared.sizes().iter().map(|(key, size)| key.len() + size).sum()
}

#[test]
fn a_flood_of_wrong_credentials_stays_within_its_bounds_and_valid_ones_are_served() {
    // A check takes two full ticks.
    let laborious = format!("pbkdf2_sha256$8000$salt${}", STANDARD.encode([7; 32]));
    let mut driven =
        Driven::new(&having(plugin(0), "/auth/users/0/password_hash", json!(laborious)));
    let right = format!("Bearer {TOKEN}");
    let home = SocketAddr::from(([127, 0, 0, 1], 9_090));
    assert_eq!(driven.scrape(&right, home).status, 200);
    let (memory, shared) = (driven.vm.memory_size(), shared_bytes(&driven));
    let (mut most, mut most_at_once, mut statuses) = (0, 0, BTreeSet::new());
    let mut waiting = Vec::new();
    for number in 0..FLOOD {
        let (stream, mut scraped) = driven.begin(&wrong(number), source(number));
        statuses.insert(scraped.status);
        if scraped.status == 0 {
            waiting.push(stream);
        } else {
            driven.end(stream, &mut scraped);
            most_at_once = most_at_once.max(scraped.fuel.into_iter().max().unwrap());
        }
        // Ticks come every few milliseconds; a worker answers hundreds of requests in between.
        if number % 500 == 499 {
            let mut ticked = crate::driven::Scraped::default();
            driven.tick(&mut ticked);
            let answered =
                waiting.first().copied().filter(|&first| driven.reply_to(first).is_some());
            if let Some(first) = answered {
                waiting.remove(0);
                driven.end(first, &mut ticked);
            }
            assert_eq!(driven.scrape(&right, home).status, 200, "after {number}");
            most = most.max(ticked.fuel.into_iter().max().unwrap());
        }
    }
    // Some passwords wait for their check, tokens are refused, and most passwords exceed the rate limit.
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), [0, 401, 429]);
    assert!(most_at_once <= REFUSAL_FUEL, "{most_at_once}");
    assert!(most <= CALLBACK_FUEL, "{most}");
    let grown = driven.vm.memory_size() - memory;
    assert!(grown <= MEMORY, "memory grew by {grown}");
    let grown = shared_bytes(&driven).saturating_sub(shared);
    assert!(grown <= SHARED, "shared data grew by {grown}");
    assert_eq!(driven.world.traps(), []);
}

#[test]
fn a_permitted_client_cannot_fill_the_memory_with_different_queries() {
    let mut driven = Driven::new(&plugin(0));
    let right = format!("Bearer {TOKEN}");
    let home = SocketAddr::from(([127, 0, 0, 1], 9_090));
    let lines = (0..5_000).map(|number| format!("a_metric{{node=\"{number}\"}} {number}\n"));
    driven.pull(&lines.collect::<String>());
    let mut ask = |number: u32| {
        let scraped =
            driven.ask(&format!("?gateway=none&name[]=a_metric&name[]={number}"), &right, home);
        assert_eq!((scraped.status, scraped.bytes > 100_000), (200, true));
        driven.vm.memory_size()
    };
    let after_a_few = (0..20).map(&mut ask).max().unwrap();
    let after_many = (20..500).map(&mut ask).max().unwrap();
    assert!(after_many - after_a_few <= MEMORY, "{after_a_few} bytes, then {after_many}");
}

/// The connections of the flood. Envoy closes a connection that sends before it is answered.
const CONNECTIONS: u32 = 16;

/// The number of requests over sockets, fewer than above, where the bounds are tested.
const SENT: u32 = 20_000;

/// Sends a share of the flood from its own address, and counts the answers with 401 and with 429.
async fn pour(gateway: SocketAddr, place: u32) -> [u32; 2] {
    let socket = TcpSocket::new_v4().unwrap();
    let from = [127, 0, 1, u8::try_from(place + 1).unwrap()];
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let mut stream = socket.connect(gateway).await.unwrap();
    let mut answered = [0, 0];
    for number in (place..SENT).step_by(CONNECTIONS as usize) {
        let authorization = wrong(number);
        let request =
            format!("GET {METRICS} HTTP/1.1\r\nhost: a\r\nauthorization: {authorization}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        match Reply::parse(&wire::reply(&mut stream).await).status {
            401 => answered[0] += 1,
            429 => answered[1] += 1,
            other => panic!("{authorization}: {other}"),
        }
    }
    answered
}

/// The most that the flood may multiply the median response time of other requests. Measured: 2
/// to 11. A worker that the flood blocks exceeds it on any machine.
const SLOWDOWN: u32 = 100;

/// The median response time of proxied requests, sent one after the other for as long as `goes_on` says so.
async fn median(gateway: &Gateway, goes_on: impl Fn(usize) -> bool) -> Duration {
    let mut took = Vec::new();
    while goes_on(took.len()) {
        let begun = Instant::now();
        let reply = gateway.client().get("/api/v2/ping/").await.unwrap();
        assert_eq!(reply.status(), 200);
        took.push(begun.elapsed());
    }
    took.sort();
    took[took.len() / 2]
}

/// Sends the flood while this client scrapes and others send proxied requests, all of which must be served in time.
async fn flooded(stage: &Stage, permitted: &Client) {
    let before = median(&stage.gateway, |done| done < 200).await;
    let mut flood: JoinSet<_> =
        (0..CONNECTIONS).map(|place| pour(stage.gateway.address(), place)).collect();
    let over = AtomicBool::new(false);
    let is_over = || over.load(Ordering::Relaxed);
    let flooding = async {
        let mut answered = [0, 0];
        while let Some(share) = flood.join_next().await {
            answered =
                std::array::from_fn(|place| answered[place] + share.as_ref().unwrap()[place]);
        }
        over.store(true, Ordering::Relaxed);
        answered
    };
    let scraping = async {
        let mut served = 0_u32;
        while !is_over() || served < 3 {
            assert!(scrape(permitted, "").await.contains("awx_sessions_total"));
            served += 1;
        }
        served
    };
    let passing = median(&stage.gateway, |done| !is_over() || done < 10);
    let (answered, served, during) = tokio::join!(flooding, scraping, passing);
    assert_eq!(answered.iter().sum::<u32>(), SENT);
    assert!(served >= 3, "{served} scrapes");
    assert!(during <= before * SLOWDOWN, "{before:?} before, {during:?} during the flood");
}

on_both_hosts! {
    async fn other_clients_are_served_during_a_flood(host) {
        let stage = Stage::start(host).await.up().await;
        flooded(&stage, &stage.prometheus()).await;
    }

    async fn a_flood_neither_overloads_the_controller_nor_evicts_permits(host) {
        let asking = json!({"cluster": cluster(0), "allow_for": "10m"});
        let stage = Stage::with(host, &having(plugin(0), "/auth/controller", asking)).await.up().await;
        let permitted = stage.gateway.client().bearer(CONTROLLER_TOKEN);
        assert_eq!(permitted.get(METRICS).await.unwrap().status(), 200);
        let begun = Instant::now();
        flooded(&stage, &permitted).await;
        let requests = stage.controller().requests();
        let is_question = |request: &&Received| request.query() == "dbonly=1&subsystemonly=1";
        let asked = requests.iter().filter(is_question).count();
        // The limit holds for any second, so the first and the last may count in part.
        let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap() + 2;
        let most = seconds * limits::QUESTIONS_A_SECOND;
        assert!((3..=most).contains(&asked), "{asked} of {most}");
    }
}
