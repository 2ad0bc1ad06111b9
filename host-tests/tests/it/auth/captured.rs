//! The captured requests again, with the controller deciding: the filter asks it, and repeats its answer to the client.

use host_tests::capture::{Capture, Request};
use host_tests::controller::Controller;

use super::*;
use crate::stage::{cluster, source};

const SESSION: &str = "7y2xewyckrs4g2udx7lvsjurjwui4kmf";
const NEW_TOKEN: &str = "7BJSyaWhO1QGuqqg5XV1CdZxinYrWj";

/// A plugin without local credentials, which asks the controller.
fn asking(place: usize, anonymous: bool) -> Value {
    let controller = json!({"cluster": cluster(place)});
    json!({
        "sources": [source(place)],
        "auth": {"anonymous": anonymous, "controller": controller},
    })
}

/// The parts of the captured state that a fresh stand-in lacks.
struct CapturedState {
    session: String,
    ended_session: String,
}

impl CapturedState {
    fn of(controller: &Controller) -> Self {
        let ended_session = controller.log_in("admin").unwrap();
        assert!(controller.log_out(&ended_session));
        controller.grant(NEW_TOKEN);
        Self { session: controller.log_in("admin").unwrap(), ended_session }
    }

    /// The request with the cookie of a session that the stand-in knows, or knew.
    fn fit(&self, capture: &Capture) -> Request {
        let mut request = capture.request.clone();
        let ended = capture.name.contains("afterlogout");
        let session = if ended { &self.ended_session } else { &self.session };
        for (_, value) in &mut request.headers {
            *value = value.replace(SESSION, session);
        }
        request
    }
}

on_both_hosts! {
    async fn the_filter_permits_what_the_controller_permits_and_repeats_its_refusals(host) {
        let plugins = [asking(0, false), asking(1, true), asking(2, false)];
        let stage = Stage::of(host, &plugins).await;
        stage.controllers[1].allow_metrics_for_anonymous_users(true);
        stage.controllers[2].enable_basic_auth(false);
        let stage = stage.up_for(CONTROLLER_TOKEN).await;
        let state = CapturedState::of(stage.controller());
        let mut seen = BTreeMap::<u16, usize>::new();
        for capture in capture::all() {
            let name = capture.name.as_str();
            let listener = match name {
                _ if capture.is_about_a_query() || is_answered_otherwise(name) => continue,
                "m-bearer-deleted" => continue,
                _ if name.starts_with("m-") => 0,
                _ if name.starts_with("anonok-") => 1,
                _ if name.starts_with("nobasic-") => 2,
                _ => continue,
            };
            let client = stage.gateway.client_of(listener);
            let ours = again(&client, &state.fit(&capture)).await;
            assert_same(name, &ours, &capture.reply, &[]);
            *seen.entry(capture.reply.status).or_default() += 1;
        }
        let least = [(200, 25), (401, 30), (403, 9), (405, 7)];
        assert!(least.iter().all(|(status, least)| seen[status] >= *least), "{seen:?}");
    }
}
