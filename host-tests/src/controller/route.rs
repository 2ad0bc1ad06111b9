//! The resource that a path names.

use hyper::Method;

use super::call::Call;
use super::state::Template;

const API_V2: &str = include_str!("../../fixtures/captures/api/api-v2-root-anon.body");

/// The target of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// A redirect to the same path with a slash, for any client and method.
    Slash(String),
    Login,
    Logout,
    /// The application that browsers load.
    Ui,
    Api(Resource),
    NotFound,
}

/// A resource of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Root,
    Version2,
    Metrics,
    Me,
    Ping,
    Tokens,
    Token(u32),
    PersonalTokens(u32),
    Launch(Option<Template>),
    Job(u32),
    Relaunch(u32),
    Cancel(u32),
    /// A collection without items in the stand-in.
    Collection,
}

/// The platform has the same API under `/api/controller/`, so both prefixes are answered.
pub(super) fn route(call: &Call) -> Route {
    let path = match call.path.strip_prefix("/api/controller/") {
        Some(rest) => format!("/api/{rest}"),
        None => call.path.clone(),
    };
    if path == "/" {
        return Route::Ui;
    }
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        // A launch works without the slash too.
        [.., "launch"] if call.method == Method::POST => resource(&segments),
        [.., ""] => resource(&segments[..segments.len() - 1]),
        _ => match resource(&segments) {
            Route::NotFound => Route::NotFound,
            _ => Route::Slash(with_slash(call)),
        },
    }
}

fn with_slash(call: &Call) -> String {
    let query = if call.query.is_empty() { String::new() } else { format!("?{}", call.query) };
    format!("{}/{query}", call.path)
}

fn resource(segments: &[&str]) -> Route {
    let ["api", segments @ ..] = segments else { return Route::NotFound };
    let resource = match segments {
        ["login"] => return Route::Login,
        ["logout"] => return Route::Logout,
        [] => Resource::Root,
        ["v2"] => Resource::Version2,
        ["v2", "metrics"] => Resource::Metrics,
        ["v2", "me"] => Resource::Me,
        ["v2", "ping"] => Resource::Ping,
        ["v2", "tokens"] => Resource::Tokens,
        ["v2", "job_templates", template, "launch"] => Resource::Launch(Template::find(template)),
        ["v2", collection, id, rest @ ..] => {
            match id.parse().ok().and_then(|id| item(collection, id, rest)) {
                Some(resource) => resource,
                None => return Route::NotFound,
            }
        }
        ["v2", collection] if is_collection(collection) => Resource::Collection,
        _ => return Route::NotFound,
    };
    Route::Api(resource)
}

fn item(collection: &str, id: u32, rest: &[&str]) -> Option<Resource> {
    match (collection, rest) {
        ("tokens", []) => Some(Resource::Token(id)),
        ("users", ["personal_tokens"]) => Some(Resource::PersonalTokens(id)),
        ("jobs", []) => Some(Resource::Job(id)),
        ("jobs", ["relaunch"]) => Some(Resource::Relaunch(id)),
        ("jobs", ["cancel"]) => Some(Resource::Cancel(id)),
        _ => None,
    }
}

fn is_collection(name: &str) -> bool {
    API_V2.contains(&format!("\"/api/v2/{name}/\""))
}
