//! `/api/v2/me/` and the tokens.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Answer, Ask, Refusal};
use crate::controller::auth::Scheme;
use crate::controller::state::{Scope, Token, User};
use crate::controller::{clock, locked};

/// One page of a list.
pub(super) fn list(results: &[String]) -> String {
    let (count, results) = (results.len(), results.join(","));
    format!(r#"{{"count":{count},"next":null,"previous":null,"results":[{results}]}}"#)
}

impl Ask<'_> {
    pub(super) fn me(&self) -> Result<Answer, Refusal> {
        let caller = self.caller.ok_or_else(Refusal::forbidden)?;
        let edits = caller.by != Scheme::Bearer(Scope::Read);
        Ok(Answer::json(StatusCode::OK, list(&[user_json(&caller.user, edits)])))
    }

    /// The tokens of `owner`: the caller's own, or any for a superuser.
    pub(super) fn tokens(&self, owner: u32) -> Result<Answer, Refusal> {
        let user = self.user()?;
        if user.id != owner && !user.is_superuser {
            return Err(Refusal::forbidden());
        }
        let mut state = locked(&self.shared.state);
        let owner = state.user(owner).cloned().ok_or_else(|| Refusal::not_found("User"))?;
        if self.call.method != Method::POST {
            let tokens = state.tokens.of(owner.id);
            let tokens: Vec<_> = tokens.map(|token| token_json(token, &owner, false)).collect();
            return Ok(Answer::json(StatusCode::OK, list(&tokens)));
        }
        let asked: Value = serde_json::from_slice(&self.call.body).unwrap_or(Value::Null);
        let scope = if asked["scope"] == "read" { Scope::Read } else { Scope::Write };
        let description = asked["description"].as_str().unwrap_or_default();
        let token = state.tokens.create(owner.id, scope, description);
        let location = Some(format!("/api/v2/tokens/{}/", token.id));
        let created = Answer::json(StatusCode::CREATED, token_json(token, &owner, true));
        Ok(Answer { location, ..created })
    }

    pub(super) fn token(&self, id: u32) -> Result<Answer, Refusal> {
        let user = self.user()?;
        let mut state = locked(&self.shared.state);
        let token = state.tokens.with_id(id).cloned();
        let token = token.ok_or_else(|| Refusal::not_found("OAuth2AccessToken"))?;
        let owner = state.user(token.user).cloned();
        let owner = owner.ok_or_else(|| Refusal::not_found("User"))?;
        if owner.id != user.id && !user.is_superuser {
            return Err(Refusal::forbidden());
        }
        if self.call.method == Method::DELETE {
            state.tokens.revoke(id);
            return Ok(Answer::nothing(StatusCode::NO_CONTENT));
        }
        Ok(Answer::json(StatusCode::OK, token_json(&token, &owner, false)))
    }
}

fn user_json(user: &User, edits: bool) -> String {
    let User { id, ansible_id, name, email, is_superuser, is_system_auditor, .. } = user;
    let relations = [
        "teams",
        "organizations",
        "admin_of_organizations",
        "projects",
        "credentials",
        "roles",
        "activity_stream",
        "access_list",
        "tokens",
        "authorized_tokens",
        "personal_tokens",
    ];
    let related =
        relations.map(|name| format!(r#""{name}":"/api/v2/users/{id}/{name}/""#)).join(",");
    let created = clock::iso(user.created);
    let last_login = user.last_login.map_or(Value::Null, |moment| json!(clock::iso(moment)));
    format!(
        r#"{{"id":{id},"type":"user","url":"/api/v2/users/{id}/","related":{{{related}}},"summary_fields":{{"resource":{{"ansible_id":"{ansible_id}","resource_type":"shared.user"}},"user_capabilities":{{"edit":{edits},"delete":false}}}},"created":"{created}","modified":{last_login},"username":"{name}","first_name":"","last_name":"","email":"{email}","is_superuser":{is_superuser},"is_system_auditor":{is_system_auditor},"password":"$encrypted$","last_login":{last_login}}}"#
    )
}

/// The secret is shown only once, when the token is created.
fn token_json(token: &Token, owner: &User, reveal: bool) -> String {
    let Token { id, user, .. } = token;
    let secret = if reveal { token.secret.as_str() } else { "************" };
    let (created, scope) = (clock::iso(token.created), token.scope.as_str());
    let description = json!(token.description);
    let name = owner.name;
    format!(
        r#"{{"id":{id},"type":"o_auth2_access_token","url":"/api/v2/tokens/{id}/","related":{{"user":"/api/v2/users/{user}/","activity_stream":"/api/v2/tokens/{id}/activity_stream/"}},"summary_fields":{{"user":{{"id":{user},"username":"{name}","first_name":"","last_name":""}}}},"created":"{created}","modified":"{created}","description":{description},"user":{user},"token":"{secret}","refresh_token":null,"application":null,"expires":"3026-03-25T18:36:47.000000Z","scope":"{scope}"}}"#
    )
}
