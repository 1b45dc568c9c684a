"""Waiting for several threads at once."""

import threading
import time
from collections.abc import Iterable


def join(threads: Iterable[threading.Thread], seconds: float) -> None:
    """Wait until the threads have ended, for so long in all."""
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(timeout=max(until - time.monotonic(), 0))
