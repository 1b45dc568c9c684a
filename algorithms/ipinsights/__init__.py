"""IP Insights: how usual an IPv4 address is for an entity, such as a user or an account."""

from algorithms.ipinsights.job import train
from algorithms.ipinsights.model import load

__all__ = ["load", "train"]
