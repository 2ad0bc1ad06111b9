//! What single host calls cost in Envoy, as a module sees it: why the filter asks for what it asks, and publishes its
//! counts the way it does.

use host_tests::client::Client;
use host_tests::module;
use host_tests::process::eventually;
use serde_json::json;

use crate::BenchError;
use crate::envoys::{self, Role};
use crate::report::{Report, Row, quantity};

/// So many bytes are published where a shard is published whole, as ordinary traffic makes it.
const SHARD: &str = "sharing 4096 B";
/// So many where only what changed is: a histogram and a series, each under a key of its own.
const PARTS: [&str; 2] = ["sharing 512 B", "sharing 64 B"];

pub(crate) async fn measure(report: &mut Report) -> Result<(), BenchError> {
    let upstream = envoys::answering(vec![answer()]).await?;
    let module = module::build("fixture-prices");
    let envoy = envoys::gateway(Role::Filter(&module, &json!({})), upstream.listeners()[0]).await?;
    Client::http(envoy.listeners()[0]).get("/api/v2/jobs/?order_by=-finished&page_size=25").await?;
    let prices = eventually(envoys::PATIENCE, async || {
        let prices = prices(&envoy.log());
        prices.iter().any(|(what, _)| what == LAST).then_some(prices)
    });
    let Some(prices) = prices.await else {
        return Err(BenchError::NotServed { log: envoy.log() });
    };
    write(report, &prices);
    Ok(())
}

/// The last that the module logs.
const LAST: &str = "sharing 16384 B";

fn answer() -> serde_json::Value {
    json!({"match": {"prefix": "/"}, "direct_response": {"status": 200}})
}

fn prices(log: &str) -> Vec<(String, f64)> {
    let lines = log.lines().filter_map(|line| line.split_once("price of "));
    let prices = lines.filter_map(|(_, line)| {
        let (what, price) = line.split_once(": ")?;
        // Envoy writes the name of the plugin behind some lines.
        let digits = price.split(|c: char| !c.is_ascii_digit()).next()?;
        Some((what.to_owned(), digits.parse().ok()?))
    });
    prices.collect()
}

fn write(report: &mut Report, prices: &[(String, f64)]) {
    let row = |what: &str, price| Row::new(&format!("in Envoy, {what}"), quantity(price, "ns"));
    for (what, price) in prices {
        report.row(row(what, *price));
    }
    let price = |of: &str| prices.iter().find(|(what, _)| what == of).map(|(_, price)| *price);
    let parts: Option<f64> = PARTS.iter().map(|part| price(part)).sum();
    if let (Some(whole), Some(parts)) = (price(SHARD), parts) {
        let whole = row("publishing a shard of 4 kB whole", whole);
        report.row(whole.against("its changed parts", quantity(parts, "ns")));
    }
}
