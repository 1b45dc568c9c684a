"""Random projections that nearly keep distances.

sign: D. Achlioptas, Database-friendly random projections, 2003. fjlt: the subsampled randomized
Hadamard transform, which J. Tropp analyses (2011), after N. Ailon and B. Chazelle, 2009.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from algorithms.toolkit.formats.table import FloatArray


def drawn(kind: str, width: int, target: int) -> dict[str, Any]:
    """The arrays of a projection, the same each time; `apply` takes them."""
    random = np.random.default_rng(0)
    if kind == "sign":
        return {"signs": random.choice(np.array([-1, 1], np.int8), size=(width, target))}
    padded = _power(width)
    return {
        "signs": random.choice(np.array([-1, 1], np.int8), size=width),
        "places": np.sort(random.choice(padded, size=target, replace=False)),
    }


def apply(rows: FloatArray, arrays: dict[str, Any]) -> FloatArray:
    """Rows in fewer dimensions."""
    signs = arrays["signs"]
    if "places" not in arrays:
        found = rows @ (signs.astype(np.float32) / np.float32(np.sqrt(signs.shape[1])))
        return np.ascontiguousarray(found, dtype=np.float32)
    places, padded = arrays["places"], _power(len(signs))
    wide = np.zeros((len(rows), padded), np.float32)
    wide[:, : len(signs)] = rows * signs
    step = 1
    while step < padded:
        pairs = wide.reshape(len(rows), -1, 2, step)
        wide = np.stack(
            [pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2
        ).reshape(len(rows), padded)
        step *= 2
    return np.ascontiguousarray(wide[:, places] / np.float32(np.sqrt(len(places))))


def _power(width: int) -> int:
    return 1 << max(width - 1, 0).bit_length()
