"""`smp up` after the server was killed, all stacks deployed."""

import os
import signal
from functools import partial

import psutil

from benchmarks.measuring import RUNS, SMP, Figure, run, seconds
from local.cli.aws import Aws
from local.platform import server


def measure(aws: Aws) -> list[Figure]:
    """Kill the server and bring it up again, some times."""
    home = aws.platform.home
    values = []
    for _ in range(RUNS):
        running = server.running(home)
        process = running.process if running else None
        if process is None:
            raise RuntimeError("the platform has ended")
        os.kill(process.pid, signal.SIGKILL)
        psutil.wait_procs([process], timeout=10)
        values.append(seconds(partial(run, [SMP, "up"], SMP_HOME=str(home.path))))
    return [Figure("smp up after SIGKILL", "s", values, "nothing is deployed again")]
