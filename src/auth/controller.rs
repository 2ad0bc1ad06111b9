//! The controller that is asked about credentials that nobody here knows, and what its answers are worth.

use std::rc::Rc;
use std::time::Duration;

use super::Visibility;
use crate::host::{Answer, Time};
use crate::limits;
use crate::upstream;

/// Whom to ask, and how long the answer counts.
#[derive(Debug)]
pub struct Controller {
    /// Envoy's name of the cluster.
    pub cluster: String,
    /// The `:authority` to send.
    pub authority: String,
    /// The `:path` to send, query included.
    pub path: String,
    /// How long an answer may take.
    pub timeout: Duration,
    /// What its permit opens: its own sources.
    pub view: Rc<Visibility>,
    /// How long a permit counts.
    pub allow_for: Duration,
    /// How long a refusal counts.
    pub deny_for: Duration,
    /// How long a permit counts, from the verdict, while the controller cannot be asked.
    pub allow_while_down_for: Duration,
    /// The name of the controller's session cookie.
    pub cookie: String,
}

/// What an answer says of the credentials that were shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are good.
    Permit,
    /// They are not.
    Refusal(Refusal),
    /// The answer says nothing about them.
    None,
}

/// A refusal, so that it can be said again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Whether the client is known, and may not: 403, not 401.
    pub forbidden: bool,
    /// The controller's sentence: printable, at most [`limits::SENTENCE_BYTES`]. Empty where it gave none.
    pub sentence: String,
}

/// What the remembered verdicts say of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CachedVerdict {
    /// A permit that is still valid.
    Permitted,
    /// A permit that has expired: the controller has to be asked again.
    Lapsed {
        /// Whether the permit is still within `allow_while_down_for`.
        within_grace: bool,
    },
    /// A refusal that is still valid.
    Refused(Refusal),
    /// No verdict.
    Unknown,
}

impl Controller {
    /// What remembered verdicts mean now, by the times of a permit and of a refusal. A time in the future was written
    /// before the clock was set back, and counts as no verdict.
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

/// What an answer says of the credentials that it was given to.
#[must_use]
pub fn judge(answer: &Answer) -> Verdict {
    if upstream::is_made_by_envoy(answer) {
        return Verdict::None;
    }
    match answer.header(":status") {
        Some(b"200") if is_metrics(answer) => Verdict::Permit,
        Some(b"401") => Verdict::Refusal(Refusal::of(answer, false)),
        Some(b"403") => Verdict::Refusal(Refusal::of(answer, true)),
        _ => Verdict::None,
    }
}

/// Whether it is a page of metrics, which may be empty. A login page, which answers 200 to anyone, is none.
fn is_metrics(answer: &Answer) -> bool {
    let types = [&b"text/plain"[..], b"application/openmetrics-text"];
    answer.body.is_empty() || types.contains(&upstream::media_type(answer).as_slice())
}

impl Refusal {
    fn of(answer: &Answer, forbidden: bool) -> Self {
        Self { forbidden, sentence: sentence(&answer.body).unwrap_or_default() }
    }
}

/// The controller's sentence, from JSON (`{"detail":".."}`), or from what Python prints of its data, which is what it sends
/// as text: `{'detail': '..'}` or `{'detail': ErrorDetail(string='..', code='..')}`.
fn sentence(body: &[u8]) -> Option<String> {
    let rest = after(body, b"\"detail\":").or_else(|| after(body, b"'detail':"))?;
    let rest = rest.trim_ascii_start();
    let rest = rest.strip_prefix(b"ErrorDetail(string=").unwrap_or(rest);
    let mut characters = std::str::from_utf8(rest).ok()?.chars();
    let quote = characters.next().filter(|quote| matches!(quote, '"' | '\''))?;
    let mut sentence = String::new();
    while let Some(character) = characters.next().filter(|&character| character != quote) {
        // A quote or a backslash may be escaped. Whatever else is, is not worth reading here.
        let said = match character {
            '\\' => {
                characters.next().filter(|escaped| matches!(escaped, '"' | '\'' | '\\' | '/'))?
            }
            _ => character,
        };
        if said.is_control() || sentence.len() + said.len_utf8() > limits::SENTENCE_BYTES {
            return None;
        }
        sentence.push(said);
    }
    Some(sentence)
}

/// What stands behind the first `mark`.
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
    fn only_a_page_of_metrics_lets_in_and_an_empty_one_does() {
        let unsure = Verdict::None;
        for (status, media_type, body, verdict) in [
            ("200", "", "", Verdict::Permit),
            ("200", "text/plain; charset=utf-8", "a 1\n", Verdict::Permit),
            ("200", "Text/Plain", "a 1\n", Verdict::Permit),
            ("200", "application/openmetrics-text; version=1.0.0", "# EOF\n", Verdict::Permit),
            ("200", "text/html; charset=utf-8", "<form>", unsure.clone()),
            ("200", "application/json", "{}", unsure.clone()),
            ("200", "", "x", unsure.clone()),
            ("200", "text/plainly", "x", unsure.clone()),
            ("204", "", "", unsure.clone()),
            ("301", "", "", unsure.clone()),
            ("302", "text/plain", "a 1\n", unsure.clone()),
            ("404", "text/plain", "", unsure.clone()),
            ("429", "text/plain", "", unsure.clone()),
            ("500", "text/html", "", unsure.clone()),
            ("503", "text/plain", "", unsure.clone()),
        ] {
            let judged = judge(&answer(status, media_type, body.as_bytes()));
            assert_eq!(judged, verdict, "{status} {media_type}");
        }
    }

    #[test]
    fn what_envoy_made_itself_is_no_verdict_whatever_its_status() {
        for status in ["200", "401", "403", "503", "504"] {
            let mut answer = answer(status, "text/plain", b"upstream request timeout");
            answer.headers.retain(|(name, _)| !name.starts_with("x-envoy"));
            assert_eq!(judge(&answer), Verdict::None);
        }
        assert_eq!(judge(&Answer::default()), Verdict::None);
    }

    #[test]
    fn a_refusal_says_what_the_controller_said_in_either_form() {
        let said = "You do not have permission to perform this action.";
        for (body, sentence) in [
            (format!("{{\"detail\":\"{said}\"}}"), said),
            (format!("{{\"detail\": \"{said}\", \"code\": 1}}"), said),
            (format!("{{'detail': ErrorDetail(string='{said}', code='permission_denied')}}"), said),
            (format!("{{'detail': '{said}'}}"), said),
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
            assert_eq!(judge(&answer("401")), refusal(false, sentence), "{body}");
            assert_eq!(judge(&answer("403")), refusal(true, sentence), "{body}");
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
    fn a_permit_counts_for_its_time_and_within_grace_for_longer() {
        let standing = |seconds| controller().cached(Some(at(0)), None, at(seconds));
        assert_eq!(standing(0), CachedVerdict::Permitted);
        assert_eq!(standing(59), CachedVerdict::Permitted);
        assert_eq!(standing(60), CachedVerdict::Lapsed { within_grace: true });
        assert_eq!(standing(299), CachedVerdict::Lapsed { within_grace: true });
        assert_eq!(standing(300), CachedVerdict::Lapsed { within_grace: false });
        assert_eq!(controller().cached(Some(at(1)), None, at(0)), CachedVerdict::Unknown);
        assert_eq!(controller().cached(None, None, at(0)), CachedVerdict::Unknown);
    }

    #[test]
    fn of_two_verdicts_the_later_counts_and_a_refusal_no_longer_than_its_time() {
        let no = Refusal { forbidden: true, sentence: "No.".to_owned() };
        let standing = |permit: Option<u64>, refused, now| {
            controller().cached(permit.map(at), Some((at(refused), no.clone())), at(now))
        };
        let refused = CachedVerdict::Refused(no.clone());
        assert_eq!(standing(None, 0, 9), refused);
        assert_eq!(standing(None, 0, 10), CachedVerdict::Unknown);
        assert_eq!(standing(None, 1, 0), CachedVerdict::Unknown);
        assert_eq!(standing(Some(0), 5, 6), refused);
        assert_eq!(standing(Some(5), 5, 6), refused);
        assert_eq!(standing(Some(5), 0, 6), CachedVerdict::Permitted);
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic_and_no_sentence_is_over_its_bound(body: Vec<u8>, quote in "[\"']") {
            let known = [b"\"detail\":", quote.as_bytes(), &body].concat();
            for body in [body, known] {
                let sentence = sentence(&body).unwrap_or_default();
                prop_assert!(sentence.len() <= limits::SENTENCE_BYTES);
                prop_assert!(!sentence.contains(char::is_control));
            }
        }
    }
}
