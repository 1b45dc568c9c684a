"""Memory of the platform at rest: all stacks deployed, no job, no endpoint."""

import time

from benchmarks.measuring import RUNS, Figure
from local.cli.aws import Aws
from local.cli.status import memory

REST_SECONDS = 5


def measure(aws: Aws) -> list[Figure]:
    """Look at the server and all its children, some seconds apart."""
    process = aws.platform.server.process
    if process is None:
        raise RuntimeError("the platform has ended")
    values = []
    for _ in range(RUNS):
        time.sleep(REST_SECONDS)
        processes = [process, *process.children(recursive=True)]
        values.append(memory(processes) / 1e6)
    return [Figure("memory at rest", "MB", values, f"{len(processes)} processes; aim: 400")]
