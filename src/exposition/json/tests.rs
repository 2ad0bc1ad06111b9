use super::*;
use crate::exposition::{Format, parse, render};
use crate::metrics::{Page, PageBuilder, Part, Selection, merge};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::rc::Rc;

macro_rules! capture {
    ($name:literal) => {
        include_str!(concat!("../../../host-tests/fixtures/captures/m/", $name, ".body"))
    };
}

fn page(source: &str) -> Page {
    parse::text(source.as_bytes().to_vec()).unwrap()
}

fn rendered(page: &Page, indent: Option<usize>) -> String {
    let page = Rc::new(page.clone());
    let merged = merge(&[Part { page, labels: &[], gateway_families: true }]);
    let indent = indent.map(|indent| u8::try_from(indent).unwrap_or(u8::MAX));
    String::from_utf8(render(merged, &Selection::default(), Format::Json { indent })).unwrap()
}

fn parsed(page: &Page) -> Value {
    serde_json::from_str(&rendered(page, None)).unwrap()
}

/// Sorts the samples of each family, since the controller's order differs from the gateway's.
fn sorted(mut page: Value) -> Value {
    for family in page.as_object_mut().unwrap().values_mut() {
        let samples = family["samples"].as_array_mut().unwrap();
        samples.sort_by_key(|sample| {
            (sample["labels"].to_string(), sample["sample_type"].to_string())
        });
    }
    page
}

#[test]
fn the_captured_text_renders_as_the_captured_json() {
    let mut ours = sorted(parsed(&page(capture!("m-admin-text"))));
    let theirs = sorted(serde_json::from_str(capture!("m-admin-json")).unwrap());
    // Series that the page prints twice: the gateway keeps the first value, the controller's JSON has the last.
    for name in ["pipe_execute_seconds", "pipe_execute_calls", "send_metrics_seconds"] {
        let name = format!("subsystem_metrics_{name}");
        for (ours, theirs) in ours[&name]["samples"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .zip(theirs[&name]["samples"].as_array().unwrap())
        {
            assert_ne!(ours["value"], theirs["value"], "{name}");
            ours["value"] = theirs["value"].clone();
        }
    }
    assert_eq!(ours, theirs);
}

#[test]
fn a_captured_page_in_canonical_order_is_rendered_byte_for_byte() {
    // Families of the capture with and without labels, on one line and indented.
    let source = "# HELP awx_system_info AWX System Information\n# TYPE awx_system_info gauge\n";
    let line = capture!("m-admin-text").lines().find(|line| line.starts_with("awx_system_info"));
    let page = page(&format!(
        "{source}{}\n# HELP awx_organizations_total Number of organizations\n\
         # TYPE awx_organizations_total gauge\nawx_organizations_total 4.0\n",
        line.unwrap()
    ));
    let compact = rendered(&page, None);
    assert!(capture!("m-admin-json").starts_with(compact.strip_suffix('}').unwrap()));
    let indented = rendered(&page, Some(4));
    assert!(capture!("m-admin-json-indent").starts_with(indented.strip_suffix("\n}").unwrap()));
}

#[test]
fn an_indent_is_at_most_eight_and_zero_means_one_line() {
    let page = page("a{b=\"c\"} 1\n");
    let line =
        r#"{"a":{"help_text":"","type":"unknown","samples":[{"labels":{"b":"c"},"value":1.0}]}}"#;
    assert_eq!(rendered(&page, None), line);
    assert_eq!(rendered(&page, Some(0)), line);
    assert_eq!(rendered(&page, Some(usize::MAX)), rendered(&page, Some(8)));
    assert!(
        rendered(&page, Some(8)).starts_with("{\n        \"a\": {\n                \"help_text\"")
    );
}

#[test]
fn empty_objects_and_arrays_stay_on_one_line_when_indented() {
    assert_eq!(rendered(&Page::default(), Some(4)), "{}");
    let expected =
        "{\n \"a\": {\n  \"help_text\": \"\",\n  \"type\": \"gauge\",\n  \"samples\": []\n }\n}";
    assert_eq!(rendered(&page("# TYPE a gauge\n"), Some(1)), expected);
}

#[test]
fn values_that_json_numbers_cannot_express_are_strings() {
    let values =
        parsed(&page("a 1\na{b=\"1\"} NaN\na{b=\"2\"} +Inf\na{b=\"3\"} -Inf\na{b=\"4\"} 1e-5\n"));
    let values: Vec<_> =
        values["a"]["samples"].as_array().unwrap().iter().map(|sample| &sample["value"]).collect();
    assert_eq!(values, [&json!(1.0), &json!("NaN"), &json!("+Inf"), &json!("-Inf"), &json!(1e-5)]);
}

#[test]
fn strings_are_escaped_as_the_controller_escapes_them() {
    let help = r#"# HELP a "quoted" \\ \n"#;
    let label = "\\\\ \\\" \\n \u{1} \u{7f} \r \t \u{8} \u{c} \u{1f} \u{2028} \u{2029} é €";
    let page = page(&format!("{help}\na{{b=\"{label}\"}} 1\n"));
    let label = "\\\\ \\\" \\n \\u0001 \u{7f} \\r \\t \\b \\f \\u001f \\u2028 \\u2029 é €";
    let expected = format!(
        r#"{{"a":{{"help_text":"\"quoted\" \\ \n","type":"unknown","samples":[{{"labels":{{"b":"{label}"}},"value":1.0}}]}}}}"#
    );
    assert_eq!(rendered(&page, None), expected);
}

#[test]
fn counters_lose_total_unless_the_shorter_name_is_taken() {
    let source = "# TYPE a_total counter\na_total 1\n# TYPE b_total counter\nb_total 2\n\
                  # TYPE b gauge\nb 3\n# TYPE c counter\nc 4\n# TYPE d_total gauge\nd_total 5\n";
    let names: Vec<_> = parsed(&page(source)).as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["a", "b", "b_total", "c", "d_total"]);
}

#[test]
fn only_samples_of_histograms_have_a_type() {
    let source =
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 2\nh_count 3\n# TYPE s summary\ns_sum 4\n";
    let page = parsed(&page(source));
    let types = page["h"]["samples"].as_array().unwrap().iter().map(|it| &it["sample_type"]);
    assert_eq!(types.collect::<Vec<_>>(), ["bucket", "sum", "count"]);
    assert_eq!(page["s"]["samples"][0].get("sample_type"), None);
}

proptest! {
    #[test]
    fn strings_have_the_same_meaning_in_json_as_in_text(
        help in "(?s).{0,20}",
        value in r#"(?s)([\\"n\n\t\u{8}\u{c}\u{2028}\u{2029}\u{202a}é]|.){0,20}"#,
        number: f64,
    ) {
        let mut builder = PageBuilder::new();
        builder.family("a", Kind::Gauge, &help).sample("", &[("l", &value)], number);
        let built = builder.build();
        let page = parsed(&built);
        prop_assert_eq!(&page["a"]["help_text"], help.trim_matches([' ', '\t']));
        prop_assert_eq!(&page["a"]["samples"][0]["labels"]["l"], &value);
        // The number is compared as text, since serde_json's floats are occasionally off by one bit.
        let number = Repr::of(number);
        prop_assert!(rendered(&built, None).contains(number.as_str()));
    }
}
