"""Writes the dashboards as JSON into a folder: python3 -B dashboards.py FOLDER. `make dashboards` runs it."""

import json
import pathlib
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder

import controller
import gateway
import sources


def numbered(dashboard):
    """The dashboard with an id for each panel. Without them, Grafana chooses other ids at each import."""
    model = dashboard.build()
    for place, panel in enumerate(model.panels, start=1):
        panel.id_val = place
    return model


def main(folder):
    for board in (controller, gateway, sources):
        text = json.dumps(numbered(board.board()), cls=JSONEncoder, indent=2, sort_keys=True)
        (folder / f"{board.__name__}.json").write_text(text + "\n")


main(pathlib.Path(sys.argv[1]))
