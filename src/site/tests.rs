//! The flows together, with a fake host.

mod bounds;
mod down;
mod fixture;
mod forwarded;
mod probe;
mod verdicts;

use super::*;
use crate::auth::User;
use crate::auth::password::PasswordHash;
use crate::host::fake::FakeHost;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

const SCRAPE: &[u8] = b"/api/v2/metrics";

fn site(host: &FakeHost, config: &str) -> Site {
    let mut config = Config::parse(config.as_bytes()).unwrap();
    let hash = PasswordHash::new("password", "salt", 3 * limits::PASSWORD_ROUNDS_A_TICK).unwrap();
    config.auth.users.push(User::new("admin".to_owned(), hash));
    Site::new(&Rc::new(Vm::new(host)), config, Role::Filter, host)
}

fn set_headers(host: &FakeHost, headers: &[(&str, &str)]) {
    let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.as_bytes().to_vec());
    *host.request_headers.borrow_mut() = headers.iter().map(owned).collect();
}

fn page(site: &Site, host: &FakeHost) -> String {
    match site.request(host, 1, SCRAPE) {
        Step::Reply(reply) => String::from_utf8(reply.body.to_vec()).unwrap(),
        step => panic!("{step:?}"),
    }
}

#[test]
fn ticks_are_fast_only_while_a_password_is_hashed() {
    let host = FakeHost::at(1_000);
    let site = site(&host, "{}");
    let slow = site.new_tick_period();
    assert!(slow.is_some_and(|slow| slow <= limits::HEARTBEAT), "{slow:?}");
    assert_eq!(site.new_tick_period(), None);
    let credentials = format!("Basic {}", BASE64.encode("admin:password"));
    set_headers(&host, &[(":method", "GET"), ("authorization", &credentials)]);

    assert_eq!(site.request(&host, 7, SCRAPE), Step::Wait);
    assert_eq!(site.new_tick_period(), Some(limits::BUSY_TICK));
    let (stream, reply) = (0..9).find_map(|_| site.tick(&host).pop()).unwrap();
    assert_eq!((stream, reply.status), (7, 200));
    assert_eq!(site.new_tick_period(), slow);
}

#[test]
fn ticks_are_slow_again_after_the_client_left() {
    let host = FakeHost::at(1_000);
    let site = site(&host, "{}");
    let slow = site.new_tick_period();
    let credentials = format!("Basic {}", BASE64.encode("admin:wrong"));
    set_headers(&host, &[(":method", "GET"), ("authorization", &credentials)]);
    assert_eq!(site.request(&host, 7, SCRAPE), Step::Wait);
    assert_eq!(site.new_tick_period(), Some(limits::BUSY_TICK));
    site.forget(7);
    assert_eq!(site.tick(&host), []);
    assert_eq!(site.new_tick_period(), slow);
}

#[test]
fn a_request_that_ended_is_on_the_next_page_under_the_label_of_its_path() {
    let host = FakeHost::at(1_000);
    let site = site(&host, r#"{"auth": {"anonymous": true}, "gateway": {"labels": {}}}"#);
    set_headers(&host, &[(":method", "GET")]);
    for path in [b"/api/v2/jobs/1/".as_slice(), b"/api/./v2//metric%73"] {
        let path = Some(site.counted_as(path));
        let facts = Facts { method: Some(b"GET"), path, code: 200, ..Facts::default() };
        site.ended(&host, &facts);
    }
    let page = page(&site, &host);
    for resource in ["jobs", "metrics"] {
        let series = format!(
            "awx_gateway_requests_total{{code=\"200\",method=\"GET\",resource=\"{resource}\"}} 1\n"
        );
        assert!(page.contains(&series), "{page}");
    }
}

#[test]
fn requests_for_other_hosts_are_not_counted() {
    let host = FakeHost::at(1_000);
    let config = site(&host, r#"{"hosts": ["a.example"]}"#);
    assert!(config.counts_authority(|| Some(b"a.example".to_vec())));
    assert!(!config.counts_authority(|| Some(b"b.example".to_vec())));
    assert!(!config.counts_authority(|| None));
    assert!(site(&host, "{}").counts_authority(|| None));
}

#[test]
fn configurations_of_the_same_scope_in_a_vm_count_together() {
    let host = FakeHost::at(1_000);
    let vm = Rc::new(Vm::new(&host));
    let site = |scope: &str| {
        let config = format!(r#"{{"scope": "{scope}", "auth": {{"anonymous": true}}}}"#);
        Site::new(&vm, Config::parse(config.as_bytes()).unwrap(), Role::Filter, &host)
    };
    let (one, same, other) = (site("a"), site("a"), site("b"));
    let facts = Facts { method: Some(b"GET"), path: Some(b"/"), code: 204, ..Facts::default() };
    one.ended(&host, &facts);
    same.ended(&host, &facts);
    set_headers(&host, &[(":method", "GET")]);
    for (site, count) in [(&one, Some(" 2")), (&same, Some(" 2")), (&other, None)] {
        let page = page(site, &host);
        let line = page.lines().find(|line| line.contains("code=\"204\""));
        assert_eq!(line.map(|line| &line[line.len() - 2..]), count, "{page}");
    }
}

#[test]
fn the_access_logger_does_not_pull_and_the_filter_does() {
    let host = FakeHost::at(1_000);
    let vm = Rc::new(Vm::new(&host));
    let site = |role| {
        let config = br#"{"sources": [{"name": "c", "cluster": "controller"}]}"#;
        Site::new(&vm, Config::parse(config).unwrap(), role, &host)
    };
    let (filter, log) = (site(Role::Filter), site(Role::AccessLog));
    assert_eq!(log.tick(&host), []);
    assert_eq!(host.calls.borrow().len(), 0);
    assert_eq!(filter.tick(&host), []);
    assert_eq!(host.calls.borrow().len(), 1);
}
