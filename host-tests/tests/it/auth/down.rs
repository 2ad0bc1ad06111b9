//! A controller that does not answer questions.

use std::time::Duration;

use host_tests::controller::Mode;
use host_tests::gateway::Host;
use host_tests::process::eventually;

use super::verdicts::{ADMIN, attempts, stage, status};
use super::*;
use crate::stage::PATIENCE;

on_both_hosts! {
    async fn while_the_controller_is_down_permitted_clients_are_served_and_unknown_ones_are_not(host) {
        let stage = stage(host, json!({"allow_for": "1s"})).await;
        let (known, stranger) =
            (stage.gateway.client().bearer(ADMIN), stage.gateway.client().bearer("stranger"));
        assert_eq!(status(&known).await, 200);
        stage.controller().set_mode(Mode::Gone);
        let in_need = async || {
            assert_eq!(status(&known).await, 200);
            (attempts(&stage.scrape("").await, "bearer", "allowed_while_down") > 0.0).then_some(())
        };
        eventually(PATIENCE, in_need).await.expect("the permit is over");
        let reply = stranger.get(METRICS).await.unwrap();
        assert_eq!(reply.status(), 503);
        assert_eq!(headers(&reply, "retry-after"), ["5"]);
        assert!(attempts(&stage.scrape("").await, "bearer", "unavailable") >= 1.0);

        stage.controller().come_back();
        let knows = async || (status(&stranger).await == 401).then_some(());
        eventually(PATIENCE, knows).await.expect("the controller is asked again");
        assert_eq!(status(&known).await, 200);
    }

    async fn no_other_answer_of_a_controller_is_a_verdict(host) {
        for mode in [
            Mode::Failing(500),
            Mode::Failing(503),
            Mode::Failing(404),
            Mode::Garbled,
            Mode::ClosesEarly,
            Mode::Hanging,
            Mode::DatabaseDown,
        ] {
            let stage = stage(host, json!({"timeout": "1s"})).await;
            stage.controller().set_mode(mode.clone());
            let client = stage.gateway.client().bearer(ADMIN);
            assert_eq!(status(&client).await, 503, "{mode:?}");
            stage.controller().come_back();
            let let_in = async || (status(&client).await == 200).then_some(());
            eventually(PATIENCE, let_in).await.expect("the controller is asked again");
        }
    }

    /// The first client waits for the timeout; for a while, the others do not.
    async fn a_controller_that_hangs_delays_only_the_first_client(host) {
        let stage = stage(host, json!({"allow_for": "1s", "timeout": "2s"})).await;
        let client = stage.gateway.client().bearer(ADMIN);
        assert_eq!(status(&client).await, 200);
        let before = stage.controller().requests().len();
        stage.controller().set_mode(Mode::Hanging);
        let found_out = async || {
            assert_eq!(status(&client).await, 200);
            (attempts(&stage.scrape("").await, "bearer", "allowed_while_down") > 0.0).then_some(())
        };
        eventually(PATIENCE, found_out).await.expect("the permit expires");
        let scrapes = 2_000;
        for _ in 0..scrapes {
            assert_eq!(status(&client).await, 200);
        }
        let asked = stage.controller().requests().len() - before;
        assert!(asked >= 1 && asked * 100 < scrapes, "asked {asked} times in {scrapes} scrapes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_controller_is_down_a_permit_is_valid_for_its_time_and_no_longer() {
    let changes = json!({"allow_for": "1m", "allow_while_down_for": "5m"});
    let stage = stage(Host::Wasmtime, changes).await;
    let (client, clock) =
        (stage.gateway.client().bearer(ADMIN), &stage.gateway.world().unwrap().clock);
    assert_eq!(status(&client).await, 200);
    stage.controller().set_mode(Mode::Gone);
    for (passed, expected) in [(30, 200), (60, 200), (200, 200), (20, 503), (3_600, 503)] {
        clock.advance(Duration::from_secs(passed));
        assert_eq!(status(&client).await, expected, "after {passed} s more");
    }
}
