"""Factorization machines: regression or two classes, with a weight for every pair of features.

The model and its settings are AWS's: bias, linear terms and factors each start, learn and decay by
rules of their own. What AWS does not publish is ours, and stands where it is decided: the steps in
`machine`, the starts without a default in `settings`, the share of each host in `job`.
"""

from algorithms.factorization_machines.job import train
from algorithms.factorization_machines.model import Model, load

__all__ = ["Model", "load", "train"]
