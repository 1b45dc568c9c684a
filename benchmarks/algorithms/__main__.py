"""`python -m benchmarks.algorithms NAME ...`: an algorithm beside its reference, in one run."""

import sys
from importlib import import_module
from pathlib import Path

from benchmarks.measuring import end_by_signals, machine

KNOWN = sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))


def main() -> None:
    """Measure the algorithms that were named, and print a line for each figure as it comes."""
    wanted = [name.replace("-", "_") for name in sys.argv[1:]]
    if not wanted or set(wanted) - set(KNOWN):
        sys.exit(f"usage: python -m benchmarks.algorithms NAME ...; there are: {', '.join(KNOWN)}")
    end_by_signals()
    print(machine(), flush=True)
    for name in wanted:
        for figure in import_module(f"benchmarks.algorithms.{name}").measure():
            print(figure.line(), flush=True)


if __name__ == "__main__":
    main()
