//! TwoConfigurations configurations that share a VM and nothing else.

use host_tests::controller::{Controller, ControllerConfig, Mode};
use host_tests::gateway::{GatewaySpec, Host, ListenerSpec};
use host_tests::on_both_hosts;
use serde_json::json;

use super::traffic::{KINDS, Load, Upstream, send};
use super::{STYLES, counting};
use crate::stage::{TOKEN, Watched, having, is_up, scrape, source, until, until_up};

/// TwoConfigurations listeners with an empty `vm_id`, each with its own scope and source; both proxy to one upstream.
struct TwoConfigurations {
    gateway: Watched,
    _upstream: Upstream,
    _controllers: [Controller; 2],
}

impl TwoConfigurations {
    /// The controller of the second one is down.
    async fn start(host: Host, by: &str, scopes: [&str; 2]) -> Self {
        let upstream = Upstream::start().await;
        let controllers = [0, 1].map(|_| Controller::start(ControllerConfig::default()));
        controllers[1].set_mode(Mode::Gone);
        let plugin = |place: usize| {
            let plugin = having(counting(by), "/scope", json!(scopes[place]));
            having(plugin, "/sources", json!([source(place)]))
        };
        let mut spec = GatewaySpec::new(&plugin(0))
            .listener(ListenerSpec::new(&plugin(1)))
            .cluster("controller", upstream.address())
            .cluster("controller-0", controllers[0].address())
            .cluster("controller-1", controllers[1].address());
        spec.vm_id = String::new();
        let gateway = Watched::start(host, &spec).await;
        Self { gateway, _upstream: upstream, _controllers: controllers }
    }

    async fn page(&self, listener: usize) -> String {
        scrape(&self.gateway.client_of(listener).bearer(TOKEN), "?gateway=only").await
    }
}

const MORE: Load = Load { connections: 8, each: 100 };
const LESS: Load = Load { connections: 8, each: 50 };

on_both_hosts! {
    async fn each_scope_has_its_own_counts_and_each_source_its_own_page(host) {
        for by in STYLES {
            let two = TwoConfigurations::start(host, by, ["first", "second"]).await;
            let first = send(two.gateway.address_of(0), MORE).await;
            let second = send(two.gateway.address_of(1), LESS).await;
            two.gateway.idle().await;
            first.assert_counted(&two.page(0).await);
            second.assert_counted(&two.page(1).await);

            let clients = [0, 1].map(|listener| two.gateway.client_of(listener).bearer(TOKEN));
            until_up(&clients[0]).await;
            until(&clients[0], "", |page| page.contains("awx_sessions_total")).await;
            let page = until(&clients[1], "", |page| is_up(page) == Some(false)).await;
            assert!(!page.contains("awx_sessions_total"), "{by}");
        }
    }

    async fn listeners_with_one_scope_add_up(host) {
        for by in STYLES {
            let two = TwoConfigurations::start(host, by, ["same", "same"]).await;
            let first = send(two.gateway.address_of(0), MORE).await;
            let second = send(two.gateway.address_of(1), LESS).await;
            two.gateway.idle().await;
            let mut sent = first.and(second);
            sent.assert_counted(&two.page(0).await);
            // The first scrape is on the second page.
            sent.count(KINDS.iter().find(|kind| kind.known && kind.code == 200).unwrap(), 1);
            two.gateway.idle().await;
            sent.assert_counted(&two.page(1).await);
        }
    }
}
