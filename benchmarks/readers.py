"""How fast the strict readers are beside the readers they are built on.

    python benchmarks/readers.py

Prints the median of five runs in microseconds, for payloads and for a file of 50 columns.
"""

import io
import statistics
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import orjson
from pyarrow import BufferReader
from pyarrow import csv as arrow_csv

from algorithms.toolkit.formats import delimited, libsvm, recordio
from algorithms.toolkit.formats.table import Table

SHAPES = ((1, 30), (100, 30), (1, 784), (100, 784), (50_000, 50))


def microseconds(work: Callable[[], object]) -> float:
    """The median over five runs of the time that one call takes."""
    work()
    started = time.perf_counter()
    work()
    calls = max(1, int(0.05 / (time.perf_counter() - started)))
    runs = []
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(calls):
            work()
        runs.append((time.perf_counter() - started) / calls * 1e6)
    return statistics.median(runs)


def readers(numbers: npt.NDArray[np.float32]) -> dict[str, Callable[[], object]]:
    """What reads the same numbers from text and from records, by name."""
    rows = numbers.tolist()
    text = "\n".join(",".join(map(repr, row)) for row in rows).encode()
    pairs = "\n".join(
        "1 " + " ".join(f"{i}:{value!r}" for i, value in enumerate(row)) for row in rows
    ).encode()
    framed = recordio.write(Table(numbers, numbers[:, 0]))
    return {
        "csv, ours": lambda: delimited.read(text, "x"),
        "csv, numpy loadtxt": lambda: np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.float32),
        "csv, pyarrow": lambda: arrow_csv.read_csv(
            BufferReader(text + b"\n"),
            read_options=arrow_csv.ReadOptions(autogenerate_column_names=True),
        ),
        "csv, orjson": lambda: orjson.loads(b"[[" + text.replace(b"\n", b"],[") + b"]]"),
        "libsvm, ours": lambda: libsvm.read(pairs, "x"),
        "recordio, ours": lambda: recordio.read(framed, "x"),
    }


def main() -> None:
    """Print one line a shape and reader."""
    random = np.random.default_rng(0)
    for shape in SHAPES:
        for name, work in readers(random.random(shape, dtype=np.float32)).items():
            print(f"{shape[0]:>6} x {shape[1]:<4} {name:<20} {microseconds(work):>12,.1f} us")


if __name__ == "__main__":
    main()
