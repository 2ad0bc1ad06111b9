use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::password::{PasswordHash, Progress};
use super::*;
use crate::limits;

/// For the properties: hashing passwords takes long.
static POLICY: LazyLock<Policy> = LazyLock::new(|| policy(false));

const NOW: Time = Duration::from_secs(1_700_000_000);

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

/// The sentence of the refusal, or none if the client is let in, and the rounds it took.
fn outcome(
    policy: &Policy,
    remembered: &mut Remembered,
    header: &str,
) -> (Option<&'static str>, u32) {
    match decide(policy, &read(header), remembered, NOW) {
        Decision::Allowed(_) => (None, 0),
        Decision::Denied(denial) => (Some(denial.sentence()), 0),
        Decision::Derive(mut pending) => {
            let mut rounds = 0;
            loop {
                rounds += 100;
                if let Progress::Done(result) = pending.advance(100, remembered, NOW) {
                    return (result.err().map(Denial::sentence), rounds);
                }
            }
        }
    }
}

fn refusal(policy: &Policy, header: &str) -> Option<&'static str> {
    outcome(policy, &mut Remembered::new([7; 64]), header).0
}

#[test]
fn headers_are_answered_as_the_controller_answers_them() {
    // The controller's own answers: captures m-auth-*, m-bearer-*, m-badpw-*.
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
        assert_eq!(refusal(&policy(false), header), sentence, "{header}");
    }
}

#[test]
fn where_anybody_is_let_in_only_basic_credentials_can_be_wrong() {
    // Captures anonok-*.
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
        assert_eq!(refusal(&policy(true), header), sentence, "{header}");
    }
    let nobody_known = Policy { anonymous: true, ..Policy::default() };
    assert_eq!(refusal(&nobody_known, &basic("admin", "password")), Some(WRONG_PASSWORD));
}

#[test]
fn without_tokens_and_users_nobody_is_let_in() {
    for header in ["", "Bearer ", "Bearer x", &basic("", ""), &basic("admin", "password")] {
        assert!(refusal(&Policy::default(), header).is_some(), "{header}");
    }
}

#[test]
fn two_headers_or_two_in_one_are_refused_whatever_they_hold() {
    let good: &[u8] = b"Bearer token-one";
    for headers in [
        vec![good, good],
        vec![good, b""],
        vec![b"", good],
        vec![b"Bearer token-one, Bearer token-one"],
        vec![b"Bearer token-one,"],
    ] {
        let credentials = Credentials::parse(headers);
        assert!(matches!(credentials, Credentials::Malformed(Malformed::Repeated)));
        let decision = decide(&policy(true), &credentials, &Remembered::new([7; 64]), NOW);
        assert!(matches!(decision, Decision::Denied(Denial::NotProvided)));
    }
    let joined = format!("{0}, {0}", basic("admin", "password"));
    assert_eq!(refusal(&policy(true), &joined), Some(BASIC_SPACES));
    let joined = format!("{0},{0}", basic("admin", "password"));
    assert_eq!(refusal(&policy(true), &joined), Some(BASIC_SPACES));
    assert!(matches!(Credentials::parse([]), Credentials::None));
}

#[test]
fn a_header_over_its_limit_is_refused() {
    let fits = format!("Bearer {}", "x".repeat(limits::AUTHORIZATION_BYTES - 7));
    assert!(matches!(read(&fits), Credentials::Bearer(_)));
    let too_long = format!("{fits}x");
    assert!(matches!(read(&too_long), Credentials::Malformed(Malformed::TooLong)));
}

#[test]
fn a_header_that_is_not_utf8_is_refused_not_a_panic() {
    assert!(matches!(Credentials::parse([&b"Bearer t\xff"[..]]), Credentials::UnusableBearer));
    assert!(matches!(Credentials::parse([&b"\xff\xfe x"[..]]), Credentials::Other));
    let basic = Credentials::parse([&b"Basic YWRtaW46cGFzc3dvcmQ\xbd"[..]]);
    assert!(matches!(basic, Credentials::Malformed(Malformed::BasicEncoding)));
}

#[test]
fn each_header_counts_under_its_scheme() {
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
fn refusing_takes_the_same_rounds_for_every_user_known_or_not() {
    let policy = policy(false);
    for name in ["admin", "slow", "colon", "nobody", ""] {
        let mut remembered = Remembered::new([7; 64]);
        let (sentence, rounds) = outcome(&policy, &mut remembered, &basic(name, "wrong"));
        assert_eq!((sentence, rounds), (Some(WRONG_PASSWORD), 2_500), "{name}");
    }
}

#[test]
fn an_unknown_user_with_the_first_users_password_is_refused() {
    let policy = Policy { users: vec![user("admin", "password", 1_000)], ..Policy::default() };
    assert_eq!(refusal(&policy, &basic("nobody", "password")), Some(WRONG_PASSWORD));
}

#[test]
fn a_right_password_is_remembered_and_a_wrong_one_is_not() {
    let policy = policy(false);
    let mut remembered = Remembered::new([7; 64]);
    let right = basic("admin", "password");
    assert_eq!(outcome(&policy, &mut remembered, &right), (None, 1_000));
    assert_eq!(outcome(&policy, &mut remembered, &right), (None, 0));
    for wrong in [basic("admin", "wrong"), basic("slow", "password"), basic("nobody", "password")] {
        for _ in 0..2 {
            let (sentence, rounds) = outcome(&policy, &mut remembered, &wrong);
            assert_eq!((sentence, rounds), (Some(WRONG_PASSWORD), 2_500));
        }
    }
}

#[test]
fn a_remembered_password_is_forgotten_in_time_and_when_the_clock_jumps_back() {
    let policy = policy(false);
    let mut remembered = Remembered::new([7; 64]);
    let header = basic("admin", "password");
    outcome(&policy, &mut remembered, &header);
    let known_at = |now: Time| {
        matches!(decide(&policy, &read(&header), &remembered, now), Decision::Allowed(_))
    };
    assert!(known_at(NOW + limits::REMEMBER_PASSWORD - Duration::from_nanos(1)));
    assert!(!known_at(NOW + limits::REMEMBER_PASSWORD));
    assert!(!known_at(NOW - Duration::from_nanos(1)));
}

#[test]
fn another_hash_or_a_removed_user_forgets_the_password() {
    let mut remembered = Remembered::new([7; 64]);
    let header = basic("admin", "password");
    outcome(&policy(false), &mut remembered, &header);
    let rehashed = PasswordHash::new("password", "other-salt", 1_000).unwrap();
    let mut changed = policy(false);
    changed.users[0] = User::new("admin".to_owned(), rehashed);
    assert_eq!(outcome(&changed, &mut remembered, &header), (None, 1_000));
    changed.users.remove(0);
    assert_eq!(outcome(&changed, &mut remembered, &header).0, Some(WRONG_PASSWORD));
}

#[test]
fn a_user_who_was_renamed_is_forgotten_under_the_old_name() {
    let named = |name| Policy { users: vec![user(name, "password", 1_000)], ..Policy::default() };
    let mut remembered = Remembered::new([7; 64]);
    let header = basic("admin", "password");
    assert_eq!(outcome(&named("admin"), &mut remembered, &header), (None, 1_000));
    let renamed = outcome(&named("root"), &mut remembered, &header);
    assert_eq!(renamed, (Some(WRONG_PASSWORD), 1_000));
}

#[test]
fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
    let users =
        (0..=limits::REMEMBERED_PASSWORDS).map(|index| user(&format!("u{index}"), "p", 1_000));
    let policy = Policy { users: users.collect(), ..Policy::default() };
    let mut remembered = Remembered::new([7; 64]);
    for user in &policy.users {
        assert_eq!(outcome(&policy, &mut remembered, &basic(&user.name, "p")), (None, 1_000));
    }
    assert_eq!(outcome(&policy, &mut remembered, &basic("u1", "p")), (None, 0));
    assert_eq!(outcome(&policy, &mut remembered, &basic("u0", "p")), (None, 1_000));
}

#[test]
fn a_password_that_was_refused_stays_refused_when_asked_again() {
    let policy = policy(false);
    let mut remembered = Remembered::new([7; 64]);
    for (password, right) in [("password", true), ("wrong", false)] {
        let credentials = read(&basic("admin", password));
        let Decision::Derive(mut pending) = decide(&policy, &credentials, &remembered, NOW) else {
            panic!("not remembered yet");
        };
        assert_eq!(pending_result(&mut pending, &mut remembered), Ok(right));
        assert_eq!(pending_result(&mut pending, &mut remembered), Ok(false));
    }
}

/// Whether it ended in a permit, in one step.
fn pending_result(pending: &mut PendingPassword, remembered: &mut Remembered) -> Result<bool, ()> {
    match pending.advance(u32::MAX, remembered, NOW) {
        Progress::Done(result) => Ok(result.is_ok()),
        Progress::Pending => Err(()),
    }
}

#[test]
fn what_is_printed_shows_no_secret() {
    let credentials = [read("Bearer hidden-token"), read(&basic("admin", "hidden"))];
    let decision = decide(&policy(false), &credentials[1], &Remembered::new([7; 64]), NOW);
    let shown = format!("{credentials:?} {decision:?} {:?}", policy(false));
    assert!(!shown.contains("hidden"), "{shown}");
    assert_eq!(format!("{:?}", Secret::new("hidden")), "Secret(..)");
}

proptest! {
    #[test]
    fn any_headers_give_credentials(headers: Vec<Vec<u8>>) {
        let _ = Credentials::parse(headers.iter().map(Vec::as_slice));
    }

    #[test]
    fn any_argument_of_a_known_scheme_is_read(basic: bool, argument: Vec<u8>) {
        let header = [if basic { &b"Basic "[..] } else { b"Bearer " }, &argument].concat();
        let _ = decide(&POLICY, &Credentials::parse([header.as_slice()]), &Remembered::new([7; 64]), NOW);
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
