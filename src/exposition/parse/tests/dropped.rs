//! Input that is readable but dropped and counted, and input that looks unreadable but is kept.

use super::*;
use crate::exposition::parse;

/// Reads this line with a valid line after it: only the valid line is kept, and one sample is dropped for this reason.
fn dropped_for(line: &str, reason: Reason) {
    let expected = "# TYPE z untyped\nz 1\n";
    let text = page(&format!("{line}\nz 1\n"));
    let open = parse::openmetrics(format!("{line}\nz 1\n# EOF\n").into_bytes()).unwrap();
    for page in [text, open] {
        let start: String = line.chars().take(60).collect();
        assert_eq!((page.as_text(), page.report().unreadable_lines), (expected, 0), "{start}");
        assert_eq!(dropped(&page, reason), 1, "{start}");
    }
}

#[test]
fn a_sample_with_a_label_value_over_the_limit_is_dropped() {
    let line = |len: usize| format!("a{{b=\"{}\"}} 1", "x".repeat(len));
    let longest = line(limits::LABEL_VALUE_BYTES);
    assert_eq!(one(&longest), Ok(longest));
    dropped_for(&line(limits::LABEL_VALUE_BYTES + 1), Reason::LongValue);
}

#[test]
fn only_the_line_over_the_limit_is_dropped() {
    let labels = |last: usize| {
        let label = |at: usize, len: usize| format!("l{at:02}=\"{}\",", "x".repeat(len));
        let many: String = (0..16).map(|at| label(at, 64_000)).collect();
        format!("a{{{many}{}}} 1", label(99, last))
    };
    let room = limits::LINE_BYTES - labels(0).len();
    let longest = labels(room);
    assert!(one(&longest).is_ok_and(|kept| kept.len() == longest.len() - 1), "but for a comma");
    dropped_for(&labels(room + 1), Reason::LongLine);
    let help = format!("# HELP z {}", "x".repeat(limits::LINE_BYTES));
    dropped_for(&help, Reason::LongLine);
}

#[test]
fn a_stored_page_is_read_back_even_if_its_canonical_spelling_exceeds_a_limit() {
    // Each backslash becomes two.
    let value = "\\s".repeat(limits::LABEL_VALUE_BYTES / 2);
    let page = page(&format!("a{{b=\"{value}\"}} 1\n"));
    assert_eq!(page.report().samples, 1);
    is_canonical(&page).unwrap();
}

#[test]
fn a_page_that_may_become_too_large_in_some_format_is_refused_whole() {
    // JSON spends six bytes on each.
    let line = |at: usize| format!("a{{at=\"{at}\",b=\"{}\"}} 1\n", "\u{1}".repeat(60_000));
    let lines = limits::RENDERED_BYTES / (6 * 60_000);
    let source: String = (0..lines - 2).map(line).collect();
    assert_eq!(page(&source).report().samples, lines - 2);
    let source: String = (0..=lines).map(line).collect();
    assert!(source.len() < limits::PAGE_BYTES);
    assert_eq!(text(source.into_bytes()), Err(Refused::Rendered));
}

#[test]
fn a_page_whose_canonical_form_is_beyond_the_limit_is_refused_whole() {
    // Each name occurs once on the page, and twice in canonical form, because of its TYPE line.
    let name = "x".repeat(400);
    let source: String = (0..60_000).map(|at| format!("{name}{at} 1\n")).collect();
    assert!(source.len() < limits::PAGE_BYTES);
    assert_eq!(text(source.into_bytes()), Err(Refused::Bytes));
}

#[test]
fn a_sample_from_before_1970_is_dropped() {
    for stamp in ["-1", "-0001", "-9007199254740", "-5"] {
        dropped_for(&format!("a{{b=\"c\"}} 3 {stamp}"), Reason::Timestamp);
    }
    assert_eq!(one("a 3 0"), Ok("a 3 0".to_owned()));
}

#[test]
fn a_bare_word_among_labels_is_not_a_name() {
    for line in [r#"{a} 1"#, r#"a{"b"="1",c} 1"#, r#"{"a",b} 1"#, r#"{"a"b="1"} 1"#] {
        assert_eq!(one(line), Err(1), "{line}");
    }
}

#[test]
fn names_in_quotes_are_dropped() {
    for line in [
        r#"{"my.metric"} 1"#,
        r#"{"a"} 1"#,
        r#"{"my.metric",b="c"} 1"#,
        r#"{ "my.metric" , b="c" , } 1"#,
        r#"{b="c","my.metric"} 1"#,
        r#"a{"le.x"="1"} 1"#,
        r#"a{"b"="1",c="2"} 1 5"#,
        r#"a{b="c","h\"\\i"="1"} 1"#,
        r#"{"é","ü"="1"} 1"#,
    ] {
        dropped_for(line, Reason::QuotedName);
    }
    // A HELP or TYPE line with a quoted name describes no family.
    let described = "# HELP \"my.metric\" Help.\n# TYPE \"my.metric\" gauge\n";
    assert_eq!(page(described), Page::default());
}

#[test]
fn a_line_with_a_reserved_label_name_is_unreadable() {
    for line in ["a{__b=\"1\"} 1", "a{c=\"1\",__b__=\"\"} 1", "a{__name__=\"b\"} 1", "a{__=\"\"} 1"]
    {
        assert_eq!(one(line), Err(1), "{line}");
    }
    assert_eq!(one("a{_b=\"1\"} 1").as_deref(), Ok("a{_b=\"1\"} 1"));
}

#[test]
fn an_exemplar_with_an_illegal_label_is_dropped() {
    for labels in ["{__b=\"1\"}", "{\"b.c\"=\"1\"}", "{b=\"\0\"}"] {
        let source = format!("# TYPE a counter\na_total 1 # {labels} 1\n# EOF\n");
        let page = parse::openmetrics(source.into_bytes()).unwrap();
        assert_eq!(dropped(&page, Reason::Exemplar), 1, "{labels}");
        assert_eq!(page.as_text(), "# TYPE a_total counter\na_total 1\n");
    }
}

#[test]
fn a_backslash_that_escapes_nothing_is_a_literal_backslash() {
    for (line, kept) in [
        (r#"e{u="CORP\svc"} 1"#, r#"e{u="CORP\\svc"} 1"#),
        (r#"e{u="\s\\\"\n\t"} 1"#, r#"e{u="\\s\\\"\n\\t"} 1"#),
        (r#"e{u="\é",t="\{"} 1"#, r#"e{t="\\{",u="\\é"} 1"#),
    ] {
        assert_eq!(one(line).as_deref(), Ok(kept));
    }
    let help = page("# HELP a \\\"b\\c\\\\ \\n\\\n# TYPE a gauge\n");
    assert_eq!(help.as_text(), "# HELP a \\\\\"b\\\\c\\\\ \\n\\\\\n# TYPE a gauge\n");
}

#[test]
fn spellings_of_one_value_are_one_series() {
    let page = page("e{u=\"a\\s\"} 1\ne{u=\"a\\\\s\"} 2\n");
    assert_eq!(page.as_text(), "# TYPE e untyped\ne{u=\"a\\\\s\"} 1\n");
    assert_eq!(dropped(&page, Reason::Duplicate), 1);
}
