//! Requests to the services of platform 2.5 and later are counted by service and collection.

use bytes::Bytes;
use host_tests::client::Client;
use host_tests::on_both_hosts;
use hyper::Method;

use super::{Requests, STYLES, gateway, requests};
use crate::stage::{TOKEN, sample, until};

/// A request, the status of its answer, and the resource that it counts as.
type Sent = (Method, &'static str, u16, &'static str);

const SENT: [Sent; 17] = [
    (Method::POST, "/api/gateway/v1/login/", 302, "gateway/login"),
    (Method::POST, "/api/gateway/v1/login/", 401, "gateway/login"),
    (Method::GET, "/api/gateway/v1/login/", 200, "gateway/login"),
    (Method::POST, "/api/login/", 302, "login"),
    (Method::POST, "/api/gateway/v1/tokens/", 201, "gateway/tokens"),
    (Method::POST, "/api/gateway/v1/tokens/", 400, "gateway/tokens"),
    (Method::DELETE, "/api/gateway/v1/tokens/5/", 204, "gateway/tokens"),
    (Method::POST, "/o/token/", 200, "o/token"),
    (Method::GET, "/api/gateway/v1/authenticator_maps/?page=2", 200, "gateway/authenticator_maps"),
    (Method::PATCH, "/api/eda/v1/activations/3/", 200, "eda/activations"),
    (Method::GET, "/api/eda/v1/activation-instances/9/logs/", 200, "eda/activation-instances"),
    (
        Method::GET,
        "/api/galaxy/v3/plugin/ansible/search/collection-versions/",
        200,
        "galaxy/search",
    ),
    (Method::GET, "/api/galaxy/_ui/v1/namespaces/", 200, "galaxy/namespaces"),
    (Method::GET, "/api/controller/v2/jobs/", 200, "jobs"),
    (Method::GET, "/api/gateway/v1/nothing/", 404, "other"),
    (Method::GET, "/api/eda/v2/activations/", 404, "other"),
    (Method::GET, "/api/galaxy/v3/nothing/", 404, "other"),
];

fn expected() -> Requests {
    let mut expected = Requests::new();
    for (method, _, code, resource) in &SENT {
        *expected.entry((method.to_string(), (*resource).into(), *code)).or_default() += 1;
    }
    expected
}

async fn send_all(client: &Client) {
    for (method, path, code, _) in &SENT {
        let client = client.clone().header("x-answer", code.to_string());
        let reply = client.request(method.clone(), path, Bytes::new()).await.unwrap();
        assert_eq!(reply.status(), *code, "{method} {path}");
    }
}

/// The requests that the page counts, without those for metrics.
fn counted(page: &str) -> Requests {
    let mut counted = requests(page);
    counted.retain(|(_, resource, _), _| resource != "metrics");
    counted
}

on_both_hosts! {
    async fn requests_to_the_platforms_services_count_by_service_and_collection(host) {
        for by in STYLES {
            let (_upstream, gateway) = gateway(host, by, 1).await;
            send_all(&gateway.client()).await;
            let client = gateway.client().bearer(TOKEN);
            let has_all = |page: &str| counted(page).values().sum::<u64>() == SENT.len() as u64;
            let page = until(&client, "?gateway=only", has_all).await;
            assert_eq!(counted(&page), expected(), "{by}");
            let logins = |outcome| sample(&page, "awx_gateway_logins_total", &[("outcome", outcome)]);
            assert_eq!(logins("success"), Some(2.0), "{by}");
            assert_eq!(logins("failure"), Some(1.0), "{by}");
            assert_eq!(sample(&page, "awx_gateway_tokens_created_total", &[]), Some(2.0), "{by}");
            let durations = |resource| {
                let name = "awx_gateway_request_duration_seconds_count";
                sample(&page, name, &[("resource", resource)])
            };
            assert_eq!(durations("gateway/login"), Some(3.0), "{by}");
            assert_eq!(durations("galaxy/namespaces"), Some(1.0), "{by}");
        }
    }
}
