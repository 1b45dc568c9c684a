"""What an algorithm must be, so that the toolkit can train and serve it.

A module `algorithms/NAME.py` has two functions, and is then found by itself:

    def train(job: Job) -> None        read the channels, train, write the artifact to job.model_dir
    def load(folder: Path) -> Model    read that artifact; nothing in it is ever executed

Where records are not rows of numbers, `load` gives a Responder.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from algorithms.toolkit.content import ContentType
from algorithms.toolkit.errors import AlgorithmError
from algorithms.toolkit.formats.table import Table

if TYPE_CHECKING:
    from algorithms.toolkit.job import Job

# What is installed only for the algorithms of deep learning.
DEEP_PACKAGES = frozenset({"torch", "torchvision", "gluonts", "lightning", "safetensors", "PIL"})

Answers = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Request:
    """The body of an invocation, with what it is and what is to be answered.

    `content_type` is one that the model accepts, `accept` one that it answers, each with the
    parameters that the client gave. `batch` says that a batch transform job asks.
    """

    body: bytes
    content_type: ContentType
    accept: ContentType
    batch: bool = False


class Responder(Protocol):
    """A trained model that reads requests and writes answers itself."""

    accepts: tuple[str, ...]
    """The content types of requests; the first is meant when a request names none."""

    answers: tuple[str, ...]
    """The content types of answers; the first is given when a request asks for none."""

    # A model that takes long for a small request, too, has `slow`: pings are answered meanwhile.

    def respond(self, request: Request) -> bytes:
        """The answer in the form of `request.accept`.

        Raises:
            FormatError, CustomerError: The request is wrong; the client gets the sentence with 400.
        """


class Chooser(Protocol):
    """A trained model whose form of answer depends on the form of the request."""

    def answer_type(self, kind: ContentType, accept: str | None) -> ContentType | None:
        """What answers a request of this content type and Accept header; None when nothing can."""


class Model(Protocol):
    """A trained model of records that are rows of numbers."""

    width: int
    """The number of features that a record must have."""

    accepts: tuple[str, ...]
    """The content types of requests; the first is meant when a request names none."""

    answers: tuple[str, ...]
    """The content types of answers; the first is given when a request asks for none."""

    # A model whose list of answers in JSON is not called "predictions" has `json_key`; one whose
    # text may have other delimiters than the comma has `any_delimiter`.

    def predict(self, table: Table) -> Answers:
        """One answer for each record: its outputs by name."""


class CsvModel(Model, Protocol):
    """A model among whose answers text/csv is."""

    def csv(self, answers: Answers, *, batch: bool) -> str:
        """Answers as text/csv, whose form is each algorithm's own."""


class AlgorithmModule(Protocol):
    """The module of an algorithm."""

    def train(self, job: Job) -> None:
        """Train on the channels of a job and leave the artifact in its model folder."""

    def load(self, folder: Path) -> Model | Responder:
        """Read the artifact that `train` left."""


def module(name: str) -> AlgorithmModule:
    """The module of an algorithm of the catalogue.

    Raises:
        AlgorithmError: It is not built here yet, or it needs deep learning, and this image or
            environment has none.
    """
    path = f"algorithms.{name.replace('-', '_')}"
    try:
        found = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name == path:
            raise AlgorithmError(
                f"{name} is in the catalogue, but this project has no container of it yet: run it "
                "in AWS's own image, on AWS"
            ) from None
        if error.name not in DEEP_PACKAGES:
            raise
        raise AlgorithmError(
            f"{name} needs {error.name}, which is not installed here: take the deep image, or on "
            "the local platform run `make deep`"
        ) from None
    return cast("AlgorithmModule", found)
