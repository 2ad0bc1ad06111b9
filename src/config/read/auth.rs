//! `auth`, and the rule that joins it with `sources`.

use std::rc::Rc;
use std::time::Duration;

use super::{duration, families, timeout, unless};
use crate::auth::password::PasswordHash;
use crate::auth::{Controller, Policy, Token, User, Visibility};
use crate::config::error::Problem;
use crate::config::field::{Field, Fields};
use crate::config::{Credential, Source, rules};
use crate::limits;

/// The sources, which other fields name.
pub(super) struct NamedSources<'a> {
    sources: &'a [Source],
    /// True if the name of every source could be read. Otherwise an unknown name may be one that could not.
    are_complete: bool,
}

impl<'a> NamedSources<'a> {
    pub(super) fn new(sources: &'a [Source], were_read: bool) -> Self {
        let has_name = |source: &Source| !source.name.is_empty();
        Self { sources, are_complete: were_read && sources.iter().all(has_name) }
    }

    /// The index of the source of this name. `None` if the source may be one whose name could not be read.
    fn index(&self, name: &str) -> Result<Option<usize>, Problem> {
        let index = self.sources.iter().position(|source| source.name == name);
        if index.is_none() && self.are_complete { Err(Problem::UnknownSource) } else { Ok(index) }
    }

    /// The indices of the sources on a cluster.
    fn on_cluster(&self, cluster: &str) -> Vec<usize> {
        let sources = self.sources.iter().enumerate();
        sources.filter(|(_, source)| source.cluster == cluster).map(|(index, _)| index).collect()
    }
}

pub(super) fn policy(field: Field<'_>, sources: &NamedSources<'_>) -> Policy {
    let mut fields = field.fields(&["anonymous", "tokens", "users", "controller"]);
    let anonymous = fields.read("anonymous", Field::bool).unwrap_or(false);
    let tokens = fields.read("tokens", |field| tokens(field, sources)).unwrap_or_default();
    let users = fields.read("users", |field| users(field, sources)).unwrap_or_default();
    let controller = fields.read("controller", |field| Some(controller(field, sources)));
    if controller.is_some() || !fields.has("controller") {
        check_forwarding(&fields, sources.sources, controller.as_ref());
    }
    Policy { anonymous, tokens, users, controller }
}

/// Refuses sources that would send a client's credentials to another server than the controller that authenticates
/// clients.
pub(super) fn check_forwarding(
    fields: &Fields<'_>,
    sources: &[Source],
    controller: Option<&Controller>,
) {
    let was_read = |cluster: &str, authority: &str| !cluster.is_empty() && !authority.is_empty();
    if controller.is_some_and(|it| !was_read(&it.cluster, &it.authority)) {
        return;
    }
    for (index, source) in sources.iter().enumerate() {
        let Source { cluster, authority, credential, .. } = source;
        let forwards = matches!(credential, Credential::Forward) && was_read(cluster, authority);
        let is_the_controller =
            |it: &Controller| it.cluster == *cluster && it.authority == *authority;
        if forwards && !controller.is_some_and(is_the_controller) {
            fields.refuse_at(format!("sources[{index}].credential"), Problem::Forward);
        }
    }
}

fn controller(field: Field<'_>, sources: &NamedSources<'_>) -> Controller {
    let mut fields = field.fields(&[
        "cluster",
        "authority",
        "path",
        "timeout",
        "sources",
        "allow_for",
        "deny_for",
        "allow_while_down_for",
        "cookie",
    ]);
    let cluster = fields.required("cluster", &rules::cluster).unwrap_or_default();
    let opened = fields.read("sources", |field| indices(field, sources));
    let opened = opened.unwrap_or_else(|| sources.on_cluster(&cluster));
    Controller {
        authority: fields.text_or("authority", &rules::authority, cluster.clone()),
        path: fields.text_or("path", &rules::target, default_check()),
        timeout: timeout(&mut fields, 2),
        view: Rc::new(Visibility { sources: Some(opened), families: None }),
        allow_for: duration(&mut fields, "allow_for", 60, limits::ALLOW_LEAST),
        deny_for: duration(&mut fields, "deny_for", 10, Duration::ZERO),
        allow_while_down_for: duration(&mut fields, "allow_while_down_for", 300, Duration::ZERO),
        cookie: fields.text_or("cookie", &rules::cookie, "awx_sessionid".to_owned()),
        cluster,
    }
}

/// An empty page: the controller checks the client's credentials and counts nothing.
fn default_check() -> String {
    "/api/v2/metrics/?dbonly=1&subsystemonly=1".to_owned()
}

/// Reads a list of sources by name.
fn indices(field: Field<'_>, sources: &NamedSources<'_>) -> Option<Vec<usize>> {
    let mut indices = Vec::new();
    for item in field.list(limits::CONFIG_SOURCES)? {
        let index = item.text(&|name| match sources.index(&name)? {
            Some(index) if indices.contains(&index) => Err(Problem::Duplicate),
            index => Ok(index),
        });
        indices.extend(index.flatten());
    }
    Some(indices)
}

/// Reads what an entry of `tokens` or `users` opens.
fn view(fields: &mut Fields<'_>, sources: &NamedSources<'_>) -> Rc<Visibility> {
    Rc::new(Visibility {
        sources: fields.read("sources", |field| indices(field, sources)),
        families: fields.read("families", families),
    })
}

fn tokens(field: Field<'_>, sources: &NamedSources<'_>) -> Option<Vec<Token>> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut hashes: Vec<Option<[u8; 32]>> = Vec::new();
    for item in field.list(limits::CONFIG_TOKENS)? {
        let mut fields = item.fields(&["name", "sha256", "sources", "families"]);
        let is_taken = |name: &str| tokens.iter().any(|token| token.name == name);
        let name = fields.required("name", &unless(is_taken, rules::name)).unwrap_or_default();
        let sha256 = fields.required("sha256", &|text| {
            let sha256 = rules::sha256(text)?;
            match hashes.iter().position(|have| *have == Some(sha256)) {
                Some(earlier) => Err(Problem::SameToken { earlier }),
                None => Ok(sha256),
            }
        });
        hashes.push(sha256);
        let view = view(&mut fields, sources);
        tokens.push(Token { name, sha256: sha256.unwrap_or_default(), view });
    }
    Some(tokens)
}

fn users(field: Field<'_>, sources: &NamedSources<'_>) -> Option<Vec<User>> {
    let mut users: Vec<User> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for item in field.list(limits::CONFIG_USERS)? {
        let mut fields = item.fields(&["name", "password_hash", "sources", "families"]);
        let is_taken = |name: &str| names.iter().any(|have| have == name);
        let name = fields.required("name", &unless(is_taken, rules::user)).unwrap_or_default();
        let hash = fields.required("password_hash", &password_hash);
        let view = view(&mut fields, sources);
        names.push(name.clone());
        if let Some(hash) = hash {
            let mut user = User::new(name, hash);
            user.view = view;
            users.push(user);
        }
    }
    Some(users)
}

fn password_hash(text: String) -> Result<PasswordHash, Problem> {
    if text.len() > limits::TEXT_BYTES {
        return Err(Problem::TooLong { most: limits::TEXT_BYTES });
    }
    Ok(text.parse()?)
}
