"""How fast the strict readers are beside the readers they are built on.

    python -m benchmarks.readers

Prints the median of five runs in microseconds, for payloads and for a file of 50 columns, and how
many MB of it a reader takes in a second. pandas takes part where it is installed (`make deep`).
"""

import io
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
from pyarrow import BufferReader
from pyarrow import csv as arrow_csv

from algorithms.toolkit.formats import delimited, libsvm, recordio
from algorithms.toolkit.formats.table import Table
from benchmarks.measuring import Figure

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


class Reader(NamedTuple):
    """What reads, and from how many bytes."""

    size: int
    work: Callable[[], object]


def readers(numbers: npt.NDArray[np.float32]) -> dict[str, Reader]:
    """What reads the same numbers from text and from records, by name."""
    rows = numbers.tolist()
    text = "\n".join(",".join(map(repr, row)) for row in rows).encode()
    pairs = "\n".join(
        "1 " + " ".join(f"{i}:{value!r}" for i, value in enumerate(row)) for row in rows
    ).encode()
    framed = recordio.write(Table(numbers, numbers[:, 0]))
    own = {
        "csv, ours": Reader(len(text), lambda: delimited.read(text, "x")),
        "libsvm, ours": Reader(len(pairs), lambda: libsvm.read(pairs, "x")),
        "recordio, ours": Reader(len(framed), lambda: recordio.read(framed, "x")),
    }
    others: dict[str, Callable[[], object]] = {
        "csv, numpy loadtxt": lambda: np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.float32),
        "csv, pyarrow": lambda: arrow_csv.read_csv(
            BufferReader(text + b"\n"),
            read_options=arrow_csv.ReadOptions(autogenerate_column_names=True),
        ),
        "csv, orjson": lambda: orjson.loads(b"[[" + text.replace(b"\n", b"],[") + b"]]"),
    }
    with suppress(ModuleNotFoundError):
        import pandas

        others["csv, pandas"] = lambda: pandas.read_csv(
            io.BytesIO(text), header=None, dtype=np.float32
        ).to_numpy()
    stored = io.BytesIO()
    np.save(stored, numbers)
    return {
        **own,
        **{name: Reader(len(text), work) for name, work in others.items()},
        "recordio, numpy of .npy": Reader(
            len(stored.getvalue()), lambda: np.load(io.BytesIO(stored.getvalue()))
        ),
        "recordio, numpy without a check": Reader(len(framed), _cut_out(framed, numbers)),
    }


def _cut_out(framed: bytes, numbers: npt.NDArray[np.float32]) -> Callable[[], object]:
    """Copy the numbers out of frames that are known to be alike; nothing is checked."""
    begin, length = framed.index(numbers[0].tobytes()), numbers[0].nbytes

    def read() -> object:
        frames = np.frombuffer(framed, dtype=np.uint8).reshape(len(numbers), -1)
        return np.ascontiguousarray(frames[:, begin : begin + length]).view("<f4")

    return read


def throughput(shape: tuple[int, int]) -> dict[str, tuple[float, float]]:
    """Microseconds and MB/s of every reader, by its name."""
    found = {}
    random = np.random.default_rng(0)
    for name, reader in readers(random.random(shape, dtype=np.float32)).items():
        spent = microseconds(reader.work)
        found[name] = spent, reader.size / spent
    return found


def measure() -> list[Figure]:
    """The throughput of the readers of files beside numpy and pandas."""
    speeds = {name: speed for name, (_, speed) in throughput(SHAPES[-1]).items()}
    rows, columns = SHAPES[-1]
    figures = []
    for kind in ("csv", "recordio"):
        others = [
            f"{name.partition(', ')[2]} {speed:,.0f}"
            for name, speed in speeds.items()
            if name.startswith(f"{kind}, ") and name != f"{kind}, ours"
        ]
        what = f"reading {rows:,} x {columns} numbers, {kind}"
        figures.append(Figure(what, "MB/s", [speeds[f"{kind}, ours"]], "; ".join(others)))
    return figures


def main() -> None:
    """Print one line a shape and reader."""
    for shape in SHAPES:
        for name, (spent, speed) in throughput(shape).items():
            line = f"{shape[0]:>6} x {shape[1]:<4} {name:<32} {spent:>12,.1f} us"
            print(f"{line} {speed:>8,.0f} MB/s", flush=True)


if __name__ == "__main__":
    main()
