//! Good and bad pages in OpenMetrics that are missing among prometheus_client's own.

/// Pages that follow every rule.
pub(super) const GOOD: [&str; 10] = [
    "# EOF\n",
    "# TYPE x counter\nx_total{a=\"b\"} 1\nx_created{a=\"b\"} 1520430000.5\nx_total{a=\"\"} 2\n# EOF\n",
    "# TYPE x counter\nx_total{a=\"{b} # \"} 1\nx_total{a=\"} # {c=\\\"d\\\"} 1\"} 2\n# EOF\n",
    "# TYPE x_bytes counter\n# UNIT x_bytes bytes\nx_bytes_total 1\n# EOF\n",
    "# TYPE x_total gauge\nx_total 1\n# TYPE x_count gauge\nx_count 2\n# EOF\n",
    "# TYPE x summary\nx{quantile=\"0.5\"} NaN\nx{quantile=\"1\"} 2\nx_sum 3\nx_count 4\nx_created 5\n# EOF\n",
    "# TYPE x summary\nx{a=\"b\",quantile=\"0\"} 1\nx{a=\"c\",quantile=\"0\"} 1\n# EOF\n",
    "# TYPE x histogram\nx_bucket{a=\"b\",le=\"+Inf\"} 1 # {t=\"1\"} 0.7\nx_count{a=\"b\"} 1\nx_sum{a=\"b\"} 0.7\nx_created{a=\"b\"} 5\nx_bucket{a=\"c\",le=\"+Inf\"} 0\nx_count{a=\"c\"} 0\nx_sum{a=\"c\"} 0\n# EOF\n",
    "# TYPE x counter\nx_total 1\n# TYPE x_y counter\nx_y_total 2\n# TYPE y info\ny_info 1\n# EOF\n",
    "# TYPE x counter\n# HELP x A\0B\nx_total{a=\"\u{e9}\u{1f600}\"} 1\n# EOF\n",
];

/// Pages that break one.
pub(super) const BAD: [&str; 8] = [
    "x 1\n",
    "x 1\n# EOF\ny 2\n",
    "\"x\" 1\n# EOF\n",
    "x{\"a} 1\n# EOF\n",
    "# TYPE x histogram\nx_bucket{le=\"1\"} 1\n# EOF\n",
    "# TYPE x histogram\nx_bucket{a=\"1\",le=\"1\"} 0\nx_bucket{a=\"2\",le=\"+Inf\"} 0\nx_bucket{a=\"1\",le=\"+Inf\"} 0\n# EOF\n",
    "# TYPE x_created gauge\nx_created 1\n# TYPE x counter\nx_total 1\n# EOF\n",
    "# TYPE x_total gauge\nx_total 1\n# TYPE x counter\nx_created 1\n# EOF\n",
];
