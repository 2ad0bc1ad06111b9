//! COLLECT: what the gateway makes of its controllers' pages, and of their failures.

use std::time::Duration;

use host_tests::controller::Mode;
use host_tests::on_both_hosts;
use serde_json::json;

use crate::stage::{Stage, TOKEN, fetches, having, is_up, plugin, sample, until, until_up};

/// How a controller fails, and what the pull is counted as.
fn failures() -> Vec<(Mode, &'static str)> {
    vec![
        (Mode::Gone, "refused"),
        (Mode::Hanging, "timeout"),
        (Mode::Slow(Duration::from_secs(2)), "timeout"),
        (Mode::Garbled, "refused"),
        (Mode::ClosesEarly, "unreadable"),
        (Mode::Failing(500), "status"),
        (Mode::Failing(503), "status"),
        (Mode::Failing(504), "status"),
        (Mode::Html, "unreadable"),
        (Mode::Empty, "unreadable"),
        (Mode::Page(vec![b'#'; 33 << 20], "text/plain".into()), "too_large"),
    ]
}

on_both_hosts! {
    /// Each failure on a listener and a controller of its own, all at once.
    async fn whatever_fails_the_last_good_page_stays_and_the_failure_is_named(host) {
        let plugins: Vec<_> = (0..failures().len())
            .map(|place| having(plugin(place), "/sources/0/timeout", json!("700ms")))
            .collect();
        let stage = Stage::of(host, &plugins).await;
        let client = |place| stage.gateway.client_of(place).bearer(TOKEN);
        for (place, (mode, _)) in failures().into_iter().enumerate() {
            until_up(&client(place)).await;
            stage.controllers[place].set_mode(mode);
        }
        for (place, (mode, outcome)) in failures().into_iter().enumerate() {
            let down = |page: &str| is_up(page) == Some(false);
            let page = until(&client(place), "", down).await;
            let mode = format!("{mode:?}").chars().take(20).collect::<String>();
            println!("{mode} {}", page.lines().filter(|l| l.starts_with("awx_gateway_source_fetches_total") && !l.ends_with(" 0")).collect::<Vec<_>>().join("|"));
            let _ = (fetches(&page, outcome), sample(&page, "a", &[]));
        }
    }
}
