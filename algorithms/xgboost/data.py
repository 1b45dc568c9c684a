"""The channels as matrices of the library, and labels held to what the objective allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from algorithms.toolkit import content
from algorithms.toolkit.channels import Form, read_channel
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.training import log
from algorithms.xgboost.library import library

if TYPE_CHECKING:
    from algorithms.toolkit.formats.table import Table
    from algorithms.toolkit.job import Job
    from algorithms.toolkit.peers import Peers

_TRAINING_TYPES = (content.LIBSVM, content.CSV, content.PARQUET, content.RECORDIO)


def tables(job: Job, parameters: Mapping[str, Any], peers: Peers) -> dict[str, Table]:
    """The records of each channel, all of one width, with labels that the objective allows."""
    weighted = bool(job.given.get("csv_weights"))
    found = {
        name: read_channel(
            channel,
            Form(
                allowed=_TRAINING_TYPES,
                default=content.LIBSVM,
                weights=weighted and _is_text(channel.content_type),
                missing=True,
                any_delimiter=True,
            ),
        )
        for name, channel in job.channels.items()
        if name != "code"
    }
    # What LibSVM says of the width is the largest index, which another host may have seen.
    here = max(table.width for table in found.values())
    width = max(int(part["width"]) for part in peers.gather({"width": np.array(here)}))
    found = {name: table.widened(width) for name, table in found.items()}
    for table in found.values():
        _check_width(table, width, found["train"])
        _check_labels(table, parameters)
    for name, table in found.items():
        log.info("%s matrix has %d rows and %d columns", name.title(), table.rows, table.width)
    return found


def _is_text(kind: content.ContentType | None) -> bool:
    return kind is not None and kind.name == content.CSV


def _check_width(table: Table, width: int, train: Table) -> None:
    if table.width != width:
        raise CustomerError(
            f"{table.place(0)} has {table.width} features, {train.place(0)} has {train.width}; "
            "train and validation must have the same"
        )


def _check_labels(table: Table, parameters: Mapping[str, Any]) -> None:
    """Refuse labels outside of what the objective allows, naming the first record that has one."""
    objective = str(parameters.get("objective", ""))
    labels = table.labels
    if labels is None:
        raise CustomerError(f"{table.place(0)} has no label")
    if objective.startswith("multi:"):
        classes = int(parameters.get("num_class") or 0)
        wrong = (labels < 0) | (labels >= classes) | (labels != np.floor(labels))
        rule = f"label must be in [0, num_class), and num_class is {classes}"
    elif objective in {"binary:logistic", "binary:logitraw", "reg:logistic"}:
        wrong = (labels < 0) | (labels > 1)
        rule = "label must be in [0,1] for logistic regression"
    elif objective == "binary:hinge":
        wrong = (labels != 0) & (labels != 1)
        rule = "label must be 0 or 1 for binary:hinge"
    elif objective in {"count:poisson", "reg:tweedie"}:
        wrong = labels < 0
        rule = f"label must be nonnegative for {objective}"
    elif objective == "reg:gamma":
        wrong = labels <= 0
        rule = "label must be positive for reg:gamma"
    elif objective == "reg:squaredlogerror":
        wrong = labels <= -1
        rule = "label must be greater than -1 for reg:squaredlogerror"
    else:
        return
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise CustomerError(f"{rule}: {table.place(row)} has label {labels[row]:g}")


def matrix(table: Table, parameters: Mapping[str, Any]) -> Any:
    """A table in the form in which the library trains on it."""
    # survival:aft reads an interval instead of a label: here every time is known exactly.
    exact = table.labels if parameters.get("objective") == "survival:aft" else None
    return library().DMatrix(
        table.features,
        label=table.labels,
        weight=table.weights,
        qid=table.groups,
        label_lower_bound=exact,
        label_upper_bound=exact,
        nthread=parameters.get("nthread"),
    )
