"""DeepAR: forecasts of many related time series by one recurrent network, built on GluonTS's."""

from algorithms.deepar.job import train
from algorithms.deepar.model import load

__all__ = ["load", "train"]
