//! Rate limits for clients that guess, and for no others.

use std::net::{IpAddr, Ipv4Addr};

use host_tests::client::Client;

use super::verdicts::{ADMIN, attempts, stage, status};
use super::*;

/// The failures after which a client must wait (`limits::CLIENT_FAILURES`). A client that continues may fail a few more
/// times, since the bucket leaks meanwhile.
const BURST: usize = 20;

const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Sends different wrong credentials until the limit is reached. Returns their number.
async fn guess(client: impl Fn(usize) -> Client) -> usize {
    for guess in 0..10 * BURST {
        let reply = client(guess).get(METRICS).await.unwrap();
        if reply.status() == 429 {
            let wait: u64 = headers(&reply, "retry-after")[0].parse().unwrap();
            assert!((1..=5).contains(&wait), "{wait}");
            return guess;
        }
        assert_eq!(reply.status(), 401);
    }
    panic!("never too many");
}

on_both_hosts! {
    async fn guesses_of_the_controllers_tokens_are_rate_limited(host) {
        let stage = stage(host, json!({})).await;
        let gateway = &stage.gateway;
        assert_eq!(status(&gateway.client().bearer(ADMIN)).await, 200);
        let guesses = guess(|guess| gateway.client().bearer(&format!("guess-{guess}"))).await;
        assert!((BURST..3 * BURST).contains(&guesses), "{guesses} guesses");
        // Known clients are served, and clients at other addresses may still be new.
        assert_eq!(status(&gateway.client().bearer(ADMIN)).await, 200);
        assert_eq!(status(&stage.prometheus()).await, 200);
        assert_eq!(status(&gateway.client().basic("auditor", "auditorpass")).await, 429);
        let elsewhere = gateway.client().at(ELSEWHERE).bearer("AuditorTokenRead00000000000001");
        assert_eq!(status(&elsewhere).await, 200);
        // A header that no trusted proxy wrote does not change the client's address.
        let disguised = gateway.client().header("x-forwarded-for", "192.0.2.1").bearer("guess-x");
        assert_eq!(status(&disguised).await, 429);
        assert!(attempts(&stage.scrape("").await, "bearer", "throttled") >= 2.0);
    }

    async fn guesses_of_a_local_password_are_rate_limited(host) {
        let stage = Stage::start(host).await;
        let admin = |password: &str| stage.gateway.client().basic("admin", password);
        assert_eq!(status(&admin("password")).await, 200);
        let guesses = guess(|guess| admin(&guess.to_string())).await;
        assert!((BURST..3 * BURST).contains(&guesses), "{guesses} guesses");
        assert_eq!(status(&admin("password")).await, 200);
        assert_eq!(status(&stage.prometheus()).await, 200);
        assert_eq!(status(&admin("one more").at(ELSEWHERE)).await, 401);
    }
}
