use crate::exposition::{Extras, Format, Renderer, parse, render};
use crate::metrics::{Page, Part, Selection, merge};
use std::rc::Rc;
use std::time::Duration;

fn rendered(source: &str) -> Vec<u8> {
    rendered_page(parse::text(source.as_bytes().to_vec()).unwrap())
}

fn rendered_page(page: Page) -> Vec<u8> {
    let merged = merge(&[Part { page: Rc::new(page), labels: &[], gateway_families: true }]);
    render(merged, &Selection::default(), Format::Protobuf)
}

#[test]
fn a_family_follows_its_length() {
    let mut expected = vec![42, 10, 1, b'a', 18, 4, b'H', b'\n', b'"', b'\\', 24, 1];
    expected.extend([34, 28, 10, 6, 10, 1, b'b', 18, 1, b'"', 18, 9, 9]);
    expected.extend(1.5_f64.to_le_bytes());
    expected.extend([48, 0x88, 0x27]);
    let length = expected.len();
    let rendered = rendered("# HELP a H\\n\"\\\\\n# TYPE a gauge\na{b=\"\\\"\"} 1.5 5000\n");
    expected[0] = u8::try_from(length - 1).unwrap();
    expected[13] = u8::try_from(length - 14).unwrap();
    assert_eq!(rendered, expected);
}

#[test]
fn a_family_without_samples_is_left_out() {
    assert_eq!(rendered("# TYPE a gauge\n# HELP b B\n"), [0; 0]);
}

#[test]
fn counters_and_buckets_have_exemplars() {
    let page = concat!(
        "# TYPE a_total counter\na_total 1 # {b=\"\\n\"} 2 1.25\n# TYPE h histogram\n",
        "h_bucket{le=\"+Inf\"} 1 # {} 2\nh_sum 3\nh_count 1\n",
    );
    let out = rendered_page(parse::canonical(page.into()).unwrap());
    let two = 2.0_f64.to_le_bytes();
    let exemplar = [
        &[18, 26, 10, 6, 10, 1, b'b', 18, 1, b'\n', 17][..],
        &two,
        &[26, 7, 8, 1, 16, 0x80, 0xe5, 0x9a, 0x77],
    ];
    let exemplar = exemplar.concat();
    assert!(out.windows(exemplar.len()).any(|bytes| bytes == exemplar), "{out:?}");
    let exemplar = [&[26, 9, 17][..], &two].concat();
    assert!(out.windows(exemplar.len()).any(|bytes| bytes == exemplar), "{out:?}");
}

#[test]
fn only_the_first_page_has_creation_times() {
    let page = "# TYPE a counter\na 1\n# TYPE g gauge\ng 1\n# TYPE h histogram\n\
                h_bucket{le=\"+Inf\"} 1\nh_sum 3\nh_count 1\n";
    let [own, other] = [page, &page.replace(['a', 'h', 'g'], "z")]
        .map(|page| Rc::new(parse::text(page.as_bytes().to_vec()).unwrap()));
    let parts = [own, other].map(|page| Part { page, labels: &[], gateway_families: true });
    let created = Some(Duration::from_millis(1_250));
    let extras = Extras { created, ..Extras::default() };
    let (merged, everything) = (Rc::new(merge(&parts)), Selection::default());
    let out = Renderer::new(merged, &everything, Format::Protobuf, extras).finish();
    let moment = [7, 8, 1, 16, 0x80, 0xe5, 0x9a, 0x77];
    let fields: Vec<_> = (1..out.len() - moment.len())
        .filter(|at| out[*at..].starts_with(&moment))
        .map(|at| out[at - 1] >> 3)
        .collect();
    assert_eq!(fields, [3, 15]);
}

#[test]
fn a_length_beyond_one_byte_is_put_before_the_message() {
    let help = "x".repeat(300);
    let rendered = rendered(&format!("# HELP a {help}\n# TYPE a gauge\na 1\n"));
    assert_eq!(rendered[..9], [0xc1, 0x02, 10, 1, b'a', 18, 0xac, 0x02, b'x']);
    assert_eq!(rendered.len(), 2 + 0x141);
}
