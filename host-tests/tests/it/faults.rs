//! Long work, clients that leave, VMs that die: other clients are not affected.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use host_tests::capture::Reply;
use host_tests::client::Client;
use host_tests::controller::{Controller, ControllerConfig, Mode};
use host_tests::gateway::{Gateway, Host};
use host_tests::on_both_hosts;
use host_tests::process::eventually;
use host_tests::world::Step;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::stage::{
    METRICS, PATIENCE, Stage, TOKEN, Watched, auth, fetches, having, plugin, scrape, spec, until,
    until_up,
};
use crate::wire;

/// The number of passwords that may wait in a VM.
const WAITING: usize = 8;

/// Much less than the time for the password that is never correct.
const AT_ONCE: Duration = Duration::from_millis(200);

fn user(name: &str, password_hash: &str) -> Value {
    json!({"name": name, "password_hash": password_hash})
}

/// `slow` with `password`, in 600,000 rounds; `hopeless`, whose password is unknown, in 5,000,000.
fn laborious() -> Value {
    let mut auth = auth();
    let users = auth["users"].as_array_mut().unwrap();
    users.push(user(
        "slow",
        "pbkdf2_sha256$600000$laborious$saKZOnmZG49yYhdSTbbxkuna/gwRUrkARwhiVAkIJgM=",
    ));
    users.push(user(
        "hopeless",
        "pbkdf2_sha256$5000000$laborious$Y4KzzIgUErd7/K7tAmABwA2eMCXmbCD25+kvB5hRRio=",
    ));
    having(plugin(0), "/auth", auth)
}

async fn one_worker(host: Host) -> (Controller, Watched) {
    let controller = Controller::start(ControllerConfig::default());
    let spec = spec(&[laborious()], std::slice::from_ref(&controller)).workers(1);
    let gateway = Watched::start(host, &spec).await;
    (controller, gateway)
}

/// A client that has sent a password whose check takes long.
async fn asks_slowly(gateway: &Gateway, client: usize) -> TcpStream {
    // One address has only a share of the places.
    let socket = TcpSocket::new_v4().unwrap();
    let from = [127, 0, 5, u8::try_from(client + 1).unwrap()];
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let mut stream = socket.connect(gateway.address()).await.unwrap();
    let request = wire::request(
        b"GET /api/v2/metrics HTTP/1.1",
        &[b"authorization: Basic aG9wZWxlc3M6Z3Vlc3M="],
    );
    stream.write_all(&request).await.unwrap();
    stream
}

on_both_hosts! {
    async fn a_slow_password_check_does_not_block_the_worker(host) {
        let (_controller, gateway) = one_worker(host).await;
        let answered = Cell::new(false);
        let slow = async {
            let reply = gateway.client().basic("slow", "password").get(METRICS).await.unwrap();
            answered.set(true);
            reply.status()
        };
        let others = async {
            let (mut pings, mut scrapes) = (0, 0);
            while !answered.get() {
                let ping = gateway.client().get("/api/v2/ping/").await.unwrap();
                assert_eq!(ping.status(), 200);
                pings += usize::from(!answered.get());
                scrape(&gateway.client().bearer(TOKEN), "?gateway=only").await;
                scrapes += usize::from(!answered.get());
            }
            (pings, scrapes)
        };
        let (status, (pings, scrapes)) = tokio::join!(slow, others);
        assert_eq!(status, 200);
        assert!(pings >= 3 && scrapes >= 3, "{pings} pings, {scrapes} scrapes meanwhile");
    }

    async fn too_many_passwords_at_once_get_429_and_clients_that_leave_make_room(host) {
        let (_controller, gateway) = one_worker(host).await;
        let mut guesses = Vec::new();
        let full = eventually(PATIENCE, async || {
            // While there is room, clients wait: a refusal would come at once.
            let mut guess = asks_slowly(&gateway, guesses.len()).await;
            let reply = tokio::time::timeout(AT_ONCE, wire::reply(&mut guess)).await;
            guesses.push(guess);
            reply.ok()
        });
        let refusal = Reply::parse(&full.await.expect("a refusal"));
        assert_eq!((refusal.status, refusal.header("retry-after")), (429, Some("2")));
        assert!(guesses.len() > WAITING, "{}", guesses.len());
        // A client with a token is served all the time.
        scrape(&gateway.client().bearer(TOKEN), "").await;

        // They would take minutes.
        drop(guesses);
        let admin = gateway.client().basic("admin", "password");
        let answered = eventually(PATIENCE, async || {
            let reply = admin.get(METRICS).await.unwrap();
            (reply.status() == 200).then_some(())
        });
        assert!(answered.await.is_some(), "they left a trace");
    }

    async fn a_client_that_leaves_at_any_point_does_not_affect_others(host) {
        let stage = Stage::start(host).await.up().await;
        let whole = wire::request(
            b"GET /api/v2/metrics HTTP/1.1",
            &[b"authorization: Bearer demonstration-only"],
        );
        let upload = b"POST /api/v2/tokens/ HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{\"";
        for cut in (1..whole.len()).step_by(7) {
            let mut stream = TcpStream::connect(stage.gateway.address()).await.unwrap();
            stream.write_all(&whole[..cut]).await.unwrap();
        }
        for _ in 0..20 {
            let mut stream = TcpStream::connect(stage.gateway.address()).await.unwrap();
            stream.write_all(&whole).await.unwrap();
            let mut stream = TcpStream::connect(stage.gateway.address()).await.unwrap();
            stream.write_all(upload).await.unwrap();
        }
        let before = fetches(&stage.scrape("").await, "ok");
        stage.until("", |page| fetches(page, "ok") > before).await;
    }

    async fn while_the_controller_hangs_the_page_is_served(host) {
        let stage = Stage::start(host).await.up().await;
        stage.controller().set_mode(Mode::Hanging);
        let asked = stage.controller().page_requests();
        let hangs = eventually(PATIENCE, async || {
            (stage.controller().page_requests() > asked).then_some(())
        });
        hangs.await.expect("a pull that hangs");
        let passed_on = stage.gateway.client();
        let passed_on = passed_on.get("/api/v2/ping/");
        let served = async {
            for _ in 0..20 {
                assert!(stage.scrape("").await.contains("awx_sessions_total"));
            }
            stage.controller().come_back();
        };
        tokio::select! {
            reply = passed_on => panic!("{reply:?}"),
            () = served => {}
        }
    }
}

/// A gateway whose VMs are about to die.
async fn with_a_mortal_worker() -> (Controller, Gateway, Client) {
    let controller = Controller::start(ControllerConfig::default());
    let spec = spec(&[plugin(0)], std::slice::from_ref(&controller)).workers(1);
    let gateway = Gateway::start(Host::Wasmtime, &spec).await.unwrap();
    let client = gateway.client().bearer(TOKEN);
    until_up(&client).await;
    (controller, gateway, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_main_vm_dies_a_worker_takes_over_the_pulls() {
    let (_controller, gateway, client) = with_a_mortal_worker().await;
    gateway.world().unwrap().before_each_host_call(|call| match (call.vm, call.callback) {
        ("main", "proxy_on_tick") => Step::Trap,
        _ => Step::Proceed,
    });
    let died = eventually(PATIENCE, async || (gateway.traps().len() == 1).then_some(()));
    died.await.expect("a trap");
    let before = fetches(&scrape(&client, "").await, "ok");
    until(&client, "", |page| fetches(page, "ok") >= before + 3.0).await;
    assert_eq!(gateway.traps().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_vm_died_a_worker_serves_the_stored_page() {
    let (controller, gateway, client) = with_a_mortal_worker().await;
    controller.set_mode(Mode::Gone);
    let world = gateway.world().unwrap();
    world.before_each_host_call(|call| match (call.vm, call.callback) {
        ("worker-0", "proxy_on_request_headers") => Step::Trap,
        _ => Step::Proceed,
    });
    assert_eq!(client.get(METRICS).await.unwrap().status(), 503);
    world.unhook();
    let back = eventually(PATIENCE, async || {
        let reply = client.get(METRICS).await.unwrap();
        (reply.status() == 200).then(|| String::from_utf8(reply.into_body().to_vec()).unwrap())
    });
    assert!(back.await.expect("a new VM").contains("awx_sessions_total"));
    assert_eq!(gateway.traps().len(), 1);
}
