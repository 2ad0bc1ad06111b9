//! Reads text format 0.0.4, and OpenMetrics, into a [`Page`]: line by line, as strictly as Prometheus.
//!
//! An unreadable line is counted and affects no other line. No input panics. Time is linear in the page, except for
//! sorting samples that are out of order. Memory is at most six times the page and 200 bytes for each of its samples
//! and names, all capped in [`limits`]. The result is the text and 44 bytes a family.
//!
//! ```text
//! page      = *( line LF ) [ line ]                      ; 1
//! line      = *blank [ help | type | comment | sample ]
//! help      = "#" 1*blank "HELP" 1*blank metric [ 1*blank *( CHAR / "\" CHAR ) ]      ; 2, 5
//! type      = "#" 1*blank "TYPE" 1*blank metric 1*blank kind *blank
//! kind      = "counter" / "gauge" / "histogram" / "summary" / "untyped" / "unknown"    ; 3
//! comment   = "#" *CHAR                                  ; "# EOF" among them
//! sample    = metric ( 1*blank / *blank labels *blank ) value [ 1*blank timestamp ] *blank
//! labels    = "{" *blank [ label *( "," *blank label ) [ "," *blank ] ] "}"            ; 4
//! label     = name *blank "=" *blank DQUOTE *( CHAR / "\" CHAR / "\" DQUOTE ) DQUOTE *blank       ; 5
//! metric    = ( ALPHA / "_" / ":" ) *( ALPHA / DIGIT / "_" / ":" )
//! name      = ( ALPHA / "_" ) *( ALPHA / DIGIT / "_" )   ; no name twice, none beginning with "__" (7)
//! value     = decimal / [ sign ] ( "inf" / "infinity" ) / "nan"                        ; 6
//! timestamp = [ "-" ] 1*DIGIT                            ; milliseconds, 64 bits; 8
//! blank     = SP / HTAB
//! CHAR      = any code point but LF, and in quotes but DQUOTE, and where escapes are but "\"
//! ```
//!
//! The source is "Exposition formats" of the Prometheus documentation, "Text format details". Where it is silent,
//! Prometheus's own parsers decide: `model/textparse` of the server, `expfmt/text_parse.go` of prometheus/common.
//! 1. A last line without LF is read, as in the server. CR is neither a blank nor part of a line's end in either
//!    parser: a value followed by it is not a value.
//! 2. Blanks around a help text are not part of it. An empty help text counts as none.
//! 3. Lower case, as in the server; `unknown` is the name of `untyped` in other parsers. Any other kind is refused.
//! 4. A comma may follow the last label; it neither begins a block nor occurs alone.
//! 5. A backslash that escapes nothing is a literal backslash, as in the server, and is written as `\\`: escaped text
//!    has one spelling (see `parse/escape.rs`). prometheus/common refuses it.
//! 6. See [`crate::metrics::number`]. Hexadecimal digits and underscores are refused, as in the server.
//! 7. The server keeps such labels; prometheus_client rejects the page.
//! 8. A sample from before 1970 is dropped: Prometheus 2 and 3 reject the whole scrape at the sign, in text 0.0.4.
//!
//! NameKind in quotes (Prometheus 3, "UTF-8 guide") cannot be written in four of the gateway's five formats, and other
//! characters have no substitute that every reader knows. Samples with such a name are dropped and counted; their help
//! and type are ignored. Samples with labels or lines beyond [`limits`] are dropped and counted too.
//!
//! The differences of OpenMetrics are in `parse/openmetrics.rs`.

mod cursor;
mod escape;
mod exemplar;
mod openmetrics;
mod sample;

use self::cursor::Cursor;
use self::escape::Escapes;
use self::openmetrics::OpenMetrics;
use self::sample::Label;
use crate::limits;
use crate::metrics::draft::{self, Draft, DraftFamily, count, offset};
use crate::metrics::{Kind, Page, Reason, name};
use std::borrow::Cow;
use std::collections::HashMap;

/// The reason for refusing a whole page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Beyond [`limits::PAGE_BYTES`], on input or in canonical spelling.
    #[error("the page has more than {} bytes", limits::PAGE_BYTES)]
    Bytes,
    /// Beyond [`limits::RENDERED_BYTES`].
    #[error("the page may become more than {} bytes", limits::RENDERED_BYTES)]
    Rendered,
    /// Beyond [`limits::SOURCE_SAMPLES`].
    #[error("the page has more than {} samples", limits::SOURCE_SAMPLES)]
    Samples,
    /// Beyond [`limits::SOURCE_NAMES`].
    #[error("the page has more than {} names", limits::SOURCE_NAMES)]
    Names,
    /// OpenMetrics without `# EOF`: the page is incomplete.
    #[error("the page is cut off")]
    CutOff,
}

/// Reads a page in text format 0.0.4. Its report counts the unreadable lines.
///
/// # Errors
/// If the page is beyond the limits.
pub fn text(bytes: Vec<u8>) -> Result<Page, Refused> {
    text_of(bytes, &|_| true)
}

/// Reads the families of a page in text format 0.0.4 whose names are accepted. Other families are neither kept
/// nor counted.
///
/// # Errors
/// If the accepted families are beyond the limits.
pub fn text_of(bytes: Vec<u8>, takes: Takes<'_>) -> Result<Page, Refused> {
    read(readable(bytes)?, Syntax::Text, takes)
}

/// Reads back the result of [`Page::as_text`]: text format 0.0.4 with exemplars.
///
/// # Errors
/// If the page is beyond the limits.
pub fn canonical(bytes: Vec<u8>) -> Result<Page, Refused> {
    read(readable(bytes)?, Syntax::Canonical, &|_| true)
}

/// Reads a page in OpenMetrics 1.0.0, or 0.0.1. Its report counts the unreadable lines.
///
/// # Errors
/// If the page is beyond the limits or incomplete.
pub fn openmetrics(bytes: Vec<u8>) -> Result<Page, Refused> {
    openmetrics_of(bytes, &|_| true)
}

/// Reads the families of a page in OpenMetrics whose names, in text, are accepted. Other families are neither kept
/// nor counted.
///
/// # Errors
/// If the accepted families are beyond the limits, or the page is incomplete.
pub fn openmetrics_of(bytes: Vec<u8>, takes: Takes<'_>) -> Result<Page, Refused> {
    read(readable(bytes)?, Syntax::OpenMetrics(OpenMetrics::default()), takes)
}

/// Returns true if the family with this name is to be read.
pub type Takes<'a> = &'a dyn Fn(&str) -> bool;

/// The input format, with the state that it needs in addition to that of text.
enum Syntax {
    Text,
    Canonical,
    OpenMetrics(OpenMetrics),
}

fn read(
    (mut ink, not_utf8): (String, u64),
    format: Syntax,
    takes: Takes<'_>,
) -> Result<Page, Refused> {
    let (mut draft, fresh) = PageReader::new(&ink, format, takes).read()?;
    draft.report.unreadable_lines += not_utf8;
    ink.reserve_exact(fresh.len());
    ink.push_str(&fresh);
    drop(fresh);
    // A stored page must be readable again within the same limits.
    let mut page = draft.arrange(&ink, limits::PAGE_BYTES).ok_or(Refused::Bytes)?;
    page.measure();
    page.check_conformance();
    if page.rendered_at_most() > limits::RENDERED_BYTES {
        return Err(Refused::Rendered);
    }
    Ok(page)
}

/// The page without the lines that are not UTF-8, and the number of these.
fn readable(bytes: Vec<u8>) -> Result<(String, u64), Refused> {
    if bytes.len() > limits::PAGE_BYTES {
        return Err(Refused::Bytes);
    }
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Ok((text, 0)),
        Err(error) => error.into_bytes(),
    };
    let mut text = String::with_capacity(bytes.len());
    let mut unreadable = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        match str::from_utf8(line) {
            Ok(line) => text.push_str(line),
            Err(_) => unreadable += 1,
        }
    }
    Ok((text, unreadable))
}

/// The line is invalid in the format.
struct Unreadable;

/// Reads a page in one pass.
struct PageReader<'a> {
    cursor: Cursor<'a>,
    draft: Draft,
    /// Families by name. The hash keys are random, since the source chooses the names.
    ids: HashMap<&'a str, u32>,
    /// The name of the previous sample, since most samples have the same name.
    last: (&'a str, u32),
    /// The start of the current line.
    line_start: usize,
    /// The canonical spelling of the lines that were not in it. It follows the page.
    fresh: String,
    /// The labels of the current line.
    labels: Vec<Label<'a>>,
    /// The exemplar of the current line, in canonical spelling; empty without one.
    exemplar: String,
    format: Syntax,
    takes: Takes<'a>,
    /// For each family, false if its samples are skipped.
    taken: Vec<bool>,
}

/// A metric's name, and its position in the page.
#[derive(Clone, Copy)]
struct Name<'a> {
    text: &'a str,
    start: usize,
}

impl<'a> PageReader<'a> {
    fn new(page: &'a str, format: Syntax, takes: Takes<'a>) -> Self {
        Self {
            cursor: Cursor::at_start(page),
            draft: Draft::default(),
            ids: HashMap::new(),
            last: ("", 0),
            line_start: 0,
            fresh: String::new(),
            labels: Vec::new(),
            exemplar: String::new(),
            format,
            takes,
            taken: Vec::new(),
        }
    }

    fn read(mut self) -> Result<(Draft, String), Refused> {
        while !self.cursor.is_at_end() {
            if let Err(Unreadable) = self.line() {
                self.draft.report.unreadable_lines += 1;
                self.cursor.skip_to_line_end();
            }
            self.cursor.eat(b'\n');
            if self.draft.samples.len() > limits::SOURCE_SAMPLES {
                return Err(Refused::Samples);
            }
            if self.draft.families.len() > limits::SOURCE_NAMES {
                return Err(Refused::Names);
            }
        }
        let Self { cursor, mut draft, ids, fresh, format, takes, .. } = self;
        match format {
            Syntax::Text | Syntax::Canonical => {}
            Syntax::OpenMetrics(open) if open.is_finished => {
                open.settle(cursor.page, &ids, &mut draft);
            }
            Syntax::OpenMetrics(_) => return Err(Refused::CutOff),
        }
        draft.adopt_suffixed(cursor.page, |name| ids.get(name).copied());
        draft.retain(cursor.page, takes);
        Ok((draft, fresh))
    }

    fn line(&mut self) -> Result<(), Unreadable> {
        self.line_start = self.cursor.at;
        self.cursor.blanks();
        match self.cursor.peek() {
            None | Some(b'\n') => Ok(()),
            Some(b'#') => self.comment(),
            Some(_) => self.sample(),
        }
    }

    fn comment(&mut self) -> Result<(), Unreadable> {
        self.cursor.eat(b'#');
        let keyword = if self.cursor.blanks().is_empty() { "" } else { self.cursor.word() };
        match keyword {
            "HELP" => self.help(),
            "TYPE" => self.kind(),
            "EOF" if self.open().is_some() => self.end(),
            _ => {
                self.cursor.skip_to_line_end();
                Ok(())
            }
        }
    }

    fn help(&mut self) -> Result<(), Unreadable> {
        let Some(name) = self.described()? else { return Ok(()) };
        let (words, span) = self.cursor.rest_of_line();
        if self.is_line_too_long() {
            self.draft.report.dropped.add(Reason::LongLine, 1);
            return Ok(());
        }
        let span = self.help_in_canonical_spelling(words).unwrap_or(span);
        if !words.is_empty()
            && let Some(family) = self.family(name)
        {
            family.help.get_or_insert(span);
        }
        Ok(())
    }

    /// The position of a help text in canonical spelling, if its spelling on the page differs.
    fn help_in_canonical_spelling(&mut self, words: &str) -> Option<(u32, u32)> {
        let escapes = if self.open().is_some() { Escapes::OpenHelp } else { Escapes::Help };
        let Cow::Owned(words) = escapes.in_canonical_spelling(words) else { return None };
        let base = offset(self.cursor.page);
        let start = base + offset(&self.fresh);
        self.fresh.push_str(&words);
        Some((start, base + offset(&self.fresh)))
    }

    /// Returns true if the line that was read exceeds the limit. A line that the gateway wrote itself never does.
    const fn is_line_too_long(&self) -> bool {
        !matches!(self.format, Syntax::Canonical)
            && self.cursor.at - self.line_start > limits::LINE_BYTES
    }

    fn kind(&mut self) -> Result<(), Unreadable> {
        let Some(name) = self.described()? else { return Ok(()) };
        let word = self.cursor.rest_of_line().0;
        if self.declare(name, word) {
            return Ok(());
        }
        let kind = match word {
            "counter" => Kind::Counter,
            "gauge" => Kind::Gauge,
            "histogram" => Kind::Histogram,
            "summary" => Kind::Summary,
            "untyped" | "unknown" => Kind::Untyped,
            _ => return Err(Unreadable),
        };
        if let Some(family) = self.family(name) {
            family.kind.get_or_insert(kind);
        }
        Ok(())
    }

    /// Ends a page in OpenMetrics. Everything after its end counts as one unreadable line.
    fn end(&mut self) -> Result<(), Unreadable> {
        if let Some(open) = self.open() {
            open.is_finished = true;
        }
        let rest = self.cursor.rest();
        self.cursor.at += rest.len();
        rest.trim_ascii().is_empty().then_some(()).ok_or(Unreadable)
    }

    const fn open(&mut self) -> Option<&mut OpenMetrics> {
        match &mut self.format {
            Syntax::OpenMetrics(open) => Some(open),
            Syntax::Text | Syntax::Canonical => None,
        }
    }

    /// The name in a HELP or TYPE line. Returns `None` if the name is in quotes: such a line is ignored.
    fn described(&mut self) -> Result<Option<Name<'a>>, Unreadable> {
        self.cursor.blanks();
        if self.cursor.eat(b'"') {
            self.cursor.quoted().ok_or(Unreadable)?;
            self.cursor.skip_to_line_end();
            return Ok(None);
        }
        let start = self.cursor.at;
        let text = self.cursor.take(name::metric_name_len);
        let is_whole = matches!(self.cursor.peek(), None | Some(b' ' | b'\t' | b'\n'));
        let is_name = is_whole && !text.is_empty();
        is_name.then_some(Some(Name { text, start })).ok_or(Unreadable)
    }

    fn family(&mut self, name: Name<'a>) -> Option<&mut DraftFamily> {
        let id = self.id(name);
        self.draft.families.get_mut(id as usize)
    }

    fn id(&mut self, name: Name<'a>) -> u32 {
        let (families, taken, takes) = (&mut self.draft.families, &mut self.taken, self.takes);
        *self.ids.entry(name.text).or_insert_with(|| {
            let id = count(families);
            // `x_sum` may be a sample of the histogram `x`, if that is declared later.
            let base = draft::split_suffix(name.text).map(|(base, _)| base);
            taken.push(takes(name.text) || base.is_some_and(takes));
            families.push(DraftFamily { name: name.span(), help: None, kind: None });
            id
        })
    }
}

impl Name<'_> {
    const fn span(self) -> (u32, u32) {
        (place(self.start), place(self.start + self.text.len()))
    }
}

/// A position in the page, which [`limits::PAGE_BYTES`] keeps far below the maximum of `u32`.
#[expect(clippy::cast_possible_truncation, reason = "see above")]
const fn place(at: usize) -> u32 {
    at as u32
}

#[cfg(test)]
mod tests;
