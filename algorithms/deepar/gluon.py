"""The parts of GluonTS that DeepAR is made of, without what only its own trainer needs.

Importing any module of `gluonts.torch` first runs the packages round it, and these bring lightning,
torchmetrics and torchvision: two thirds of the time that a container takes to start. So the modules
are imported below packages that are empty, which are taken away again afterwards.
"""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gluonts

_PACKAGES = ("gluonts.torch", "gluonts.torch.model", "gluonts.torch.model.deepar")


@contextmanager
def _without_their_packages() -> Iterator[None]:
    base = Path(next(iter(gluonts.__path__)))
    empty = [name for name in _PACKAGES if name not in sys.modules]
    for name in empty:
        package = types.ModuleType(name)
        package.__path__ = [str(base.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
    try:
        yield
    finally:
        for name in empty:
            del sys.modules[name]


# It indexes in a way that torch will take otherwise some day; that is for its own versions to mend.
warnings.filterwarnings("ignore", "Using a non-tuple sequence", module="gluonts")
with warnings.catch_warnings(), _without_their_packages():
    warnings.simplefilter("ignore")
    from gluonts import time_feature
    from gluonts.time_feature import get_lags_for_frequency, time_features_from_frequency_str
    from gluonts.torch.distributions.distribution_output import (
        BetaOutput,
        DistributionOutput,
        NormalOutput,
    )
    from gluonts.torch.distributions.negative_binomial import NegativeBinomialOutput
    from gluonts.torch.distributions.studentT import StudentTOutput
    from gluonts.torch.model.deepar.module import DeepARModel
    from gluonts.torch.scaler import MeanScaler

__all__ = [
    "BetaOutput",
    "DeepARModel",
    "DistributionOutput",
    "MeanScaler",
    "NegativeBinomialOutput",
    "NormalOutput",
    "StudentTOutput",
    "get_lags_for_frequency",
    "time_feature",
    "time_features_from_frequency_str",
]
