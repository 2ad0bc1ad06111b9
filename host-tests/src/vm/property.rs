//! Properties, in Envoy's encoding: text unchanged; integers, durations and times (nanoseconds) as 8 bytes,
//! little-endian; booleans as one byte (`serializeValue` in Envoy's `extensions/common/wasm/context.cc`; the names and
//! their meaning are in `extensions/filters/common/expr/context.cc`).

use std::time::Duration;

use super::state::{Context, State};
use super::{Exchange, Headers};
use crate::world::locked;

/// The value at `path`, whose parts are separated by a zero.
pub(super) fn value(state: &State, path: &[u8]) -> Option<Vec<u8>> {
    let parts: Vec<&str> =
        path.split(|&byte| byte == 0).map(std::str::from_utf8).collect::<Result<_, _>>().ok()?;
    let context = state.context()?;
    match parts.as_slice() {
        ["plugin_name"] => Some(context.plugin.name.clone().into()),
        ["plugin_root_id"] => Some(context.plugin.root_id.clone().into()),
        ["plugin_vm_id"] => Some(state.world.config.vm_id.clone().into()),
        // Plain `node` is found neither in Envoy 1.36 nor in 1.40.
        ["xds", "node", "id"] => Some(state.world.config.node_id.clone().into()),
        parts => of_exchange(context, parts),
    }
}

fn of_exchange(context: &Context, parts: &[&str]) -> Option<Vec<u8>> {
    let exchange = locked(context.exchange.as_ref()?);
    let facts = &exchange.facts;
    match parts {
        ["request", rest @ ..] => of_request(context, &exchange, rest),
        ["response", rest @ ..] => of_response(context, &exchange, rest),
        ["connection_id"] if !context.access.logging => {
            facts.connection.map(|connection| unsigned(connection.id))
        }
        ["connection", "id"] => facts.connection.map(|connection| unsigned(connection.id)),
        ["connection", "mtls"] => Some(vec![0]),
        ["source", "address"] => Some(facts.connection?.source.to_string().into()),
        ["source", "port"] => Some(unsigned(facts.connection?.source.port().into())),
        ["destination", "address"] => Some(facts.connection?.destination.to_string().into()),
        ["destination", "port"] => Some(unsigned(facts.connection?.destination.port().into())),
        ["upstream", "address"] => Some(facts.upstream?.to_string().into()),
        ["upstream", "port"] => Some(unsigned(facts.upstream?.port().into())),
        ["xds", "listener_direction"] => Some(unsigned(0)),
        ["xds", "cluster_name"] => facts.cluster.clone().map(Into::into),
        ["xds", "route_name"] => facts.route.clone().map(Into::into),
        [name] => facts.filter_state.get(name.as_bytes()).cloned(),
        _ => None,
    }
}

fn of_request(context: &Context, exchange: &Exchange, parts: &[&str]) -> Option<Vec<u8>> {
    let visible = context.access.request_headers || context.access.logging;
    let headers = exchange.request_headers.as_ref().filter(|_| visible);
    let facts = &exchange.facts;
    let pseudo = |name: &str| headers?.first(name.as_bytes()).map(<[u8]>::to_vec);
    match parts {
        ["path"] => pseudo(":path"),
        ["url_path"] => Some(parted(&pseudo(":path").or(headers.map(|_| vec![]))?).0.to_vec()),
        ["query"] => Some(parted(&pseudo(":path").or(headers.map(|_| vec![]))?).1.to_vec()),
        ["host"] => pseudo(":authority"),
        ["scheme"] => pseudo(":scheme"),
        ["method"] => pseudo(":method"),
        ["referer"] => pseudo("referer"),
        ["useragent"] => pseudo("user-agent"),
        ["id"] => pseudo("x-request-id"),
        ["headers", name] => joined(headers?, name),
        ["protocol"] => facts.protocol.map(|protocol| protocol.as_bytes().to_vec()),
        ["time"] => Some(nanoseconds(facts.started)),
        ["duration"] => facts.duration.map(nanoseconds),
        ["size"] => match pseudo("content-length") {
            Some(length) => std::str::from_utf8(&length).ok()?.parse().ok().map(unsigned),
            None => Some(unsigned(facts.bytes_received)),
        },
        ["total_size"] => Some(unsigned(facts.bytes_received + size(headers))),
        ["headers_bytes"] => Some(unsigned(size(headers))),
        _ => None,
    }
}

fn of_response(context: &Context, exchange: &Exchange, parts: &[&str]) -> Option<Vec<u8>> {
    let visible = context.access.response_headers || context.access.logging;
    let headers = exchange.response_headers.as_ref().filter(|_| visible);
    let visible = context.access.response_trailers || context.access.logging;
    let trailers = exchange.response_trailers.as_ref().filter(|_| visible);
    let facts = &exchange.facts;
    match parts {
        ["code"] => facts.code.map(|code| unsigned(code.into())),
        ["code_details"] => facts.code_details.clone().map(Into::into),
        ["flags"] => Some(unsigned(facts.flags)),
        ["size"] => Some(unsigned(facts.bytes_sent)),
        ["total_size"] => Some(unsigned(facts.bytes_sent + size(headers) + size(trailers))),
        ["headers_bytes"] => Some(unsigned(size(headers))),
        ["headers", name] => joined(headers?, name),
        ["trailers", name] => joined(trailers?, name),
        _ => None,
    }
}

/// Several headers of one name become one text with commas.
fn joined(headers: &Headers, name: &str) -> Option<Vec<u8>> {
    let values: Vec<&[u8]> = headers.all(name.as_bytes()).collect();
    (!values.is_empty()).then(|| values.join(&b','))
}

/// The path up to the question mark, and the query up to a fragment.
fn parted(path: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = path.splitn(2, |&byte| byte == b'?');
    let before = parts.next().unwrap_or_default();
    let query = parts.next().unwrap_or_default();
    (before, query.split(|&byte| byte == b'#').next().unwrap_or_default())
}

fn size(headers: Option<&Headers>) -> u64 {
    headers.map_or(0, |headers| headers.byte_size() as u64)
}

fn unsigned(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

fn nanoseconds(of: Duration) -> Vec<u8> {
    unsigned(u64::try_from(of.as_nanos()).unwrap_or(u64::MAX))
}
