"""What prometheus_client takes to parse pages, and whether a page made of them has all their series.

Called with the page to check and any number of `NAME FILE`: a source's name and its page. Prints JSON: the CPU seconds
for the sources' pages, how many series these have, how many of them the page lacks or has with another value, and how
many it has beyond them. Of a series that a source's page repeats the first value counts.
"""

import json
import sys
import time

from prometheus_client.parser import text_string_to_metric_families


def read(file):
    with open(file, encoding="utf-8", newline="") as page:
        return page.read()


def series(families, **added):
    values = {}
    for family in families:
        for sample in family.samples:
            labels = {**sample.labels, **added}
            values.setdefault((sample.name, tuple(sorted(labels.items()))), repr(sample.value))
    return values


page, *sources = sys.argv[1:]
sources = [(name, read(file)) for name, file in zip(sources[::2], sources[1::2])]
before = time.process_time()
parsed = [(name, list(text_string_to_metric_families(text))) for name, text in sources]
seconds = time.process_time() - before
wanted = {}
for name, families in parsed:
    wanted.update(series(families, source=name))
found = series(text_string_to_metric_families(read(page)))
print(json.dumps({
    "seconds": seconds,
    "series": len(wanted),
    "wrong": sum(found.get(key) != value for key, value in wanted.items()),
    "surplus": len(found.keys() - wanted.keys()),
}))
