"""Training on several hosts by the library's own collective, whose tracker the first host runs."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from algorithms.toolkit.peers import JOIN_SECONDS, Peers, address
from algorithms.toolkit.training import fail_at_once
from algorithms.xgboost.library import library

if TYPE_CHECKING:
    from algorithms.toolkit.job import Job


@contextmanager
def together(job: Job, peers: Peers) -> Iterator[None]:
    """Let the library of every host talk to that of the others; a lost peer ends this host too."""
    if peers.alone:
        yield
        return
    collective = library().collective
    tracker: Any = None
    arguments: dict[str, Any] = {}
    if peers.first:
        tracker = library().tracker.RabitTracker(
            n_workers=len(peers.hosts),
            host_ip=socket.gethostbyname(address(job.host)),
            sortby="task",
            timeout=int(JOIN_SECONDS),
        )
        tracker.start()
        arguments = tracker.worker_args()
    told = peers.gather({"arguments": np.frombuffer(json.dumps(arguments).encode(), np.uint8)})
    arguments = json.loads(told[0]["arguments"].tobytes())
    # Ranks follow the names of tasks, which the tracker compares as text.
    arguments["dmlc_task_id"] = f"{peers.rank:04}"
    with (
        peers.watched(lambda reason: fail_at_once(job.base, reason)),
        collective.CommunicatorContext(**arguments),
    ):
        yield
    # Nobody leaves before all are through: who ends early looks like one that died.
    peers.gather({})
    if tracker is not None:
        tracker.wait_for(int(JOIN_SECONDS))


def any_host(*, stopping: bool) -> bool:
    """Whether any host is asked to stop, so that all of them end after the same round."""
    collective = library().collective
    if not collective.is_distributed():
        return stopping
    flags = np.array([int(stopping)], dtype=np.int32)
    return bool(collective.allreduce(flags, collective.Op.MAX)[0])


def first_host() -> bool:
    """Whether this host writes what all have made."""
    return bool(library().collective.get_rank() == 0)
