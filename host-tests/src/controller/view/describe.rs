//! The constants of each view: its name, methods, renderers, and its answer to OPTIONS.

use hyper::{Method, StatusCode};

use super::{Answer, Body};
use crate::controller::negotiate::Renderer;
use crate::controller::route::Resource;

pub(super) const API: &str = include_str!("../../../fixtures/captures/api/api-root.body");
pub(super) const API_V2: &str =
    include_str!("../../../fixtures/captures/api/api-v2-root-anon.body");
pub(super) const PING: &str = include_str!("../../../fixtures/captures/ping/ping-anon.body");
const METRICS_JSON: &str = include_str!("../../../fixtures/captures/m/m-admin-OPTIONS.body");
const METRICS_REPR: &str = include_str!("../../../fixtures/captures/m/m-admin-OPTIONS-text.body");

const READ: &str = "GET, HEAD, OPTIONS";
const READ_AND_CREATE: &str = "GET, POST, HEAD, OPTIONS";
const READ_AND_DELETE: &str = "GET, DELETE, HEAD, OPTIONS";

/// A view's constants.
#[derive(Clone, Copy, Debug)]
pub(in crate::controller) struct View {
    pub(super) title: &'static str,
    /// The value of its `Allow` header.
    pub(super) allow: &'static str,
    pub(super) renderers: &'static [Renderer],
    /// It authenticates the caller.
    pub(super) authenticates: bool,
    /// It answers any caller.
    pub(super) public: bool,
    /// It sets a CSRF cookie.
    pub(super) csrf: bool,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Metrics,
    Other,
}

impl View {
    pub(super) fn of(resource: &Resource) -> Self {
        let other = Self {
            title: "REST API",
            allow: READ,
            renderers: &[Renderer::Json, Renderer::Html],
            authenticates: true,
            public: false,
            csrf: false,
            kind: Kind::Other,
        };
        let titled = |title, allow| Self { title, allow, ..other };
        match resource {
            Resource::Root => Self { public: true, csrf: true, ..other },
            Resource::Version2 => Self { public: true, ..titled("Version 2", READ) },
            Resource::Ping => Self { public: true, authenticates: false, ..titled("Ping", READ) },
            Resource::Metrics => Self {
                renderers: &[Renderer::Text, Renderer::Json, Renderer::Html],
                kind: Kind::Metrics,
                ..titled("Metrics", READ)
            },
            Resource::Me => titled("Me", READ),
            Resource::Collection => titled("List", READ),
            Resource::Tokens => titled("Tokens", READ_AND_CREATE),
            Resource::PersonalTokens(_) => titled("Personal Tokens", READ_AND_CREATE),
            Resource::Token(_) => titled("Token", READ_AND_DELETE),
            Resource::Launch(_) => titled("Job Template Launch", READ_AND_CREATE),
            Resource::Job(_) => titled("Job", READ_AND_DELETE),
            Resource::Relaunch(_) => titled("Job Relaunch", READ_AND_CREATE),
            Resource::Cancel(_) => titled("Job Cancel", READ_AND_CREATE),
        }
    }

    pub(super) fn is_metrics(&self) -> bool {
        self.kind == Kind::Metrics
    }

    pub(super) fn allows(&self, method: &Method) -> bool {
        self.allow.split(", ").any(|allowed| allowed == method.as_str())
    }

    pub(super) fn described(&self) -> Answer {
        if !self.is_metrics() {
            let title = self.title;
            let json = format!(
                r#"{{"name":"{title}","description":"","renders":["application/json","text/html"],"parses":["application/json"]}}"#
            );
            return Answer::json(StatusCode::OK, json);
        }
        let body = Body::Data { json: METRICS_JSON.to_owned(), repr: METRICS_REPR.to_owned() };
        Answer { status: StatusCode::OK, body, location: None }
    }
}
