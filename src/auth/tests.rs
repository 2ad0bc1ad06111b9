use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::password::{PasswordHash, Progress};
use super::*;
use crate::limits;

thread_local! {
    /// Shared by the property tests, since hashing passwords takes long.
    static POLICY: Policy = policy(false);
}

const NOT_PROVIDED: &str = "Authentication credentials were not provided. To establish a login session, visit /api/login/.";
const WRONG_PASSWORD: &str =
    "Invalid username/password. To establish a login session, visit /api/login/.";
const BASIC_EMPTY: &str = "Invalid basic header. No credentials provided. To establish a login session, visit /api/login/.";
const BASIC_SPACES: &str = "Invalid basic header. Credentials string should not contain spaces. To establish a login session, visit /api/login/.";
const BASIC_ENCODING: &str = "Invalid basic header. Credentials not correctly base64 encoded. To establish a login session, visit /api/login/.";

fn user(name: &str, password: &str, iterations: u32) -> User {
    User::new(name.to_owned(), PasswordHash::new(password, "salt", iterations).unwrap())
}

fn token(name: &str, token: &str) -> Token {
    Token::new(name.to_owned(), &Secret::new(token))
}

fn policy(anonymous: bool) -> Policy {
    Policy {
        anonymous,
        controller: None,
        tokens: vec![token("one", "token-one"), token("two", "token-two")],
        users: vec![
            user("admin", "password", 1_000),
            user("slow", "slow-password", 2_500),
            user("colon", "pa:ss:word", 1_000),
            user("umlüt", "päss", 1_000),
        ],
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn read(header: &str) -> Credentials {
    Credentials::parse([header.as_bytes()])
}

fn request(header: &str) -> RequestCredentials {
    RequestCredentials::read([header.as_bytes()].into_iter(), [].into_iter(), Some("awx_sessionid"))
}

fn tagger() -> Tagger {
    Tagger::new([7; 32], [8; 32])
}

/// The sentence of the refusal, or `None` if the client is permitted, and the rounds that it took.
fn outcome(policy: &Policy, header: &str) -> (Option<String>, u32) {
    match decide(policy, &request(header), &tagger()) {
        LocalDecision::Allowed(_) => (None, 0),
        LocalDecision::Denied(denial) => (Some(denial.sentence().to_owned()), 0),
        LocalDecision::AskController => panic!("{header}: there is no controller to ask"),
        LocalDecision::CheckPassword(mut pending) => {
            let mut rounds = 0;
            loop {
                rounds += 100;
                if let Progress::Done(result) = pending.advance(100) {
                    return (result.err().map(|denial| denial.sentence().to_owned()), rounds);
                }
            }
        }
    }
}

fn refusal(policy: &Policy, header: &str) -> Option<String> {
    outcome(policy, header).0
}

#[test]
fn each_header_gets_the_sentence_that_the_controller_gives() {
    // The controller's own answers: the captures m-auth-*, m-bearer-*, m-badpw-*.
    for (header, sentence) in [
        ("", Some(NOT_PROVIDED)),
        (" \t", Some(NOT_PROVIDED)),
        ("Bearer nope", Some(NOT_PROVIDED)),
        ("Bearer", Some(NOT_PROVIDED)),
        ("Bearer token-one token-one", Some(NOT_PROVIDED)),
        ("Digest username=\"admin\"", Some(NOT_PROVIDED)),
        ("Bearertoken-one", Some(NOT_PROVIDED)),
        ("Bearer token-one", None),
        ("bearer token-two", None),
        ("BEARER  token-two ", None),
        ("Basic", Some(BASIC_EMPTY)),
        ("basic ", Some(BASIC_EMPTY)),
        ("Basic a b", Some(BASIC_SPACES)),
        ("Basic !!!", Some(BASIC_ENCODING)),
        ("Basic abc", Some(BASIC_ENCODING)),
        ("Basic YWRtaW4=", Some(BASIC_ENCODING)),
        ("basic YWRtaW46cGFzc3dvcmQ=", None),
        (&basic("admin", "wrong"), Some(WRONG_PASSWORD)),
        (&basic("nobody", "password"), Some(WRONG_PASSWORD)),
        (&basic("admin", ""), Some(WRONG_PASSWORD)),
        (&basic("", "password"), Some(WRONG_PASSWORD)),
        (&basic("Admin", "password"), Some(WRONG_PASSWORD)),
        (&basic("colon", "pa:ss:word"), None),
        (&basic("colon", "pa"), Some(WRONG_PASSWORD)),
        ("Basic dW1sw7x0OnDDpHNz", None),
        ("Basic dW1s/HQ6cORzcw==", None),
    ] {
        assert_eq!(refusal(&policy(false), header).as_deref(), sentence, "{header}");
    }
}

#[test]
fn only_basic_credentials_are_refused_if_anonymous_clients_are_permitted() {
    // The captures anonok-*.
    for (header, sentence) in [
        ("", None),
        ("Bearer nope", None),
        ("Bearer", None),
        ("Digest username=\"admin\", realm=\"x\"", None),
        ("Bearer token-one", None),
        (&basic("admin", "password"), None),
        (&basic("admin", "wrong"), Some(WRONG_PASSWORD)),
        (&basic("nobody", "wrong"), Some(WRONG_PASSWORD)),
        ("Basic !!!", Some(BASIC_ENCODING)),
        ("Basic", Some(BASIC_EMPTY)),
    ] {
        assert_eq!(refusal(&policy(true), header).as_deref(), sentence, "{header}");
    }
    let no_users = Policy { anonymous: true, ..Policy::default() };
    assert_eq!(refusal(&no_users, &basic("admin", "password")).as_deref(), Some(WRONG_PASSWORD));
}

#[test]
fn a_policy_without_tokens_and_users_refuses_every_client() {
    for header in ["", "Bearer ", "Bearer x", &basic("", ""), &basic("admin", "password")] {
        assert!(refusal(&Policy::default(), header).is_some(), "{header}");
    }
}

#[test]
fn two_headers_or_two_values_in_one_header_are_refused_even_if_both_are_right() {
    let good: &[u8] = b"Bearer token-one";
    for headers in [
        vec![good, good],
        vec![good, b""],
        vec![b"", good],
        vec![b"Bearer token-one, Bearer token-one"],
        vec![b"Bearer token-one,"],
    ] {
        let request =
            RequestCredentials::read(headers.into_iter(), [].into_iter(), Some("awx_sessionid"));
        assert!(matches!(request.credentials, Credentials::Malformed(Malformed::Repeated)));
        let decision = decide(&policy(true), &request, &tagger());
        assert!(matches!(decision, LocalDecision::Denied(Denial::NotProvided)));
    }
    let joined = format!("{0}, {0}", basic("admin", "password"));
    assert_eq!(refusal(&policy(true), &joined).as_deref(), Some(BASIC_SPACES));
    let joined = format!("{0},{0}", basic("admin", "password"));
    assert_eq!(refusal(&policy(true), &joined).as_deref(), Some(BASIC_SPACES));
    assert!(matches!(Credentials::parse([]), Credentials::None));
}

#[test]
fn a_header_above_its_bound_is_refused() {
    let fits = format!("Bearer {}", "x".repeat(limits::AUTHORIZATION_BYTES - 7));
    assert!(matches!(read(&fits), Credentials::Bearer(_)));
    let too_long = format!("{fits}x");
    assert!(matches!(read(&too_long), Credentials::Malformed(Malformed::TooLong)));
}

#[test]
fn a_header_that_is_not_utf8_is_refused_without_a_panic() {
    assert!(matches!(Credentials::parse([&b"Bearer t\xff"[..]]), Credentials::UnusableBearer));
    assert!(matches!(Credentials::parse([&b"\xff\xfe x"[..]]), Credentials::Other));
    let basic = Credentials::parse([&b"Basic YWRtaW46cGFzc3dvcmQ\xbd"[..]]);
    assert!(matches!(basic, Credentials::Malformed(Malformed::BasicEncoding)));
}

#[test]
fn each_header_is_counted_under_its_scheme() {
    for (header, scheme) in [
        ("", "none"),
        ("Bearer x", "bearer"),
        ("Bearer", "bearer"),
        ("Basic", "basic"),
        ("Basic eDp5", "basic"),
        ("Digest x", "other"),
    ] {
        assert_eq!(read(header).scheme().as_str(), scheme, "{header}");
    }
    assert_eq!(Credentials::parse([&b"a"[..], b"b"]).scheme(), Scheme::Other);
    assert_eq!(Scheme::ALL.map(Scheme::as_str), ["bearer", "basic", "session", "none", "other"]);
}

#[test]
fn a_refusal_takes_the_same_rounds_for_known_and_unknown_users() {
    let policy = policy(false);
    for name in ["admin", "slow", "colon", "nobody", ""] {
        let (sentence, rounds) = outcome(&policy, &basic(name, "wrong"));
        assert_eq!((sentence.as_deref(), rounds), (Some(WRONG_PASSWORD), 2_500), "{name}");
    }
}

#[test]
fn an_unknown_user_with_the_first_users_password_is_refused() {
    let policy = Policy { users: vec![user("admin", "password", 1_000)], ..Policy::default() };
    assert_eq!(refusal(&policy, &basic("nobody", "password")).as_deref(), Some(WRONG_PASSWORD));
}

fn pending(policy: &Policy, header: &str) -> Box<PendingPassword> {
    match decide(policy, &request(header), &tagger()) {
        LocalDecision::CheckPassword(pending) => pending,
        decision => panic!("{decision:?}"),
    }
}

#[test]
fn a_remembered_password_needs_no_rounds_and_opens_nothing_for_an_unknown_user() {
    let policy = policy(false);
    let right = pending(&policy, &basic("admin", "password"));
    assert!(right.recall(true).is_some());
    assert!(right.recall(false).is_none());
    // An unknown user is checked against the hash of another user, whose password must not open anything.
    assert!(pending(&policy, &basic("nobody", "password")).recall(true).is_none());
}

#[test]
fn a_password_has_one_tag_for_each_user_and_hash() {
    let tag = |policy: &Policy, user, password| *pending(policy, &basic(user, password)).tag();
    let first = tag(&policy(false), "admin", "password");
    assert_eq!(tag(&policy(false), "admin", "password"), first);
    assert_ne!(tag(&policy(false), "admin", "wrong"), first);
    assert_ne!(tag(&policy(false), "nobody", "password"), first);
    let rehashed = PasswordHash::new("password", "other-salt", 1_000).unwrap();
    let mut changed = policy(false);
    changed.users[0] = User::new("admin".to_owned(), rehashed);
    assert_ne!(tag(&changed, "admin", "password"), first);
}

#[test]
fn a_finished_password_check_gives_no_permit_when_it_is_advanced_again() {
    for (password, right) in [("password", true), ("wrong", false)] {
        let mut pending = pending(&policy(false), &basic("admin", password));
        for right in [right, false] {
            let Progress::Done(result) = pending.advance(u32::MAX) else { panic!("{password}") };
            assert_eq!(result.is_ok(), right);
        }
    }
}

/// A policy with a controller.
fn with_controller(anonymous: bool) -> Policy {
    let controller = Controller {
        cluster: "c".to_owned(),
        authority: "c".to_owned(),
        path: "/".to_owned(),
        timeout: Duration::from_secs(2),
        view: Rc::new(Visibility { sources: Some(vec![1]), families: None }),
        allow_for: Duration::from_secs(60),
        deny_for: Duration::from_secs(10),
        allow_while_down_for: Duration::from_secs(300),
        cookie: "awx_sessionid".to_owned(),
    };
    Policy { controller: Some(controller), ..policy(anonymous) }
}

fn asks(policy: &Policy, header: &str, cookie: &str) -> bool {
    let [header, cookie] = [header, cookie].map(str::as_bytes);
    let request =
        RequestCredentials::read([header].into_iter(), [cookie].into_iter(), Some("awx_sessionid"));
    matches!(decide(policy, &request, &tagger()), LocalDecision::AskController)
}

#[test]
fn the_controller_is_asked_about_credentials_that_the_configuration_does_not_contain() {
    for (header, cookie, expected) in [
        ("", "", false),
        ("Bearer unknown", "", true),
        ("Bearer token-one", "", false),
        ("Bearer", "", false),
        ("Bearer a,b", "awx_sessionid=a", false),
        ("Digest x", "", false),
        ("Basic !!!", "awx_sessionid=a", false),
        (&basic("nobody", "x"), "", true),
        (&basic("admin", "wrong"), "awx_sessionid=a", false),
        ("", "awx_sessionid=a", true),
        ("Bearer", "awx_sessionid=a", true),
        ("Digest x", "awx_sessionid=a", true),
        ("", "awx_sessionid=", false),
    ] {
        assert_eq!(asks(&with_controller(false), header, cookie), expected, "{header} {cookie}");
    }
}

#[test]
fn the_controller_is_asked_only_about_passwords_if_anonymous_clients_are_permitted() {
    for (header, cookie, expected) in [
        (&*basic("nobody", "x"), "", true),
        ("Bearer unknown", "", false),
        ("", "awx_sessionid=a", false),
        ("", "", false),
    ] {
        assert_eq!(asks(&with_controller(true), header, cookie), expected, "{header} {cookie}");
    }
}

#[test]
fn a_verdict_opens_the_controllers_sources_and_a_token_opens_those_of_its_entry() {
    let mut policy = with_controller(false);
    let permit = policy.apply(&CachedVerdict::Permitted, Scheme::Bearer).unwrap().unwrap();
    assert_eq!(permit.view().sources, Some(vec![1]));
    let view = Visibility { sources: None, families: Some(vec!["a*".to_owned()]) };
    policy.tokens[1].view = Rc::new(view.clone());
    for (token, view) in [("Bearer token-one", Visibility::default()), ("Bearer token-two", view)] {
        let decision = decide(&policy, &request(token), &tagger());
        assert!(matches!(decision, LocalDecision::Allowed(permit) if **permit.view() == view));
    }
    let mut pending = pending(&policy, &basic("admin", "password"));
    let Progress::Done(Ok(permit)) = pending.advance(u32::MAX) else { panic!("not permitted") };
    assert_eq!(**permit.view(), Visibility::default());
}

#[test]
fn without_a_verdict_only_a_client_within_grace_is_permitted() {
    let policy = with_controller(false);
    let [soon, late] = [true, false].map(|within_grace| CachedVerdict::Lapsed { within_grace });
    for verdict in [&soon, &late, &CachedVerdict::Unknown] {
        assert!(policy.apply(verdict, Scheme::Bearer).is_none(), "{verdict:?}");
    }
    assert!(policy.apply_while_down(&soon, Scheme::Bearer).is_some());
    for verdict in [&late, &CachedVerdict::Unknown, &CachedVerdict::Permitted] {
        assert!(policy.apply_while_down(verdict, Scheme::Bearer).is_none(), "{verdict:?}");
    }
    assert!(super::Policy::default().apply(&CachedVerdict::Permitted, Scheme::Bearer).is_none());
}

#[test]
fn a_403_repeats_the_controllers_sentence_and_a_401_has_the_sentence_of_its_scheme() {
    let denial = |forbidden, sentence: &str, scheme| {
        let refusal = CachedVerdict::Refused(Refusal { forbidden, sentence: sentence.to_owned() });
        let denial = with_controller(false).apply(&refusal, scheme).unwrap().unwrap_err();
        (denial.is_forbidden(), denial.sentence().to_owned())
    };
    for scheme in [Scheme::Bearer, Scheme::Basic, Scheme::Session] {
        assert_eq!(denial(true, "No.", scheme), (true, "No.".to_owned()));
        let usual = "You do not have permission to perform this action.".to_owned();
        assert_eq!(denial(true, "", scheme), (true, usual));
    }
    // The same sentence as for a wrong password of a local user: it does not reveal which names are local.
    for sentence in ["No.", ""] {
        let local = Denial::WrongPassword.sentence().to_owned();
        assert_eq!(denial(false, sentence, Scheme::Basic), (false, local));
        for scheme in [Scheme::Bearer, Scheme::Session] {
            assert_eq!(denial(false, sentence, scheme), (false, NOT_PROVIDED.to_owned()));
        }
    }
}

#[test]
fn a_403_counts_as_anonymous_and_a_401_is_refused_if_anonymous_clients_are_permitted() {
    let refused =
        |forbidden| CachedVerdict::Refused(Refusal { forbidden, sentence: String::new() });
    assert!(with_controller(true).apply(&refused(true), Scheme::Basic).unwrap().is_ok());
    assert!(with_controller(true).apply(&refused(false), Scheme::Basic).unwrap().is_err());
}

#[test]
fn debug_output_contains_no_secret() {
    let credentials = [request("Bearer hidden-token"), request(&basic("admin", "hidden"))];
    let decision = decide(&policy(false), &credentials[1], &tagger());
    let printed = format!("{credentials:?} {decision:?} {:?} {:?}", policy(false), tagger());
    assert!(!printed.contains("hidden"), "{printed}");
    assert!(!printed.contains("aGlkZGVu"), "{printed}");
    assert_eq!(format!("{:?}", Secret::new("hidden")), "Secret(..)");
}

proptest! {
    #[test]
    fn no_headers_cause_a_panic(headers: Vec<Vec<u8>>) {
        let _ = Credentials::parse(headers.iter().map(Vec::as_slice));
    }

    #[test]
    fn no_argument_of_a_known_scheme_causes_a_panic(basic: bool, argument: Vec<u8>) {
        let header = [if basic { &b"Basic "[..] } else { b"Bearer " }, &argument].concat();
        let request = RequestCredentials::read([header.as_slice()].into_iter(), [].into_iter(), Some("awx_sessionid"));
        POLICY.with(|policy| decide(policy, &request, &tagger()));
    }

    #[test]
    fn name_and_password_are_read_as_they_were_written(user in "[^:]{0,12}", password in ".{0,12}") {
        let Credentials::Basic { user: read_user, password: read_password } = read(&basic(&user, &password)) else {
            panic!("not read as Basic");
        };
        prop_assert_eq!(read_user, user);
        prop_assert_eq!(read_password.expose(), password);
    }
}
