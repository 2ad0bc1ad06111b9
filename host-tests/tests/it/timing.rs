//! What a refusal takes does not tell how near it was, counted in fuel, which is about one unit an instruction.
//!
//! *The same* means, over 10,000 of each kind, sent in turn to the same VMs:
//! - of tokens, that each callback of the one burns as many units as that of the other, whichever it is: no difference
//!   at all, so that no number of measurements shows one;
//! - of passwords, that no callback burns more or less by over 64 units of 10 million, and on the average by less than
//!   one. What is remembered of a password is looked for under a tag of it, keyed with a random salt, and that takes 16
//!   units more or less by the tag, which nobody outside can foresee.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use awx_metrics_filter::limits;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::driven::Driven;

/// Of each kind.
const EACH: u32 = 10_000;

/// From one attempt to the next: no count of failures is left by then.
const PAUSE: Duration = Duration::from_secs(10);

/// VMs that share the work, each on a thread.
const VMS: u32 = 2;

/// The right one: `demonstration-only`.
const TOKEN: &str = "bb37e032ed32c08ca2f865e5a876ee282c0953bb0b86f637d56712deb2a59d92";

/// `known` by `password`.
const HASH: &str =
    "pbkdf2_sha256$1000$awxsaltawxsalt12345678$06oTDaNcvcrewwXocs08tG/HcOzFfk7AgRCrEq1vQTA=";

/// Several tokens, the right one in the middle; several users, likewise.
fn plugin() -> Value {
    let token = |name: &str, sha256: &str| json!({"name": name, "sha256": sha256});
    let user = |name: &str| json!({"name": name, "password_hash": HASH});
    json!({"auth": {
        "tokens": [token("a", &"ab".repeat(32)), token("b", TOKEN), token("c", &"cd".repeat(32))],
        "users": [user("first"), user("known"), user("third")],
    }})
}

/// The number in as many digits as it takes, of a fixed width.
fn digits(number: u32) -> String {
    format!("{number:08}")
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// How often which callbacks' fuel was seen.
type Seen = BTreeMap<Vec<u64>, u32>;

/// Sends all kinds in turn, and says what each took.
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
    // The first few make what is made once: series, memory.
    for number in 0..8 {
        for kind in kinds {
            assert_eq!(driven.scrape(&kind(number), from).status, 401);
            driven.world.clock.advance(limits::CLIENT_FAILURES.every);
        }
    }
    for number in (vm..EACH).step_by(VMS as usize) {
        // Now the one comes first, now another.
        for place in 0..KINDS {
            let place = (place + (number / VMS) as usize) % KINDS;
            // Who fails again and again has to wait; this one does.
            driven.world.clock.advance(PAUSE);
            let scraped = driven.scrape(&kinds[place](number), from);
            assert_eq!(scraped.status, 401);
            *seen[place].entry(scraped.fuel).or_default() += 1;
            // Slow enough not to be slowed down.
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
    // All but the last digits is right; none is.
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
        // Capitals and digits: the right one has none.
        token[place] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"[number as usize / 18 % 36];
        bearer(&String::from_utf8(token).unwrap())
    };
    assert_same(&compare([off, |number| bearer(&format!("zzzzzzzzzz{}", digits(number)))]));
}

/// By how many units a callback's fuel may differ that looks for a tag.
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
