//! `/api/v2/metrics/`: for superusers and auditors, or for every client if the setting allows it.

use std::time::Duration;

use hyper::StatusCode;

use super::{Answer, Ask, Body, Refusal};
use crate::controller::negotiate::Renderer;
use crate::controller::page::{self, Page, Redis};
use crate::controller::{Mode, locked};

impl Ask<'_> {
    pub(super) fn metrics(&self) -> Result<Answer, Refusal> {
        self.check_reader()?;
        let mode = self.shared.mode();
        let redis = match mode {
            Mode::RedisDown => Redis::Down,
            Mode::RedisEmpty => Redis::Empty,
            _ => Redis::Full,
        };
        let page = Page::of(&locked(&self.shared.state), self.call, redis);
        let page = page.ok_or(Refusal::ServerError)?;
        let body = match mode {
            _ if page.is_empty() => self.render(&page),
            Mode::Empty => self.render(&Page::default()),
            Mode::Page(body, content_type) => Body::Fixed { body, content_type },
            Mode::Pages(pages) => {
                let place = self.call.parameter("page").and_then(|place| place.parse().ok());
                let page = place.and_then(|place| pages.into_iter().nth(place));
                let (body, content_type) = page.ok_or(Refusal::ServerError)?;
                Body::Fixed { body, content_type }
            }
            Mode::IllegalLines if self.renderer == Renderer::Json => {
                return Err(Refusal::ServerError);
            }
            Mode::IllegalLines => Body::Fixed {
                body: page.with_illegal_lines(),
                content_type: self.renderer.content_type().to_owned(),
            },
            _ => self.render(&page),
        };
        Ok(Answer { status: StatusCode::OK, body, location: None })
    }

    /// An empty page has no Content-Type, except as JSON.
    fn render(&self, page: &Page) -> Body {
        match self.renderer {
            Renderer::Json => Body::Rendered(page.json(self.indent)),
            Renderer::Text if page.is_empty() => Body::Nothing,
            Renderer::Text | Renderer::Html => Body::Rendered(page.text()),
        }
    }

    fn check_reader(&self) -> Result<(), Refusal> {
        if locked(&self.shared.state).allow_metrics_for_anonymous_users {
            return Ok(());
        }
        let user = self.user()?;
        let may = user.is_superuser || user.is_system_auditor;
        if may { Ok(()) } else { Err(Refusal::forbidden()) }
    }

    pub(super) fn metrics_cost(&self) -> Duration {
        let latency = self.shared.config.latency;
        let (database, subsystem) = page::groups(self.call);
        let of = |read: bool, cost: Duration| if read { cost } else { Duration::ZERO };
        if self.check_reader().is_err() {
            return Duration::ZERO;
        }
        of(database, latency.database_metrics) + of(subsystem, latency.subsystem_metrics)
    }
}
