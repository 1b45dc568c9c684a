"""Whole `cdk synth` of prod, and its time for each resource."""

import json
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measuring import RUNS, Figure, run, seconds
from local.platform.home import CHECKOUT, cdk, tool_environment

# 373 resources in 12.9 s: the best comparable project.
TO_BEAT_MS = 35


def measure() -> list[Figure]:
    """Synthesize prod, with all its checks, into a new folder each time."""
    environment = tool_environment()
    with tempfile.TemporaryDirectory() as folder:
        times = []
        # One more, which only warms the caches of the disk.
        for number in range(RUNS + 1):
            target = Path(folder) / str(number)
            command = [*cdk(), "synth", "--quiet", "--strict", "--no-lookups"]
            command += ["-c", "environment=prod", "-o", str(target)]
            times.append(seconds(partial(run, command, CHECKOUT, **environment)))
        resources = sum(
            len(json.loads(template.read_text())["Resources"])
            for template in target.glob("*.template.json")
        )
    return [
        Figure("cdk synth of prod", "s", times[1:], f"{resources} resources"),
        Figure(
            "cdk synth of prod, each resource",
            "ms",
            [value / resources * 1000 for value in times[1:]],
            f"to beat: {TO_BEAT_MS}",
        ),
    ]
