//! Sends the request of every capture again, and compares the replies: status, headers, body. Of values that differ
//! from reply to reply (dates, durations, random strings) only the presence is compared.

use std::collections::{BTreeMap, BTreeSet};

use super::client::ask;
use crate::capture::{self, Capture, Reply, Request};
use crate::controller::state::{JobStatus, LaunchType, Scope, Template};
use crate::controller::{Controller, ControllerConfig, Mode, locked};

const SESSION: &str = "7y2xewyckrs4g2udx7lvsjurjwui4kmf";
const NEW_TOKEN: &str = "7BJSyaWhO1QGuqqg5XV1CdZxinYrWj";
#[test]
fn every_captured_request_is_answered_as_captured() {
    let captures = capture::all();
    assert!(captures.len() > 180, "only {} captures", captures.len());
    let differences: Vec<String> = captures.iter().filter_map(difference).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn difference(capture: &Capture) -> Option<String> {
    let controller = prepared(&capture.name);
    let Request { method, target, headers, body } = &capture.request;
    let headers: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let ours = ask(controller.address(), method, target, &headers, body);
    let theirs = &capture.reply;
    let what = if ours.status != theirs.status {
        format!("status {} instead of {}", ours.status, theirs.status)
    } else if comparable_headers(&ours) != comparable_headers(theirs) {
        format!(
            "headers {:#?} instead of {:#?}",
            comparable_headers(&ours),
            comparable_headers(theirs)
        )
    } else {
        let (ours, theirs) = (comparable_body(&ours), comparable_body(theirs));
        let line = ours.lines().zip(theirs.lines()).find(|(ours, theirs)| ours != theirs);
        if ours == theirs {
            return None;
        }
        format!("body: {line:?}")
    };
    Some(format!("{}: {what}", capture.name))
}

/// The controller in the state in which the capture was taken.
fn prepared(name: &str) -> Controller {
    let controller = Controller::start(ControllerConfig {
        allow_metrics_for_anonymous_users: name.starts_with("anonok-"),
        auth_basic_enabled: !name.starts_with("nobasic-"),
        ..ControllerConfig::default()
    });
    match name {
        _ if name.starts_with("redisdown-") => controller.set_mode(Mode::RedisDown),
        _ if name.starts_with("dbdown-") => controller.set_mode(Mode::DatabaseDown),
        _ if name.starts_with("m-emptyredis-") => controller.set_mode(Mode::RedisEmpty),
        _ => {}
    }
    let mut state = locked(&controller.shared.state);
    let launched = ["jt-launch-post", "jt-launch-post-writetoken", "jt-launch-ignored"];
    let launched = [&launched[..], &["jt-launch-noslash", "jt-launch-named", "job-relaunch-post"]];
    match launched.concat().iter().position(|have| *have == name) {
        Some(before) => state.jobs.next += u32::try_from(before).unwrap(),
        None if name.starts_with("m-") => {}
        None => {
            // The later captures were taken after six jobs had been launched, of which one was canceled.
            for index in [0, 0, 0, 0, 0, 3] {
                state.jobs.launch(Template { index }, LaunchType::Manual, (1, "admin"));
            }
        }
    }
    if name != "job-cancel-get" && name != "job-cancel-post" {
        state.jobs.set(241, JobStatus::Canceled);
    }
    if !name.contains("afterlogout") && (name.starts_with("m-session") || name == "me-session") {
        state.open_session(SESSION, 1);
    } else if name == "redisdown-me" {
        state.open_session(SESSION, 1);
        state.log_out(SESSION);
    }
    if name == "m-bearer-new" {
        state.tokens.add(1, NEW_TOKEN, Scope::Read);
    }
    drop(state);
    controller
}

/// Names and values, without the values that differ from reply to reply.
fn comparable_headers(reply: &Reply) -> BTreeSet<(String, String)> {
    let changing = ["date", "x-api-time", "x-api-total-time", "x-api-request-id", "expires"];
    // HTML pages contain random tokens; their bodies are compared line by line instead.
    let is_page = reply.header("content-type").is_some_and(|media| media.starts_with("text/html"));
    let headers = reply.headers.iter().cloned();
    headers
        .map(|(name, value)| match name.as_str() {
            name if changing.contains(&name) => (name.to_owned(), String::new()),
            "content-length" if is_page => (name, String::new()),
            "set-cookie" => (name, comparable_cookie(&value)),
            _ => (name, value),
        })
        .collect()
}

fn comparable_cookie(cookie: &str) -> String {
    let parts = cookie.split("; ").map(|part| match part.split_once('=') {
        Some((name @ ("csrftoken" | "awx_sessionid"), value)) if value != "\"\"" => {
            format!("{name}=<{}>", value.len())
        }
        Some(("expires", value)) if !value.contains("1970") => "expires=<date>".to_owned(),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("; ")
}

fn comparable_body(reply: &Reply) -> String {
    let text = match reply.text() {
        text if text.starts_with("# HELP") => sorted_by_family(&text),
        text if text.contains("\"samples\":[") => sorted_by_family_json(&text),
        text => text,
    };
    let text = text.replace(
        "<a href=\"https://platformhost\" rel=\"nofollow\">https://platformhost</a>",
        "https://platformhost",
    );
    let text = text.replace(
        "<a href=\"http://exec-1.example.org\" rel=\"nofollow\">exec-1.example.org</a>",
        "exec-1.example.org",
    );
    let lines = text.lines().filter(|line| !line.starts_with("<b>") && !line.is_empty());
    let lines = lines.map(|line| without_token(&without_moments(line)));
    lines.collect::<Vec<_>>().join("\n")
}

/// Sorts the samples, whose order differs from run to run.
fn sorted_by_family(page: &str) -> String {
    let mut families: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    let mut index = 0;
    for line in page.lines() {
        index += usize::from(line.starts_with("# HELP"));
        families.entry(index).or_default().push(line);
    }
    families.values_mut().for_each(|lines| lines[2..].sort_unstable());
    families.into_values().flatten().collect::<Vec<_>>().join("\n")
}

fn sorted_by_family_json(page: &str) -> String {
    let mut arrays = page.split("\"samples\":[");
    let head = arrays.next().unwrap_or_default().to_owned();
    arrays.fold(head, |text, array| {
        let (samples, rest) = array.split_once(']').unwrap_or((array, ""));
        let mut samples: Vec<&str> = samples.split_inclusive("},{").collect();
        let last = samples.pop().map(|last| format!("{}}},{{", last.trim_end_matches('}')));
        let mut samples: Vec<&str> = samples.into_iter().chain(last.as_deref()).collect();
        samples.iter_mut().for_each(|sample| *sample = sample.trim_start_matches('{'));
        samples.sort_unstable();
        format!("{text}\n{}{rest}", samples.concat())
    })
}

/// Replaces times since the day of the captures, but not the creation of the instance.
fn without_moments(line: &str) -> String {
    let mut parts = line.split("\"20");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (moment, rest) = part.split_once('"').unwrap_or((part, ""));
        let is_fixed = moment.starts_with("26-11-22T18:36");
        text +=
            &if is_fixed { format!("\"20{moment}\"{rest}") } else { format!("\"<moment>\"{rest}") };
    }
    text
}

/// Replaces a masked CSRF token.
fn without_token(line: &str) -> String {
    let is_token =
        |part: &&str| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match line.split('"').find(is_token) {
        Some(token) => line.replace(token, "<token>"),
        None => line.to_owned(),
    }
}
