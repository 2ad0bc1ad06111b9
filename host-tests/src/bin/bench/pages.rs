//! Metrics pages of any size, with content that is hard to parse: escapes, letters beyond ASCII, samples out of order,
//! repeated series, unusual notations of numbers.

use std::fmt::Write;

/// As many as on the controller's page, for any number of nodes.
const FAMILIES: usize = 64;
/// One family in so many is a histogram.
const HISTOGRAMS: usize = 8;
const BOUNDS: [&str; 8] = ["0.5", "1.0", "2.0", "5.0", "10.0", "30.0", "60.0", "+Inf"];
/// One sample in so many repeats the series before it.
const REPEATED: usize = 50;
/// The values of a label: plain, with every escape, and beyond ASCII.
const ORGANIZATIONS: [&str; 4] =
    ["Default", r#"the \"other\" one, C:\\awx\n"#, "Größe 大阪", "Operations"];
const VALUES: [&str; 4] = ["17.0", "1.6e+010", "0.0625", "1234567"];

/// A page with almost this number of samples, and not more, of about 90 bytes each. Pages of other editions differ in
/// some values.
pub(crate) fn page(samples: usize, edition: u32) -> String {
    let mut page = String::new();
    let each = samples / FAMILIES;
    for family in 0..FAMILIES {
        if family % HISTOGRAMS == 0 {
            histogram(&mut page, family, each / (BOUNDS.len() + 2));
        } else {
            gauge(&mut page, family, each, edition);
        }
    }
    page
}

/// The number of samples of a page.
pub(crate) fn samples(page: &str) -> u64 {
    page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|_| 1).sum()
}

/// The number of requests that a page of ours counts.
pub(crate) fn requests(page: &str) -> u64 {
    let lines = page.lines().filter(|line| line.starts_with("awx_gateway_requests_total{"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

fn gauge(page: &mut String, family: usize, samples: usize, edition: u32) {
    let name = format!("awx_bench_family_{family:02}_total");
    header(page, &name, "gauge");
    for at in 0..samples {
        let at = if at % REPEATED == REPEATED - 1 { at - 1 } else { at };
        // One family in four is out of order. 7919 is prime, so each position is used once.
        let node = if family % 4 == 1 { at * 7919 % samples.max(1) } else { at };
        let organization = ORGANIZATIONS[node % ORGANIZATIONS.len()];
        let value = VALUES[at % VALUES.len()];
        let value = if at == 0 { edition.to_string() } else { value.to_owned() };
        line(
            page,
            &format!("{name}{{node=\"awx-{node:06}\",organization=\"{organization}\"}} {value}"),
        );
    }
}

fn histogram(page: &mut String, family: usize, series: usize) {
    let name = format!("awx_bench_family_{family:02}_seconds");
    header(page, &name, "histogram");
    for node in 0..series {
        let labels = format!("node=\"awx-{node:06}\",organization=\"Default\"");
        for (count, bound) in BOUNDS.iter().enumerate() {
            line(page, &format!("{name}_bucket{{{labels},le=\"{bound}\"}} {count}.0"));
        }
        line(page, &format!("{name}_count{{{labels}}} 7.0"));
        line(page, &format!("{name}_sum{{{labels}}} 48.5"));
    }
}

fn header(page: &mut String, name: &str, kind: &str) {
    line(page, &format!("# HELP {name} What a \\\\ bench counts,\\nby node"));
    line(page, &format!("# TYPE {name} {kind}"));
}

fn line(page: &mut String, line: &str) {
    writeln!(page, "{line}").expect("a string takes it");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_almost_as_many_samples_as_requested() {
        for wanted in [1_000, 100_000] {
            let samples = samples(&page(wanted, 1));
            let wanted = wanted as u64;
            assert!((wanted - wanted / 10..=wanted).contains(&samples), "{samples} of {wanted}");
        }
    }

    #[test]
    fn versions_of_a_page_differ_and_have_the_same_length() {
        let (first, second) = (page(1_000, 1), page(1_000, 2));
        assert_ne!(first, second);
        assert_eq!(first.len(), second.len());
    }
}
