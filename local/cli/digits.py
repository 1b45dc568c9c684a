"""The demo's data: 1,797 handwritten digits of 8 x 8 pixels, which scikit-learn ships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from local.cli.aws import Aws

_PREFIX = "digits/"
_PARTS = ("train", "validation", "clusters")
SEED = 7
HELD_OUT = 360
VALIDATION = 287


@dataclass(frozen=True)
class Digits:
    """Three parts of the digits, apart from each other: CSV with the label first, no header."""

    train: str
    validation: str
    # What no step of training sees: pixels as CSV rows, and the digit that each shows.
    held_out: Sequence[str]
    labels: Sequence[int]


def load() -> Digits:
    """Split the digits, each digit in equal shares, the same way every time."""
    # Imported here: scikit-learn takes a second, which `smp --help` need not wait for.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    rows = [",".join(f"{value:g}" for value in row) for row in pixels]
    rest, held_out, rest_labels, held_out_labels = train_test_split(
        rows, labels.tolist(), test_size=HELD_OUT, stratify=labels, random_state=SEED
    )
    train, validation, train_labels, validation_labels = train_test_split(
        rest, rest_labels, test_size=VALIDATION, stratify=rest_labels, random_state=SEED
    )
    return Digits(
        train=_csv(train_labels, train),
        validation=_csv(validation_labels, validation),
        held_out=held_out,
        labels=held_out_labels,
    )


def bring(aws: Aws, parts: Digits) -> dict[str, str]:
    """Put the data for training into the data bucket; the key of each part's object."""
    bucket = aws.parameter("storage/data-bucket")
    # Clusters are found without labels.
    clusters = "".join(line.partition(",")[2] for line in parts.train.splitlines(keepends=True))
    keys = {}
    for channel, text in zip(_PARTS, (parts.train, parts.validation, clusters), strict=True):
        keys[channel] = f"{_PREFIX}{channel}/digits.csv"
        aws.s3.put_object(
            Bucket=bucket, Key=keys[channel], Body=text.encode(), ContentType="text/csv"
        )
    return keys


def bring_missing(aws: Aws) -> None:
    """Put the data for training into the data bucket, unless each part has something there."""
    bucket = aws.parameter("storage/data-bucket")
    for part in _PARTS:
        prefix = f"{_PREFIX}{part}/"
        if not aws.s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)["KeyCount"]:
            bring(aws, load())
            return


def _csv(labels: Sequence[int], rows: Sequence[str]) -> str:
    return "".join(f"{label},{row}\n" for label, row in zip(labels, rows, strict=True))
