"""What AWS's containers for scripts read and write where a script does not do it itself."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

JSON = "application/json"
CSV = "text/csv"
NPY = "application/x-npy"
NPZ = "application/x-npz"
LIBSVM = ("text/libsvm", "text/x-libsvm")
RECORDIO = "application/x-recordio-protobuf"
# What a script gets as text; everything else as bytes.
TEXTS = (JSON, CSV)


class UnsupportedFormatError(Exception):
    """A content type that the framework's defaults do not read, or do not write."""

    def __init__(self, content_type: str) -> None:
        super().__init__(
            f"Content type {content_type} is not supported by this framework.\n\nPlease implement "
            "input_fn to deserialize the request data or an output_fn to serialize the response."
        )


def decode(body: str | bytes, content_type: str) -> Any:
    """An array out of JSON, CSV or NPY, or a sparse matrix out of NPZ.

    Raises:
        UnsupportedFormatError: for any other content type.
    """
    import numpy as np

    if content_type == JSON:
        return np.array(json.loads(body))
    if content_type == CSV:
        # A single row comes out as a vector, as in AWS's containers.
        return np.array(_rows(body)).squeeze()
    if content_type == NPY:
        # Whoever invokes an endpoint is not to run code in it: no pickles.
        return np.load(io.BytesIO(_bytes(body)), allow_pickle=False)
    if content_type == NPZ:
        from scipy.sparse import load_npz

        return load_npz(io.BytesIO(_bytes(body)))
    raise UnsupportedFormatError(content_type)


def encode(values: Any, accept: str) -> str | bytes:
    """An array, or what is like one, as JSON, CSV or NPY.

    Raises:
        UnsupportedFormatError: for any other content type.
    """
    import numpy as np

    if accept == JSON:
        return json.dumps(values, default=_plain)
    if accept == CSV:
        array = np.array(values)
        if array.ndim == 1:
            array = array.reshape(-1, 1)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(array)
        return text.getvalue()
    if accept == NPY:
        buffer = io.BytesIO()
        np.save(buffer, values)
        return buffer.getvalue()
    raise UnsupportedFormatError(accept)


def decode_matrix(body: str | bytes, content_type: str) -> Any:
    """An xgboost.DMatrix out of CSV, libsvm or RecordIO-protobuf.

    Raises:
        UnsupportedFormatError: for any other content type.
    """
    import numpy as np
    import xgboost

    kind = content_type.partition(";")[0].strip()
    if kind == CSV:
        rows = _text(body).strip().splitlines()
        delimiter = _delimiter(rows[0][:512] if rows else "")
        cells = [[cell.strip() or "nan" for cell in row.split(delimiter)] for row in rows]
        return xgboost.DMatrix(np.array(cells).astype(float))
    if kind in LIBSVM:
        from algorithms.toolkit.formats import libsvm

        return xgboost.DMatrix(libsvm.read(_bytes(body), "payload", labelled=False).features)
    if kind == RECORDIO:
        from algorithms.toolkit.formats import recordio

        return xgboost.DMatrix(recordio.read(_bytes(body), "payload").features)
    raise UnsupportedFormatError(kind)


def _delimiter(line: str) -> str:
    try:
        found = csv.Sniffer().sniff(line).delimiter
    except csv.Error:
        # A single column has none.
        return ","
    return "," if found.isalnum() or found == "." else found


def _rows(body: str | bytes) -> list[list[str]]:
    return [*csv.reader(io.StringIO(_text(body)), strict=True)]


def _text(body: str | bytes) -> str:
    return body if isinstance(body, str) else body.decode()


def _bytes(body: str | bytes) -> bytes:
    return body.encode() if isinstance(body, str) else body


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
