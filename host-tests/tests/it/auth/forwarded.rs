//! A source whose page is pulled with the credentials of clients: the gateway has none.

use host_tests::client::Client;
use host_tests::controller::{Controller, ControllerConfig, Mode};
use host_tests::process::eventually;

use super::verdicts::{ADMIN, asking, attempts, status};
use super::*;
use crate::stage::{PATIENCE, TOKEN, Watched, scrape, spec, until};

const SESSIONS: &str = "awx_sessions_total{";
const AUDITOR: &str = "AuditorTokenRead00000000000001";

fn forwarding(changes: Value) -> Value {
    let plugin = having(asking(0, changes), "/sources/0/credential", json!("forward"));
    having(plugin, "/sources/0/interval", json!("2s"))
}

/// The pulls of the page with this token.
fn pulls(controller: &Controller, token: &str) -> usize {
    let shown = format!("Bearer {token}");
    let is_pull = |request: &&host_tests::controller::Received| {
        request.query().is_empty() && request.header("authorization") == Some(shown.as_bytes())
    };
    controller.requests().iter().filter(is_pull).count()
}

fn shows(page: &str) -> bool {
    page.contains(SESSIONS)
}

on_both_hosts! {
    async fn a_client_is_permitted_first_and_then_its_credentials_pull_the_page(host) {
        let stage = Stage::with(host, &forwarding(json!({}))).await;
        let client = stage.gateway.client().bearer(ADMIN);
        let page = scrape(&client, "").await;
        assert!(shows(&page), "{page}");
        assert_eq!(pulls(stage.controller(), ADMIN), 1);
        assert_eq!(super::verdicts::questions(stage.controller(), &format!("Bearer {ADMIN}")), 1);
        assert_eq!(attempts(&page, "bearer", "allowed"), 1.0);
        // The page is fresh: other clients are permitted by their own question, and get this page.
        let page = scrape(&stage.gateway.client().bearer(AUDITOR), "").await;
        assert!(shows(&page));
        assert_eq!(pulls(stage.controller(), AUDITOR), 0);
    }

    async fn a_scrape_of_an_old_page_pulls_it_again(host) {
        let stage = Stage::with(host, &forwarding(json!({}))).await;
        let client = stage.gateway.client().bearer(ADMIN);
        let again = async || {
            assert!(shows(&scrape(&client, "").await));
            (pulls(stage.controller(), ADMIN) >= 3).then_some(())
        };
        eventually(PATIENCE, again).await.expect("two more pulls");
        let asked = super::verdicts::questions(stage.controller(), &format!("Bearer {ADMIN}"));
        assert_eq!(asked, 1, "each verdict after the first came with the page");
    }

    async fn local_credentials_are_not_forwarded_and_get_the_stored_page(host) {
        let stage = Stage::with(host, &forwarding(json!({}))).await;
        for _ in 0..3 {
            assert!(!shows(&stage.scrape("").await));
        }
        assert_eq!(stage.controller().request_count(), 0);
        assert!(shows(&scrape(&stage.gateway.client().bearer(ADMIN), "").await));
        assert!(shows(&stage.scrape("").await));
        let shown = stage.controller().requests();
        let local = format!("Bearer {TOKEN}");
        assert!(shown.iter().all(|it| it.header("authorization") != Some(local.as_bytes())));
    }

    async fn a_client_that_may_not_see_the_page_gets_none_and_pulls_none(host) {
        let stage = Stage::with(host, &forwarding(json!({}))).await;
        let bob = stage.gateway.client().bearer("BobTokenWrite00000000000000001");
        assert_eq!(status(&bob).await, 403);
        assert_eq!(status(&stage.gateway.client().bearer("nope")).await, 401);
        assert!(!shows(&stage.scrape("").await));
        assert!(shows(&scrape(&stage.gateway.client().bearer(ADMIN), "").await));
        assert_eq!(status(&bob).await, 403);
    }

    async fn there_is_one_pull_at_a_time_however_many_clients_scrape(host) {
        let controller = Controller::start(ControllerConfig::default());
        let plugin = having(forwarding(json!({})), "/sources/0/interval", json!("1h"));
        let spec = spec(&[plugin], std::slice::from_ref(&controller)).workers(4);
        let gateway = Watched::start(host, &spec).await;
        let scraping = |client: Client| tokio::spawn(async move { status(&client).await });
        let tasks: Vec<_> =
            (0..40).map(|n| scraping(gateway.client().bearer(if n % 2 == 0 { ADMIN } else { AUDITOR }))).collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), 200);
        }
        until(&gateway.client().bearer(ADMIN), "", shows).await;
        assert_eq!(pulls(&controller, ADMIN) + pulls(&controller, AUDITOR), 1);
    }

    async fn a_failed_pull_is_no_verdict_and_the_last_good_page_stays(host) {
        let stage = Stage::with(host, &forwarding(json!({}))).await;
        let client = stage.gateway.client().bearer(ADMIN);
        assert!(shows(&scrape(&client, "").await));
        // The page fails, and the permission check works.
        stage.controller().set_mode(Mode::RedisDown);
        let failed = |page: &str| crate::stage::fetches(page, "status") >= 1.0;
        let page = until(&client, "", failed).await;
        assert!(shows(&page));
        assert_eq!(status(&stage.gateway.client().bearer(AUDITOR)).await, 200);
    }
}
