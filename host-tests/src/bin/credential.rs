//! Prints the entry of a configuration for a token or a user, with a hash instead of the secret.
//!
//! `credential token NAME` and `credential user NAME` read the secret from standard input, so that no process list and
//! no shell history contains it. `credential token NAME --new` creates a token and prints it once, to standard error.

use std::io::{self, Read};
use std::process::ExitCode;

use awx_metrics_filter::auth::password::PasswordHash;
use awx_metrics_filter::auth::{Credentials, Secret, Token};
use awx_metrics_filter::config::Config;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

const USAGE: &str = "usage: credential token NAME [--new]
       credential user NAME
The token or the password is read from standard input, up to its end; a line end behind it is left out.";

/// The number of Django 4.2, with which the controller hashes its passwords.
const ITERATIONS: u32 = 600_000;

/// 240 bits: such a token cannot be guessed, so a fast hash is enough.
const TOKEN_BYTES: usize = 30;

/// As in Django, 128 bits and more.
const SALT_BYTES: usize = 18;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let entry = match arguments.as_slice() {
        ["token", name, "--new"] => new_token(name),
        ["token", name] => read_secret().and_then(|token| token_entry(name, &token)),
        ["user", name] => read_secret().and_then(|password| user_entry(name, &password)),
        _ => Err(USAGE.to_owned()),
    };
    match entry {
        Ok(entry) => {
            println!("{entry}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn new_token(name: &str) -> Result<Value, String> {
    let token = random_text::<TOKEN_BYTES>()?;
    let entry = token_entry(name, &token)?;
    eprintln!("token: {token}");
    Ok(entry)
}

fn read_secret() -> Result<String, String> {
    let mut secret = String::new();
    io::stdin()
        .read_to_string(&mut secret)
        .map_err(|error| format!("standard input cannot be read: {error}"))?;
    Ok(secret.trim_end_matches(['\r', '\n']).to_owned())
}

fn token_entry(name: &str, token: &str) -> Result<Value, String> {
    let header = format!("Bearer {token}");
    if !matches!(Credentials::parse([header.as_bytes()]), Credentials::Bearer(read) if read.expose() == token)
    {
        return Err("a token needs visible ASCII characters, no space and no comma".to_owned());
    }
    let sha256 = Token::new(name.to_owned(), &Secret::new(token)).sha256;
    let sha256: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    checked("tokens", json!({"name": name, "sha256": sha256}))
}

fn user_entry(name: &str, password: &str) -> Result<Value, String> {
    if password.is_empty() {
        return Err("the password is empty".to_owned());
    }
    let hash = PasswordHash::new(password, &random_text::<SALT_BYTES>()?, ITERATIONS)
        .map_err(|error| error.to_string())?;
    checked("users", json!({"name": name, "password_hash": hash.to_string()}))
}

/// The entry, if a configuration may contain it.
fn checked(list: &str, entry: Value) -> Result<Value, String> {
    let config = json!({"auth": {list: [&entry]}}).to_string();
    Config::parse(config.as_bytes()).map_err(|error| error.to_string())?;
    Ok(entry)
}

/// Random bytes, in letters that never need quoting.
fn random_text<const BYTES: usize>() -> Result<String, String> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random bytes: {error}"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_becomes_its_sha256() {
        // Python: hashlib.sha256(b"token-one").hexdigest()
        let sha256 = "75c5c10f256c75b650c6ffc2e83c6588af02766efd2de28f4de34547006e8d1a";
        let entry = token_entry("prometheus", "token-one").unwrap();
        assert_eq!(entry, json!({"name": "prometheus", "sha256": sha256}));
    }

    #[test]
    fn a_token_that_no_client_could_send_is_refused() {
        for token in ["", "a b", "a,b", "ä", "a\nb", &"x".repeat(9_000)] {
            assert!(token_entry("prometheus", token).is_err(), "{token}");
        }
    }

    #[test]
    fn two_new_tokens_differ() {
        let tokens = [(); 2].map(|()| random_text::<TOKEN_BYTES>().unwrap());
        assert_eq!(tokens[0].len(), 40);
        assert_ne!(tokens[0], tokens[1]);
    }

    #[test]
    fn a_password_becomes_a_django_hash_with_its_own_salt() {
        let entries = [(); 2].map(|()| user_entry("admin", "password").unwrap());
        assert_ne!(entries[0], entries[1]);
        let hash = entries[0]["password_hash"].as_str().unwrap();
        let parts: Vec<&str> = hash.split('$').collect();
        assert_eq!(parts[..2], ["pbkdf2_sha256", "600000"]);
        let again = PasswordHash::new("password", parts[2], ITERATIONS).unwrap();
        assert_eq!(again.to_string(), hash);
    }

    #[test]
    fn input_that_a_configuration_would_refuse_is_refused() {
        assert_eq!(
            user_entry("a:b", "password").unwrap_err(),
            "auth.users[0].name: may contain only printable characters, no colon"
        );
        assert_eq!(token_entry("", "token").unwrap_err(), "auth.tokens[0].name: must not be empty");
        assert!(user_entry("admin", "").is_err());
    }
}
