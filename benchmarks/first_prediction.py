"""`make demo`: in a new clone, on a machine that is set up, and on a running platform."""

import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measuring import RUNS, SMP, Figure, free_port, own_home, run, seconds
from local.platform.home import CHECKOUT


def measure() -> list[Figure]:
    """Run the demo from each of the three beginnings."""
    first, warm, running = [], [], []
    for _ in range(RUNS):
        first.append(_first())
        with own_home() as home:
            demo = partial(run, [SMP, "demo", "--port", str(free_port())], SMP_HOME=str(home))
            warm.append(seconds(demo))
            running.append(seconds(partial(run, [SMP, "demo"], SMP_HOME=str(home))))
    return [
        Figure("make demo in a new clone, setup and all", "s", first, "packages cached; aim: 90"),
        Figure("smp demo, set up, platform down", "s", warm, "aim: 30"),
        Figure("smp demo on the running platform", "s", running),
    ]


def _first() -> float:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        run(["git", "clone", "--quiet", CHECKOUT, clone])
        # The port cannot be chosen through make; the platform of the clone is a user's first.
        taken = seconds(partial(run, ["make", "demo"], clone))
        run([clone / ".venv" / "bin" / "smp", "down", "--yes"], clone)
        return taken
