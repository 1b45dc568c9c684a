"""What an algorithm must be, so that the toolkit can train and serve it.

A module `algorithms/NAME.py` has two functions, and is then found by itself:

    def train(job: Job) -> None        read the channels, train, write the artifact to job.model_dir
    def load(folder: Path) -> Model    read that artifact; nothing in it is ever executed
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from algorithms.toolkit.formats.table import Table

if TYPE_CHECKING:
    from algorithms.toolkit.job import Job

Answers = Sequence[Mapping[str, Any]]


class Model(Protocol):
    """A trained model, ready to answer."""

    width: int
    """The number of features that a record must have."""

    accepts: tuple[str, ...]
    """The content types of requests; the first is meant when a request names none."""

    answers: tuple[str, ...]
    """The content types of answers; the first is given when a request asks for none."""

    def predict(self, table: Table) -> Answers:
        """One answer for each record: its outputs by name."""

    def csv(self, answers: Answers, *, batch: bool) -> str:
        """Answers as text/csv, whose form is each algorithm's own."""


class AlgorithmModule(Protocol):
    """The module of an algorithm."""

    def train(self, job: Job) -> None:
        """Train on the channels of a job and leave the artifact in its model folder."""

    def load(self, folder: Path) -> Model:
        """Read the artifact that `train` left."""


def module(name: str) -> AlgorithmModule:
    """The module of an algorithm of the catalogue."""
    found = importlib.import_module(f"algorithms.{name.replace('-', '_')}")
    return cast("AlgorithmModule", found)
