"""What the processes of a notebook instance do."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from notebook_instance.settings import HOME

# Share of one processor above which a process works. An idle kernel stays below a hundredth.
WORKING = 0.05

# A process and when it began, since numbers of processes are used again.
Identity = tuple[int, float]


@dataclass(frozen=True)
class Work:
    """What the processes did between two looks."""

    busy: int
    """Processes that worked, without Jupyter itself."""
    cpu_percent: float
    """Of all processors."""


def seconds_of(mine: str | None, apart: Iterable[int]) -> dict[Identity, float]:
    """Processor seconds so far of each process of the notebook.

    On an instance these are all processes of the notebook's user. On the local platform, where
    `mine` is the instance's home, they are those that got this home from the service.

    Args:
        mine: The home that the processes must have, or `None` for all of this user.
        apart: Numbers of processes that belong to the machinery and not to anybody's work.
    """
    found: dict[Identity, float] = {}
    ignored = {os.getpid(), *apart}
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                if process.pid in ignored or process.uids().real != os.getuid():
                    continue
                if mine is not None and process.environ().get(HOME) != mine:
                    continue
                times = process.cpu_times()
                found[process.pid, process.create_time()] = times.user + times.system
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            # Ended meanwhile, or another user's.
            continue
    return found


def work(
    before: Mapping[Identity, float], now: Mapping[Identity, float], seconds: float, processors: int
) -> Work:
    """What was done in the `seconds` between two looks; a new process began with nothing."""
    spent = {one: used - before.get(one, 0.0) for one, used in now.items()}
    return Work(
        busy=sum(used >= WORKING * seconds for used in spent.values()),
        cpu_percent=100 * sum(spent.values()) / (seconds * processors),
    )


def running_terminals(server: int | None) -> int:
    """How many terminals of a Jupyter server run a command at this moment.

    A terminal is a shell that the server started with a terminal of its own; while a command runs
    in it, the shell has a child.
    """
    if server is None:
        return 0
    try:
        children = psutil.Process(server).children()
    except psutil.NoSuchProcess:
        return 0
    count = 0
    for shell in children:
        try:
            count += _has_terminal(shell) and bool(shell.children())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return count


def _has_terminal(process: psutil.Process) -> bool:
    # psutil lists the terminals of a machine once: one that was opened later has no name there.
    try:
        state = Path(f"/proc/{process.pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return process.terminal() is not None
    # The program's name, in brackets, may hold spaces and brackets itself.
    tty_number = state.rpartition(")")[2].split()[4]
    return tty_number != "0"
