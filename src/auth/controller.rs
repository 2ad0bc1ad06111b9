//! The controller as an authenticator: the [`Verdict`] that an answer contains, and how long a verdict is valid
//! ([`CachedVerdict`]). It sends nothing: `scrape::admission` sends the questions and remembers the verdicts.
//!
//! Answers are hostile bytes. Nothing panics, and a sentence that is repeated to clients is short and printable.

use std::rc::Rc;
use std::time::Duration;

use super::Visibility;
use crate::host::{Answer, Time};
use crate::limits;
use crate::upstream;

/// The controller to ask, and how long its verdicts are valid.
#[derive(Debug)]
pub struct Controller {
    /// Envoy's name of the cluster.
    pub cluster: String,
    /// The `:authority` to send.
    pub authority: String,
    /// The `:path` to send, query included.
    pub path: String,
    /// The time limit for an answer.
    pub timeout: Duration,
    /// The part of the page that its permit opens: the controller's own sources.
    pub view: Rc<Visibility>,
    /// How long a permit is valid.
    pub allow_for: Duration,
    /// How long a refusal is valid.
    pub deny_for: Duration,
    /// How long a permit is valid, from when it was given, while the controller gives no verdict.
    pub allow_while_down_for: Duration,
    /// The name of the controller's session cookie.
    pub cookie: String,
}

/// The meaning of an answer for the credentials that were sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The controller accepts them.
    Permit,
    /// The controller refuses them.
    Refusal(Refusal),
    /// The answer contains no verdict.
    None,
}

/// A refusal, as it is remembered and repeated to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// True for 403: the controller knows the client, and does not permit it. False for 401.
    pub forbidden: bool,
    /// The controller's sentence: printable, at most [`limits::SENTENCE_BYTES`]. Empty if there is none.
    pub sentence: String,
}

/// The state of the remembered verdicts on some credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CachedVerdict {
    /// A permit that is still valid.
    Permitted,
    /// A permit that has expired: the controller must be asked again.
    Lapsed {
        /// True if the permit is still within `allow_while_down_for`.
        within_grace: bool,
    },
    /// A refusal that is still valid.
    Refused(Refusal),
    /// No verdict.
    Unknown,
}

impl Controller {
    /// Evaluates remembered verdicts by the times of a permit and of a refusal. A time in the future was written before the
    /// clock was set back, and counts as no verdict.
    #[must_use]
    pub fn cached(
        &self,
        permit: Option<Time>,
        refusal: Option<(Time, Refusal)>,
        now: Time,
    ) -> CachedVerdict {
        let age = |at: Time| now.checked_sub(at);
        let permit = permit.and_then(age);
        let refusal = refusal.and_then(|(at, refusal)| Some((age(at)?, refusal)));
        match (permit, refusal) {
            (permit, Some((age, refusal)))
                if age < self.deny_for && permit.is_none_or(|permit| age <= permit) =>
            {
                CachedVerdict::Refused(refusal)
            }
            (Some(age), _) if age < self.allow_for => CachedVerdict::Permitted,
            (Some(age), _) => {
                CachedVerdict::Lapsed { within_grace: age < self.allow_while_down_for }
            }
            (None, _) => CachedVerdict::Unknown,
        }
    }
}

impl Verdict {
    /// The verdict that an answer contains.
    #[must_use]
    pub fn of(answer: &Answer) -> Self {
        if upstream::is_made_by_envoy(answer) {
            return Self::None;
        }
        match answer.header(":status") {
            Some(b"200") if is_metrics(answer) => Self::Permit,
            Some(b"401") => Self::Refusal(Refusal::of(answer, false)),
            Some(b"403") => Self::Refusal(Refusal::of(answer, true)),
            _ => Self::None,
        }
    }
}

/// Returns true if the answer is a metrics page, which may be empty. A login page, which has status 200 too, is not one.
fn is_metrics(answer: &Answer) -> bool {
    let types = [&b"text/plain"[..], b"application/openmetrics-text"];
    answer.body.is_empty() || types.contains(&upstream::media_type(answer).as_slice())
}

impl Refusal {
    fn of(answer: &Answer, forbidden: bool) -> Self {
        Self { forbidden, sentence: sentence(&answer.body).unwrap_or_default() }
    }
}

/// The controller's sentence, from JSON (`{"detail":".."}`) or from the Python representation that the controller sends as
/// text: `{'detail': '..'}` or `{'detail': ErrorDetail(string='..', code='..')}`.
fn sentence(body: &[u8]) -> Option<String> {
    let rest = after(body, b"\"detail\":").or_else(|| after(body, b"'detail':"))?;
    let rest = rest.trim_ascii_start();
    let rest = rest.strip_prefix(b"ErrorDetail(string=").unwrap_or(rest);
    let mut characters = std::str::from_utf8(rest).ok()?.chars();
    let quote = characters.next().filter(|quote| matches!(quote, '"' | '\''))?;
    let mut sentence = String::new();
    while let Some(character) = characters.next().filter(|&character| character != quote) {
        // Only quotes, backslashes and slashes may be escaped: a sentence with other escapes is not repeated.
        let unescaped = match character {
            '\\' => {
                characters.next().filter(|escaped| matches!(escaped, '"' | '\'' | '\\' | '/'))?
            }
            _ => character,
        };
        if unescaped.is_control() || sentence.len() + unescaped.len_utf8() > limits::SENTENCE_BYTES
        {
            return None;
        }
        sentence.push(unescaped);
    }
    Some(sentence)
}

/// The bytes after the first `mark`.
fn after<'a>(body: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let at = body.windows(mark.len()).position(|window| window == mark)?;
    body.get(at + mark.len()..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(status: &str, media_type: &str, body: &[u8]) -> Answer {
        let headers = [
            (":status", status),
            ("content-type", media_type),
            ("x-envoy-upstream-service-time", "1"),
        ];
        let headers = headers.iter().filter(|(_, value)| !value.is_empty());
        Answer {
            headers: headers.map(|&(name, value)| (name.into(), value.into())).collect(),
            body: body.to_vec(),
        }
    }

    fn refusal(forbidden: bool, sentence: &str) -> Verdict {
        Verdict::Refusal(Refusal { forbidden, sentence: sentence.to_owned() })
    }

    #[test]
    fn only_a_metrics_page_is_a_permit_even_an_empty_one() {
        let none = Verdict::None;
        for (status, media_type, body, verdict) in [
            ("200", "", "", Verdict::Permit),
            ("200", "text/plain; charset=utf-8", "a 1\n", Verdict::Permit),
            ("200", "Text/Plain", "a 1\n", Verdict::Permit),
            ("200", "application/openmetrics-text; version=1.0.0", "# EOF\n", Verdict::Permit),
            ("200", "text/html; charset=utf-8", "<form>", none.clone()),
            ("200", "application/json", "{}", none.clone()),
            ("200", "", "x", none.clone()),
            ("200", "text/plainly", "x", none.clone()),
            ("204", "", "", none.clone()),
            ("301", "", "", none.clone()),
            ("302", "text/plain", "a 1\n", none.clone()),
            ("404", "text/plain", "", none.clone()),
            ("429", "text/plain", "", none.clone()),
            ("500", "text/html", "", none.clone()),
            ("503", "text/plain", "", none.clone()),
        ] {
            let found = Verdict::of(&answer(status, media_type, body.as_bytes()));
            assert_eq!(found, verdict, "{status} {media_type}");
        }
    }

    #[test]
    fn an_answer_that_envoy_made_is_no_verdict_for_any_status() {
        for status in ["200", "401", "403", "503", "504"] {
            let mut answer = answer(status, "text/plain", b"upstream request timeout");
            answer.headers.retain(|(name, _)| !name.starts_with("x-envoy"));
            assert_eq!(Verdict::of(&answer), Verdict::None);
        }
        assert_eq!(Verdict::of(&Answer::default()), Verdict::None);
    }

    #[test]
    fn a_refusal_contains_the_controllers_sentence_from_json_and_from_text() {
        let usual = "You do not have permission to perform this action.";
        for (body, sentence) in [
            (format!("{{\"detail\":\"{usual}\"}}"), usual),
            (format!("{{\"detail\": \"{usual}\", \"code\": 1}}"), usual),
            (
                format!("{{'detail': ErrorDetail(string='{usual}', code='permission_denied')}}"),
                usual,
            ),
            (format!("{{'detail': '{usual}'}}"), usual),
            ("{'detail': \"It's a \\\\\"}".to_owned(), "It's a \\"),
            (r#"{"detail":"a \"b\" c"}"#.to_owned(), "a \"b\" c"),
            ("<html>".to_owned(), ""),
            ("{\"detail\":{}}".to_owned(), ""),
            ("{\"detail\":\"a\\u0000\"}".to_owned(), ""),
            ("{\"detail\":\"a\u{7f}\"}".to_owned(), ""),
            (format!("{{\"detail\":\"{}\"}}", "x".repeat(limits::SENTENCE_BYTES + 1)), ""),
            (String::new(), ""),
        ] {
            let answer = |status| answer(status, "text/plain", body.as_bytes());
            assert_eq!(Verdict::of(&answer("401")), refusal(false, sentence), "{body}");
            assert_eq!(Verdict::of(&answer("403")), refusal(true, sentence), "{body}");
        }
    }

    fn controller() -> Controller {
        let seconds = Duration::from_secs;
        Controller {
            cluster: String::new(),
            authority: String::new(),
            path: String::new(),
            timeout: seconds(2),
            view: Rc::default(),
            allow_for: seconds(60),
            deny_for: seconds(10),
            allow_while_down_for: seconds(300),
            cookie: String::new(),
        }
    }

    fn at(seconds: u64) -> Time {
        Duration::from_secs(1_000 + seconds)
    }

    #[test]
    fn a_permit_is_valid_for_allow_for_and_lapsed_within_grace_until_allow_while_down_for() {
        let cached = |seconds| controller().cached(Some(at(0)), None, at(seconds));
        assert_eq!(cached(0), CachedVerdict::Permitted);
        assert_eq!(cached(59), CachedVerdict::Permitted);
        assert_eq!(cached(60), CachedVerdict::Lapsed { within_grace: true });
        assert_eq!(cached(299), CachedVerdict::Lapsed { within_grace: true });
        assert_eq!(cached(300), CachedVerdict::Lapsed { within_grace: false });
        assert_eq!(controller().cached(Some(at(1)), None, at(0)), CachedVerdict::Unknown);
        assert_eq!(controller().cached(None, None, at(0)), CachedVerdict::Unknown);
    }

    #[test]
    fn the_later_of_two_verdicts_counts_and_a_refusal_ends_after_deny_for() {
        let no = Refusal { forbidden: true, sentence: "No.".to_owned() };
        let cached = |permit: Option<u64>, refused, now| {
            controller().cached(permit.map(at), Some((at(refused), no.clone())), at(now))
        };
        let refused = CachedVerdict::Refused(no.clone());
        assert_eq!(cached(None, 0, 9), refused);
        assert_eq!(cached(None, 0, 10), CachedVerdict::Unknown);
        assert_eq!(cached(None, 1, 0), CachedVerdict::Unknown);
        assert_eq!(cached(Some(0), 5, 6), refused);
        assert_eq!(cached(Some(5), 5, 6), refused);
        assert_eq!(cached(Some(5), 0, 6), CachedVerdict::Permitted);
    }

    proptest! {
        #[test]
        fn no_body_causes_a_panic_or_a_sentence_above_its_bound(body: Vec<u8>, quote in "[\"']") {
            let known = [b"\"detail\":", quote.as_bytes(), &body].concat();
            for body in [body, known] {
                let sentence = sentence(&body).unwrap_or_default();
                prop_assert!(sentence.len() <= limits::SENTENCE_BYTES);
                prop_assert!(!sentence.contains(char::is_control));
            }
        }
    }
}
