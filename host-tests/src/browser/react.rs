//! Immediate reactions to the browser's events: continue a request, answer a prompt.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The user's reaction when the browser asks for a name and a password.
#[derive(Clone, Debug)]
pub enum Prompt {
    /// Closes the prompt.
    Cancel,
    /// Enters them.
    Answer {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
}

/// An answer for the page's script in place of the gateway's.
#[derive(Clone, Debug)]
pub struct Canned {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The body.
    pub body: &'static str,
}

impl Canned {
    fn response(&self, request: &Value) -> Value {
        let header = |&(name, value): &(&str, &str)| json!({"name": name, "value": value});
        let headers: Vec<_> = self.headers.iter().map(header).collect();
        json!({
            "requestId": request, "responseCode": self.status, "responseHeaders": headers,
            "body": STANDARD.encode(self.body),
        })
    }
}

impl Prompt {
    fn response(&self) -> Value {
        match self {
            Self::Cancel => json!({"response": "CancelAuth"}),
            Self::Answer { user, password } => {
                json!({"response": "ProvideCredentials", "username": user, "password": password})
            }
        }
    }
}

/// Requests continue unchanged, except those of scripts if there is a canned answer. A challenge gets its answer.
pub(super) fn to(
    event: &Value,
    prompt: &Prompt,
    canned: Option<&Canned>,
) -> Option<(&'static str, Value)> {
    let request = &event["params"]["requestId"];
    match (event["method"].as_str()?, canned) {
        ("Fetch.requestPaused", Some(canned)) if event["params"]["resourceType"] != "Document" => {
            Some(("Fetch.fulfillRequest", canned.response(request)))
        }
        ("Fetch.requestPaused", _) => {
            Some(("Fetch.continueRequest", json!({"requestId": request})))
        }
        ("Fetch.authRequired", _) => {
            let answer = json!({"requestId": request, "authChallengeResponse": prompt.response()});
            Some(("Fetch.continueWithAuth", answer))
        }
        _ => None,
    }
}
