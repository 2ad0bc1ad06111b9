//! The captured requests and replies of a real controller (`fixtures/captures`).

use std::fs;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A capture with two replies: curl followed a redirect. Each of the two is also captured alone.
const FOLLOWED: &str = "m-noslash-follow";
/// The prefix of the captures of other servers.
const SERVICE: &str = "svc-";

/// A request and the controller's reply to it.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The name of its files, without extension.
    pub name: String,
    /// The request.
    pub request: Request,
    /// The reply.
    pub reply: Reply,
}

/// A request as curl sent it, without the headers that curl adds by itself, except `Accept: */*`.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names as they were sent, and values.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

/// A reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Every capture of the API.
///
/// # Panics
/// If a fixture cannot be read.
#[must_use]
pub fn all() -> Vec<Capture> {
    read(|name| !name.starts_with(SERVICE) && name != FOLLOWED)
}

/// The captures of the other servers on a controller: one process's page each.
///
/// # Panics
/// If a fixture cannot be read.
#[must_use]
pub fn services() -> Vec<Capture> {
    read(|name| name.starts_with(SERVICE))
}

fn read(wanted: impl Fn(&str) -> bool) -> Vec<Capture> {
    let table = fs::read_to_string(directory().join("captures.tsv")).expect("the table");
    let rows = table.lines().skip(1).map(|row| row.split('\t').collect::<Vec<_>>());
    rows.filter(|row| wanted(row[0]))
        .map(|row| Capture::read(row[0], row[2].trim_matches('`')))
        .collect()
}

/// The capture of this name.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn named(name: &str) -> Capture {
    let capture = all().into_iter().find(|capture| capture.name == name);
    capture.unwrap_or_else(|| panic!("there is no capture {name}"))
}

/// The prefixes of the captures that differ in their query.
const QUERIES: [&str; 7] =
    ["m-dbonly", "m-subsystemonly", "m-metric", "m-node", "m-both-only", "m-badparam", "m-format-"];

impl Capture {
    /// True if it shows the effect of a query parameter.
    #[must_use]
    pub fn is_about_a_query(&self) -> bool {
        QUERIES.iter().any(|start| self.name.starts_with(start))
    }

    fn read(name: &str, arguments: &str) -> Self {
        let request = Request::of(arguments);
        let mut reply = fs::read(part(name, "headers")).expect("the headers");
        // For HEAD the body's file repeats the headers, as curl wrote them.
        if request.method != "HEAD" {
            reply.extend(fs::read(part(name, "body")).expect("the body"));
        }
        Self { name: name.to_owned(), request, reply: Reply::parse(&reply) }
    }
}

/// A file of a capture. Its folder is the first part of the capture's name.
fn part(name: &str, extension: &str) -> PathBuf {
    let folder = name.split('-').next().unwrap_or(name);
    directory().join(folder).join(format!("{name}.{extension}"))
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures")
}

impl Reply {
    /// Parses a reply that ends with its connection.
    ///
    /// # Panics
    /// If it is not a reply.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = std::str::from_utf8(&bytes[..end]).expect("a head in UTF-8");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
        let headers = lines.map(|line| line.split_once(':').expect("a header"));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
        Self {
            status: status.parse().expect("a status"),
            headers: headers.collect(),
            body: bytes[end + 4..].to_vec(),
        }
    }

    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// The value of a cookie that it sets.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.headers.iter().filter(|(have, _)| have == "set-cookie");
        let mut values = cookies.filter_map(|(_, line)| line.split_once('='));
        let (_, rest) = values.find(|(have, _)| *have == name)?;
        rest.split(';').next().map(str::to_owned)
    }

    /// Its body, which must be UTF-8.
    ///
    /// # Panics
    /// If it is not.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }
}

impl Request {
    /// Parses curl's arguments, which are unquoted in the table: a value extends to the next option.
    fn of(arguments: &str) -> Self {
        let (options, target) = arguments.rsplit_once(' ').unwrap_or(("", arguments));
        let mut request = Self {
            method: "GET".to_owned(),
            target: target.to_owned(),
            headers: vec![("Accept".to_owned(), "*/*".to_owned())],
            body: String::new(),
        };
        let mut words = options.split(' ').filter(|word| !word.is_empty()).peekable();
        while let Some(option) = words.next() {
            let mut value = Vec::new();
            while let Some(word) = words.next_if(|word| !is_option(word)) {
                value.push(word);
            }
            request.take(option, &value.join(" "));
        }
        request
    }

    fn take(&mut self, option: &str, value: &str) {
        match option {
            "-I" => self.method = "HEAD".to_owned(),
            "-X" => self.method = value.to_owned(),
            "-u" => self.set("Authorization", &format!("Basic {}", STANDARD.encode(value))),
            "-d" | "--data-urlencode" => {
                let separator = if self.body.is_empty() { "" } else { "&" };
                self.body = format!("{}{separator}{value}", self.body);
                if !self.headers.iter().any(|(name, _)| name == "Content-Type") {
                    self.set("Content-Type", "application/x-www-form-urlencoded");
                }
            }
            "-H" => match (value.strip_suffix(';'), value.split_once(':')) {
                (Some(name), None) => self.set(name, ""),
                (_, Some((name, ""))) => self.headers.retain(|(have, _)| have != name),
                (_, Some((name, value))) => self.set(name, value.trim()),
                _ => panic!("{value} is no header"),
            },
            _ => panic!("{option} is no option of the captures"),
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(have, _)| have != name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }
}

fn is_option(word: &str) -> bool {
    ["-I", "-X", "-u", "-d", "-H", "--data-urlencode"].contains(&word)
}
