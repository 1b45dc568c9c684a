"""What every benchmark shares: figures, the machine, and a platform of its own to measure on."""

import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from local.cli.aws import Aws
from local.platform.home import CHECKOUT, Home
from local.platform.lifecycle import attach

RUNS = 5
SMP = Path(sys.executable).parent / "smp"


@dataclass(frozen=True)
class Figure:
    """One measured thing: all its values, of which the median is reported."""

    name: str
    unit: str
    values: Sequence[float]
    note: str = ""

    def line(self) -> str:
        """The figure as a line of the report."""
        low, high = min(self.values), max(self.values)
        middle = statistics.median(self.values)
        return (
            f"{self.name:<58} {middle:9.2f} {self.unit:<4}"
            f" ({low:.2f} to {high:.2f}, n={len(self.values)}) {self.note}".rstrip()
        )


def machine() -> str:
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.platform()},"
        f" Python {platform.python_version()}"
    )


def seconds(action: Callable[[], object]) -> float:
    """How long `action` takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def end_by_signals() -> None:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does: what it has begun is ended first."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _: sys.exit(128 + got))


def run(command: Sequence[str | Path], folder: Path = CHECKOUT, **variables: str) -> None:
    """Run a command; a failing one ends the benchmark with what it printed."""
    environment: Mapping[str, str] = {**os.environ, **variables}
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{result.stdout}{result.stderr}")


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def own_home() -> Iterator[Path]:
    """A folder for a platform apart from the user's, ended and removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        try:
            yield home
        finally:
            run([SMP, "down", "--yes"], SMP_HOME=str(home))


@contextmanager
def own_platform() -> Iterator[Aws]:
    """A deployed platform apart from the user's."""
    with own_home() as home:
        run([SMP, "up", "--port", str(free_port())], SMP_HOME=str(home))
        yield Aws(attach(Home(home)))
