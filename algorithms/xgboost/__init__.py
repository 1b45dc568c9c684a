"""XGBoost: gradient boosted trees, by the library that AWS's own image holds.

Within this package as everywhere, `import xgboost` is that library; `library` is the one place that
imports it.
"""

from algorithms.xgboost.job import train
from algorithms.xgboost.model import Model, load

__all__ = ["Model", "load", "train"]
