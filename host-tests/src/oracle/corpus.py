"""Plays prometheus_client's own tests of its parsers, and writes down the pages that these read.

Standard output: {"text": [str, ...], "openmetrics": [str, ...]}, each page once, in the order they came.
A test that fails would take its later pages with it: then there is no answer.
"""

import importlib
import io
import json
import sys
import unittest

MODULES = {
    "text": ("prometheus_client.parser", "tests.test_parser"),
    "openmetrics": ("prometheus_client.openmetrics.parser", "tests.openmetrics.test_parser"),
}


def recorded(parser, tests):
    """The pages of a test module. Whichever way one is given to the parser, it comes by this function as a file."""
    pages = []
    parser = importlib.import_module(parser)
    parse = parser.text_fd_to_metric_families

    def record(file):
        pages.append(file.read())
        return parse(io.StringIO(pages[-1]))

    parser.text_fd_to_metric_families = record
    suite = unittest.defaultTestLoader.loadTestsFromName(tests)
    if not unittest.TextTestRunner(sys.stderr).run(suite).wasSuccessful():
        sys.exit(f"{tests} fails")
    return list(dict.fromkeys(pages))


json.dump({name: recorded(*modules) for name, modules in MODULES.items()}, sys.stdout)
