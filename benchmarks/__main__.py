"""`make bench`: every figure that the README reports; name some to measure only those."""

import sys
from collections.abc import Callable

from benchmarks import (
    calls,
    endpoint,
    first_prediction,
    hosts,
    job,
    memory,
    notebook,
    pipe_mode,
    readers,
    restart,
    synthesis,
)
from benchmarks.measuring import Figure, end_by_signals, machine, own_platform
from local.cli.aws import Aws

ON_A_PLATFORM: dict[str, Callable[[Aws], list[Figure]]] = {
    # First, before any job has been there.
    "memory": memory.measure,
    "calls": calls.measure,
    "job": job.measure,
    "hosts": hosts.measure,
    "endpoint": endpoint.measure,
    "pipe": pipe_mode.measure,
    "notebook": notebook.measure,
    "restart": restart.measure,
}
ALONE: dict[str, Callable[[], list[Figure]]] = {
    "readers": readers.measure,
    "synthesis": synthesis.measure,
    "demo": first_prediction.measure,
}


def main() -> None:
    """Measure what was named, or all, and print a line for each figure as it comes."""
    known = [*ON_A_PLATFORM, *ALONE]
    wanted = sys.argv[1:] or known
    if unknown := set(wanted) - set(known):
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    end_by_signals()
    print(machine(), flush=True)
    if any(name in ON_A_PLATFORM for name in wanted):
        with own_platform() as aws:
            for name, measure in ON_A_PLATFORM.items():
                if name in wanted:
                    _show(measure(aws))
    for name, alone in ALONE.items():
        if name in wanted:
            _show(alone())


def _show(figures: list[Figure]) -> None:
    for figure in figures:
        print(figure.line(), flush=True)


if __name__ == "__main__":
    main()
