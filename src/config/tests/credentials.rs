//! Credentials that are sent to controllers.

use serde_json::json;

use super::*;

#[test]
fn credentials_are_forwarded_to_nobody_but_the_controller_that_judges_them() {
    let forwarding = |changes: &Value| {
        let mut json = with_controller(changes);
        json["sources"][1]["credential"] = json!("forward");
        json
    };
    let config = accept(&forwarding(&json!({})));
    assert!(matches!(config.sources[1].credential, Credential::Forward));
    for other in [json!({"cluster": "cluster-a"}), json!({"authority": "other.example"})] {
        let refused = ("sources[1].credential".to_owned(), Problem::Forward);
        assert_eq!(refuse(&forwarding(&other)), refused);
    }
}

#[test]
fn a_credential_has_exactly_one_shape() {
    for credential in [
        json!({}),
        json!({"bearer": "a", "bearer_env": "A"}),
        json!({"bearer": "a", "username": "b", "password": "c"}),
        json!({"bearer": "a", "password": "c"}),
        json!({"username": "b"}),
        json!({"password": "b"}),
        json!({"username": "b", "password": "c", "password_env": "C"}),
    ] {
        let refused = refuse(&with_source(&json!({"credential": credential})));
        assert_eq!(refused, ("sources[1].credential".to_owned(), Problem::Credential));
    }
}

#[test]
fn a_credential_becomes_a_header_or_the_error_names_the_variable() {
    let config = accept(&full());
    let header = |index: usize, value: Option<&str>| {
        let found = config.sources[index].credential.authorization(|_| value.map(str::to_owned));
        found.map(|secret| secret.map(|secret| secret.expose().to_owned()))
    };
    assert_eq!(header(0, Some("a-token\n")), Ok(Some("Bearer a-token".to_owned())));
    assert_eq!(header(0, None), Err(CredentialError::Unset { variable: "TOKEN" }));
    for unusable in ["", "\n", "a b", "a\nb", "ä"] {
        let unusable = header(0, Some(unusable));
        assert_eq!(unusable, Err(CredentialError::Unusable { variable: "TOKEN" }));
    }
    assert_eq!(header(1, None), Ok(Some("Basic c2NyYXBlcjpoaWRkZW4gd29yZA==".to_owned())));
    assert_eq!(header(2, Some("ä:b\r\n")), Ok(Some("Basic c2NyYXBlcjrDpDpi".to_owned())));
    assert_eq!(header(3, None), Ok(Some("Bearer hidden-token".to_owned())));
    assert_eq!(Credential::None.authorization(|_| None).unwrap().map(|s| s.expose().len()), None);
}
