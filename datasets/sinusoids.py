"""Noisy sinusoids with a known period, as AWS's sample notebook of DeepAR draws them."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import numpy.typing as npt

START = datetime(2016, 1, 1)
PERIOD = 24
"""Points of a period; the series are hourly."""


def noisy_sinusoids(
    count: int = 200, length: int = 400, *, seed: int = 0
) -> npt.NDArray[np.float64]:
    """Series that begin at START: series x points.

    Each has a level of its own up to 10, an amplitude of 10 to 40 % and noise of 5 % of it.
    """
    random = np.random.default_rng(seed)
    level = 10 * random.random((count, 1))
    amplitude = (0.1 + 0.3 * random.random((count, 1))) * level
    wave = np.sin(np.arange(length) * 2 * np.pi / PERIOD)
    return level + amplitude * wave + 0.05 * level * random.standard_normal((count, length))
