"""Reads metrics pages with prometheus_client and writes what it made of them.

Standard input: a JSON array of {"format": "text" | "openmetrics" | "json", "page": str}.
Standard output: a JSON array with, for each page, {"families": [...]} or {"error": str}.
Values are written as Python prints a float, so that NaN and the infinities survive JSON; timestamps in milliseconds.
"""

import json
import sys

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families as text


def controllers(page):
    """The controller's JSON. A sample has a type there in place of its name."""
    for name, members in json.loads(page).items():
        family = Metric(name, members["help_text"], members["type"])
        for each in members["samples"]:
            family.add_sample(each.get("sample_type", ""), each["labels"], each["value"])
        yield family


PARSERS = {"text": text, "openmetrics": openmetrics, "json": controllers}


def point(of):
    """What samples and exemplars have both."""
    stamp = of.timestamp
    return {
        "labels": of.labels,
        "value": repr(float(of.value)),
        "timestamp": None if stamp is None else str(round(float(stamp) * 1000)),
    }


def sample(sample):
    exemplar = sample.exemplar and point(sample.exemplar)
    return {"name": sample.name, "exemplar": exemplar, **point(sample)}


def family(family):
    return {
        "name": family.name,
        "help": family.documentation,
        "type": family.type,
        "unit": family.unit,
        "samples": [sample(each) for each in family.samples],
    }


def answer(question):
    try:
        families = PARSERS[question["format"]](question["page"])
        return {"families": [family(each) for each in families]}
    except Exception as error:  # The parsers raise ValueError, but also what their own faults raise.
        return {"error": f"{type(error).__name__}: {error}"}


json.dump([answer(question) for question in json.load(sys.stdin)], sys.stdout)
