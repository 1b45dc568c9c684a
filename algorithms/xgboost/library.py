"""The library itself, which is named as this package is, and what it says when it fails."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from algorithms.toolkit.errors import AlgorithmError, CustomerError

# Texts of the library that blame the data or the settings, and not the program.
_CUSTOMER_TEXTS = (
    "Check failed",
    "Invalid Parameter format",
    "Parameter ",
    "Unknown",
    "Label",
    "label",
    "Must have",
    "must be",
    "not supported",
    "Only",
    "only",
    "required",
    "Input data contains",
    "Number of groups",
)


@cache
def library() -> Any:
    """The library, without scikit-learn, which it would import in passing and take 0.6 s for."""
    if "xgboost" in sys.modules or "sklearn" in sys.modules:
        import xgboost

        return xgboost
    sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        import xgboost
    finally:
        del sys.modules["sklearn"]
    return xgboost


def has_gpu() -> bool:
    """Whether the library was built for GPUs, and the instance has one."""
    return bool(library().build_info().get("USE_CUDA")) and Path("/dev/nvidiactl").exists()


def blamed(error: Exception) -> Exception:
    """An error of the library as the customer's or as the algorithm's, by what it says."""
    text = f"XGB train call failed with exception: {first_lines(error)}"
    return (CustomerError if any(t in str(error) for t in _CUSTOMER_TEXTS) else AlgorithmError)(
        text
    )


def first_lines(error: Exception) -> str:
    """What the library says, without the addresses of its stack."""
    text = str(error).split("Stack trace", 1)[0].strip()
    return re.sub(r"^\[\d\d:\d\d:\d\d\] \S+?:\d+: ", "", text)
