"""Augmented manifests: JSON Lines whose attributes are values, or references to objects in S3."""

import json
from array import array
from collections.abc import Sequence
from tempfile import TemporaryFile
from typing import Any

from local.sagemaker import s3
from local.sagemaker.training.objects import Object

REFERENCE = "-ref"
# No limit of AWS: a line is held in memory, and memory must not grow with what a user uploads.
_LONGEST_LINE = 16 * 1024 * 1024


class AugmentedManifest:
    """A manifest that was read and checked line by line; it is kept on disk, without a name.

    Raises:
        CallFailed: when it cannot be read.
        ValueError: for a line that is not what the channel asks for, with its number.
    """

    def __init__(self, uri: str, attributes: Sequence[str], storage: s3.Storage) -> None:
        self._uri = uri
        self._attributes = attributes
        # Closed with the last reference to it, and gone from the disk then.
        self._file: Any = TemporaryFile()  # noqa: SIM115
        self._starts = array("Q")
        self._numbers = array("Q")
        with storage.read(*s3.parse(uri)) as body:
            for chunk in body:
                self._file.write(chunk)
        self._file.seek(0)
        start, number = 0, 0
        while line := self._file.readline(_LONGEST_LINE):
            number += 1
            if len(line) == _LONGEST_LINE:
                raise self._broken(number, f"longer than {_LONGEST_LINE} bytes")
            if line.strip():
                self._parts(line, number)
                self._starts.append(start)
                self._numbers.append(number)
            start += len(line)
        if not self._starts:
            raise ValueError(f"The augmented manifest {uri} has no line.")

    def __len__(self) -> int:
        return len(self._starts)

    def parts(self, entry: int) -> list[bytes | Object]:
        """Give the attributes of an entry, in the order of AttributeNames.

        An attribute whose name ends in -ref is the object that it names, any other its JSON text.
        """
        self._file.seek(self._starts[entry])
        return self._parts(self._file.readline(_LONGEST_LINE), self._numbers[entry])

    def _parts(self, line: bytes, number: int) -> list[bytes | Object]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self._broken(number, f"not JSON: {error}") from None
        if not isinstance(record, dict):
            raise self._broken(number, "not a JSON object")
        found: list[bytes | Object] = []
        for name in self._attributes:
            if name not in record:
                there = ", ".join(record) or "none"
                raise self._broken(number, f"has no attribute {name!r}; it has: {there}"[:500])
            value = record[name]
            if not name.endswith(REFERENCE):
                found.append(json.dumps(value, ensure_ascii=False).encode())
                continue
            try:
                bucket, key = s3.parse(value)
            except (ValueError, AttributeError):
                bucket = key = ""
            if not key:
                raise self._broken(
                    number, f"attribute {name!r} must be the S3 URI of an object: {value!r}"[:500]
                )
            found.append(Object(bucket, key))
        return found

    def _broken(self, number: int, why: str) -> ValueError:
        return ValueError(f"The augmented manifest {self._uri}, line {number}: {why}.")
