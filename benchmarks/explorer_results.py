"""The stored results of the explorer: ``python -m benchmarks.explorer_results STORE``.

STORE is the file of ``flatmin sweep figure-3 --store STORE``. Of every panel, dimension and number of measurements at
most eight draws are kept, recovered by flat minima.
"""

import json
import sqlite3
import sys
from collections import defaultdict
from pathlib import Path

import flatmin.explorer
from flatmin.lab.recipes import figure_3

FILE = Path(flatmin.explorer.__file__).parent / "figure_3.json"
MOST = 8


def results(store):
    """Return the trials by panels: a title, and for each draw d, m, and what was found and proved."""
    rows = sqlite3.connect(store).execute(
        "SELECT parameters, metrics FROM trials WHERE recipe = 'figure-3' AND status = 'done' ORDER BY repetition, seed"
    )
    groups = defaultdict(list)
    for parameters, metrics in rows:
        where, found = json.loads(parameters), json.loads(metrics)
        if where["method"] == "flat":
            groups[where["panel"], where["d"], where["m"]].append(found)
    panels = {name: {"title": title, "trials": []} for name, (title, *_) in figure_3.TITLES.items()}
    for (panel, d, m), draws in sorted(groups.items()):
        for found in draws[:MOST]:
            panels[panel]["trials"].append(
                {
                    "d": d,
                    "m": m,
                    "error": float(f"{found['error']:.1e}"),
                    "rank": found["rank_found"],
                    "status": found["solved"],
                    "unique": bool(found["unique"]),
                    "gap": float(f"{found['gap']:.1e}"),
                }
            )
    return {name: panel for name, panel in panels.items() if panel["trials"]}


if __name__ == "__main__":
    panels = results(sys.argv[1])
    FILE.write_text(json.dumps(panels, separators=(",", ":")) + "\n", encoding="utf-8")
    print(FILE.name, {name: len(panel["trials"]) for name, panel in panels.items()})
