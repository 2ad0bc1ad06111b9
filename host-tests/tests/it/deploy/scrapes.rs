//! `envoy/prometheus`: Prometheus 2 and 3 load the two configurations and scrape a gateway with them, and evaluate the rules.

use host_tests::process;
use host_tests::prometheus::Prometheus;
use host_tests::tools::Major;

use super::fleet::{Fleet, SOURCES};
use super::rules;
use crate::stage::PATIENCE;

async fn scrapes_both_parts_of_the_page(major: Major) {
    let fleet = Fleet::start().await;
    let prometheus = fleet.prometheus(major).await;
    fleet.busy(is_scraped(&prometheus)).await;
    for target in prometheus.targets().await {
        assert_eq!((&*target.health, &*target.last_error), ("up", ""));
    }
}

/// Both jobs have the part of the page that is theirs, and the native histogram.
async fn is_scraped(prometheus: &Prometheus) {
    let controllers = r#"count by (job) (awx_instance_info{source=~"east|west"}) == 6"#;
    for (promql, series) in [
        (r#"up{job=~"controller(-gateways)?"} == 1"#, 2),
        (controllers, 1),
        (r#"awx_gateway_source_up{job="controller-gateways"} == 1"#, 2),
        (r#"awx_gateway_source_up{source="broken"} == 0"#, 1),
        ("histogram_count(awx_gateway_latency_seconds) > 0", 1),
        (r#"awx_gateway_request_duration_seconds_bucket{resource="jobs",le="+Inf"}"#, 1),
    ] {
        prometheus.wait_for(promql, |answer| answer.len() == series).await;
    }
    for part in [r#"awx_gateway_workers{job="controller"}"#, "awx_users_total{job!=\"controller\"}"]
    {
        assert_eq!(prometheus.query(part).await, [], "{part}");
    }
    assert_eq!(prometheus.query("awx_gateway_source_up").await.len(), SOURCES.len());
}

/// `up` of each source: `east` and `west` have a page, `broken` refuses connections, and no source is `unknown`.
async fn up_is_that_of_each_source(major: Major) {
    let fleet = Fleet::start().await;
    let names = [&SOURCES[..], &["unknown"]].concat();
    let prometheus = fleet.prometheus_by_source(major, &names).await;
    for (promql, series) in [
        (r#"up{job="controller-sources",instance=~"east|west"} == 1"#, 2),
        (r#"up{job="controller-sources",instance=~"broken|unknown"} == 0"#, 2),
        (r#"up{job="controller-gateways"} == 1"#, 1),
        (r#"count by (source) (awx_instance_info{instance="east"}) == 3"#, 1),
        (r#"count by (instance) (awx_instance_info{source="west"}) == 3"#, 1),
        ("count(awx_instance_info) == 6", 1),
        ("awx_gateway_source_up", SOURCES.len()),
    ] {
        prometheus.wait_for(promql, |answer| answer.len() == series).await;
    }
    for (name, status) in [("broken", "503"), ("unknown", "404")] {
        let parameter = format!("source={name}");
        let refused = process::eventually(PATIENCE, async || {
            let targets = prometheus.targets().await;
            let target = targets.iter().find(|it| it.url.contains(&parameter))?;
            target.last_error.contains(status).then_some(())
        });
        assert!(refused.await.is_some(), "{name}: {:?}", prometheus.targets().await);
    }
}

async fn evaluates_every_rule(major: Major) {
    let fleet = Fleet::start().await;
    let prometheus = fleet.prometheus(major).await;
    let evaluated = process::eventually(PATIENCE, async || {
        let rules = prometheus.rules().await;
        rules.iter().all(|rule| rule.health != "unknown").then_some(rules)
    });
    let evaluated = evaluated.await.expect("Prometheus evaluates the rules");
    assert_eq!(evaluated.len(), rules::alerts().len() + rules::records().len());
    for rule in &evaluated {
        assert_eq!((&*rule.health, &*rule.last_error), ("ok", ""), "{}", rule.name);
    }
    // An alert on what is really wrong with this fleet.
    process::eventually(PATIENCE, async || {
        let rules = prometheus.rules().await;
        let down = rules.into_iter().find(|rule| rule.name == "AwxControllerDown")?;
        (down.state == "pending").then_some(())
    })
    .await
    .expect("AwxControllerDown is pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_2_scrapes_both_parts_of_the_page() {
    scrapes_both_parts_of_the_page(Major::Two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_3_scrapes_both_parts_of_the_page() {
    scrapes_both_parts_of_the_page(Major::Three).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_2_shows_by_up_which_sources_have_a_page() {
    up_is_that_of_each_source(Major::Two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_3_shows_by_up_which_sources_have_a_page() {
    up_is_that_of_each_source(Major::Three).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_2_evaluates_every_rule() {
    evaluates_every_rule(Major::Two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_3_evaluates_every_rule() {
    evaluates_every_rule(Major::Three).await;
}
