"""How good forecasts are, by the measures of AWS's contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def sums(truth: Numbers, paths: Numbers, quantiles: Sequence[float]) -> dict[str, Any]:
    """What the scores are made of; those of other series, or other hosts, may be added.

    Args:
        truth: series x points; NaN where a point is missing, which is left out.
        paths: series x paths x points.
        quantiles: between 0 and 1.
    """
    known = ~np.isnan(truth)
    truth = np.where(known, truth, 0)
    error = np.where(known, paths.mean(axis=1) - truth, 0)
    found = np.quantile(paths, quantiles, axis=1)
    above = found > truth
    shares = np.array(quantiles)[:, None, None]
    losses = np.where(above, (1 - shares) * (found - truth), shares * (truth - found))
    return {
        "points": np.array(known.sum(), dtype=np.float64),
        "squares": np.array((error**2).sum()),
        "absolutes": np.array(np.abs(truth).sum()),
        "losses": 2 * (losses * known).sum(axis=(1, 2)),
    }


def scores(total: Mapping[str, Any], quantiles: Sequence[float]) -> dict[str, float]:
    """The scores by name: RMSE, mean_wQuantileLoss, ..."""
    absolutes = float(total["absolutes"])
    weighted = total["losses"] / absolutes if absolutes else np.full(len(quantiles), np.nan)
    return {
        "RMSE": float(np.sqrt(total["squares"] / total["points"])),
        "mean_absolute_QuantileLoss": float(np.mean(total["losses"])),
        "mean_wQuantileLoss": float(np.mean(weighted)),
        **{
            f"wQuantileLoss[{share:g}]": float(loss)
            for share, loss in zip(quantiles, weighted, strict=True)
        },
    }
