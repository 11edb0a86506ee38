"""Bytes that a fit moves between machines, from the events that Spark logs."""

from __future__ import annotations

import inspect
import json
from collections import Counter, defaultdict
from pathlib import Path

from flatmin.spark.distributed_cells import DistributedCells, DistributedMatrix

__all__ = ["traffic"]


def traffic(events: Path) -> dict[str, dict[str, float]]:
    """Return, for each part of a fit, its jobs, the bytes moved and the processor seconds of the executors.

    The parts are "als", "sweeps", "products" (with the dual matrix) and "other" (reading, distribution, sums).
    "shuffled" are bytes that tasks write for other tasks, "collected" bytes of their results for the driver, and
    "broadcast" bytes that executors receive as blocks of broadcast variables during the jobs of the part.
    """
    found: dict[str, Counter[str]] = defaultdict(Counter)
    parts: dict[int, str] = {}
    received: dict[tuple[str, str], float] = {}
    running = "other"
    for line in events.read_text().splitlines():
        event = json.loads(line)
        kind = event["Event"]
        if kind == "SparkListenerJobStart":
            running = _part([stage["Stage Name"] for stage in event["Stage Infos"]])
            parts |= dict.fromkeys(event["Stage IDs"], running)
            found[running]["jobs"] += 1
        elif kind == "SparkListenerTaskEnd" and event.get("Task Metrics"):
            metrics, counts = event["Task Metrics"], found[parts.get(event["Stage ID"], "other")]
            counts["collected"] += metrics["Result Size"]
            counts["shuffled"] += metrics["Shuffle Write Metrics"]["Shuffle Bytes Written"]
            counts["processor"] += metrics["Executor CPU Time"] / 1e9
            counts["running"] += metrics["Executor Run Time"] / 1e3
        elif kind == "SparkListenerBlockUpdated":
            block = event["Block Updated Info"]
            name, place = block["Block ID"], block["Block Manager ID"]["Executor ID"]
            if name.startswith("broadcast_") and "piece" in name and place != "driver":
                size = block["Memory Size"] + block["Disk Size"]
                found[running]["broadcast"] += max(0.0, size - received.get((place, name), 0.0))
                received[place, name] = max(size, received.get((place, name), 0.0))
    return {part: dict(counts) for part, counts in found.items()}


def _part(stages: list[str]) -> str:
    """Return the part of a fit from the names of the stages of a job, which contain the calling lines."""
    if any("ALS.scala" in name for name in stages):
        return "als"
    for part, function in (("sweeps", DistributedCells.best), ("products", DistributedMatrix.__matmul__)):
        lines, first = inspect.getsourcelines(function)
        called = {f"distributed_cells.py:{number}" for number in range(first, first + len(lines))}
        if any(name.rpartition("/")[2] in called for name in stages):
            return part
    return "other"
