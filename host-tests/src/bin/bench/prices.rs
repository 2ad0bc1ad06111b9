//! The cost of single host calls in Envoy, measured by a module. It explains which properties the filter reads, and how
//! it publishes its counts.

use host_tests::client::Client;
use host_tests::module;
use host_tests::process::eventually;
use serde_json::json;

use crate::BenchError;
use crate::envoys::{self, Role};
use crate::report::{Report, Row, quantity};

/// The size of a whole shard under ordinary traffic.
const SHARD: &str = "sharing 4096 B";
/// The sizes of partial updates: a histogram and a series, each under its own key.
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

/// The last line that the module logs.
const LAST: &str = "sharing 16384 B";

fn answer() -> serde_json::Value {
    json!({"match": {"prefix": "/"}, "direct_response": {"status": 200}})
}

fn prices(log: &str) -> Vec<(String, f64)> {
    let lines = log.lines().filter_map(|line| line.split_once("price of "));
    let prices = lines.filter_map(|(_, line)| {
        let (what, price) = line.split_once(": ")?;
        // Envoy appends the name of the plugin to some lines.
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
