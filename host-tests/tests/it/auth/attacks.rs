//! Attacks by one client while others, at other addresses, authenticate for the first time.
//!
//! Each test first asserts that the attack took place.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use awx_metrics_filter::limits;
use host_tests::capture::Reply;
use host_tests::controller::{Controller, ControllerConfig, Received};
use host_tests::process::eventually;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::verdicts::{ADMIN, asking, questions, stage, status};
use super::*;
use crate::stage::{PATIENCE, Watched, scrape, spec};
use crate::wire;

/// The address of the attacker.
const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 9, 9));

/// New clients with valid credentials, each at its own address.
const STRANGERS: u8 = 30;

fn address(stranger: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 7, stranger + 1))
}

/// A connection of the attacker, kept open. A socket that is bound to an address keeps its port from all others for a
/// minute after its end, so a connection per request would leave the other tests no ports.
struct Connection {
    gateway: SocketAddr,
    stream: TcpStream,
}

impl Connection {
    async fn open(gateway: SocketAddr) -> Self {
        Self { gateway, stream: Self::connect(gateway).await }
    }

    async fn connect(gateway: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(ATTACKER, 0)).unwrap();
        socket.connect(gateway).await.unwrap()
    }

    /// The status of a scrape with these header lines.
    async fn scrape(&mut self, headers: &str) -> u16 {
        let request = format!("GET {METRICS} HTTP/1.1\r\nhost: a\r\n{headers}\r\n\r\n");
        loop {
            let sent = self.stream.write_all(request.as_bytes()).await;
            let reply = wire::reply(&mut self.stream).await;
            if sent.is_ok() && !reply.is_empty() {
                return Reply::parse(&reply).status;
            }
            // The gateway closed it.
            self.stream = Self::connect(self.gateway).await;
        }
    }
}

fn basic(name: &str, password: &str) -> String {
    format!("authorization: Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// Scrapes that continue until they are stopped, over several connections, each with its own credentials.
struct Attack {
    over: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    tasks: JoinSet<Vec<u16>>,
}

impl Attack {
    /// `headers` returns the header lines of a scrape by its number.
    fn start(
        gateway: SocketAddr,
        connections: usize,
        headers: impl Fn(usize) -> String + Clone + Send + 'static,
    ) -> Self {
        let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let (over, sent, headers) = (Arc::clone(&over), Arc::clone(&sent), headers.clone());
            tasks.spawn(async move {
                let mut connection = Connection::open(gateway).await;
                let mut statuses = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let number = sent.fetch_add(1, Ordering::Relaxed);
                    statuses.push(connection.scrape(&headers(number)).await);
                }
                statuses
            });
        }
        Self { over, sent, tasks }
    }

    /// Waits until this number of scrapes was sent.
    async fn reaches(&self, scrapes: usize) {
        let reached = async || (self.sent.load(Ordering::Relaxed) >= scrapes).then_some(());
        eventually(PATIENCE, reached).await.expect("the attack is under way");
    }

    /// Ends it. Returns the number of scrapes by status.
    async fn stop(mut self) -> BTreeMap<u16, usize> {
        self.over.store(true, Ordering::Relaxed);
        let mut statuses = BTreeMap::new();
        while let Some(of_one) = self.tasks.join_next().await {
            for status in of_one.unwrap() {
                *statuses.entry(status).or_default() += 1;
            }
        }
        statuses
    }
}

/// Sends a scrape of each of many new clients, one after the other. Returns the longest response time.
async fn strangers_are_served(stage: &Stage) -> Duration {
    let mut slowest = Duration::ZERO;
    for stranger in 0..STRANGERS {
        let session = stage.controller().log_in("admin").unwrap();
        let client = stage.gateway.client().at(address(stranger));
        let began = Instant::now();
        let client = client.header("cookie", format!("awx_sessionid={session}"));
        assert_eq!(status(&client).await, 200, "stranger {stranger}");
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

on_both_hosts! {
    /// A NUL in a user's name makes the controller answer 500, which is neither a permit nor a refusal.
    async fn clients_at_other_addresses_are_permitted_while_one_makes_the_controller_fail(host) {
        let stage = stage(host, json!({})).await;
        let attack = Attack::start(stage.gateway.address(), 64, |number| {
            basic(&format!("nobody-{number}\0"), "x")
        });
        attack.reaches(200).await;
        let slowest = strangers_are_served(&stage).await;
        let statuses = attack.stop().await;
        println!("{host:?}: {statuses:?}, the slowest stranger took {slowest:.1?}");
        let tried = statuses.get(&503).copied().unwrap_or_default();
        assert!(tried >= 2, "{statuses:?}: some credentials made the controller fail");
        assert!(statuses[&429] > tried, "{statuses:?}: the others were charged");
        assert!(!statuses.contains_key(&200), "{statuses:?}");
    }

    /// Two tokens that the controller answers after its timeout, and many more with the same prefix.
    async fn slow_credentials_do_not_mark_the_controller_down_for_others(host) {
        let stage = stage(host, json!({"timeout": "1s", "allow_for": "1s"})).await;
        let lapsing = stage.gateway.client().bearer(ADMIN);
        assert_eq!(status(&lapsing).await, 200);
        stage.controller().slow_down_bearers("slow", Duration::from_secs(2));
        let attack = Attack::start(stage.gateway.address(), 8, |number| {
            format!("authorization: Bearer slow-{number}")
        });
        let asked = async || {
            let slow = |request: &&Received| {
                request.header("authorization").is_some_and(|it| it.starts_with(b"Bearer slow"))
            };
            (stage.controller().requests().iter().filter(slow).count() >= 2).then_some(())
        };
        eventually(PATIENCE, asked).await.expect("the controller is asked about slow tokens");
        let slowest = strangers_are_served(&stage).await;
        // Its permit has expired and its token was revoked: no permit is valid longer while the controller answers
        // others.
        assert!(stage.controller().revoke(ADMIN));
        let refused = async || (status(&lapsing).await == 401).then_some(());
        eventually(PATIENCE, refused).await.expect("the revoked client is refused");
        let statuses = attack.stop().await;
        println!("{host:?}: {statuses:?}, the slowest stranger took {slowest:.1?}");
        assert!(statuses[&503] >= 1, "{statuses:?}");
        let page = stage.scrape("").await;
        assert_eq!(super::verdicts::attempts(&page, "bearer", "allowed_while_down"), 0.0);
    }

    async fn an_unknown_client_whose_pull_fails_does_not_keep_the_page_from_others(host) {
        let plugin = having(asking(0, json!({})), "/sources/0/credential", json!("forward"));
        let stage = Stage::with(host, &having(plugin, "/sources/0/interval", json!("1s"))).await;
        let permitted = stage.gateway.client().bearer(ADMIN);
        assert!(scrape(&permitted, "").await.contains("awx_sessions_total{"));
        let attack = Attack::start(stage.gateway.address(), 1, |number| {
            basic(&format!("n{number}\0"), "x")
        });
        attack.reaches(30).await;
        let shown = format!("Bearer {ADMIN}");
        let pulls = || {
            let is_pull = |request: &&Received| {
                request.query().is_empty()
                    && request.header("authorization") == Some(shown.as_bytes())
            };
            stage.controller().requests().iter().filter(is_pull).count()
        };
        let before = pulls();
        let pulled = async || {
            assert!(scrape(&permitted, "").await.contains("awx_sessions_total{"));
            (pulls() >= before + 3).then_some(())
        };
        eventually(PATIENCE, pulled).await.expect("the permitted client's pulls go on");
        let statuses = attack.stop().await;
        assert!(statuses.keys().all(|status| [429, 503].contains(status)), "{statuses:?}");
        let page = scrape(&permitted, "").await;
        assert_eq!(crate::stage::fetches(&page, "status"), 0.0, "{page}");
    }

    async fn cookies_beside_one_valid_token_evict_no_other_permits(host) {
        let stage = stage(host, json!({"allow_for": "10m"})).await;
        let others = ["AuditorTokenRead00000000000001", "AdminTokenRead0000000000000001"];
        let known = others.map(|token| stage.gateway.client().bearer(token));
        for client in &known {
            assert_eq!(status(client).await, 200);
        }
        let asked = stage.controller().permission_checks();
        let mut attacker = Connection::open(stage.gateway.address()).await;
        for number in 0..2_000 {
            let headers = format!("authorization: Bearer {ADMIN}\r\ncookie: awx_sessionid=s{number}");
            assert_eq!(attacker.scrape(&headers).await, 200, "{number}");
        }
        for client in &known {
            assert_eq!(status(client).await, 200);
        }
        let new = stage.controller().permission_checks() - asked;
        let workers = 4;
        assert!((1..=workers).contains(&new), "{new} questions");
    }

    async fn simultaneous_guesses_do_not_exceed_the_limit(host) {
        let workers = 4;
        let controller = Controller::start(ControllerConfig::default());
        let spec = spec(&[plugin(0)], std::slice::from_ref(&controller)).workers(workers);
        let gateway = Watched::start(host, &spec).await;
        let began = Instant::now();
        let attack =
            Attack::start(gateway.address(), 64, |number| basic("admin", &number.to_string()));
        attack.reaches(1_000).await;
        let statuses = attack.stop().await;
        let leaked = began.elapsed().as_secs() / limits::CLIENT_FAILURES.every.as_secs() + 1;
        let promised = u64::from(limits::CLIENT_FAILURES.burst) + leaked + workers as u64;
        println!("{host:?}: {statuses:?}, {promised} promised");
        assert!(statuses[&401] >= 5, "{statuses:?}");
        assert!(statuses[&401] as u64 <= promised, "{statuses:?}, {promised} promised");
        assert_eq!(status(&gateway.client().basic("admin", "password")).await, 200);
    }

    async fn the_sentence_of_a_401_does_not_tell_which_users_are_local(host) {
        let stage = stage(host, json!({})).await;
        let mut said = Vec::new();
        for name in ["admin", "auditor", "nobody-at-all"] {
            let reply = stage.gateway.client().basic(name, "wrong").get(METRICS).await.unwrap();
            assert_eq!(reply.status(), 401, "{name}");
            let challenges = super::headers(&reply, "www-authenticate").join(", ");
            said.push((sentence(reply.body()), challenges));
        }
        assert!(said.iter().all(|it| *it == said[0]), "{said:?}");
        assert_eq!(questions(stage.controller(), "Basic YWRtaW46d3Jvbmc="), 0, "admin is local");
        assert!(stage.controller().permission_checks() >= 1, "the others are not");
    }
}
