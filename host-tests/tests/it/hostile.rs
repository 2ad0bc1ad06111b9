//! Malformed and hostile bytes: no VM traps, no such request is permitted, and other clients are served.

use std::net::SocketAddr;

use host_tests::on_both_hosts;
use tokio::task::JoinSet;

use crate::stage::{Stage, fetches};
use crate::wire::{raw, request};

/// The header that permits a request.
const RIGHT: &[u8] = b"authorization: Bearer demonstration-only";

/// Connections at a time.
const AT_ONCE: usize = 8;

/// A text on the controller's page.
const PAGE: &[u8] = b"awx_sessions_total";

/// Reproducible noise (xorshift64*).
struct Noise(u64);

impl Noise {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(drawn).unwrap() % end
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
    }

    /// Random bytes that a proxy accepts in a request line or a header.
    fn tame(&mut self, length: usize) -> Vec<u8> {
        let is_tame = |byte: &u8| *byte > 0x20 && *byte != 0x7f;
        self.bytes(length * 2).into_iter().filter(is_tame).take(length).collect()
    }

    fn of<'a>(&mut self, choices: &[&'a [u8]]) -> &'a [u8] {
        choices[self.below(choices.len())]
    }
}

const PIECES: [&[u8]; 18] = [
    b"/",
    b"..",
    b"%2e",
    b"%2F",
    b"%",
    b"%zz",
    b"%ff",
    b"%00",
    b"?",
    b"#",
    b";",
    b"\\",
    b"api",
    b"v2",
    b"metrics",
    b"\xff",
    b"//",
    b"metric%73",
];
const ACCEPTS: [&[u8]; 14] = [
    b"text/plain",
    b"application/json",
    b"*/*",
    b"/",
    b";",
    b",",
    b"q=",
    b"0.0000",
    b"1",
    b";q=9",
    b"indent=999999999999",
    b"\xff",
    b"\"",
    b"version=",
];
const QUERIES: [&[u8]; 14] = [
    b"format=",
    b"json",
    b"&",
    b"=",
    b"metric",
    b"node",
    b"name[]",
    b"%",
    b"%ff",
    b"+",
    b"gateway=only",
    b"dbonly=1",
    b"subsystemonly=1",
    b"\xff",
];
const CREDENTIALS: [&[u8]; 12] = [
    b"Bearer",
    b"Basic",
    b" ",
    b"=",
    b"==",
    b"YWRtaW4=",
    b"\xff",
    b"\t",
    b",",
    b":",
    b"demonstration-onl",
    b"YWRtaW46d3Jvbmc=",
];

/// The rest of a request: random, but never valid credentials.
fn woven(noise: &mut Noise, pieces: &[&[u8]], most: usize) -> Vec<u8> {
    (0..noise.below(most)).flat_map(|_| noise.of(pieces).to_vec()).collect()
}

fn requests(noise: &mut Noise) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for _ in 0..60 {
        let path = woven(noise, &PIECES, 24);
        all.push(request(&[b"GET /api/v2/metrics", &path[..], b" HTTP/1.1"].concat(), &[]));
        all.push(request(&[b"GET /", &path[..], b" HTTP/1.1"].concat(), &[RIGHT]));
        let query = woven(noise, &QUERIES, 30);
        all.push(request(&[b"GET /api/v2/metrics?", &query[..], b" HTTP/1.1"].concat(), &[RIGHT]));
        let accept = [b"accept: ", &woven(noise, &ACCEPTS, 20)[..]].concat();
        all.push(request(b"GET /api/v2/metrics HTTP/1.1", &[RIGHT, &accept]));
        let shown = [b"authorization: ", &woven(noise, &CREDENTIALS, 8)[..]].concat();
        all.push(request(b"GET /api/v2/metrics HTTP/1.1", &[&shown]));
        let any = [b"authorization: Basic ", &noise.tame(40)[..]].concat();
        all.push(request(b"GET /api/v2/metrics HTTP/1.1", &[&any, b"accept: \xfe\xff"]));
        let length = 1 + noise.below(200);
        all.push([&noise.bytes(length)[..], b"\r\n\r\n"].concat());
    }
    all
}

/// Values without a natural limit: paths, queries, headers, lists in headers, numbers of headers.
fn excesses() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for length in [1_000, 8_000, 50_000, 70_000, 1_000_000] {
        let many = |piece: &[u8]| piece.repeat(length / piece.len());
        for (start, piece) in [
            (&b"/api/v2/metrics"[..], &b"/"[..]),
            (b"/api/v2/metrics", b"/x/.."),
            (b"", b"/.."),
            (b"/api/v2/metrics/", b"%2e/"),
            (b"/api/v2/metrics?", b"metric=a&"),
            (b"/api/v2/metrics?", b"name[]=%ff&"),
            (b"/api/v2/metrics?format=", b"j"),
        ] {
            let line = [b"GET ", start, &many(piece)[..], b" HTTP/1.1"].concat();
            all.push(request(&line, &[RIGHT]));
        }
        for (name, piece) in [
            (&b"accept: "[..], &b"*/*,"[..]),
            (b"accept: text/plain", b";a=b"),
            (b"accept: application/json;q=0.", b"1"),
            (b"authorization: Bearer ", b"a"),
            (b"authorization: Basic ", b"YWRt"),
            (b"authorization: Basic", b" "),
            (b"cookie: ", b"awx_sessionid=x; "),
        ] {
            let header = [name, &many(piece)[..]].concat();
            all.push(request(b"GET /api/v2/metrics HTTP/1.1", &[&header]));
        }
    }
    let lines = vec![RIGHT; 200];
    all.push(request(b"GET /api/v2/metrics HTTP/1.1", &lines[..90]));
    all.push(request(b"GET /api/v2/metrics HTTP/1.1", &lines));
    all
}

/// Violations of the grammar of HTTP/1.1.
const BROKEN: [&[u8]; 12] = [
    b"GET /api/v2/metrics\r\n\r\n",
    b"GET  HTTP/1.1\r\nhost: a\r\n\r\n",
    b"GET * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    b"GET api/v2/metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    b"GET /api/v2/metrics HTTP/1.1\r\nconnection: close\r\n\r\n",
    b"GET /api/v2/metrics HTTP/1.0\r\n\r\n",
    b"GET /api/v2/metrics HTTP/9.9\r\nhost: a\r\n\r\n",
    b"CONNECT gateway:443 HTTP/1.1\r\nhost: gateway:443\r\nconnection: close\r\n\r\n",
    b"POST /api/v2/metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
    b"POST /api/v2/metrics HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\nzz\r\n",
    b"GET /api/v2/metrics HTTP/1.1\r\nhost: a\r\nauthorization: Bearer demonstration-only\0\r\n\r\n",
    b"GET /api/v2/metrics HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
];

async fn offend(address: SocketAddr, bytes: Vec<u8>) {
    let reply = raw(address, &bytes).await;
    let is_let_in = bytes.windows(RIGHT.len()).any(|piece| piece == RIGHT);
    let has_the_page = reply.windows(PAGE.len()).any(|piece| piece == PAGE);
    assert!(is_let_in || !has_the_page, "{:?}", String::from_utf8_lossy(&bytes));
}

on_both_hosts! {
    async fn no_bytes_trap_the_filter_and_other_clients_are_served(host) {
        let stage = Stage::start(host).await.up().await;
        let address = stage.gateway.address();
        let mut all = requests(&mut Noise(0x5eed));
        all.extend(excesses());
        all.extend(BROKEN.map(<[u8]>::to_vec));
        let mut talks = JoinSet::new();
        for bytes in all {
            if talks.len() == AT_ONCE {
                talks.join_next().await.unwrap().unwrap();
            }
            talks.spawn(offend(address, bytes));
        }
        talks.join_all().await;
        let before = fetches(&stage.scrape("").await, "ok");
        stage.until("", |page| fetches(page, "ok") > before).await;
    }
}
