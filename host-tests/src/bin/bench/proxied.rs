//! The cost of a proxied request in Envoy: without a filter, with one that does nothing, with Lua, and with ours.
//!
//! Each contender's count is checked against the load's: a filter that does not count costs nothing and proves nothing.

use std::net::SocketAddr;

use host_tests::client::Client;
use host_tests::envoy::Envoy;
use host_tests::{module, tools};
use serde_json::{Value, json};

use crate::envoys::{self, Role};
use crate::load::Load;
use crate::report::{Quantity, Report, Row};
use crate::rounds::{Contender, compare_cpu};
use crate::{BenchError, Settings, pages};

/// Typical traffic of a gateway: mostly reads of several resources, and a few changes.
const REQUESTS: [&str; 10] = [
    "GET /api/v2/jobs/?order_by=-finished&page_size=25",
    "GET /api/v2/jobs/4711/",
    "GET /api/v2/job_templates/7/",
    "POST /api/v2/job_templates/7/launch/",
    "GET /api/v2/inventories/3/hosts/?page=2",
    "GET /api/v2/projects/12/",
    "GET /api/v2/ping/",
    "POST /api/login/",
    "GET /api/v2/workflow_jobs/99/workflow_nodes/",
    "GET /static/media/main.css",
];
const CONNECTIONS: u32 = 8;
/// Requests of a round on each connection: some 50 ms.
const EACH: u32 = 50;
const LUA: &str = include_str!("count.lua");

pub(crate) async fn measure(settings: &Settings, report: &mut Report) -> Result<(), BenchError> {
    let upstream = envoys::answering(api()).await?;
    let address = upstream.listeners()[0];
    let (empty, ours) = (module::build("fixture-empty"), tools::module());
    let plugin = |by: &str| envoys::plugin(&json!([]), by);
    let contenders = [
        contender(Role::Plain, address).await?,
        contender(Role::Filter(&empty, &json!({})), address).await?,
        contender(Role::Lua(LUA), address).await?,
        contender(Role::Filter(&ours, &plugin("off")), address).await?,
        contender(Role::Filter(&ours, &plugin("filter")), address).await?,
        contender(Role::AccessLogger(&ours, &plugin("access_log")), address).await?,
        contender(Role::Filter(&empty, &json!({})), address).await?,
    ];
    let cpu = compare_cpu(&contenders, settings.rounds, EACH)?;
    write(report, &cpu);
    let sent = u64::from(settings.rounds) * u64::from(EACH * CONNECTIONS);
    let [_, _, lua, _, filter, access_log, _] = &contenders;
    check("Lua", counted_by_lua(&lua.envoy).await?, sent)?;
    check("the filter", counted_by_ours(&filter.envoy).await?, sent)?;
    check("the access logger", counted_by_ours(&access_log.envoy).await?, sent)
}

fn write(report: &mut Report, cpu: &[Quantity; 7]) {
    let [plain, empty, lua, off, filter, access_log, again] = *cpu;
    let row = |name: &str, cpu| Row::new(&format!("Envoy CPU a proxied request, {name}"), cpu);
    let beside_none = |name, cpu| row(name, cpu).against("no filter", plain);
    let beside_empty = |name, cpu| row(name, cpu).against("empty SDK filter", empty);
    report.row(row("no filter", plain));
    report.row(beside_none("empty SDK filter", empty));
    report.row(beside_empty("empty SDK filter once more: the noise", again));
    report.row(beside_none("Lua counting", lua));
    report.row(beside_empty("ours, counting off", off));
    report.row(beside_empty("ours, counted by the filter", filter).at_most(1.08));
    report.row(beside_none("ours, counted by the filter", filter));
    report.row(beside_none("ours, counted by the access logger", access_log).at_most(1.12));
}

async fn contender(role: Role<'_>, upstream: SocketAddr) -> Result<Contender, BenchError> {
    let envoy = envoys::gateway(role, upstream).await?;
    let load = Load {
        address: envoy.listeners()[0],
        connections: CONNECTIONS,
        headers: vec![
            "Authorization: Bearer 2YotnFZFEjr1zCsicMWpAA2YotnFZFEj".into(),
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64)".into(),
            "Accept: application/json".into(),
        ],
        requests: REQUESTS.map(str::to_owned).into(),
    };
    Ok(Contender { envoy, load })
}

/// A controller of almost no cost.
fn api() -> Vec<Value> {
    let answer = |matching: Value, status: u16, body: &str| {
        json!({
            "match": matching,
            "direct_response": {"status": status, "body": {"inline_string": body}},
        })
    };
    let page = json!({"count": 1, "results": [{"id": 1, "name": "x".repeat(1000)}]}).to_string();
    vec![
        answer(json!({"safe_regex": {"regex": ".*/launch/"}}), 201, r#"{"job": 4711}"#),
        answer(json!({"prefix": "/api/login/"}), 302, ""),
        answer(json!({"prefix": "/"}), 200, &page),
    ]
}

/// Checks that all sent requests were counted.
fn check(contender: &'static str, counted: u64, sent: u64) -> Result<(), BenchError> {
    if counted == sent { Ok(()) } else { Err(BenchError::Miscounted { contender, counted, sent }) }
}

async fn counted_by_lua(envoy: &Envoy) -> Result<u64, BenchError> {
    let reply = Client::http(envoy.listeners()[0]).get("/count").await?;
    Ok(String::from_utf8_lossy(reply.body()).parse().unwrap_or_default())
}

async fn counted_by_ours(envoy: &Envoy) -> Result<u64, BenchError> {
    let client = Client::http(envoy.listeners()[0]).bearer(envoys::TOKEN);
    let reply = client.get("/api/v2/metrics").await?;
    Ok(pages::requests(&String::from_utf8_lossy(reply.body())))
}
