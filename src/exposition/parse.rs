//! Reads text format 0.0.4, and OpenMetrics, into a [`Page`]: as strict as Prometheus, line by line.
//!
//! A line that cannot be read is counted and costs nothing but itself. No input panics; time is linear in the page, but
//! for sorting what does not stand in order; memory is at most six times the page and 200 bytes for each of its samples
//! and names, all capped in [`limits`]. What stays is the page, 24 bytes a sample and 44 a family.
//!
//! ```text
//! page      = *( line LF ) [ line ]                      ; 1
//! line      = *blank [ help | type | comment | sample ]
//! help      = "#" 1*blank "HELP" 1*blank metric [ 1*blank *( CHAR / "\\" / "\n" ) ]    ; 2
//! type      = "#" 1*blank "TYPE" 1*blank metric 1*blank kind *blank
//! kind      = "counter" / "gauge" / "histogram" / "summary" / "untyped" / "unknown"    ; 3
//! comment   = "#" *CHAR                                  ; "# EOF" among them
//! sample    = metric ( 1*blank / *blank labels *blank ) value [ 1*blank timestamp ] *blank
//! labels    = "{" *blank [ label *( "," *blank label ) [ "," *blank ] ] "}"            ; 4
//! label     = name *blank "=" *blank DQUOTE *( CHAR / "\\" / "\" DQUOTE / "\n" ) DQUOTE *blank   ; 5
//! metric    = ( ALPHA / "_" / ":" ) *( ALPHA / DIGIT / "_" / ":" )
//! name      = ( ALPHA / "_" ) *( ALPHA / DIGIT / "_" )   ; no name twice, nor "__name__"
//! value     = decimal / [ sign ] ( "inf" / "infinity" ) / "nan"                        ; 6
//! timestamp = [ "-" ] 1*DIGIT                            ; milliseconds, 64 bits
//! blank     = SP / HTAB
//! CHAR      = any code point but LF, and in quotes but DQUOTE, and where escapes are but "\"
//! ```
//!
//! The source is "Exposition formats" of the Prometheus documentation, "Text format details", and where it is silent
//! what Prometheus's own parsers do: `model/textparse` of the server, `expfmt/text_parse.go` of prometheus/common.
//! 1. A last line without LF is read, as the server reads it. CR is no blank and no part of a line's end, in either
//!    parser: a value followed by it is none.
//! 2. Blanks around a help text are no part of it. An empty one is none.
//! 3. Lower case, as the server has it; `unknown` is what other parsers call `untyped`. Any other kind is refused.
//! 4. A comma may follow the last label; it neither begins a block nor stands alone.
//! 5. Another escape is an error, as in prometheus/common, and not a backslash, as in the server: only so is what is
//!    escaped the one spelling of what it stands for.
//! 6. See [`crate::metrics::number`]. Hexadecimal digits and underscores are refused, as the server does.
//!
//! What is different in OpenMetrics stands in `parse/openmetrics.rs`.

mod cursor;
mod exemplar;
mod openmetrics;
mod sample;

use self::cursor::Cursor;
use self::openmetrics::OpenMetrics;
use self::sample::Label;
use crate::limits;
use crate::metrics::draft::{Draft, DraftFamily, count};
use crate::metrics::{Kind, Page, name};
use std::collections::HashMap;

/// A page that is refused whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Beyond [`limits::PAGE_BYTES`].
    #[error("the page has {0} bytes")]
    Bytes(usize),
    /// Beyond [`limits::SOURCE_SAMPLES`].
    #[error("the page has more than {} samples", limits::SOURCE_SAMPLES)]
    Samples,
    /// Beyond [`limits::SOURCE_NAMES`].
    #[error("the page has more than {} names", limits::SOURCE_NAMES)]
    Names,
    /// In OpenMetrics, without `# EOF`: this is only its beginning.
    #[error("the page is cut off")]
    CutOff,
}

/// Reads a page in text format 0.0.4. What could not be read is in its report.
///
/// # Errors
/// Where the page is beyond the limits.
pub fn text(bytes: Vec<u8>) -> Result<Page, Refused> {
    read(readable(bytes)?, Format::Text)
}

/// Reads back what [`Page::as_text`] gave: text format 0.0.4, but for exemplars.
///
/// # Errors
/// Where the page is beyond the limits.
pub fn canonical(bytes: Vec<u8>) -> Result<Page, Refused> {
    read(readable(bytes)?, Format::Canonical)
}

/// Reads a page in OpenMetrics 1.0.0, or 0.0.1. What could not be read is in its report.
///
/// # Errors
/// Where the page is beyond the limits, or does not end as it should.
pub fn openmetrics(bytes: Vec<u8>) -> Result<Page, Refused> {
    let (page, not_utf8) = readable(bytes)?;
    let page = openmetrics::with_escapes_of_text(page);
    read((page, not_utf8), Format::OpenMetrics(OpenMetrics::default()))
}

/// What is read, and what is known beyond text.
enum Format {
    Text,
    Canonical,
    OpenMetrics(OpenMetrics),
}

fn read((mut ink, not_utf8): (String, u64), format: Format) -> Result<Page, Refused> {
    let (mut draft, fresh) = Reader::new(&ink, format).read()?;
    draft.report.unreadable_lines += not_utf8;
    ink.reserve_exact(fresh.len());
    ink.push_str(&fresh);
    drop(fresh);
    Ok(draft.arrange(&ink))
}

/// The page without the lines that are not UTF-8, and how many these are.
fn readable(bytes: Vec<u8>) -> Result<(String, u64), Refused> {
    if bytes.len() > limits::PAGE_BYTES {
        return Err(Refused::Bytes(bytes.len()));
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

/// A line is no line of the format.
struct Unreadable;

/// Goes through a page once.
struct Reader<'a> {
    cursor: Cursor<'a>,
    draft: Draft,
    /// Families by name. Keyed with random keys, since whoever writes the page chooses the names.
    ids: HashMap<&'a str, u32>,
    /// The name of the sample before, for most samples have the same.
    last: (&'a str, u32),
    /// The lines that were not in canonical spelling, in canonical spelling. They stand behind the page.
    fresh: String,
    /// The labels of the line at hand.
    labels: Vec<Label<'a>>,
    /// The exemplar of the line at hand, in canonical spelling; empty where there is none.
    exemplar: String,
    format: Format,
}

/// A metric's name, and where it stands in the page.
#[derive(Clone, Copy)]
struct Name<'a> {
    text: &'a str,
    start: usize,
}

impl<'a> Reader<'a> {
    fn new(page: &'a str, format: Format) -> Self {
        Self {
            cursor: Cursor::at_start(page),
            draft: Draft::default(),
            ids: HashMap::new(),
            last: ("", 0),
            fresh: String::new(),
            labels: Vec::new(),
            exemplar: String::new(),
            format,
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
        let Self { cursor, mut draft, ids, fresh, format, .. } = self;
        match format {
            Format::Text | Format::Canonical => {}
            Format::OpenMetrics(open) if open.is_finished => {
                open.settle(cursor.page, &ids, &mut draft);
            }
            Format::OpenMetrics(_) => return Err(Refused::CutOff),
        }
        draft.adopt_suffixed(cursor.page, |name| ids.get(name).copied());
        Ok((draft, fresh))
    }

    fn line(&mut self) -> Result<(), Unreadable> {
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
        let name = self.described()?;
        let (words, span) = self.cursor.rest_of_line();
        if !is_legal_help(words) {
            return Err(Unreadable);
        }
        if !words.is_empty()
            && let Some(family) = self.family(name)
        {
            family.help.get_or_insert(span);
        }
        Ok(())
    }

    fn kind(&mut self) -> Result<(), Unreadable> {
        let name = self.described()?;
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

    /// Ends a page in OpenMetrics. Whatever stands behind its end is one line that cannot be read.
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
            Format::OpenMetrics(open) => Some(open),
            Format::Text | Format::Canonical => None,
        }
    }

    /// The name that a HELP or TYPE is about.
    fn described(&mut self) -> Result<Name<'a>, Unreadable> {
        self.cursor.blanks();
        let start = self.cursor.at;
        let text = self.cursor.take(name::metric_name_len);
        let is_whole = matches!(self.cursor.peek(), None | Some(b' ' | b'\t' | b'\n'));
        (is_whole && !text.is_empty()).then_some(Name { text, start }).ok_or(Unreadable)
    }

    fn family(&mut self, name: Name<'a>) -> Option<&mut DraftFamily> {
        let id = self.id(name);
        self.draft.families.get_mut(id as usize)
    }

    fn id(&mut self, name: Name<'a>) -> u32 {
        let families = &mut self.draft.families;
        *self.ids.entry(name.text).or_insert_with(|| {
            let id = count(families);
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

/// A place in the page, which [`limits::PAGE_BYTES`] keeps far from the end of `u32`.
#[expect(clippy::cast_possible_truncation, reason = "see above")]
const fn place(at: usize) -> u32 {
    at as u32
}

/// Whether backslashes stand only where the text format has them in a help text: in `\\` and `\n`.
fn is_legal_help(words: &str) -> bool {
    let mut bytes = words.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'\\' && !matches!(bytes.next(), Some(b'\\' | b'n')) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests;
