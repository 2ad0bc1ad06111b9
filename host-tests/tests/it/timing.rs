//! The work of a refusal does not depend on how close the credentials were, counted in fuel, at about one unit per
//! instruction.
//!
//! *As much work* means, over 10,000 attempts of each kind, sent in turn to the same VMs:
//! - for tokens, that all callbacks of both kinds use exactly the same fuel, so that no number of measurements shows a
//!   difference;
//! - for passwords, that the fuel of a callback differs by at most 64 units of 10 million, and on average by less than one.
//!   The filter looks up a remembered password under a tag, keyed with a random salt. The lookup takes up to 16 units more
//!   or less, depending on the tag, which a client cannot predict.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use awx_metrics_filter::limits;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::driven::Driven;

/// The number of attempts of each kind.
const EACH: u32 = 10_000;

/// The time between two attempts, after which no failure is counted any more.
const PAUSE: Duration = Duration::from_secs(10);

/// The VMs that share the work, each on its own thread.
const VMS: u32 = 2;

/// The valid token: `demonstration-only`.
const TOKEN: &str = "bb37e032ed32c08ca2f865e5a876ee282c0953bb0b86f637d56712deb2a59d92";

/// `known` with `password`.
const HASH: &str =
    "pbkdf2_sha256$1000$awxsaltawxsalt12345678$06oTDaNcvcrewwXocs08tG/HcOzFfk7AgRCrEq1vQTA=";

/// Several tokens and several users, with the valid one in the middle.
fn plugin() -> Value {
    let token = |name: &str, sha256: &str| json!({"name": name, "sha256": sha256});
    let user = |name: &str| json!({"name": name, "password_hash": HASH});
    json!({"auth": {
        "tokens": [token("a", &"ab".repeat(32)), token("b", TOKEN), token("c", &"cd".repeat(32))],
        "users": [user("first"), user("known"), user("third")],
    }})
}

/// The number with a fixed count of digits.
fn digits(number: u32) -> String {
    format!("{number:08}")
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The number of attempts by the fuel of their callbacks.
type Seen = BTreeMap<Vec<u64>, u32>;

/// Sends attempts of all kinds in turn, and returns the fuel of each.
fn compare<const KINDS: usize>(kinds: [fn(u32) -> String; KINDS]) -> [Seen; KINDS] {
    let slices = (0..VMS).map(|vm| thread::spawn(move || compare_in_one_vm(vm, kinds)));
    let slices: Vec<_> = slices.collect();
    let mut seen = std::array::from_fn(|_| Seen::new());
    for slice in slices {
        for (seen, more) in seen.iter_mut().zip(slice.join().unwrap()) {
            for (fuel, times) in more {
                *seen.entry(fuel).or_default() += times;
            }
        }
    }
    seen
}

fn compare_in_one_vm<const KINDS: usize>(
    vm: u32,
    kinds: [fn(u32) -> String; KINDS],
) -> [Seen; KINDS] {
    let mut driven = Driven::new(&plugin());
    let from = SocketAddr::from(([127, 0, 0, 1], 50_000));
    let mut seen = std::array::from_fn(|_| Seen::new());
    // The first few attempts allocate series and memory.
    for number in 0..8 {
        for kind in kinds {
            assert_eq!(driven.scrape(&kind(number), from).status, 401);
            driven.world.clock.advance(limits::CLIENT_FAILURES.every);
        }
    }
    for number in (vm..EACH).step_by(VMS as usize) {
        // The kinds take turns in being first.
        for place in 0..KINDS {
            let place = (place + (number / VMS) as usize) % KINDS;
            // A client that fails repeatedly must wait; this one does.
            driven.world.clock.advance(PAUSE);
            let scraped = driven.scrape(&kinds[place](number), from);
            assert_eq!(scraped.status, 401);
            *seen[place].entry(scraped.fuel).or_default() += 1;
            // Slow enough to stay below the rate limit.
            driven.world.clock.advance(limits::CLIENT_FAILURES.every);
        }
    }
    seen
}

fn assert_same(seen: &[Seen]) {
    assert_eq!(seen[0].values().sum::<u32>(), EACH);
    assert!(seen.iter().all(|other| *other == seen[0]), "{seen:?}");
}

#[test]
fn a_nearly_correct_token_takes_as_much_work_as_an_entirely_wrong_one() {
    // The first kind is correct except for the last digits, the second is entirely wrong.
    assert_same(&compare([
        |number| bearer(&format!("demonstration-only{}", digits(number))),
        |number| bearer(&format!("{}#############+++++", digits(number))),
    ]));
}

#[test]
fn a_token_with_one_wrong_character_takes_as_much_work_as_an_entirely_wrong_one() {
    let off: fn(u32) -> String = |number| {
        let mut token = b"demonstration-only".to_vec();
        let place = number as usize % token.len();
        // The valid token contains no capitals and no digits.
        token[place] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"[number as usize / 18 % 36];
        bearer(&String::from_utf8(token).unwrap())
    };
    assert_same(&compare([off, |number| bearer(&format!("zzzzzzzzzz{}", digits(number)))]));
}

/// The allowed difference in fuel of a callback that looks up a tag.
const SPREAD: u64 = 64;

fn assert_alike([one, other]: &[Seen; 2]) {
    assert_eq!(one.values().sum::<u32>(), EACH);
    let callbacks = one.keys().next().unwrap().len();
    assert!(one.keys().chain(other.keys()).all(|fuel| fuel.len() == callbacks));
    for place in 0..callbacks {
        let ends = |seen: &Seen| {
            let fuel = || seen.keys().map(|fuel| fuel[place]);
            [fuel().min().unwrap(), fuel().max().unwrap()]
        };
        let mean = |seen: &Seen| {
            let sum: u64 = seen.iter().map(|(fuel, times)| fuel[place] * u64::from(*times)).sum();
            sum as f64 / f64::from(EACH)
        };
        let apart = ends(one).into_iter().zip(ends(other)).map(|(one, other)| one.abs_diff(other));
        assert!(apart.max() <= Some(SPREAD), "callback {place}: {one:?} and {other:?}");
        assert!((mean(one) - mean(other)).abs() < 1.0, "callback {place}: {one:?} and {other:?}");
    }
}

#[test]
fn an_unknown_user_takes_as_much_work_as_a_wrong_password() {
    assert_alike(&compare([
        |number| basic("known", &format!("password{}", digits(number))),
        |number| basic("wrong", &format!("########{}", digits(number))),
    ]));
}
